//! A zone as an immutable snapshot.

use std::collections::BTreeMap;

use rokko_wire::key::name_of_key;
use rokko_wire::{KeyBuf, Name, Rtype};
use triomphe::ThinArc;

use crate::edit::{Contents, Delta, Edit, EditError, RrsetDelta, check_place, check_size};
use crate::page::{Marks, NodeRef, NodeWriter, Page, PageRef, RrsetRef};
use crate::tree::{Match, NodeChange, Nodes, PageChanges, Sum, Tree, before_in_page, search_page};
use crate::{Revision, Rrset, Serial, Ttl};

/// One version of a zone's contents. Cloning shares it.
///
/// A zone whose names fit into one page is one block of memory: its apex and that page.
#[derive(Clone)]
pub struct Zone(pub(crate) Cell);

/// What a [`Zone`] and the catalog point to: the octets are the length of the apex, the apex, and the zone's page if it
/// has but one.
pub(crate) type Cell = ThinArc<Head, u8>;

pub(crate) struct Head {
    revision: Revision,
    large: Option<Box<Large>>,
}

/// The trees of a zone with more than one page.
struct Large {
    main: Tree,
    /// The names that exist for NSEC3 records alone (RFC 5155 §7.2.8), apart from the names that answer.
    nsec3: Tree,
    sum: Sum,
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Zone({} at {})", self.apex(), self.revision())
    }
}

/// A zone to read in; all that answering needs.
#[derive(Clone, Copy)]
pub struct ZoneRef<'z> {
    head: &'z Head,
    apex: &'z [u8],
    page: &'z [u8],
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
    pub fn empty(apex: &Name) -> Self {
        Self::of_trees(apex.as_bytes(), Revision(0), Tree::default(), Tree::default())
    }

    /// A zone of these RRsets, in any order; RRsets of the same owner and type are joined.
    pub fn build(apex: &Name, revision: Revision, rrsets: impl IntoIterator<Item = Rrset>) -> Result<Self, EditError> {
        let delta = Delta::creating(apex, rrsets)?;
        Self::empty(apex).apply(&delta, revision).map(|(zone, _)| zone)
    }

    /// A zone from its stored pages, each kind in rising order of their first keys.
    pub fn from_pages(apex: &Name, revision: Revision, main: Vec<Page>, nsec3: Vec<Page>) -> Self {
        match (&main[..], &nsec3[..]) {
            ([page], []) => Self::small(apex.as_bytes(), revision, page.as_bytes()),
            _ => Self::of_trees(apex.as_bytes(), revision, Tree::from_pages(main), Tree::from_pages(nsec3)),
        }
    }

    /// A zone of one page of names that answer.
    pub(crate) fn of_page(apex: &Name, revision: Revision, page: PageRef<'_>) -> Self {
        Self::small(apex.as_bytes(), revision, page.as_bytes())
    }

    fn of_trees(apex: &[u8], revision: Revision, main: Tree, nsec3: Tree) -> Self {
        match main.single_page() {
            Some(page) if nsec3.is_empty() => Self::small(apex, revision, page.as_bytes()),
            None if main.is_empty() && nsec3.is_empty() => Self::small(apex, revision, &[]),
            _ => {
                let sum = main.sum().with(nsec3.sum());
                let large = Some(Box::new(Large { main, nsec3, sum }));
                Self(cell(Head { revision, large }, apex, &[]))
            }
        }
    }

    fn small(apex: &[u8], revision: Revision, page: &[u8]) -> Self {
        Self(cell(Head { revision, large: None }, apex, page))
    }

    /// The zone to read in.
    pub fn view(&self) -> ZoneRef<'_> {
        ZoneRef::of(&self.0)
    }

    /// The name of the zone.
    pub fn apex(&self) -> Name {
        self.view().apex()
    }

    /// The revision that made this version.
    pub fn revision(&self) -> Revision {
        self.0.header.header.revision
    }

    /// Whether both are the same block of memory.
    pub fn is_same(&self, other: &Zone) -> bool {
        std::ptr::eq(self.view().apex.as_ptr(), other.view().apex.as_ptr())
    }

    /// The same contents as another revision's.
    #[must_use]
    pub fn with_revision(&self, revision: Revision) -> Self {
        let ZoneRef { head, apex, page } = self.view();
        match &head.large {
            Some(large) => Self::of_trees(apex, revision, large.main.clone(), large.nsec3.clone()),
            None => Self::small(apex, revision, page),
        }
    }

    /// The serial of the SOA record; 0 if there is none.
    pub fn serial(&self) -> Serial {
        self.view().serial()
    }

    /// How many records the zone has.
    pub fn records(&self) -> u64 {
        self.view().sum().records
    }

    /// How many RRsets the zone has.
    pub fn rrsets_count(&self) -> u64 {
        self.view().sum().rrsets
    }

    /// All pages of the names that answer, and of the NSEC3 names.
    pub fn pages(&self) -> (Vec<Page>, Vec<Page>) {
        let (main, nsec3) = self.trees();
        (main.pages().cloned().collect(), nsec3.pages().cloned().collect())
    }

    /// One RRset, wherever its owner's node is kept.
    pub fn rrset(&self, owner: &Name, rtype: Rtype) -> Option<RrsetRef<'_>> {
        self.view().rrset(owner, rtype)
    }

    /// All RRsets by canonical order of owners and rising type; NSEC3 names are sorted in.
    pub fn rrsets(&self) -> impl Iterator<Item = (Name, RrsetRef<'_>)> {
        self.view().rrsets_from(&[])
    }

    /// As [`Zone::rrsets`], from the owner that has `key` or the first after it.
    pub fn rrsets_from(&self, key: &[u8]) -> impl Iterator<Item = (Name, RrsetRef<'_>)> + use<'_> {
        self.view().rrsets_from(key)
    }

    fn trees(&self) -> (Tree, Tree) {
        let ZoneRef { head, page, .. } = self.view();
        match &head.large {
            Some(large) => (large.main.clone(), large.nsec3.clone()),
            None if page.is_empty() => (Tree::default(), Tree::default()),
            None => (Tree::from_pages(vec![PageRef::trusted(page).to_page()]), Tree::default()),
        }
    }

    /// What edits come to on this version. Edits that change nothing leave no trace.
    pub fn resolve(&self, edits: &[Edit]) -> Result<Delta, EditError> {
        let apex = self.apex();
        let mut touched: BTreeMap<(Name, Rtype), Option<Contents>> = BTreeMap::new();
        for edit in edits {
            let (owner, rtype) = edit.target();
            check_place(&apex, owner, rtype)?;
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
        let created = Delta::creating(&self.apex(), rrsets)?.changes;
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
        let apex = self.apex();
        let (mut main, mut nsec3) = (Vec::new(), Vec::new());
        for group in delta.changes.chunk_by(|a, b| a.owner == b.owner) {
            self.apply_to_owner(&apex, group, &mut main, &mut nsec3)?;
        }
        let mut changes = ZonePageChanges::default();
        let (old_main, old_nsec3) = self.trees();
        let main = old_main.apply(&main, &mut changes.main);
        let nsec3 = old_nsec3.apply(&nsec3, &mut changes.nsec3);
        Ok((Self::of_trees(apex.as_bytes(), revision, main, nsec3), changes))
    }

    fn contents(&self, owner: &Name, rtype: Rtype) -> Option<Contents> {
        self.rrset(owner, rtype).map(Contents::of)
    }

    fn apply_to_owner(
        &self,
        apex: &Name,
        group: &[RrsetDelta],
        main: &mut Vec<NodeChange>,
        nsec3: &mut Vec<NodeChange>,
    ) -> Result<(), EditError> {
        let owner = &group[0].owner;
        let out_of_zone = || EditError::OutOfZone { owner: owner.clone(), rtype: group[0].rtype, apex: apex.clone() };
        let key = KeyBuf::below(owner, apex).ok_or_else(out_of_zone)?;
        let key = key.as_bytes();
        let old = match (self.view().search(key), self.view().nsec3_search(key)) {
            (Match::Exact(node), _) => Some((node, false)),
            (_, Match::Exact(node)) => Some((node, true)),
            _ => None,
        };
        let node = merge(key, old.map(|(node, _)| node), group)?;
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

fn cell(head: Head, apex: &[u8], page: &[u8]) -> Cell {
    let mut bytes = Vec::with_capacity(1 + apex.len() + page.len());
    bytes.push(u8::try_from(apex.len()).expect("a name has at most 255 octets"));
    bytes.extend_from_slice(apex);
    bytes.extend_from_slice(page);
    ThinArc::from_header_and_slice(head, &bytes)
}

impl<'z> ZoneRef<'z> {
    #[inline]
    pub(crate) fn of(cell: &'z Cell) -> Self {
        let (len, rest) = cell.slice.split_first().expect("a zone's octets begin with the length of its apex");
        let (apex, page) = rest.split_at(usize::from(*len));
        Self { head: &cell.header.header, apex, page }
    }

    /// The name of the zone in lower-case wire form.
    #[inline]
    pub fn apex_bytes(self) -> &'z [u8] {
        self.apex
    }

    /// The name of the zone.
    pub fn apex(self) -> Name {
        Name::from_wire(self.apex).map_or_else(|_| Name::root(), |(name, _)| name)
    }

    /// The revision that made this version.
    #[inline]
    pub fn revision(self) -> Revision {
        self.head.revision
    }

    /// The serial of the SOA record; 0 if there is none.
    pub fn serial(self) -> Serial {
        let soa = self.apex_node().and_then(|apex| apex.rrset(Rtype::SOA)?.rdatas().next());
        soa.and_then(soa_serial).unwrap_or(Serial(0))
    }

    /// What kinds of records the zone has.
    #[inline]
    pub fn marks(self) -> Marks {
        match (&self.head.large, self.page()) {
            (Some(large), _) => large.sum.marks,
            (None, Some(page)) => page.marks(),
            (None, None) => Marks::default(),
        }
    }

    /// How the zone proves absence.
    #[inline]
    pub fn denial(self) -> Denial {
        let marks = self.marks();
        if marks.has(Marks::NSEC3.with(Marks::NSEC3PARAM)) {
            Denial::Nsec3
        } else if marks.has(Marks::NSEC) {
            Denial::Nsec
        } else {
            Denial::None
        }
    }

    /// Where `key` stands among the zone's names. Empty non-terminals and names that exist only for NSEC3 have
    /// no node.
    #[inline]
    pub fn search(self, key: &[u8]) -> Match<'z> {
        match (&self.head.large, self.page()) {
            (Some(large), _) => large.main.search(key),
            (None, Some(page)) => search_page(page, key, || None),
            (None, None) => Match::Gap { before: None, after: None },
        }
    }

    /// The node that has `key`.
    #[inline]
    pub fn node(self, key: &[u8]) -> Option<NodeRef<'z>> {
        match self.search(key) {
            Match::Exact(node) => Some(node),
            Match::Gap { .. } => None,
        }
    }

    /// The apex; `None` only in a zone that has no SOA yet.
    #[inline]
    pub fn apex_node(self) -> Option<NodeRef<'z>> {
        match self.page() {
            Some(page) => Some(page.node(0)).filter(|node| node.key().is_empty()),
            None => self.node(&[]),
        }
    }

    /// The node with the greatest key below `key`.
    pub fn before(self, key: &[u8]) -> Option<NodeRef<'z>> {
        match &self.head.large {
            Some(large) => large.main.before(key),
            None => before_in_page(self.page()?, key),
        }
    }

    /// All pages of the names that answer, and of the NSEC3 names.
    pub(crate) fn pages_of(self) -> (Vec<PageRef<'z>>, Vec<PageRef<'z>>) {
        match &self.head.large {
            Some(large) => {
                (large.main.pages().map(Page::view).collect(), large.nsec3.pages().map(Page::view).collect())
            }
            None => (self.page().into_iter().collect(), Vec::new()),
        }
    }

    /// Where `key` stands among the NSEC3 names.
    pub fn nsec3_search(self, key: &[u8]) -> Match<'z> {
        match &self.head.large {
            Some(large) => large.nsec3.search(key),
            None => Match::Gap { before: None, after: None },
        }
    }

    /// The last of the NSEC3 names.
    pub fn nsec3_last(self) -> Option<NodeRef<'z>> {
        self.head.large.as_ref()?.nsec3.last()
    }

    /// The names that answer, from the one that has `key` or the first after it, in canonical order.
    pub fn nodes_from(self, key: &[u8]) -> Nodes<'z> {
        match &self.head.large {
            Some(large) => large.main.nodes_from(key),
            None => Nodes::in_page(self.page(), key),
        }
    }

    /// The NSEC3 names, from the one that has `key` or the first after it, in canonical order.
    pub fn nsec3_nodes_from(self, key: &[u8]) -> Nodes<'z> {
        match &self.head.large {
            Some(large) => large.nsec3.nodes_from(key),
            None => Nodes::in_page(None, key),
        }
    }

    /// The name of a node of this zone.
    pub fn name_of(self, node: NodeRef<'_>) -> Name {
        let apex = self.apex();
        name_of_key(node.key(), &apex).unwrap_or(apex)
    }

    fn rrset(self, owner: &Name, rtype: Rtype) -> Option<RrsetRef<'z>> {
        let key = KeyBuf::below(owner, &self.apex())?;
        [self.search(key.as_bytes()), self.nsec3_search(key.as_bytes())].into_iter().find_map(|found| match found {
            Match::Exact(node) => node.rrset(rtype),
            Match::Gap { .. } => None,
        })
    }

    fn rrsets_from(self, key: &[u8]) -> impl Iterator<Item = (Name, RrsetRef<'z>)> + use<'z> {
        let apex = self.apex();
        let mut main = self.nodes_from(key).peekable();
        let mut nsec3 = self.nsec3_nodes_from(key).peekable();
        std::iter::from_fn(move || {
            let from_nsec3 = match (main.peek(), nsec3.peek()) {
                (Some(a), Some(b)) => b.key() < a.key(),
                (None, Some(_)) => true,
                _ => false,
            };
            if from_nsec3 { nsec3.next() } else { main.next() }
        })
        .flat_map(move |node| {
            let name = name_of_key(node.key(), &apex).unwrap_or_else(|| apex.clone());
            node.rrsets().map(move |rrset| (name.clone(), rrset))
        })
    }

    fn sum(self) -> Sum {
        match (&self.head.large, self.page()) {
            (Some(large), _) => large.sum,
            (None, Some(page)) => Sum::of_page(page),
            (None, None) => Sum::default(),
        }
    }

    #[inline]
    fn page(self) -> Option<PageRef<'z>> {
        (!self.page.is_empty()).then(|| PageRef::trusted(self.page))
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
fn merge(key: &[u8], old: Option<NodeRef<'_>>, group: &[RrsetDelta]) -> Result<Option<(Vec<u8>, bool)>, EditError> {
    let mut writer = NodeWriter::new(key);
    let (mut has_nsec3, mut has_other) = (false, false);
    let mut note = |rtype: Rtype| match rtype {
        Rtype::NSEC3 => has_nsec3 = true,
        Rtype::RRSIG => {}
        _ => has_other = true,
    };
    let mut olds = old.map(NodeRef::rrsets).into_iter().flatten().peekable();
    for change in group {
        while let Some(rrset) = olds.next_if(|rrset| rrset.rtype() < change.rtype) {
            note(rrset.rtype());
            writer.push_copy(rrset);
        }
        let current = olds.next_if(|rrset| rrset.rtype() == change.rtype);
        if current.map(Contents::of) != change.before {
            return Err(EditError::Mismatch { owner: change.owner.clone(), rtype: change.rtype });
        }
        if let Some(after) = &change.after {
            note(change.rtype);
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
