//! Proofs by NSEC (RFC 4035 §3.1.3).

use rokko_wire::Rtype;
use rokko_zone::{NodeRef, ZoneRef};

use super::{Proofs, Subject};

/// How many nodes without NSEC are passed on the way to the record that covers a name. Names below a cut are passed
/// all at once, so only a zone whose chain has holes comes near it.
const STEPS_MAX: usize = 64;

pub(super) fn name_error<'z>(proofs: &mut Proofs<'z>, subject: Subject<'_, 'z>) {
    proofs.push(subject.zone, covering(subject.zone, subject.key), Rtype::NSEC);
    proofs.push(subject.zone, covering(subject.zone, subject.wildcard), Rtype::NSEC);
}

pub(super) fn no_data<'z>(proofs: &mut Proofs<'z>, subject: Subject<'_, 'z>, node: Option<NodeRef<'z>>) {
    proofs.push(subject.zone, node.or_else(|| covering(subject.zone, subject.key)), Rtype::NSEC);
}

pub(super) fn wildcard_answer<'z>(proofs: &mut Proofs<'z>, subject: Subject<'_, 'z>) {
    proofs.push(subject.zone, covering(subject.zone, subject.key), Rtype::NSEC);
}

pub(super) fn wildcard_no_data<'z>(proofs: &mut Proofs<'z>, subject: Subject<'_, 'z>, node: Option<NodeRef<'z>>) {
    proofs.push(subject.zone, covering(subject.zone, subject.key), Rtype::NSEC);
    proofs.push(subject.zone, node.or_else(|| covering(subject.zone, subject.wildcard)), Rtype::NSEC);
}

/// The node whose NSEC covers the name with `key`, which has no NSEC of its own.
fn covering<'z>(zone: ZoneRef<'z>, key: &[u8]) -> Option<NodeRef<'z>> {
    let mut node = zone.before(key)?;
    for _ in 0..STEPS_MAX {
        if node.has(Rtype::NSEC) {
            return Some(node);
        }
        // Glue and what else is occluded has no NSEC, but the cut above it has.
        node = match above_with_nsec(zone, node.key()) {
            Some(above) => return Some(above),
            None => zone.before(node.key())?,
        };
    }
    None
}

fn above_with_nsec<'z>(zone: ZoneRef<'z>, key: &[u8]) -> Option<NodeRef<'z>> {
    let ends = key.iter().enumerate().filter(|&(at, &octet)| octet == 0 && at + 1 < key.len()).map(|(at, _)| at + 1);
    ends.filter_map(|end| zone.node(&key[..end])).find(|node| {
        let occludes = node.has(Rtype::NS) || node.has(Rtype::DNAME);
        occludes && node.has(Rtype::NSEC)
    })
}
