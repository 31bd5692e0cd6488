//! Which names a change concerns.

use std::collections::{BTreeMap, BTreeSet};

use rokko_wire::{KeyBuf, Rtype};
use rokko_zone::{Contents, Delta, NodeRef, RrsetDelta, Ttl};

use super::job::Job;
use super::{ConformError, NAMES_BELOW_MAX};
use crate::topology::{is_real, prefixes};

/// The names whose signatures or denial may have to change, by their keys.
#[derive(Default)]
pub(super) struct Affected {
    /// Names with data, or that had some, and which of their RRsets changed.
    pub(super) names: BTreeMap<Box<[u8]>, Vec<Rtype>>,
    /// Names whose hashes may come or go: those and the empty ones above them.
    pub(super) hashed: BTreeSet<Box<[u8]>>,
    /// Whether the TTL of all denial changed.
    pub(super) needs_walk: bool,
}

impl Affected {
    pub(super) fn of(job: &Job<'_>, delta: &Delta) -> Result<Self, ConformError> {
        let mut affected = Self::default();
        let apex = &job.plan.apex;
        for change in &delta.changes {
            let key = KeyBuf::below(&change.owner, apex);
            let key = key.ok_or_else(|| ConformError::OutOfZone(change.owner.clone()))?;
            let key = key.as_bytes();
            affected.names.entry(key.into()).or_default().push(change.rtype);
            affected.needs_walk |= key.is_empty() && changes_negative_ttl(change);
            if moves_names_below(change, key) {
                affected.push_below(job, change, key)?;
            }
        }
        if job.plan.denial.nsec3.is_some() {
            affected.push_hashed(job);
        }
        if job.plan.denial.nsec {
            affected.push_neighbours(job);
        }
        Ok(affected)
    }

    fn push_below(&mut self, job: &Job<'_>, change: &RrsetDelta, key: &[u8]) -> Result<(), ConformError> {
        let below = job.topology.zone.nodes_from(key).take_while(|node| node.key().starts_with(key));
        for (index, node) in below.enumerate() {
            if index > NAMES_BELOW_MAX {
                return Err(ConformError::TooManyBelow(change.owner.clone()));
            }
            self.names.entry(node.key().into()).or_default();
        }
        Ok(())
    }

    fn push_hashed(&mut self, job: &Job<'_>) {
        for key in self.names.keys() {
            self.hashed.insert(key.clone());
            push_empty_above(job, key, &mut self.hashed);
        }
    }

    /// The names before those that come into the chain of NSEC or leave it.
    fn push_neighbours(&mut self, job: &Job<'_>) {
        let comes_or_goes = |key: &[u8]| match job.topology.zone.node(key) {
            Some(node) => node.has(Rtype::NSEC) != job.in_chain(node),
            None => true,
        };
        let keys = self.names.keys().filter(|key| comes_or_goes(key));
        let neighbours: Vec<_> = keys.filter_map(|key| job.topology.previous(key)).map(NodeRef::key).collect();
        for key in neighbours {
            self.names.entry(key.into()).or_default();
        }
    }
}

/// Adds the names above `key` that have no data of their own.
pub(super) fn push_empty_above(job: &Job<'_>, key: &[u8], hashed: &mut BTreeSet<Box<[u8]>>) {
    for len in prefixes(key).filter(|&len| len > 0) {
        let above = &key[..len];
        if !hashed.contains(above) && !job.topology.zone.node(above).is_some_and(is_real) {
            hashed.insert(above.into());
        }
    }
}

/// Whether names below come under a cut or a DNAME by the change, or out from under it.
fn moves_names_below(change: &RrsetDelta, key: &[u8]) -> bool {
    let occludes = change.rtype == Rtype::DNAME || change.rtype == Rtype::NS && !key.is_empty();
    occludes && change.before.is_some() != change.after.is_some()
}

fn changes_negative_ttl(change: &RrsetDelta) -> bool {
    let negative = |contents: &Option<Contents>| {
        let contents = contents.as_ref()?;
        let minimum = contents.rdatas.first()?.last_chunk::<4>()?;
        Some(Ttl::from_wire(u32::from_be_bytes(*minimum)).min(contents.ttl))
    };
    change.rtype == Rtype::SOA && change.before.is_some() && negative(&change.before) != negative(&change.after)
}
