//! A persistent tree of pages: a change copies one page and the path to it, whatever the size of the zone.

use std::sync::Arc;

use crate::page::{Marks, NodeRef, PAGE_SIZE_TARGET, Page, PageRef, PageWriter};

/// The most children that a branch has.
const FAN_OUT_MAX: usize = 64;

/// An ordered set of nodes. Cloning shares everything.
#[derive(Clone, Default)]
pub(crate) struct Tree(Option<Item>);

#[derive(Clone)]
enum Item {
    Leaf(Page, Sum),
    Branch(Arc<Branch>),
}

/// What some pages hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) marks: Marks,
    pub(crate) rrsets: u64,
    pub(crate) records: u64,
}

struct Branch {
    sum: Sum,
    /// The first key below each child, and the child; all children have the same height.
    children: Box<[(Box<[u8]>, Item)]>,
    /// What the first keys of all children but the first begin with, so many octets of them.
    shared_len: usize,
    /// The eight octets after that, for each child but the first: a search mostly needs to look at nothing else.
    hints: Box<[u64]>,
}

/// Where a key stands among the nodes.
#[derive(Clone, Copy)]
pub enum Match<'z> {
    /// The node that has the key.
    Exact(NodeRef<'z>),
    /// No node has the key; these are its neighbours.
    Gap {
        /// The node with the greatest smaller key.
        before: Option<NodeRef<'z>>,
        /// The node with the smallest greater key.
        after: Option<NodeRef<'z>>,
    },
}

/// What a change of one node is: its new bytes, or none to remove it.
pub(crate) struct NodeChange {
    pub(crate) key: Box<[u8]>,
    pub(crate) node: Option<Vec<u8>>,
}

/// Which pages a change took away and which it added.
#[derive(Default)]
pub struct PageChanges {
    /// The first keys of pages that are no longer part of the tree.
    pub removed: Vec<Box<[u8]>>,
    /// The new pages.
    pub added: Vec<Page>,
}

impl Tree {
    /// Builds a tree from nodes in rising order of their keys.
    pub(crate) fn from_nodes<'a>(nodes: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut writer = PageWriter::default();
        for node in nodes {
            writer.push(node);
        }
        Self::from_pages(writer.finish())
    }

    /// Builds a tree from pages in rising order of their keys.
    pub(crate) fn from_pages(pages: Vec<Page>) -> Self {
        Self(root_of(pages.into_iter().map(Item::leaf).collect()))
    }

    /// What all pages hold together.
    pub(crate) fn sum(&self) -> Sum {
        self.0.as_ref().map_or_else(Sum::default, Item::sum)
    }

    /// The page, if there is but one.
    pub(crate) fn single_page(&self) -> Option<&Page> {
        match &self.0 {
            Some(Item::Leaf(page, _)) => Some(page),
            _ => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn search(&self, key: &[u8]) -> Match<'_> {
        let Some(root) = &self.0 else { return Match::Gap { before: None, after: None } };
        let (mut item, mut right) = (root, None);
        loop {
            match item {
                Item::Branch(branch) => {
                    let index = branch.child_for(key);
                    if let Some((_, sibling)) = branch.children.get(index + 1) {
                        right = Some(sibling);
                    }
                    item = &branch.children[index].1;
                }
                Item::Leaf(page, _) => return search_page(page.view(), key, || right.map(Item::first_node)),
            }
        }
    }

    pub(crate) fn last(&self) -> Option<NodeRef<'_>> {
        self.0.as_ref().map(Item::last_node)
    }

    /// The node with the greatest key below `key`.
    pub(crate) fn before(&self, key: &[u8]) -> Option<NodeRef<'_>> {
        let (mut item, mut left) = (self.0.as_ref()?, None);
        loop {
            match item {
                Item::Branch(branch) => {
                    let index = branch.child_for(key);
                    if let Some(sibling) = index.checked_sub(1) {
                        left = Some(&branch.children[sibling].1);
                    }
                    item = &branch.children[index].1;
                }
                Item::Leaf(page, _) => return before_in_page(page.view(), key).or_else(|| left.map(Item::last_node)),
            }
        }
    }

    /// All pages in order.
    pub(crate) fn pages(&self) -> Pages<'_> {
        Pages { stack: self.0.iter().collect() }
    }

    /// The nodes whose keys are `key` or greater, in order.
    pub(crate) fn nodes_from<'t>(&'t self, key: &[u8]) -> Nodes<'t> {
        let mut nodes = Nodes { pages: Pages { stack: Vec::new() }, page: None };
        let Some(mut item) = self.0.as_ref() else { return nodes };
        loop {
            match item {
                Item::Branch(branch) => {
                    let index = branch.child_for(key);
                    nodes.pages.stack.extend(branch.children[index + 1..].iter().rev().map(|(_, child)| child));
                    item = &branch.children[index].1;
                }
                Item::Leaf(page, _) => {
                    nodes.page = Some(place_in_page(page.view(), key));
                    return nodes;
                }
            }
        }
    }

    /// The tree after `changes`, which come in rising order of their keys.
    pub(crate) fn apply(&self, changes: &[NodeChange], log: &mut PageChanges) -> Self {
        if changes.is_empty() {
            return self.clone();
        }
        let Some(root) = &self.0 else {
            let tree = Self::from_nodes(changes.iter().filter_map(|change| change.node.as_deref()));
            log.added.extend(tree.pages().cloned());
            return tree;
        };
        let mut items = Vec::new();
        root.apply(changes, log, &mut items);
        Self(root_of(items))
    }
}

/// Where `key` stands in a page; `after` is the first node after the page.
#[inline]
pub(crate) fn search_page<'z>(page: PageRef<'z>, key: &[u8], after: impl FnOnce() -> Option<NodeRef<'z>>) -> Match<'z> {
    match page.find(key) {
        Ok(index) => Match::Exact(page.node(index)),
        Err(index) => Match::Gap {
            before: index.checked_sub(1).map(|index| page.node(index)),
            after: if index < page.len() { Some(page.node(index)) } else { after() },
        },
    }
}

/// The node of a page with the greatest key below `key`.
pub(crate) fn before_in_page<'z>(page: PageRef<'z>, key: &[u8]) -> Option<NodeRef<'z>> {
    let index = page.find(key).unwrap_or_else(|index| index);
    index.checked_sub(1).map(|index| page.node(index))
}

fn place_in_page<'z>(page: PageRef<'z>, key: &[u8]) -> (PageRef<'z>, usize) {
    (page, page.find(key).unwrap_or_else(|index| index))
}

impl Sum {
    /// What one page holds.
    pub(crate) fn of_page(page: PageRef<'_>) -> Self {
        let rrsets = || page.nodes().flat_map(NodeRef::rrsets);
        let records = rrsets().map(|rrset| rrset.len() as u64).sum();
        Self { marks: page.marks(), rrsets: rrsets().count() as u64, records }
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            marks: self.marks.with(other.marks),
            rrsets: self.rrsets + other.rrsets,
            records: self.records + other.records,
        }
    }
}

impl Item {
    fn leaf(page: Page) -> Self {
        let sum = Sum::of_page(page.view());
        Item::Leaf(page, sum)
    }

    fn sum(&self) -> Sum {
        match self {
            Item::Leaf(_, sum) => *sum,
            Item::Branch(branch) => branch.sum,
        }
    }

    fn first_key(&self) -> &[u8] {
        match self {
            Item::Leaf(page, _) => page.first_key(),
            Item::Branch(branch) => &branch.children[0].0,
        }
    }

    fn first_node(&self) -> NodeRef<'_> {
        match self {
            Item::Leaf(page, _) => page.view().node(0),
            Item::Branch(branch) => branch.children[0].1.first_node(),
        }
    }

    fn last_node(&self) -> NodeRef<'_> {
        match self {
            Item::Leaf(page, _) => page.view().node(page.view().len() - 1),
            Item::Branch(branch) => branch.children[branch.children.len() - 1].1.last_node(),
        }
    }

    /// Appends what this item becomes to `out`, at the same height.
    fn apply(&self, changes: &[NodeChange], log: &mut PageChanges, out: &mut Vec<Item>) {
        match self {
            Item::Leaf(page, _) => apply_to_page(page, changes, log, out),
            Item::Branch(branch) => branch.apply(changes, log, out),
        }
    }

    /// Takes this item's pages out of the tree and returns their nodes' page, for a merge with a neighbour.
    fn merged_with(&self, next: &Item, log: &mut PageChanges) -> Option<Item> {
        match (self, next) {
            (Item::Leaf(left, _), Item::Leaf(right, _)) => {
                if left.as_bytes().len() + right.as_bytes().len() > PAGE_SIZE_TARGET {
                    return None;
                }
                let mut writer = PageWriter::default();
                let nodes = left.view().nodes().chain(right.view().nodes());
                nodes.for_each(|node| writer.push(node.as_bytes()));
                // A page of many nodes has hints, which two of few nodes have not, so both may not fit into one.
                let [page] = <[Page; 1]>::try_from(writer.finish()).ok()?;
                log.replace(&[left, right], std::slice::from_ref(&page));
                Some(Item::leaf(page))
            }
            (Item::Branch(left), Item::Branch(right)) if left.children.len() + right.children.len() <= FAN_OUT_MAX => {
                let children = left.children.iter().chain(&right.children).cloned().collect();
                Some(Item::Branch(Arc::new(Branch::new(children))))
            }
            _ => None,
        }
    }

    /// Whether the item is so small that it ought to be merged with a neighbour.
    fn is_small(&self) -> bool {
        match self {
            Item::Leaf(page, _) => page.as_bytes().len() < PAGE_SIZE_TARGET / 4,
            Item::Branch(branch) => branch.children.len() < FAN_OUT_MAX / 4,
        }
    }
}

impl Branch {
    fn new(children: Box<[(Box<[u8]>, Item)]>) -> Self {
        let later = children.get(1..).unwrap_or(&[]);
        let shared_len = match (later.first(), later.last()) {
            // Keys between two that share a prefix share it too.
            (Some((first, _)), Some((last, _))) => first.iter().zip(&**last).take_while(|(a, b)| a == b).count(),
            _ => 0,
        };
        let hints = later.iter().map(|(first, _)| hint(&first[shared_len..])).collect();
        let sum = children.iter().fold(Sum::default(), |sum, (_, child)| sum.with(child.sum()));
        Self { sum, children, shared_len, hints }
    }

    /// The child that `key` is in, or would be in.
    fn child_for(&self, key: &[u8]) -> usize {
        let Some((first, _)) = self.children.get(1) else { return 0 };
        let shared = &first[..self.shared_len];
        let Some(rest) = key.strip_prefix(shared) else {
            return if key < shared { 0 } else { self.hints.len() };
        };
        let wanted = hint(rest);
        let low = self.hints.partition_point(|&hint| hint < wanted);
        let same = self.hints[low..].partition_point(|&hint| hint == wanted);
        let alike = &self.children[low + 1..low + 1 + same];
        low + alike.partition_point(|(first, _)| &**first <= key)
    }

    fn apply(&self, changes: &[NodeChange], log: &mut PageChanges, out: &mut Vec<Item>) {
        let mut items = Vec::with_capacity(self.children.len() + 1);
        let mut rest = changes;
        for (index, (_, child)) in self.children.iter().enumerate() {
            let end = match self.children.get(index + 1) {
                Some((next, _)) => rest.partition_point(|change| change.key < *next),
                None => rest.len(),
            };
            let (mine, later) = rest.split_at(end);
            rest = later;
            if mine.is_empty() {
                items.push(child.clone());
            } else {
                child.apply(mine, log, &mut items);
            }
        }
        out.extend(branches_of(merge_small(items, log)));
    }
}

impl PageChanges {
    fn replace(&mut self, old: &[&Page], new: &[Page]) {
        for page in old {
            // A page that this same change added was never anywhere else.
            let before = self.added.len();
            self.added.retain(|added| !added.is_same(page));
            if self.added.len() == before {
                self.removed.push(page.first_key().into());
            }
        }
        self.added.extend_from_slice(new);
    }
}

fn apply_to_page(page: &Page, changes: &[NodeChange], log: &mut PageChanges, out: &mut Vec<Item>) {
    let mut writer = PageWriter::default();
    let mut changes = changes.iter().peekable();
    for node in page.view().nodes() {
        while let Some(change) = changes.next_if(|change| *change.key < *node.key()) {
            change.node.iter().for_each(|node| writer.push(node));
        }
        match changes.next_if(|change| *change.key == *node.key()) {
            Some(change) => change.node.iter().for_each(|node| writer.push(node)),
            None => writer.push(node.as_bytes()),
        }
    }
    changes.filter_map(|change| change.node.as_deref()).for_each(|node| writer.push(node));
    let pages = writer.finish();
    log.replace(&[page], &pages);
    out.extend(pages.into_iter().map(Item::leaf));
}

/// The first eight octets of a key as a number; one that is shorter counts as followed by zeros.
fn hint(key: &[u8]) -> u64 {
    let mut octets = [0; 8];
    let len = key.len().min(8);
    octets[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(octets)
}

fn merge_small(items: Vec<Item>, log: &mut PageChanges) -> Vec<Item> {
    let mut merged: Vec<Item> = Vec::with_capacity(items.len());
    for item in items {
        let joined = match merged.last() {
            Some(last) if last.is_small() || item.is_small() => last.merged_with(&item, log),
            _ => None,
        };
        match joined {
            Some(joined) => {
                merged.pop();
                merged.push(joined);
            }
            None => merged.push(item),
        }
    }
    merged
}

/// Groups items of one height into branches of even size.
fn branches_of(items: Vec<Item>) -> impl Iterator<Item = Item> {
    let groups = items.len().div_ceil(FAN_OUT_MAX).max(1);
    let size = items.len().div_ceil(groups).max(1);
    let mut items = items.into_iter().peekable();
    std::iter::from_fn(move || {
        items.peek()?;
        let children = items.by_ref().take(size).map(|item| (Box::from(item.first_key()), item)).collect();
        Some(Item::Branch(Arc::new(Branch::new(children))))
    })
}

fn root_of(mut items: Vec<Item>) -> Option<Item> {
    while items.len() > 1 {
        items = branches_of(items).collect();
    }
    let mut root = items.pop()?;
    while let Item::Branch(branch) = &root {
        match &*branch.children {
            [(_, only)] => root = only.clone(),
            _ => break,
        }
    }
    Some(root)
}

/// The pages of a tree in order.
pub(crate) struct Pages<'t> {
    stack: Vec<&'t Item>,
}

impl<'t> Iterator for Pages<'t> {
    type Item = &'t Page;

    fn next(&mut self) -> Option<&'t Page> {
        loop {
            match self.stack.pop()? {
                Item::Leaf(page, _) => return Some(page),
                Item::Branch(branch) => self.stack.extend(branch.children.iter().rev().map(|(_, child)| child)),
            }
        }
    }
}

/// The nodes of a tree in order.
pub struct Nodes<'t> {
    pages: Pages<'t>,
    page: Option<(PageRef<'t>, usize)>,
}

impl<'t> Nodes<'t> {
    /// The nodes of one page whose keys are `key` or greater.
    pub(crate) fn in_page(page: Option<PageRef<'t>>, key: &[u8]) -> Self {
        Self { pages: Pages { stack: Vec::new() }, page: page.map(|page| place_in_page(page, key)) }
    }
}

impl<'t> Iterator for Nodes<'t> {
    type Item = NodeRef<'t>;

    fn next(&mut self) -> Option<NodeRef<'t>> {
        loop {
            match self.page {
                Some((page, index)) if index < page.len() => {
                    self.page = Some((page, index + 1));
                    return Some(page.node(index));
                }
                _ => self.page = Some((self.pages.next()?.view(), 0)),
            }
        }
    }
}
