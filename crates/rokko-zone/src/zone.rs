//! A zone as an immutable snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use rokko_wire::key::name_of_key;
use rokko_wire::{KeyBuf, Name, Rtype};

use crate::edit::{Contents, Delta, Edit, EditError, RrsetDelta, check_place, check_size};
use crate::page::{NodeRef, NodeWriter, Page, RrsetRef};
use crate::tree::{Match, NodeChange, Nodes, PageChanges, Tree};
use crate::{Revision, Rrset, Serial, Ttl};

/// One version of a zone's contents. Cloning shares it.
#[derive(Clone)]
pub struct Zone(Arc<Root>);

struct Root {
    apex: Name,
    revision: Revision,
    tree: Tree,
    /// The names that exist for NSEC3 records alone (RFC 5155 §7.2.8), apart from the names that answer.
    nsec3: Tree,
    counts: Counts,
}

/// How many there are in a zone of what the answer path asks about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    rrsets: u64,
    records: u64,
    cuts: u32,
    dnames: u32,
    wildcards: u32,
    nsecs: u32,
    nsec3s: u32,
    nsec3params: u32,
    soas: u32,
}

/// How a zone proves that something is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It doesn't: the zone is not signed.
    None,
    /// NSEC (RFC 4034 §4).
    Nsec,
    /// NSEC3 (RFC 5155).
    Nsec3,
}

/// What of a zone's stored pages a new version replaces.
#[derive(Default)]
pub struct ZonePageChanges {
    /// Pages of the names that answer.
    pub main: PageChanges,
    /// Pages of NSEC3 names.
    pub nsec3: PageChanges,
}

impl Zone {
    /// A zone without any record; the start for edits.
    pub fn empty(apex: Name) -> Self {
        let (tree, nsec3) = (Tree::default(), Tree::default());
        Self(Arc::new(Root { apex, revision: Revision(0), tree, nsec3, counts: Counts::default() }))
    }

    /// A zone of these RRsets, in any order; RRsets of the same owner and type are joined.
    pub fn build(apex: Name, revision: Revision, rrsets: impl IntoIterator<Item = Rrset>) -> Result<Self, EditError> {
        let delta = Delta::creating(&apex, rrsets)?;
        Self::empty(apex).apply(&delta, revision).map(|(zone, _)| zone)
    }

    /// A zone from its stored pages, each kind in rising order of their first keys.
    pub fn from_pages(apex: Name, revision: Revision, main: Vec<Page>, nsec3: Vec<Page>) -> Self {
        let mut counts = Counts::default();
        for page in main.iter().chain(&nsec3) {
            for index in 0..page.len() {
                let node = page.node(index);
                node.rrsets().for_each(|rrset| counts.add(node.key(), rrset.rtype(), rrset.len()));
            }
        }
        let (tree, nsec3) = (Tree::from_pages(main), Tree::from_pages(nsec3));
        Self(Arc::new(Root { apex, revision, tree, nsec3, counts }))
    }

    /// The name of the zone.
    pub fn apex(&self) -> &Name {
        &self.0.apex
    }

    /// The revision that made this version.
    pub fn revision(&self) -> Revision {
        self.0.revision
    }

    /// The same contents as another revision's.
    #[must_use]
    pub fn with_revision(&self, revision: Revision) -> Self {
        let root = &self.0;
        let (apex, tree, nsec3) = (root.apex.clone(), root.tree.clone(), root.nsec3.clone());
        Self(Arc::new(Root { apex, revision, tree, nsec3, counts: root.counts }))
    }

    /// The serial of the SOA record; 0 if there is none.
    pub fn serial(&self) -> Serial {
        let soa = self.node(&[]).and_then(|apex| apex.rrset(Rtype::SOA)?.rdatas().next());
        soa.and_then(soa_serial).unwrap_or(Serial(0))
    }

    /// How many records the zone has.
    pub fn records(&self) -> u64 {
        self.0.counts.records
    }

    /// How many RRsets the zone has.
    pub fn rrsets_count(&self) -> u64 {
        self.0.counts.rrsets
    }

    /// Whether the zone has its SOA record; without it nothing can be answered.
    pub fn has_soa(&self) -> bool {
        self.0.counts.soas > 0
    }

    /// Whether the zone delegates any name (NS below the apex).
    pub fn has_cuts(&self) -> bool {
        self.0.counts.cuts > 0
    }

    /// Whether the zone has a DNAME record.
    pub fn has_dnames(&self) -> bool {
        self.0.counts.dnames > 0
    }

    /// Whether the zone has a wildcard.
    pub fn has_wildcards(&self) -> bool {
        self.0.counts.wildcards > 0
    }

    /// How the zone proves absence.
    pub fn denial(&self) -> Denial {
        let counts = &self.0.counts;
        if counts.nsec3s > 0 && counts.nsec3params > 0 {
            Denial::Nsec3
        } else if counts.nsecs > 0 {
            Denial::Nsec
        } else {
            Denial::None
        }
    }

    /// Where `key` stands among the zone's names. Empty non-terminals and names that exist only for NSEC3 have
    /// no node.
    pub fn search(&self, key: &[u8]) -> Match<'_> {
        self.0.tree.search(key)
    }

    /// The node that has `key`.
    pub fn node(&self, key: &[u8]) -> Option<NodeRef<'_>> {
        match self.search(key) {
            Match::Exact(node) => Some(node),
            Match::Gap { .. } => None,
        }
    }

    /// The apex; `None` only in a zone that has no SOA yet.
    pub fn apex_node(&self) -> Option<NodeRef<'_>> {
        self.node(&[])
    }

    /// The node with the greatest key below `key`.
    pub fn before(&self, key: &[u8]) -> Option<NodeRef<'_>> {
        self.0.tree.before(key)
    }

    /// Where `key` stands among the NSEC3 names.
    pub fn nsec3_search(&self, key: &[u8]) -> Match<'_> {
        self.0.nsec3.search(key)
    }

    /// The last of the NSEC3 names.
    pub fn nsec3_last(&self) -> Option<NodeRef<'_>> {
        self.0.nsec3.last()
    }

    /// The names that answer, from the one that has `key` or the first after it, in canonical order.
    pub fn nodes_from(&self, key: &[u8]) -> Nodes<'_> {
        self.0.tree.nodes_from(key)
    }

    /// All nodes: the names that answer in canonical order, then the NSEC3 names.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef<'_>> {
        self.0.tree.nodes_from(&[]).chain(self.0.nsec3.nodes_from(&[]))
    }

    /// All pages of the names that answer, and of the NSEC3 names.
    pub fn pages(&self) -> (impl Iterator<Item = &Page>, impl Iterator<Item = &Page>) {
        (self.0.tree.pages(), self.0.nsec3.pages())
    }

    /// The name of a node of this zone.
    pub fn name_of(&self, node: NodeRef<'_>) -> Name {
        name_of_key(node.key(), &self.0.apex).unwrap_or_else(|| self.0.apex.clone())
    }

    /// One RRset, wherever its owner's node is kept.
    pub fn rrset(&self, owner: &Name, rtype: Rtype) -> Option<RrsetRef<'_>> {
        let key = KeyBuf::below(owner, &self.0.apex)?;
        let find = |tree: &'_ Tree| match tree.search(key.as_bytes()) {
            Match::Exact(node) => Some(()).filter(|()| node.has(rtype)),
            Match::Gap { .. } => None,
        };
        let tree = if find(&self.0.tree).is_some() { &self.0.tree } else { &self.0.nsec3 };
        match tree.search(key.as_bytes()) {
            Match::Exact(node) => node.rrset(rtype),
            Match::Gap { .. } => None,
        }
    }

    /// All RRsets by canonical order of owners and rising type; NSEC3 names are sorted in.
    pub fn rrsets(&self) -> impl Iterator<Item = (Name, RrsetRef<'_>)> {
        self.rrsets_from(&[])
    }

    /// As [`Zone::rrsets`], from the owner that has `key` or the first after it.
    pub fn rrsets_from(&self, key: &[u8]) -> impl Iterator<Item = (Name, RrsetRef<'_>)> + use<'_> {
        let mut main = self.0.tree.nodes_from(key).peekable();
        let mut nsec3 = self.0.nsec3.nodes_from(key).peekable();
        std::iter::from_fn(move || {
            let from_nsec3 = match (main.peek(), nsec3.peek()) {
                (Some(a), Some(b)) => b.key() < a.key(),
                (None, Some(_)) => true,
                _ => false,
            };
            if from_nsec3 { nsec3.next() } else { main.next() }
        })
        .flat_map(|node| {
            let name = self.name_of(node);
            node.rrsets().map(move |rrset| (name.clone(), rrset))
        })
    }

    /// What edits come to on this version. Edits that change nothing leave no trace.
    pub fn resolve(&self, edits: &[Edit]) -> Result<Delta, EditError> {
        let mut touched: BTreeMap<(Name, Rtype), Option<Contents>> = BTreeMap::new();
        for edit in edits {
            let (owner, rtype) = edit.target();
            check_place(&self.0.apex, owner, rtype)?;
            let slot = touched.entry((owner.clone(), rtype)).or_insert_with(|| self.contents(owner, rtype));
            apply_edit(edit, slot)?;
        }
        let mut changes = Vec::with_capacity(touched.len());
        for ((owner, rtype), after) in touched {
            if let Some(after) = &after {
                check_size(&owner, rtype, after)?;
            }
            let before = self.contents(&owner, rtype);
            if before != after {
                changes.push(RrsetDelta { owner, rtype, before, after });
            }
        }
        Ok(Delta { changes })
    }

    /// What leads from this version to one that holds exactly `rrsets`.
    pub fn resolve_whole(&self, rrsets: impl IntoIterator<Item = Rrset>) -> Result<Delta, EditError> {
        let created = Delta::creating(&self.0.apex, rrsets)?.changes;
        let mut changes = Vec::with_capacity(created.len());
        let mut old = self.rrsets().peekable();
        let removed = |(owner, rrset): (Name, RrsetRef<'_>)| {
            let before = Some(Contents::of(rrset));
            RrsetDelta { owner, rtype: rrset.rtype(), before, after: None }
        };
        for mut change in created {
            let place = (&change.owner, change.rtype);
            while let Some(gone) = old.next_if(|(owner, rrset)| (owner, rrset.rtype()) < place) {
                changes.push(removed(gone));
            }
            let same = old.next_if(|(owner, rrset)| (owner, rrset.rtype()) == place);
            change.before = same.map(|(_, rrset)| Contents::of(rrset));
            if change.before != change.after {
                changes.push(change);
            }
        }
        changes.extend(old.map(removed));
        Ok(Delta { changes })
    }

    /// The version that `delta` leads to, and which pages differ.
    pub fn apply(&self, delta: &Delta, revision: Revision) -> Result<(Zone, ZonePageChanges), EditError> {
        let mut counts = self.0.counts;
        let (mut main, mut nsec3) = (Vec::new(), Vec::new());
        for group in delta.changes.chunk_by(|a, b| a.owner == b.owner) {
            self.apply_to_owner(group, &mut counts, &mut main, &mut nsec3)?;
        }
        let mut changes = ZonePageChanges::default();
        let root = Root {
            apex: self.0.apex.clone(),
            revision,
            tree: self.0.tree.apply(&main, &mut changes.main),
            nsec3: self.0.nsec3.apply(&nsec3, &mut changes.nsec3),
            counts,
        };
        Ok((Zone(Arc::new(root)), changes))
    }

    fn contents(&self, owner: &Name, rtype: Rtype) -> Option<Contents> {
        self.rrset(owner, rtype).map(Contents::of)
    }

    fn apply_to_owner(
        &self,
        group: &[RrsetDelta],
        counts: &mut Counts,
        main: &mut Vec<NodeChange>,
        nsec3: &mut Vec<NodeChange>,
    ) -> Result<(), EditError> {
        let owner = &group[0].owner;
        let out_of_zone =
            || EditError::OutOfZone { owner: owner.clone(), rtype: group[0].rtype, apex: self.0.apex.clone() };
        let key = KeyBuf::below(owner, &self.0.apex).ok_or_else(out_of_zone)?;
        let key = key.as_bytes();
        let old = match (self.0.tree.search(key), self.0.nsec3.search(key)) {
            (Match::Exact(node), _) => Some((node, false)),
            (_, Match::Exact(node)) => Some((node, true)),
            _ => None,
        };
        let node = merge(key, old.map(|(node, _)| node), group, counts)?;
        let belongs_to_nsec3 = node.as_ref().is_some_and(|(_, only_nsec3)| *only_nsec3);
        let was_in_nsec3 = old.is_some_and(|(_, in_nsec3)| in_nsec3);
        let bytes = node.map(|(bytes, _)| bytes);
        if old.is_some() && was_in_nsec3 != belongs_to_nsec3 && bytes.is_some() {
            let leaves = if was_in_nsec3 { &mut *nsec3 } else { &mut *main };
            leaves.push(NodeChange { key: key.into(), node: None });
        }
        let to_nsec3 = if bytes.is_some() { belongs_to_nsec3 } else { was_in_nsec3 };
        if to_nsec3 { nsec3 } else { main }.push(NodeChange { key: key.into(), node: bytes });
        Ok(())
    }
}

impl Counts {
    fn add(&mut self, key: &[u8], rtype: Rtype, records: usize) {
        self.rrsets += 1;
        self.records += records as u64;
        self.each(key, rtype, |count| *count += 1);
    }

    fn remove(&mut self, key: &[u8], rtype: Rtype, records: usize) {
        self.rrsets -= 1;
        self.records -= records as u64;
        self.each(key, rtype, |count| *count -= 1);
    }

    fn each(&mut self, key: &[u8], rtype: Rtype, mut change: impl FnMut(&mut u32)) {
        match rtype {
            Rtype::SOA if key.is_empty() => change(&mut self.soas),
            Rtype::NS if !key.is_empty() => change(&mut self.cuts),
            Rtype::DNAME => change(&mut self.dnames),
            Rtype::NSEC => change(&mut self.nsecs),
            Rtype::NSEC3 => change(&mut self.nsec3s),
            Rtype::NSEC3PARAM if key.is_empty() => change(&mut self.nsec3params),
            _ => {}
        }
        // A wildcard below which there is more shows as a longer key, so every `*` label counts.
        if key.split(|&octet| octet == 0).any(|label| label == b"*") {
            change(&mut self.wildcards);
        }
    }
}

/// The serial in the record data of an SOA record.
pub fn soa_serial(rdata: &[u8]) -> Option<Serial> {
    let at = rdata.len().checked_sub(20)?;
    rdata[at..].first_chunk().map(|bytes| Serial(u32::from_be_bytes(*bytes)))
}

fn apply_edit(edit: &Edit, slot: &mut Option<Contents>) -> Result<(), EditError> {
    match edit {
        Edit::Replace(rrset) | Edit::Extend(rrset) if rrset.rdatas.is_empty() => {
            return Err(EditError::Empty { owner: rrset.owner.clone(), rtype: rrset.rtype });
        }
        Edit::Replace(rrset) => *slot = Some(Contents::new(rrset.rtype, rrset.ttl, rrset.rdatas.clone())),
        Edit::Delete { .. } => *slot = None,
        Edit::Extend(rrset) => {
            let mut rdatas = slot.take().map_or_else(Vec::new, |contents| contents.rdatas);
            rdatas.extend(rrset.rdatas.iter().cloned());
            *slot = Some(Contents::new(rrset.rtype, rrset.ttl, rdatas));
        }
        Edit::Prune { rtype, rdatas, .. } => {
            let gone: Vec<_> = rdatas.iter().map(|rdata| crate::rdata::canonical(*rtype, rdata)).collect();
            if let Some(contents) = slot {
                contents.rdatas.retain(|rdata| !gone.contains(&crate::rdata::canonical(*rtype, rdata)));
            }
            slot.take_if(|contents| contents.rdatas.is_empty());
        }
    }
    Ok(())
}

/// A node with its changes of one owner worked in, and whether it exists for NSEC3 alone.
fn merge(
    key: &[u8],
    old: Option<NodeRef<'_>>,
    group: &[RrsetDelta],
    counts: &mut Counts,
) -> Result<Option<(Vec<u8>, bool)>, EditError> {
    let mut writer = NodeWriter::new(key);
    let (mut has_nsec3, mut has_other) = (false, false);
    let mut note = |rtype: Rtype| match rtype {
        Rtype::NSEC3 => has_nsec3 = true,
        Rtype::RRSIG => {}
        _ => has_other = true,
    };
    let mut olds = old.map(|node| node.rrsets()).into_iter().flatten().peekable();
    for change in group {
        while let Some(rrset) = olds.next_if(|rrset| rrset.rtype() < change.rtype) {
            note(rrset.rtype());
            writer.push_copy(rrset);
        }
        let current = olds.next_if(|rrset| rrset.rtype() == change.rtype);
        if current.map(Contents::of) != change.before {
            return Err(EditError::Mismatch { owner: change.owner.clone(), rtype: change.rtype });
        }
        if let Some(rrset) = current {
            counts.remove(key, change.rtype, rrset.len());
        }
        if let Some(after) = &change.after {
            note(change.rtype);
            counts.add(key, change.rtype, after.rdatas.len());
            writer.push(change.rtype, after.ttl, after.rdatas.iter().map(AsRef::as_ref));
        }
    }
    for rrset in olds {
        note(rrset.rtype());
        writer.push_copy(rrset);
    }
    Ok(writer.finish().map(|bytes| (bytes, has_nsec3 && !has_other)))
}

/// An RRset of a zone on its own, for those who need it longer than the zone.
pub fn to_rrset(owner: Name, rrset: RrsetRef<'_>) -> Rrset {
    let Contents { ttl, rdatas } = Contents::of(rrset);
    Rrset { owner, rtype: rrset.rtype(), ttl, rdatas }
}

/// The TTL that a negative answer carries: the smaller of the SOA's own TTL and its MINIMUM (RFC 2308 §3).
pub fn negative_ttl(soa: RrsetRef<'_>) -> Ttl {
    let minimum = soa.rdatas().next().and_then(|rdata| rdata.last_chunk::<4>().copied()).map(u32::from_be_bytes);
    Ttl::from_wire(minimum.unwrap_or(0)).min(soa.ttl())
}
