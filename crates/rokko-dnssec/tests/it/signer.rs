//! A signer with keys from fixed seeds whose signatures are the same every time, and zones for it.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::signature::{Ed25519KeyPair, KeyPair};
use rokko_dnssec::conform::conform_range;
use rokko_dnssec::{
    Algorithm, Conformed, Cursor, NSEC3PARAM_RDATA, Plan, PublicKey, Sign, SignError, Signer, Timing, ToSign, Wanted,
    conform_touched,
};
use rokko_wire::{Name, Rtype};
use rokko_zone::file::{Options, load, write_snapshot};
use rokko_zone::{Delta, Edit, Revision, Rrset, Ttl, Zone};

/// The present, the same in all of a test run: not all judges can be told another time.
pub(crate) fn now() -> u32 {
    static NOW: OnceLock<u32> = OnceLock::new();
    let since_1970 = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    *NOW.get_or_init(|| u32::try_from(since_1970()).unwrap())
}

const DAY: u32 = 86_400;

/// Keys by their index in the plan.
pub(crate) struct Keys(Vec<(Ed25519KeyPair, u16)>);

impl Keys {
    /// One key for everything.
    pub(crate) fn csk() -> Self {
        Self::new(&[(1, PublicKey::ZONE | PublicKey::SEP)])
    }

    /// Key-signing keys and zone-signing keys.
    pub(crate) fn new(seeds: &[(u8, u16)]) -> Self {
        Self(
            seeds
                .iter()
                .map(|&(seed, flags)| (Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(), flags))
                .collect(),
        )
    }

    pub(crate) fn public(&self, index: usize) -> PublicKey {
        let (pair, flags) = &self.0[index];
        PublicKey { flags: *flags, algorithm: Algorithm::Ed25519, key: pair.public_key().as_ref().into() }
    }

    /// The DNSKEY RRset of all keys.
    pub(crate) fn dnskey(&self, apex: &Name) -> Rrset {
        let rdatas = (0..self.0.len()).map(|index| self.public(index).to_rdata()).collect();
        Rrset { owner: apex.clone(), rtype: Rtype::DNSKEY, ttl: Ttl::from_wire(3600), rdatas }
    }

    /// A plan in which each key signs what its flags say; one alone signs all.
    pub(crate) fn plan(&self, apex: &Name, denial: Wanted) -> Plan {
        let has_both = self.0.iter().any(|(_, flags)| flags & PublicKey::SEP == 0);
        let signers = (0..self.0.len()).map(|index| self.public(index)).map(|key| Signer {
            tag: key.tag(),
            algorithm: key.algorithm,
            signs_keys: key.is_sep(),
            signs_zone: !key.is_sep() || !has_both,
        });
        let timing = Timing {
            now: now(),
            inception_before_s: 3600,
            validity_s: 14 * DAY,
            jitter_s: 2 * DAY,
            refresh_before_s: 5 * DAY,
        };
        Plan { apex: apex.clone(), signers: signers.collect(), denial, timing }
    }
}

impl Sign for Keys {
    fn sign(&self, inputs: &[ToSign]) -> Result<Vec<Box<[u8]>>, SignError> {
        Ok(inputs.iter().map(|input| self.0[input.signer].0.sign(&input.octets).as_ref().into()).collect())
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The zone of a zone file.
pub(crate) fn parse(text: &str) -> Zone {
    let loaded = load(text.as_bytes(), Options::default());
    Zone::build(&loaded.apex.unwrap(), Revision(1), loaded.rrsets).unwrap()
}

pub(crate) fn text(zone: &Zone) -> String {
    let mut text = String::new();
    write_snapshot(zone, &mut text).unwrap();
    text
}

pub(crate) fn apply(zone: &Zone, delta: &Delta) -> Zone {
    zone.apply(delta, zone.revision().next()).unwrap().0
}

/// The apex records that a plan leaves to others.
pub(crate) fn apex_records(keys: &Keys, plan: &Plan) -> Vec<Edit> {
    let nsec3param = Rrset {
        owner: plan.apex.clone(),
        rtype: Rtype::NSEC3PARAM,
        ttl: Ttl::from_wire(0),
        rdatas: vec![Box::from(NSEC3PARAM_RDATA)],
    };
    let mut edits = vec![Edit::Replace(keys.dnskey(&plan.apex))];
    edits.extend(plan.denial.nsec3.map(|_| Edit::Replace(nsec3param)));
    edits
}

/// Makes the whole zone conform, in portions.
pub(crate) fn conform_whole(zone: &Zone, portion: usize, plan: &Plan, sign: &dyn Sign) -> (Zone, usize) {
    let (mut zone, mut cursor, mut signatures) = (zone.clone(), Some(Cursor::start()), 0);
    while let Some(from) = cursor {
        let (conformed, next) = conform_range(&zone, &from, portion, plan, sign).unwrap();
        signatures += conformed.signatures;
        zone = apply(&zone, &conformed.delta);
        cursor = next;
    }
    (zone, signatures)
}

/// Signs an unsigned zone at once.
pub(crate) fn sign_from_scratch(unsigned: &Zone, keys: &Keys, plan: &Plan) -> Zone {
    let delta = unsigned.resolve(&apex_records(keys, plan)).unwrap();
    conform_whole(&apply(unsigned, &delta), usize::MAX, plan, keys).0
}

/// A change as control makes it: the user's edits, and what signing makes of them.
pub(crate) fn change(zone: &Zone, edits: &[Edit], plan: &Plan, sign: &dyn Sign) -> (Zone, Delta, Conformed) {
    let delta = zone.resolve(edits).unwrap();
    let draft = apply(zone, &delta);
    let conformed = conform_touched(&draft, &delta, plan, sign).unwrap();
    let all = delta.then(conformed.delta.clone());
    let after = zone.apply(&all, zone.revision().next()).unwrap().0;
    assert_eq!(text(&after), text(&apply(&draft, &conformed.delta)));
    (after, all, conformed)
}
