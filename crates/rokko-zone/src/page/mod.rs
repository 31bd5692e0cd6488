//! A page: a run of owner names in canonical order with their RRsets, in one position-independent buffer.
//!
//! The same bytes are read in memory and kept on disk. All numbers are little-endian but for the lengths of record
//! data, which are as in messages.
//!
//! ```text
//! page   = checksum:u32 (CRC-32 of all that follows)  version:u8 (2)  marks:u8  nodes:u16  offset × nodes
//!          [shared:u16  hint:u32 × nodes]  node × nodes
//! offset = u16, or u32 in a page of more than 65,535 octets; counts from the start of the page
//! node   = key length: u8 below 128, or u16 big-endian with the high bit set    key  rrset …
//! rrset  = type:u16  octets:u16 (of all its rdata)  ttl:u32  rdata …
//! rdata  = length:u16 big-endian  octets
//! ```
//!
//! Keys are those of [`rokko_wire::key`] and rise strictly; so do the types within a node. Pages of more than
//! [`HINTS_ABOVE`] nodes have hints: all keys share their first `shared` octets, and a node's hint is the four octets of
//! its key after these, so that a search looks at few keys.

use std::cmp::Ordering;
use std::sync::Arc;

use rokko_wire::Rtype;

use crate::Ttl;

mod check;
mod marks;
mod write;

pub use marks::Marks;
pub(crate) use write::{NodeWriter, PageWriter};

/// The size in octets that a page is split at; one node that is larger makes a larger page.
pub const PAGE_SIZE_TARGET: usize = 4096;
/// A page of so many nodes or fewer has no hints.
pub const HINTS_ABOVE: usize = 4;
const HEADER_LEN: usize = 8;
const VERSION: u8 = 2;
const RRSET_HEADER_LEN: usize = 8;
/// The largest page with offsets of two octets.
const NARROW_MAX: usize = 0xffff;

/// A valid page. Cloning shares the bytes.
#[derive(Clone)]
pub struct Page(Arc<[u8]>);

/// A valid page, borrowed.
#[derive(Clone, Copy)]
pub struct PageRef<'z>(&'z [u8]);

/// Why some bytes are not a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The checksum does not match: the bytes were damaged.
    #[error("the page's checksum does not match: its bytes are damaged")]
    Checksum,
    /// A page of another format version.
    #[error("the page has format version {0}, this program reads version {VERSION}")]
    Version(u8),
    /// The structure contradicts itself.
    #[error("the page's structure is broken")]
    Structure,
}

impl Page {
    /// Takes bytes for a page after checking all of them, so that readers need not.
    pub fn open(bytes: &[u8]) -> Result<Self, PageError> {
        PageRef::open(bytes).map(|page| Self(page.0.into()))
    }

    /// The page's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The page to read in.
    pub fn view(&self) -> PageRef<'_> {
        PageRef(&self.0)
    }

    /// The key of the first node.
    pub fn first_key(&self) -> &[u8] {
        self.view().first_key()
    }

    /// Whether both are the same bytes in memory.
    pub fn is_same(&self, other: &Page) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<'z> PageRef<'z> {
    /// Takes bytes for a page after checking all of them, so that readers need not.
    pub fn open(bytes: &'z [u8]) -> Result<Self, PageError> {
        let (stored, rest) = bytes.split_first_chunk::<4>().ok_or(PageError::Structure)?;
        if crc32fast::hash(rest) != u32::from_le_bytes(*stored) {
            return Err(PageError::Checksum);
        }
        match rest.first() {
            Some(&VERSION) => {}
            Some(&other) => return Err(PageError::Version(other)),
            None => return Err(PageError::Structure),
        }
        check::check_structure(bytes).ok_or(PageError::Structure)?;
        Ok(Self(bytes))
    }

    /// Takes bytes that are a page for sure, because they were checked or written here.
    #[inline]
    pub(crate) fn trusted(bytes: &'z [u8]) -> Self {
        Self(bytes)
    }

    /// The page's bytes.
    #[inline]
    pub fn as_bytes(self) -> &'z [u8] {
        self.0
    }

    /// The page on its own.
    pub fn to_page(self) -> Page {
        Page(self.0.into())
    }

    /// What kinds of records it has.
    #[inline]
    pub fn marks(self) -> Marks {
        Marks(self.0[5])
    }

    /// How many nodes it has; at least one.
    #[inline]
    pub fn len(self) -> usize {
        usize::from(u16_at(self.0, 6))
    }

    /// Always false: a page has at least one node.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The node at `index`, which is below [`PageRef::len`].
    #[inline]
    pub fn node(self, index: usize) -> NodeRef<'z> {
        let start = self.offset(index);
        let end = if index + 1 < self.len() { self.offset(index + 1) } else { self.0.len() };
        NodeRef(&self.0[start..end])
    }

    /// All nodes in order.
    pub fn nodes(self) -> impl DoubleEndedIterator<Item = NodeRef<'z>> {
        (0..self.len()).map(move |index| self.node(index))
    }

    /// The key of the first node.
    pub fn first_key(self) -> &'z [u8] {
        self.node(0).key()
    }

    /// The key of the last node.
    pub fn last_key(self) -> &'z [u8] {
        self.node(self.len() - 1).key()
    }

    /// `Ok` with the index of the node that has `key`, or `Err` with the index where it would stand.
    #[inline]
    pub fn find(self, key: &[u8]) -> Result<usize, usize> {
        let count = self.len();
        if count <= HINTS_ABOVE {
            for index in 0..count {
                match self.node(index).key().cmp(key) {
                    Ordering::Less => {}
                    Ordering::Equal => return Ok(index),
                    Ordering::Greater => return Err(index),
                }
            }
            return Err(count);
        }
        let at = HEADER_LEN + count * offset_len(self.0.len());
        let shared = usize::from(u16_at(self.0, at));
        let common = &self.first_key()[..shared];
        let Some(rest) = key.strip_prefix(common) else {
            return Err(if key < common { 0 } else { count });
        };
        let wanted = hint(rest);
        let hints = self.0[at + 2..at + 2 + 4 * count].as_chunks::<4>().0;
        let low = hints.partition_point(|hint| u32::from_le_bytes(*hint) < wanted);
        let same = hints[low..].iter().take_while(|hint| u32::from_le_bytes(**hint) == wanted).count();
        self.find_between(low, low + same, key)
    }

    fn find_between(self, low: usize, high: usize, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (low, high);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.node(middle).key().cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    #[inline]
    fn offset(self, index: usize) -> usize {
        offset_at(self.0, index)
    }
}

/// An owner name's records within a page.
#[derive(Clone, Copy)]
pub struct NodeRef<'z>(&'z [u8]);

impl<'z> NodeRef<'z> {
    /// The node's sort key below the zone's apex.
    #[inline]
    pub fn key(self) -> &'z [u8] {
        let (at, len) = self.key_place();
        &self.0[at..at + len]
    }

    /// The node's RRsets by rising type.
    #[inline]
    pub fn rrsets(self) -> Rrsets<'z> {
        let (at, len) = self.key_place();
        Rrsets(&self.0[at + len..])
    }

    /// The RRset of one type.
    #[inline]
    pub fn rrset(self, rtype: Rtype) -> Option<RrsetRef<'z>> {
        self.rrsets().find(|rrset| rrset.rtype() == rtype)
    }

    /// Whether there is an RRset of this type.
    #[inline]
    pub fn has(self, rtype: Rtype) -> bool {
        self.rrset(rtype).is_some()
    }

    pub(crate) fn as_bytes(self) -> &'z [u8] {
        self.0
    }

    /// Where the key starts and how long it is.
    #[inline]
    fn key_place(self) -> (usize, usize) {
        match self.0[0] {
            len @ ..128 => (1, usize::from(len)),
            high => (2, usize::from(high & 0x7f) << 8 | usize::from(self.0[1])),
        }
    }
}

/// The RRsets of a node.
#[derive(Clone)]
pub struct Rrsets<'z>(&'z [u8]);

impl<'z> Iterator for Rrsets<'z> {
    type Item = RrsetRef<'z>;

    #[inline]
    fn next(&mut self) -> Option<RrsetRef<'z>> {
        if self.0.is_empty() {
            return None;
        }
        let (rrset, rest) = self.0.split_at(RRSET_HEADER_LEN + usize::from(u16_at(self.0, 2)));
        self.0 = rest;
        Some(RrsetRef(rrset))
    }
}

/// An RRset within a page.
#[derive(Clone, Copy)]
pub struct RrsetRef<'z>(&'z [u8]);

impl<'z> RrsetRef<'z> {
    /// The type.
    #[inline]
    pub fn rtype(self) -> Rtype {
        Rtype(u16_at(self.0, 0))
    }

    /// How many records it has; at least one.
    pub fn len(self) -> usize {
        self.rdatas().count()
    }

    /// Always false: an RRset has at least one record.
    pub fn is_empty(self) -> bool {
        self.0.len() == RRSET_HEADER_LEN
    }

    /// The time to live.
    #[inline]
    pub fn ttl(self) -> Ttl {
        Ttl::from_wire(u32_at(self.0, 4))
    }

    /// The record data in wire form, uncompressed, by rising octets.
    #[inline]
    pub fn rdatas(self) -> Rdatas<'z> {
        Rdatas(&self.0[RRSET_HEADER_LEN..])
    }
}

/// The record data of an RRset.
#[derive(Clone)]
pub struct Rdatas<'z>(&'z [u8]);

impl<'z> Iterator for Rdatas<'z> {
    type Item = &'z [u8];

    #[inline]
    fn next(&mut self) -> Option<&'z [u8]> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (rdata, rest) = rest.split_at(usize::from(u16::from_be_bytes(*len)));
        self.0 = rest;
        Some(rdata)
    }
}

/// How long the two keys are the same from the start; keys between them begin with these octets, too.
fn shared_len(first: &[u8], last: &[u8]) -> usize {
    first.iter().zip(last).take_while(|(a, b)| a == b).count()
}

/// The first four octets of a key as a number; one that is shorter counts as followed by zeros.
#[inline]
fn hint(key: &[u8]) -> u32 {
    match key.first_chunk() {
        Some(octets) => u32::from_be_bytes(*octets),
        None => key.iter().zip([24, 16, 8, 0]).fold(0, |hint, (&octet, shift)| hint | u32::from(octet) << shift),
    }
}

/// Octets before the first node of a page with `count` nodes and offsets of `offset_len` octets.
fn table_len(count: usize, offset_len: usize) -> usize {
    HEADER_LEN + count * offset_len + if count > HINTS_ABOVE { 2 + 4 * count } else { 0 }
}

#[inline]
fn offset_len(page_len: usize) -> usize {
    if page_len <= NARROW_MAX { 2 } else { 4 }
}

#[inline]
fn offset_at(page: &[u8], index: usize) -> usize {
    match offset_len(page.len()) {
        2 => usize::from(u16_at(page, HEADER_LEN + 2 * index)),
        _ => u32_at(page, HEADER_LEN + 4 * index) as usize,
    }
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(octets_at(bytes, at))
}

#[inline]
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(octets_at(bytes, at))
}

/// Some octets of a page, whose places were checked when it was opened or written.
#[inline]
fn octets_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("a page has all of its fields")
}
