//! Which NSEC and NSEC3 records prove what a response says is not there (RFC 4035 §3.1.3, RFC 5155 §7.2).

mod nsec;
mod nsec3;

use rokko_wire::Rtype;
use rokko_wire::query::FoldedName;
use rokko_zone::{Denial, NodeRef, ZoneRef};

use crate::locate::label_count;

/// The most proof records of one response: three for the last name, and one for each wildcard before it.
const PROOFS_MAX: usize = 32;

/// A record to be put into the authority section.
#[derive(Clone, Copy)]
pub(crate) struct Proof<'z> {
    pub(crate) apex: &'z [u8],
    pub(crate) node: NodeRef<'z>,
    pub(crate) rtype: Rtype,
}

/// The records that a response needs for its proofs, none of them twice.
#[derive(Clone, Copy)]
pub(crate) struct Proofs<'z> {
    list: [Option<Proof<'z>>; PROOFS_MAX],
    len: usize,
}

impl<'z> Proofs<'z> {
    pub(crate) fn new() -> Self {
        Self { list: [None; PROOFS_MAX], len: 0 }
    }

    /// Forgets them, once they are written.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Proof<'z>> + '_ {
        self.list[..self.len].iter().flatten().copied()
    }

    fn push(&mut self, zone: ZoneRef<'z>, node: Option<NodeRef<'z>>, rtype: Rtype) {
        let Some(node) = node.filter(|node| node.has(rtype)) else { return };
        let key = node.key();
        let is_same = |proof: Proof<'_>| {
            proof.rtype == rtype && proof.node.key().as_ptr() == key.as_ptr() && proof.node.key().len() == key.len()
        };
        if self.iter().any(is_same) {
            return;
        }
        if let Some(slot) = self.list.get_mut(self.len) {
            *slot = Some(Proof { apex: zone.apex_bytes(), node, rtype });
            self.len += 1;
        }
    }
}

/// A name about which something is to be proved.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a, 'z> {
    pub(crate) zone: ZoneRef<'z>,
    /// The name, and its key below the apex.
    pub(crate) name: &'a FoldedName,
    pub(crate) key: &'a [u8],
    /// The length of the closest encloser's key.
    pub(crate) encloser_len: usize,
    /// The key of the wildcard at the closest encloser.
    pub(crate) wildcard: &'a [u8],
}

impl Subject<'_, '_> {
    /// The index in the name of the label with which the ancestor starts that has `key_len` octets of the key.
    pub(crate) fn label_index(&self, key_len: usize) -> usize {
        label_count(&self.key[key_len..])
    }
}

impl<'z> Proofs<'z> {
    /// The name does not exist and no wildcard matches it.
    pub(crate) fn name_error(&mut self, subject: Subject<'_, 'z>) {
        match subject.zone.denial() {
            Denial::None => {}
            Denial::Nsec => nsec::name_error(self, subject),
            Denial::Nsec3 => nsec3::name_error(self, subject),
        }
    }

    /// The name exists, and `node` (none at an empty non-terminal) lacks the type asked for.
    pub(crate) fn no_data(&mut self, subject: Subject<'_, 'z>, node: Option<NodeRef<'z>>) {
        match subject.zone.denial() {
            Denial::None => {}
            Denial::Nsec => nsec::no_data(self, subject, node),
            Denial::Nsec3 => nsec3::no_data(self, subject),
        }
    }

    /// The name does not exist, so a wildcard answers for it.
    pub(crate) fn wildcard_answer(&mut self, subject: Subject<'_, 'z>) {
        match subject.zone.denial() {
            Denial::None => {}
            Denial::Nsec => nsec::wildcard_answer(self, subject),
            Denial::Nsec3 => nsec3::wildcard_answer(self, subject),
        }
    }

    /// The name does not exist, and the wildcard that answers for it (`node`; none at an empty non-terminal) lacks
    /// the type asked for.
    pub(crate) fn wildcard_no_data(&mut self, subject: Subject<'_, 'z>, node: Option<NodeRef<'z>>) {
        match subject.zone.denial() {
            Denial::None => {}
            Denial::Nsec => nsec::wildcard_no_data(self, subject, node),
            Denial::Nsec3 => nsec3::wildcard_no_data(self, subject),
        }
    }

    /// The delegation at `cut`, an ancestor of the name or the name itself, has no DS records.
    pub(crate) fn insecure_delegation(&mut self, subject: Subject<'_, 'z>, cut: NodeRef<'z>) {
        match subject.zone.denial() {
            Denial::None => {}
            Denial::Nsec => self.push(subject.zone, Some(cut), Rtype::NSEC),
            Denial::Nsec3 => nsec3::insecure_delegation(self, subject, cut.key().len()),
        }
    }
}
