//! What changes in a zone: the edits that a user asks for, and the delta that they come to.

use std::borrow::Cow;
use std::collections::HashSet;

use rokko_wire::{Name, Rtype};

use crate::page::RrsetRef;
use crate::rdata::canonical;
use crate::{Rrset, Ttl};

/// The most octets that the record data of one RRset may have, so that it still fits into a DNS message.
pub const RRSET_OCTETS_MAX: usize = 64_000;

/// One thing asked for of one RRset. Edits of a change apply one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The RRset is to be exactly this.
    Replace(Rrset),
    /// The RRset is to be absent; it is no error if it is so already.
    Delete {
        /// Whose RRset.
        owner: Name,
        /// Of which type.
        rtype: Rtype,
    },
    /// These records are to be in the RRset; the TTL becomes the RRset's. Records already there stay.
    Extend(Rrset),
    /// These records are to be absent from the RRset; the rest stays.
    Prune {
        /// Whose RRset.
        owner: Name,
        /// Of which type.
        rtype: Rtype,
        /// Which records.
        rdatas: Vec<Box<[u8]>>,
    },
}

impl Edit {
    /// Whose RRset the edit is about, and of which type.
    pub fn target(&self) -> (&Name, Rtype) {
        match self {
            Edit::Replace(rrset) | Edit::Extend(rrset) => (&rrset.owner, rrset.rtype),
            Edit::Delete { owner, rtype } | Edit::Prune { owner, rtype, .. } => (owner, *rtype),
        }
    }
}

/// TTL and record data of an RRset; the data are sorted by their octets, none is there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The time to live.
    pub ttl: Ttl,
    /// The record data in wire form.
    pub rdatas: Vec<Box<[u8]>>,
}

impl Contents {
    /// Sorts the data and drops repetitions, also those that differ only in the case of an embedded name.
    pub fn new(rtype: Rtype, ttl: Ttl, rdatas: Vec<Box<[u8]>>) -> Self {
        let mut rdatas = rdatas;
        rdatas.sort_unstable();
        rdatas.dedup();
        if rdatas.len() > 1 && rdatas.iter().any(|rdata| matches!(canonical(rtype, rdata), Cow::Owned(_))) {
            let mut seen = HashSet::new();
            rdatas.retain(|rdata| seen.insert(canonical(rtype, rdata).into_owned()));
        }
        Self { ttl, rdatas }
    }

    /// What an RRset of a zone holds.
    pub fn of(rrset: RrsetRef<'_>) -> Self {
        Self { ttl: rrset.ttl(), rdatas: rrset.rdatas().map(Into::into).collect() }
    }

    /// The octets of all record data.
    pub fn octets(&self) -> usize {
        self.rdatas.iter().map(|rdata| rdata.len() + 2).sum()
    }
}

impl Rrset {
    /// The RRset's contents in their stored form.
    pub fn into_contents(self) -> Contents {
        Contents::new(self.rtype, self.ttl, self.rdatas)
    }
}

/// How one RRset changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RrsetDelta {
    /// Whose RRset.
    pub owner: Name,
    /// Of which type.
    pub rtype: Rtype,
    /// What was there; `None` if nothing.
    pub before: Option<Contents>,
    /// What is there afterwards; `None` if nothing. Differs from `before`.
    pub after: Option<Contents>,
}

/// All that changes in a zone from one version to the next, by canonical order of owners and rising type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The RRsets that change; each at most once.
    pub changes: Vec<RrsetDelta>,
}

impl Delta {
    /// The delta that makes a zone of these RRsets out of nothing. They come in any order, best in the canonical one;
    /// RRsets of the same owner and type are joined.
    pub fn creating(apex: &Name, rrsets: impl IntoIterator<Item = Rrset>) -> Result<Self, EditError> {
        let mut rrsets: Vec<Rrset> = rrsets.into_iter().collect();
        if !rrsets.is_sorted_by(|a, b| (&a.owner, a.rtype) < (&b.owner, b.rtype)) {
            rrsets.sort_by(|a, b| (&a.owner, a.rtype).cmp(&(&b.owner, b.rtype)));
        }
        let mut changes: Vec<RrsetDelta> = Vec::with_capacity(rrsets.len());
        for Rrset { owner, rtype, ttl, mut rdatas } in rrsets {
            if let Some(last) = changes.pop_if(|last| last.owner == owner && last.rtype == rtype) {
                rdatas.extend(last.after.into_iter().flat_map(|contents| contents.rdatas));
            }
            let after = Contents::new(rtype, ttl, rdatas);
            check_place(apex, &owner, rtype)?;
            check_size(&owner, rtype, &after)?;
            changes.push(RrsetDelta { owner, rtype, before: None, after: Some(after) });
        }
        Ok(Self { changes })
    }

    /// The delta that leads back.
    #[must_use]
    pub fn inverse(mut self) -> Self {
        for change in &mut self.changes {
            std::mem::swap(&mut change.before, &mut change.after);
        }
        self
    }

    /// This delta and then `next`, which was made against what this one leads to, as one.
    #[must_use]
    pub fn then(self, next: Delta) -> Self {
        let mut changes = Vec::with_capacity(self.changes.len() + next.changes.len());
        let mut later = next.changes.into_iter().peekable();
        for mut change in self.changes {
            let place = (&change.owner, change.rtype);
            while let Some(other) = later.next_if(|other| (&other.owner, other.rtype) < place) {
                changes.push(other);
            }
            if let Some(other) = later.next_if(|other| (&other.owner, other.rtype) == place) {
                change.after = other.after;
            }
            if change.before != change.after {
                changes.push(change);
            }
        }
        changes.extend(later);
        Self { changes }
    }

    /// About how many octets its binary form has.
    pub fn octets(&self) -> usize {
        let contents = |contents: &Option<Contents>| contents.as_ref().map_or(2, |contents| contents.octets() + 6);
        self.changes.iter().map(|c| c.owner.as_bytes().len() + 2 + contents(&c.before) + contents(&c.after)).sum()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The owner names that the delta touches, each once.
    pub fn owners(&self) -> impl Iterator<Item = &Name> {
        let mut last = None;
        self.changes.iter().map(|change| &change.owner).filter(move |owner| last.replace(*owner) != Some(*owner))
    }
}

/// Whether RRsets of this owner and type may stand in a zone.
pub(crate) fn check_place(apex: &Name, owner: &Name, rtype: Rtype) -> Result<(), EditError> {
    if !owner.is_in(apex) {
        return Err(EditError::OutOfZone { owner: owner.clone(), rtype, apex: apex.clone() });
    }
    if rtype.is_meta() {
        return Err(EditError::MetaType { owner: owner.clone(), rtype });
    }
    Ok(())
}

/// Whether an RRset has records, and not more than fit into a message.
pub(crate) fn check_size(owner: &Name, rtype: Rtype, contents: &Contents) -> Result<(), EditError> {
    if contents.rdatas.is_empty() {
        return Err(EditError::Empty { owner: owner.clone(), rtype });
    }
    let octets = contents.octets();
    if octets > RRSET_OCTETS_MAX {
        return Err(EditError::RrsetTooLarge { owner: owner.clone(), rtype, octets });
    }
    Ok(())
}

/// Why edits cannot be carried out on a zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The owner does not lie in the zone.
    #[error("{owner} {rtype}: the name is not in the zone {apex}")]
    OutOfZone {
        /// Whose RRset.
        owner: Name,
        /// Of which type.
        rtype: Rtype,
        /// The zone.
        apex: Name,
    },
    /// The type exists only in queries.
    #[error("{owner} {rtype}: this type exists only in messages and can't be zone data")]
    MetaType {
        /// Whose RRset.
        owner: Name,
        /// Of which type.
        rtype: Rtype,
    },
    /// The RRset would not fit into a message.
    #[error(
        "{owner} {rtype}: the RRset has {octets} octets of record data, more than the {RRSET_OCTETS_MAX} that fit into a DNS message: split it over several names"
    )]
    RrsetTooLarge {
        /// Whose RRset.
        owner: Name,
        /// Of which type.
        rtype: Rtype,
        /// How large it would be.
        octets: usize,
    },
    /// An RRset without records was given.
    #[error("{owner} {rtype}: the RRset has no records: delete it instead")]
    Empty {
        /// Whose RRset.
        owner: Name,
        /// Of which type.
        rtype: Rtype,
    },
    /// A delta was made against other contents than the zone has.
    #[error("{owner} {rtype}: the zone does not hold what the change was made against")]
    Mismatch {
        /// Whose RRset.
        owner: Name,
        /// Of which type.
        rtype: Rtype,
    },
}
