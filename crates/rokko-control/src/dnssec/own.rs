//! Which records of a signed zone are made here, and so are nobody's to write.

use rokko_wire::{Name, Rtype};
use rokko_zone::{Delta, Rrset};

/// Whether signing makes this RRset: signatures, proofs of absence, and at the apex the keys and what is asked of the parent.
pub fn is_made(apex: &Name, owner: &Name, rtype: Rtype) -> bool {
    let at_apex = [Rtype::DNSKEY, Rtype::CDS, Rtype::CDNSKEY, Rtype::NSEC3PARAM];
    rtype.is_signing_product() || (at_apex.contains(&rtype) && owner == apex)
}

/// Takes out of a delta what signing makes.
pub(crate) fn keep_own(apex: &Name, delta: &mut Delta) {
    delta.changes.retain(|change| !is_made(apex, &change.owner, change.rtype));
}

/// Takes what signing makes out of a zone's contents.
pub(crate) fn keep_own_rrsets(apex: &Name, contents: &mut Vec<Rrset>) {
    contents.retain(|rrset| !is_made(apex, &rrset.owner, rrset.rtype));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn what_signing_makes_is_told_from_what_users_write() {
        let apex = name("example.");
        assert!(is_made(&apex, &name("www.example."), Rtype::RRSIG));
        assert!(is_made(&apex, &apex, Rtype::DNSKEY) && is_made(&apex, &apex, Rtype::CDS));
        assert!(!is_made(&apex, &name("sub.example."), Rtype::DNSKEY), "another's key at another name is data");
        assert!(!is_made(&apex, &name("sub.example."), Rtype::DS) && !is_made(&apex, &apex, Rtype::SOA));
    }
}
