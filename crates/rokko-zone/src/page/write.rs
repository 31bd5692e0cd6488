//! Writing nodes and pages.

use rokko_wire::Rtype;
use rokko_wire::key::KEY_LEN_MAX;

use super::{
    HINTS_ABOVE, Marks, NARROW_MAX, NodeRef, PAGE_SIZE_TARGET, Page, RRSET_HEADER_LEN, RrsetRef, VERSION, hint,
    shared_len, table_len,
};
use crate::Ttl;

/// Writes one node: its key and then its RRsets, which come by rising type.
pub(crate) struct NodeWriter {
    bytes: Vec<u8>,
    /// Where the RRsets begin.
    start: usize,
}

impl NodeWriter {
    pub(crate) fn new(key: &[u8]) -> Self {
        debug_assert!(key.len() <= KEY_LEN_MAX);
        let mut bytes = Vec::with_capacity(64);
        let [high, low] = u16_from(key.len()).to_be_bytes();
        if key.len() < 128 {
            bytes.push(low);
        } else {
            bytes.extend_from_slice(&[high | 0x80, low]);
        }
        bytes.extend_from_slice(key);
        let start = bytes.len();
        Self { bytes, start }
    }

    /// Appends an RRset; its size was limited when it entered as an edit.
    pub(crate) fn push<'a>(&mut self, rtype: Rtype, ttl: Ttl, rdatas: impl Iterator<Item = &'a [u8]>) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&rtype.0.to_le_bytes());
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&ttl.as_secs().to_le_bytes());
        for rdata in rdatas {
            self.bytes.extend_from_slice(&u16_from(rdata.len()).to_be_bytes());
            self.bytes.extend_from_slice(rdata);
        }
        let octets = self.bytes.len() - at - RRSET_HEADER_LEN;
        self.bytes[at + 2..at + 4].copy_from_slice(&u16_from(octets).to_le_bytes());
    }

    /// Appends an RRset as it stands in another node.
    pub(crate) fn push_copy(&mut self, rrset: RrsetRef<'_>) {
        self.bytes.extend_from_slice(rrset.0);
    }

    /// The node's bytes; `None` if it has no RRset.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (self.bytes.len() > self.start).then_some(self.bytes)
    }
}

/// Gathers nodes into pages of about [`PAGE_SIZE_TARGET`].
#[derive(Default)]
pub(crate) struct PageWriter {
    nodes: Vec<u8>,
    starts: Vec<usize>,
    pages: Vec<Page>,
}

impl PageWriter {
    /// Appends a node, whose key is greater than all before it.
    pub(crate) fn push(&mut self, node: &[u8]) {
        let size = table_len(self.starts.len() + 1, 2) + self.nodes.len() + node.len();
        if size > PAGE_SIZE_TARGET || self.starts.len() >= usize::from(u16::MAX) {
            self.close_page();
        }
        self.starts.push(self.nodes.len());
        self.nodes.extend_from_slice(node);
    }

    /// The pages, at least one unless nothing was pushed.
    pub(crate) fn finish(mut self) -> Vec<Page> {
        self.close_page();
        self.pages
    }

    fn node(&self, index: usize) -> NodeRef<'_> {
        let end = self.starts.get(index + 1).copied().unwrap_or(self.nodes.len());
        NodeRef(&self.nodes[self.starts[index]..end])
    }

    fn close_page(&mut self) {
        let count = self.starts.len();
        if count == 0 {
            return;
        }
        let is_narrow = table_len(count, 2) + self.nodes.len() <= NARROW_MAX;
        let table = table_len(count, if is_narrow { 2 } else { 4 });
        let mut bytes = Vec::with_capacity(table + self.nodes.len());
        let marks = (0..count).fold(Marks::default(), |marks, index| marks.with(Marks::of_node(self.node(index))));
        bytes.extend_from_slice(&[0, 0, 0, 0, VERSION, marks.0]);
        bytes.extend_from_slice(&u16_from(count).to_le_bytes());
        for start in &self.starts {
            let offset = u32_from(table + start).to_le_bytes();
            bytes.extend_from_slice(if is_narrow { &offset[..2] } else { &offset });
        }
        if count > HINTS_ABOVE {
            let shared = shared_len(self.node(0).key(), self.node(count - 1).key());
            bytes.extend_from_slice(&u16_from(shared).to_le_bytes());
            for index in 0..count {
                bytes.extend_from_slice(&hint(&self.node(index).key()[shared..]).to_le_bytes());
            }
        }
        bytes.extend_from_slice(&self.nodes);
        let checksum = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        self.pages.push(Page(bytes.into()));
        self.nodes.clear();
        self.starts.clear();
    }
}

fn u16_from(len: usize) -> u16 {
    u16::try_from(len).expect("lengths are limited where data enters a zone")
}

fn u32_from(len: usize) -> u32 {
    u32::try_from(len).expect("lengths are limited where data enters a zone")
}
