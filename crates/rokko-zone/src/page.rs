//! A page: a run of owner names in canonical order with their RRsets, in one position-independent buffer.
//!
//! The same bytes are read in memory and kept on disk. All numbers are little-endian.
//!
//! ```text
//! page   = checksum:u32 (CRC-32 of all that follows)  version:u8 (1)  zero:u8  nodes:u16  offset:u32 × nodes  node × nodes
//! node   = key length:u16  key  rrsets:u16  rrset × rrsets        (an offset counts from the start of the page)
//! rrset  = type:u16  rdatas:u16  ttl:u32  octets:u32  rdata × rdatas      (`octets` is the size of all its rdata)
//! rdata  = length:u16  octets
//! ```
//!
//! Keys are those of [`rokko_wire::key`] and rise strictly; so do the types within a node.

use std::sync::Arc;

use rokko_wire::Rtype;
use rokko_wire::key::KEY_LEN_MAX;

use crate::Ttl;

/// The size in octets that a page is split at; one node that is larger makes a larger page.
pub const PAGE_SIZE_TARGET: usize = 4096;
const HEADER_LEN: usize = 8;
const VERSION: u8 = 1;
const RRSET_HEADER_LEN: usize = 12;

/// A valid page. Cloning shares the bytes.
#[derive(Clone)]
pub struct Page(Arc<[u8]>);

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
        let (stored, rest) = bytes.split_first_chunk::<4>().ok_or(PageError::Structure)?;
        if crc32fast::hash(rest) != u32::from_le_bytes(*stored) {
            return Err(PageError::Checksum);
        }
        match rest.first() {
            Some(&VERSION) => {}
            Some(&other) => return Err(PageError::Version(other)),
            None => return Err(PageError::Structure),
        }
        check_structure(bytes).ok_or(PageError::Structure)?;
        Ok(Self(bytes.into()))
    }

    /// The page's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many nodes it has; at least one.
    pub fn len(&self) -> usize {
        usize::from(u16_at(&self.0, 6))
    }

    /// Always false: a page has at least one node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The node at `index`, which is below [`Page::len`].
    pub fn node(&self, index: usize) -> NodeRef<'_> {
        let start = u32_at(&self.0, HEADER_LEN + 4 * index) as usize;
        let end =
            if index + 1 < self.len() { u32_at(&self.0, HEADER_LEN + 4 * index + 4) as usize } else { self.0.len() };
        NodeRef(&self.0[start..end])
    }

    /// The key of the first node.
    pub fn first_key(&self) -> &[u8] {
        self.node(0).key()
    }

    /// `Ok` with the index of the node that has `key`, or `Err` with the index where it would stand.
    pub fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.node(middle).key().cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Whether both are the same bytes in memory.
    pub fn is_same(&self, other: &Page) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// An owner name's records within a page.
#[derive(Clone, Copy)]
pub struct NodeRef<'z>(&'z [u8]);

impl<'z> NodeRef<'z> {
    /// The node's sort key below the zone's apex.
    pub fn key(&self) -> &'z [u8] {
        &self.0[2..2 + self.key_len()]
    }

    /// The node's RRsets by rising type.
    pub fn rrsets(&self) -> Rrsets<'z> {
        let at = 2 + self.key_len();
        Rrsets { left: u16_at(self.0, at), rest: &self.0[at + 2..] }
    }

    /// The RRset of one type.
    pub fn rrset(&self, rtype: Rtype) -> Option<RrsetRef<'z>> {
        self.rrsets().find(|rrset| rrset.rtype() == rtype)
    }

    /// Whether there is an RRset of this type.
    pub fn has(&self, rtype: Rtype) -> bool {
        self.rrset(rtype).is_some()
    }

    pub(crate) fn as_bytes(&self) -> &'z [u8] {
        self.0
    }

    fn key_len(&self) -> usize {
        usize::from(u16_at(self.0, 0))
    }
}

/// The RRsets of a node.
#[derive(Clone)]
pub struct Rrsets<'z> {
    left: u16,
    rest: &'z [u8],
}

impl<'z> Iterator for Rrsets<'z> {
    type Item = RrsetRef<'z>;

    fn next(&mut self) -> Option<RrsetRef<'z>> {
        self.left = self.left.checked_sub(1)?;
        let len = RRSET_HEADER_LEN + u32_at(self.rest, 8) as usize;
        let (rrset, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(RrsetRef(rrset))
    }
}

/// An RRset within a page.
#[derive(Clone, Copy)]
pub struct RrsetRef<'z>(&'z [u8]);

impl<'z> RrsetRef<'z> {
    /// The type.
    pub fn rtype(&self) -> Rtype {
        Rtype(u16_at(self.0, 0))
    }

    /// How many records it has; at least one.
    pub fn len(&self) -> usize {
        usize::from(u16_at(self.0, 2))
    }

    /// Always false: an RRset has at least one record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The time to live.
    pub fn ttl(&self) -> Ttl {
        Ttl::from_wire(u32_at(self.0, 4))
    }

    /// The record data in wire form, uncompressed, by rising octets.
    pub fn rdatas(&self) -> Rdatas<'z> {
        Rdatas(&self.0[RRSET_HEADER_LEN..])
    }
}

/// The record data of an RRset.
#[derive(Clone)]
pub struct Rdatas<'z>(&'z [u8]);

impl<'z> Iterator for Rdatas<'z> {
    type Item = &'z [u8];

    fn next(&mut self) -> Option<&'z [u8]> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (rdata, rest) = rest.split_at(usize::from(u16::from_le_bytes(*len)));
        self.0 = rest;
        Some(rdata)
    }
}

/// Writes one node: its key and then its RRsets, which come by rising type.
#[derive(Default)]
pub(crate) struct NodeWriter(Vec<u8>);

impl NodeWriter {
    pub(crate) fn new(key: &[u8]) -> Self {
        debug_assert!(key.len() <= KEY_LEN_MAX);
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&u16_from(key.len()).to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&[0, 0]);
        Self(bytes)
    }

    /// Appends an RRset; its size was limited when it entered as an edit.
    pub(crate) fn push<'a>(&mut self, rtype: Rtype, ttl: Ttl, rdatas: impl Iterator<Item = &'a [u8]>) {
        let at = self.0.len();
        self.0.extend_from_slice(&rtype.0.to_le_bytes());
        self.0.extend_from_slice(&[0, 0]);
        self.0.extend_from_slice(&ttl.as_secs().to_le_bytes());
        self.0.extend_from_slice(&[0; 4]);
        let mut count = 0;
        for rdata in rdatas {
            self.0.extend_from_slice(&u16_from(rdata.len()).to_le_bytes());
            self.0.extend_from_slice(rdata);
            count += 1;
        }
        let octets = self.0.len() - at - RRSET_HEADER_LEN;
        self.0[at + 2..at + 4].copy_from_slice(&u16_from(count).to_le_bytes());
        self.0[at + 8..at + 12].copy_from_slice(&u32_from(octets).to_le_bytes());
        self.count_one_more();
    }

    /// Appends an RRset as it stands in another node.
    pub(crate) fn push_copy(&mut self, rrset: RrsetRef<'_>) {
        self.0.extend_from_slice(rrset.0);
        self.count_one_more();
    }

    /// The node's bytes; `None` if it has no RRset.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        let at = 2 + usize::from(u16_at(&self.0, 0));
        (u16_at(&self.0, at) > 0).then_some(self.0)
    }

    fn count_one_more(&mut self) {
        let at = 2 + usize::from(u16_at(&self.0, 0));
        let count = u16_at(&self.0, at) + 1;
        self.0[at..at + 2].copy_from_slice(&count.to_le_bytes());
    }
}

/// Gathers nodes into pages of about [`PAGE_SIZE_TARGET`].
#[derive(Default)]
pub(crate) struct PageWriter {
    nodes: Vec<u8>,
    offsets: Vec<usize>,
    pages: Vec<Page>,
}

impl PageWriter {
    /// Appends a node, whose key is greater than all before it.
    pub(crate) fn push(&mut self, node: &[u8]) {
        let size = HEADER_LEN + 4 * (self.offsets.len() + 1) + self.nodes.len() + node.len();
        if size > PAGE_SIZE_TARGET || self.offsets.len() >= usize::from(u16::MAX) {
            self.close_page();
        }
        self.offsets.push(self.nodes.len());
        self.nodes.extend_from_slice(node);
    }

    /// The pages, at least one unless nothing was pushed.
    pub(crate) fn finish(mut self) -> Vec<Page> {
        self.close_page();
        self.pages
    }

    fn close_page(&mut self) {
        if self.offsets.is_empty() {
            return;
        }
        let table = HEADER_LEN + 4 * self.offsets.len();
        let mut bytes = Vec::with_capacity(table + self.nodes.len());
        bytes.extend_from_slice(&[0, 0, 0, 0, VERSION, 0]);
        bytes.extend_from_slice(&u16_from(self.offsets.len()).to_le_bytes());
        for offset in &self.offsets {
            bytes.extend_from_slice(&u32_from(table + offset).to_le_bytes());
        }
        bytes.extend_from_slice(&self.nodes);
        let checksum = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        self.pages.push(Page(bytes.into()));
        self.nodes.clear();
        self.offsets.clear();
    }
}

/// Walks through a whole page and returns `None` at the first contradiction.
fn check_structure(bytes: &[u8]) -> Option<()> {
    let count = usize::from(u16::from_le_bytes(*bytes.get(6..8)?.first_chunk()?));
    let table = bytes.get(HEADER_LEN..HEADER_LEN + 4 * count)?;
    let mut at = HEADER_LEN + 4 * count;
    let mut last_key: Option<&[u8]> = None;
    for offset in table.chunks_exact(4) {
        if u32_at(offset, 0) as usize != at {
            return None;
        }
        let mut rest = bytes.get(at..)?;
        let key_len = take_u16(&mut rest)?;
        let key = take(&mut rest, usize::from(key_len))?;
        if key.len() > KEY_LEN_MAX
            || last_key.is_some_and(|last| last >= key)
            || key.last().is_some_and(|&end| end != 0)
        {
            return None;
        }
        last_key = Some(key);
        check_rrsets(&mut rest)?;
        at = bytes.len() - rest.len();
    }
    (count > 0 && at == bytes.len()).then_some(())
}

fn check_rrsets(rest: &mut &[u8]) -> Option<()> {
    let mut last_type = None;
    let count = take_u16(rest)?;
    for _ in 0..count {
        let header = take(rest, RRSET_HEADER_LEN)?;
        let rtype = u16_at(header, 0);
        if last_type.is_some_and(|last| last >= rtype) || u32_at(header, 4) > Ttl::MAX.as_secs() {
            return None;
        }
        last_type = Some(rtype);
        let mut rdatas = take(rest, u32_at(header, 8) as usize)?;
        let mut left = u16_at(header, 2).checked_sub(1)? + 1;
        while left > 0 {
            let len = take_u16(&mut rdatas)?;
            take(&mut rdatas, usize::from(len))?;
            left -= 1;
        }
        if !rdatas.is_empty() {
            return None;
        }
    }
    (count > 0).then_some(())
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}

fn take_u16(rest: &mut &[u8]) -> Option<u16> {
    take(rest, 2).map(|bytes| u16_at(bytes, 0))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u16_from(len: usize) -> u16 {
    u16::try_from(len).expect("lengths are limited where data enters a zone")
}

fn u32_from(len: usize) -> u32 {
    u32::try_from(len).expect("lengths are limited where data enters a zone")
}
