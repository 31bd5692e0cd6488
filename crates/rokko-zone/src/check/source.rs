//! Where checks read a zone from.

use rokko_wire::{KeyBuf, Name, Rtype};

use crate::tree::Match;
use crate::{Rrset, Ttl, Zone};

/// Takes one RRset: its type, its TTL and its record data.
pub type Each<'a> = dyn FnMut(Rtype, Ttl, &mut dyn Iterator<Item = &[u8]>) + 'a;

/// Takes one RRset with its owner name.
pub type EachOwned<'a> = dyn FnMut(&Name, Rtype, Ttl, &mut dyn Iterator<Item = &[u8]>) + 'a;

/// The contents of a zone, wherever they are kept.
pub trait Source {
    /// Shows each RRset at `owner`.
    fn at(&self, owner: &Name, each: &mut Each<'_>);

    /// Shows each RRset of the zone, in canonical order of owner names.
    fn all(&self, each: &mut EachOwned<'_>);

    /// Whether a name below `owner` exists; names that hold only NSEC3 records and their signatures don't count.
    fn any_below(&self, owner: &Name) -> bool;
}

/// A zone as a slice of RRsets in canonical order of their owner names.
#[derive(Clone, Copy, Debug)]
pub struct SortedRrsets<'a>(pub &'a [Rrset]);

impl SortedRrsets<'_> {
    fn first_from(self, owner: &Name) -> usize {
        self.0.partition_point(|rrset| rrset.owner < *owner)
    }
}

impl Source for SortedRrsets<'_> {
    fn at(&self, owner: &Name, each: &mut Each<'_>) {
        let here = self.0[self.first_from(owner)..].iter().take_while(|rrset| rrset.owner == *owner);
        for rrset in here {
            each(rrset.rtype, rrset.ttl, &mut rrset.rdatas.iter().map(|rdata| &**rdata));
        }
    }

    fn all(&self, each: &mut EachOwned<'_>) {
        for rrset in self.0 {
            each(&rrset.owner, rrset.rtype, rrset.ttl, &mut rrset.rdatas.iter().map(|rdata| &**rdata));
        }
    }

    fn any_below(&self, owner: &Name) -> bool {
        let from = self.0[self.first_from(owner)..].iter();
        let mut below = from.skip_while(|rrset| rrset.owner == *owner).take_while(|rrset| rrset.owner.is_in(owner));
        below.any(|rrset| !matches!(rrset.rtype, Rtype::NSEC3 | Rtype::RRSIG))
    }
}

impl Source for Zone {
    fn at(&self, owner: &Name, each: &mut Each<'_>) {
        let Some(key) = KeyBuf::below(owner, &self.apex()) else { return };
        for place in [self.view().search(key.as_bytes()), self.view().nsec3_search(key.as_bytes())] {
            if let Match::Exact(node) = place {
                for rrset in node.rrsets() {
                    each(rrset.rtype(), rrset.ttl(), &mut rrset.rdatas());
                }
            }
        }
    }

    fn all(&self, each: &mut EachOwned<'_>) {
        for (owner, rrset) in self.rrsets() {
            each(&owner, rrset.rtype(), rrset.ttl(), &mut rrset.rdatas());
        }
    }

    fn any_below(&self, owner: &Name) -> bool {
        let Some(key) = KeyBuf::below(owner, &self.apex()) else { return false };
        let mut nodes = self.view().nodes_from(key.as_bytes()).skip_while(|node| node.key() == key.as_bytes());
        nodes.next().is_some_and(|node| node.key().starts_with(key.as_bytes()))
    }
}
