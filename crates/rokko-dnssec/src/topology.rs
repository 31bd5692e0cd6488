//! Which names of a zone are authoritative, which are cuts and which lie below them; and who is whose neighbour in the
//! chain of NSEC records.

use rokko_wire::Rtype;
use rokko_wire::key::name_from_key;
use rokko_zone::{Marks, NodeRef, RrsetRef, ZoneRef};

/// What a name with data is to its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Authoritative: all of it is signed.
    Inside,
    /// A zone cut: only DS and NSEC are signed.
    Cut,
    /// Below a cut or below a DNAME (RFC 6672 §2.4): nothing is signed, and it is in no chain.
    Occluded,
}

/// A zone with what decides about its names.
#[derive(Clone, Copy)]
pub(crate) struct Topology<'z> {
    pub(crate) zone: ZoneRef<'z>,
    /// Whether there is anything below which names could be occluded.
    occludes: bool,
}

impl<'z> Topology<'z> {
    pub(crate) fn of(zone: ZoneRef<'z>) -> Self {
        Self { zone, occludes: zone.marks().has_any(Marks::CUT.with(Marks::DNAME)) }
    }

    /// The length of the shortest key above `key` below which names are occluded.
    pub(crate) fn occluder(self, key: &[u8]) -> Option<usize> {
        if !self.occludes || key.is_empty() {
            return None;
        }
        prefixes(key).find(|&len| self.zone.node(&key[..len]).is_some_and(occludes))
    }

    /// What the node is; it need not have data of its own.
    pub(crate) fn place(self, node: NodeRef<'_>) -> Place {
        let key = node.key();
        if self.occluder(key).is_some() {
            Place::Occluded
        } else if !key.is_empty() && node.has(Rtype::NS) {
            Place::Cut
        } else {
            Place::Inside
        }
    }

    /// The node that follows, in the chain of NSEC, one that is in it; `None` after the last.
    pub(crate) fn next(self, node: NodeRef<'_>) -> Option<NodeRef<'z>> {
        let key = node.key();
        if !occludes(node) {
            return self.zone.nodes_from(key).skip(1).find(|node| is_real(*node));
        }
        let (&last, start) = key.split_last()?;
        debug_assert_eq!(last, 0, "a key ends with the end of a label");
        let mut end = start.to_vec();
        end.push(1);
        self.zone.nodes_from(&end).find(|node| is_real(*node))
    }

    /// The node that is before `key`, which need not exist, in the chain of NSEC.
    pub(crate) fn previous(self, key: &[u8]) -> Option<NodeRef<'z>> {
        let mut node = self.zone.before(key)?;
        loop {
            if let Some(len) = self.occluder(node.key()) {
                return self.zone.node(&node.key()[..len]);
            }
            if is_real(node) {
                return Some(node);
            }
            node = self.zone.before(node.key())?;
        }
    }

    /// Whether there is a name at or below `key`, which is not occluded, that has data.
    pub(crate) fn exists(self, key: &[u8]) -> bool {
        let mut below = self.zone.nodes_from(key).take_while(|node| node.key().starts_with(key));
        below.any(is_real)
    }

    /// Writes the name that has `key` into `out`; it is one of this zone's.
    pub(crate) fn name<'b>(self, key: &[u8], out: &'b mut [u8; 255]) -> &'b [u8] {
        let len = name_from_key(key, self.zone.apex_bytes(), out);
        &out[..len]
    }
}

/// Whether names below the node are occluded.
pub(crate) fn occludes(node: NodeRef<'_>) -> bool {
    !node.key().is_empty() && node.has(Rtype::NS) || node.has(Rtype::DNAME)
}

/// Whether the node has data beside what signing makes.
pub(crate) fn is_real(node: NodeRef<'_>) -> bool {
    node.rrsets().any(|rrset| !rrset.rtype().is_signing_product())
}

/// The lengths of the keys of all names above the one with `key`, from the apex down.
pub(crate) fn prefixes(key: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let ends = key.iter().enumerate().filter(|&(_, &octet)| octet == 0).map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends).filter(|&end| end < key.len())
}

/// The types that a node has beside what signing makes, as far as the zone vouches for them, in rising order.
pub(crate) fn types(node: NodeRef<'_>, place: Place) -> impl Iterator<Item = Rtype> + '_ {
    let all = node.rrsets().map(RrsetRef::rtype).filter(|rtype| !rtype.is_signing_product());
    all.filter(move |rtype| match place {
        Place::Inside => true,
        Place::Cut => matches!(*rtype, Rtype::NS | Rtype::DS),
        Place::Occluded => false,
    })
}

/// Whether RRsets of this type are signed at such a place.
pub(crate) fn is_signed(rtype: Rtype, place: Place) -> bool {
    match place {
        Place::Inside => rtype != Rtype::RRSIG,
        Place::Cut => matches!(rtype, Rtype::DS | Rtype::NSEC),
        Place::Occluded => false,
    }
}
