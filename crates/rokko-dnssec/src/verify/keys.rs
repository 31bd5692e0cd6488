//! The keys of a zone, as its DNSKEY RRset has them.

use rokko_wire::Rtype;
use rokko_zone::{RrsetRef, ZoneRef};

use crate::algorithm::{PublicKey, key_tag};
use crate::record::Rrsig;

/// A key of the DNSKEY RRset that may sign the zone's data.
pub(super) struct ZoneKey {
    pub(super) tag: u16,
    /// The number of its algorithm.
    pub(super) algorithm: u8,
    /// The key; `None` if its algorithm is not known here.
    pub(super) public: Option<PublicKey>,
    /// Whether it is revoked, so that it signs nothing but the DNSKEY RRset (RFC 5011 §2.1).
    is_revoked: bool,
    /// Whether DS records at the parent lead to it.
    pub(super) is_trusted: bool,
}

/// All keys of a zone.
pub(super) struct ZoneKeys {
    pub(super) list: Vec<ZoneKey>,
    /// The algorithms of the keys that are not revoked, each once: each RRset has to be signed with each of them.
    pub(super) algorithms: Vec<u8>,
    /// Whether the parent has DS records of a kind that is known here.
    pub(super) has_ds: bool,
}

impl ZoneKeys {
    /// The keys of a zone; `ds` is the data of the DS records at its parent.
    pub(super) fn of(zone: ZoneRef<'_>, ds: &[Box<[u8]>]) -> Self {
        let rrset = zone.apex_node().and_then(|apex| apex.rrset(Rtype::DNSKEY));
        let (mut list, mut algorithms) = (Vec::new(), Vec::new());
        for rdata in rrset.into_iter().flat_map(RrsetRef::rdatas) {
            let Some(&[high, low, 3, algorithm]) = rdata.first_chunk() else { continue };
            let flags = u16::from_be_bytes([high, low]);
            if flags & PublicKey::ZONE == 0 {
                continue;
            }
            let public = PublicKey::of_rdata(rdata);
            let matches = |key: &PublicKey| ds.iter().any(|ds| key.matches_ds(&zone.apex(), ds));
            let is_trusted = public.as_ref().is_some_and(matches);
            let is_revoked = flags & PublicKey::REVOKE != 0;
            if !is_revoked && !algorithms.contains(&algorithm) {
                algorithms.push(algorithm);
            }
            list.push(ZoneKey { tag: key_tag(rdata), algorithm, public, is_revoked, is_trusted });
        }
        let is_known = |ds: &[u8]| matches!(ds.get(3), Some(2 | 4));
        Self { list, algorithms, has_ds: ds.iter().any(|ds| is_known(ds)) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether signatures of this algorithm can be verified.
    pub(super) fn is_known(&self, algorithm: u8) -> bool {
        self.list.iter().any(|key| key.algorithm == algorithm && key.public.is_some())
    }

    /// The algorithms whose signatures cannot be verified.
    pub(super) fn unknown_algorithms(&self) -> Vec<u8> {
        self.algorithms.iter().copied().filter(|&algorithm| !self.is_known(algorithm)).collect()
    }

    /// The keys that may have made a signature; more than one if tags collide.
    pub(super) fn of_signature(&self, rrsig: &Rrsig<'_>) -> impl Iterator<Item = &ZoneKey> + use<'_> {
        let (algorithm, tag, of_keys) = (rrsig.algorithm, rrsig.tag, rrsig.covered == Rtype::DNSKEY);
        let fits = move |key: &&ZoneKey| key.algorithm == algorithm && key.tag == tag && (of_keys || !key.is_revoked);
        self.list.iter().filter(fits)
    }
}
