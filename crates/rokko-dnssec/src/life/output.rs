//! What is to be published by a state: the RRsets at the apex, who signs what, and the chains.

use rokko_wire::{Name, Rtype};
use rokko_zone::{Rrset, Ttl};

use super::policy::{DenialPolicy, DnssecPolicy};
use super::set::KeySet;
use super::state::{DenialPhase, Key, KeyId, State};
use crate::{Algorithm, PublicKey};

/// The data of a CDS record that asks to delete the DS (RFC 8078 §4).
const CDS_DELETE: [u8; 5] = [0, 0, 0, 0, 0];
/// The data of a CDNSKEY record that does.
const CDNSKEY_DELETE: [u8; 5] = [0, 0, 3, 0, 0];

/// The RRsets at the apex that keys bring. None means that there is to be no such RRset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRecords {
    /// The zone's keys.
    pub dnskey: Option<Rrset>,
    /// What the parent is asked for as DS (RFC 7344 §3.1).
    pub cds: Option<Rrset>,
    /// The same as keys (RFC 7344 §3.2).
    pub cdnskey: Option<Rrset>,
}

/// A key that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// What its private key is found by.
    pub id: KeyId,
    /// Its DNSKEY record.
    pub public: PublicKey,
    /// Whether it signs DNSKEY, CDS and CDNSKEY.
    pub signs_keys: bool,
    /// Whether it signs all else.
    pub signs_zone: bool,
}

/// The chains of denial that the zone has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chains {
    /// The one that answers.
    pub answers: DenialPolicy,
    /// One that is built or still there beside it.
    pub also: Option<DenialPolicy>,
}

impl State {
    /// The RRsets that the keys of this state bring to the apex.
    pub fn key_records(&self, apex: &Name, policy: &DnssecPolicy) -> KeyRecords {
        let rrset = |rtype, mut rdatas: Vec<Box<[u8]>>| {
            rdatas.sort_unstable();
            rdatas.dedup();
            let ttl = Ttl::new(policy.dnskey_ttl_s).unwrap_or(Ttl::MAX);
            (!rdatas.is_empty()).then(|| Rrset { owner: apex.clone(), rtype, ttl, rdatas })
        };
        let dnskeys = self.publics(self.dnskey.current().keys).map(PublicKey::to_rdata).collect();
        let asked = self.asked.filter(|_| policy.cds);
        let deletes = asked.is_some_and(KeySet::is_empty);
        let asked = asked.unwrap_or_default();
        let (cds, cdnskey) = if deletes {
            (vec![Box::from(CDS_DELETE)], vec![Box::from(CDNSKEY_DELETE)])
        } else {
            (self.ds_rdatas(apex, policy, asked), self.publics(asked).map(PublicKey::to_rdata).collect())
        };
        KeyRecords {
            dnskey: rrset(Rtype::DNSKEY, dnskeys),
            cds: rrset(Rtype::CDS, cds),
            cdnskey: rrset(Rtype::CDNSKEY, cdnskey),
        }
    }

    /// The DS records that the parent is asked for: for those who carry them there by hand.
    pub fn wanted_ds(&self, apex: &Name, policy: &DnssecPolicy) -> Vec<Box<[u8]>> {
        self.ds_rdatas(apex, policy, self.asked.unwrap_or_default())
    }

    /// Who signs what, by the order of the keys. The same input gives the same order.
    pub fn signing_keys(&self) -> Vec<SigningKey> {
        let (rrset, signers) = (self.dnskey.current(), self.signatures.current());
        let signing = |key: &Key| {
            let (signs_keys, signs_zone) = (rrset.signers.has(key.slot), signers.has(key.slot));
            let id = key.id.filter(|_| signs_keys || signs_zone)?;
            Some(SigningKey { id, public: key.public.clone(), signs_keys, signs_zone })
        };
        self.keys.iter().filter_map(signing).collect()
    }

    /// The chains of denial; none if the zone is not signed.
    pub fn chains(&self) -> Option<Chains> {
        let new = self.denial?;
        Some(match self.denial_change {
            None => Chains { answers: new, also: None },
            Some(change) => match change.phase {
                DenialPhase::Build => Chains { answers: change.from, also: Some(new) },
                DenialPhase::Switch => Chains { answers: new, also: Some(change.from) },
                DenialPhase::Drop => Chains { answers: new, also: None },
            },
        })
    }

    /// The algorithms that the zone's data is signed with now.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms: Vec<_> = self.publics(self.signatures.current()).map(|key| key.algorithm).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        algorithms
    }

    fn publics(&self, keys: KeySet) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter(move |key| keys.has(key.slot)).map(|key| &key.public)
    }

    fn ds_rdatas(&self, apex: &Name, policy: &DnssecPolicy, keys: KeySet) -> Vec<Box<[u8]>> {
        let digests = policy.digests.iter();
        self.publics(keys).flat_map(|key| digests.clone().map(|&digest| key.ds(apex, digest))).collect()
    }
}

/// The keys of a set for people, such as `KSK 12345`.
pub(super) fn tags(state: &State, keys: KeySet) -> String {
    let names =
        state.keys.iter().filter(|key| keys.has(key.slot)).map(|key| format!("{} {}", key.role, key.public.tag()));
    names.collect::<Vec<_>>().join(", ")
}
