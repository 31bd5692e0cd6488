//! A zone as it comes is judged. Then it is signed, which a second time changes nothing, and what is said against it is that
//! the signatures are none. An RRset is deleted, and the zone signed by this step is the one that is signed at once.
//!
//! The first octet says which denial, the second in which portions, the third what is deleted; a zone file follows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rokko_dnssec::record::{Nsec3, Rrsig};
use rokko_dnssec::verify::{Terms, touched, whole};
use rokko_dnssec::{
    Algorithm, ConformError, Cursor, NSEC3PARAM_RDATA, OptOut, Plan, PublicKey, Sign, SignError, Signer, Timing,
    ToSign, Wanted, conform_range, conform_touched, zonemd,
};
use rokko_wire::{Name, Rtype};
use rokko_zone::file::{Options, load, write_snapshot};
use rokko_zone::zone::to_rrset;
use rokko_zone::{Delta, Edit, Revision, Rrset, Ttl, Zone};

const NOW: u32 = 1_700_000_000;

/// Octets that are no signature, which is seen at once.
struct Unsigning;

impl Sign for Unsigning {
    fn sign(&self, inputs: &[ToSign]) -> Result<Vec<Box<[u8]>>, SignError> {
        Ok(vec![[255; 64].into(); inputs.len()])
    }
}

fn key() -> PublicKey {
    PublicKey { flags: PublicKey::ZONE | PublicKey::SEP, algorithm: Algorithm::Ed25519, key: [1; 32].into() }
}

fn plan(apex: &Name, kind: u8) -> Plan {
    let denial = match kind % 5 {
        0 => Wanted::NSEC,
        1 => Wanted::NSEC3,
        2 => Wanted { nsec: false, nsec3: Some(OptOut::Yes) },
        3 => Wanted { nsec: false, nsec3: Some(OptOut::Leaving) },
        _ => Wanted { nsec: true, nsec3: Some(OptOut::No) },
    };
    let signer = Signer { tag: key().tag(), algorithm: Algorithm::Ed25519, signs_keys: true, signs_zone: true };
    let timing =
        Timing { now: NOW, inception_before_s: 3600, validity_s: 1_209_600, jitter_s: 0, refresh_before_s: 86_400 };
    Plan { apex: apex.clone(), signers: vec![signer], denial, timing }
}

fn apply(zone: &Zone, delta: &Delta) -> Zone {
    zone.apply(delta, zone.revision().next()).expect("a delta of this zone").0
}

/// The data of a zone, without what signing makes and with its apex records.
fn data(zone: &Zone, plan: &Plan) -> Zone {
    let is_data = |rtype: Rtype| !rtype.is_signing_product() && rtype != Rtype::DNSKEY && rtype != Rtype::NSEC3PARAM;
    let rrsets = zone.rrsets().filter(|(_, rrset)| is_data(rrset.rtype()));
    let single =
        |rtype, rdata| Some(Rrset { owner: plan.apex.clone(), rtype, ttl: Ttl::from_wire(60), rdatas: vec![rdata] });
    let param = plan.denial.nsec3.and_then(|_| single(Rtype::NSEC3PARAM, NSEC3PARAM_RDATA.into()));
    let rrsets = rrsets.map(|(owner, rrset)| to_rrset(owner, rrset));
    let all = rrsets.chain(single(Rtype::DNSKEY, key().to_rdata())).chain(param);
    Zone::build(&plan.apex, Revision(1), all).expect("what was a zone")
}

fn conform(zone: Zone, portion: usize, plan: &Plan) -> Result<(Zone, usize), ConformError> {
    let (mut zone, mut cursor, mut changes) = (zone, Some(Cursor::start()), 0);
    while let Some(from) = cursor {
        let (conformed, next) = conform_range(&zone, &from, portion, plan, &Unsigning)?;
        changes += conformed.delta.changes.len();
        zone = apply(&zone, &conformed.delta);
        cursor = next;
    }
    Ok((zone, changes))
}

fn text(zone: &Zone) -> String {
    let mut text = String::new();
    write_snapshot(zone, &mut text).expect("a string takes all text");
    text
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[kind, portion, gone], rest)) = bytes.split_first_chunk() else { return };
    let _ = (Rrsig::parse(rest), Nsec3::parse(rest), PublicKey::of_rdata(rest).map(|key| key.verify(b"", rest)));
    let loaded = load(rest, Options { generate_max: 20, ..Options::default() });
    let Some(apex) = loaded.apex else { return };
    let Ok(zone) = Zone::build(&apex, Revision(1), loaded.rrsets) else { return };
    let terms = Terms { now: NOW, ..Terms::default() };
    let _ = (whole(&zone, &terms), zonemd::verify(&zone));

    let plan = plan(&apex, kind);
    let portion = usize::from(portion).max(1);
    let Ok((signed, _)) = conform(data(&zone, &plan), portion, &plan) else { return };
    assert_eq!(conform(signed.clone(), portion, &plan).map(|(_, changes)| changes), Ok(0));
    for finding in whole(&signed, &terms) {
        assert!(matches!(finding.code, "rrsig-bogus" | "rrsig-missing"), "{finding:?}\n{}", text(&signed));
    }

    let sets: Vec<(Name, Rtype)> = data(&signed, &plan).rrsets().map(|(owner, rrset)| (owner, rrset.rtype())).collect();
    let (owner, rtype) = sets[usize::from(gone) % sets.len()].clone();
    if owner == apex && matches!(rtype, Rtype::SOA | Rtype::DNSKEY | Rtype::NSEC3PARAM) {
        return;
    }
    let delta = signed.resolve(&[Edit::Delete { owner, rtype }]).expect("an RRset of the zone");
    let draft = apply(&signed, &delta);
    let conformed = conform_touched(&draft, &delta, &plan, &Unsigning).expect("a zone that could be signed before");
    let after = apply(&draft, &conformed.delta);
    for finding in touched(&after, &delta.then(conformed.delta), &terms) {
        assert!(matches!(finding.code, "rrsig-bogus" | "rrsig-missing"), "{finding:?}\n{}", text(&after));
    }
    let at_once = conform(data(&after, &plan), usize::MAX, &plan).expect("a zone that could be signed before");
    assert_eq!(text(&after), text(&at_once.0));
});
