//! Checking all octets of a page before any of it is used.

use rokko_wire::key::KEY_LEN_MAX;

use super::{
    HINTS_ABOVE, Marks, NodeRef, PageRef, RRSET_HEADER_LEN, hint, offset_at, offset_len, shared_len, table_len, u16_at,
    u32_at,
};
use crate::Ttl;

/// Walks through a whole page and returns `None` at the first contradiction.
pub(super) fn check_structure(bytes: &[u8]) -> Option<()> {
    let count = usize::from(u16::from_le_bytes(*bytes.get(6..8)?.first_chunk()?));
    let start = table_len(count, offset_len(bytes.len()));
    if count == 0 || bytes.len() < start {
        return None;
    }
    let page = PageRef(bytes);
    let (mut at, mut marks) = (start, Marks::default());
    let mut last_key: Option<&[u8]> = None;
    for index in 0..count {
        if offset_at(bytes, index) != at {
            return None;
        }
        let end = if index + 1 < count { offset_at(bytes, index + 1) } else { bytes.len() };
        let node = bytes.get(at..end)?;
        check_node(node)?;
        let key = NodeRef(node).key();
        if last_key.is_some_and(|last| last >= key) {
            return None;
        }
        marks = marks.with(Marks::of_node(NodeRef(node)));
        (last_key, at) = (Some(key), end);
    }
    (marks == page.marks()).then_some(())?;
    if count <= HINTS_ABOVE { Some(()) } else { check_hints(page, start) }
}

fn check_hints(page: PageRef<'_>, nodes_start: usize) -> Option<()> {
    let count = page.len();
    let shared = shared_len(page.first_key(), page.node(count - 1).key());
    let (stored, hints) = page.0[nodes_start - 4 * count - 2..nodes_start].split_first_chunk::<2>()?;
    let right = page.nodes().map(|node| hint(&node.key()[shared..]).to_le_bytes());
    (usize::from(u16::from_le_bytes(*stored)) == shared && right.eq(hints.as_chunks::<4>().0.iter().copied()))
        .then_some(())
}

fn check_node(node: &[u8]) -> Option<()> {
    let mut rest = node;
    let key_len = match take(&mut rest, 1)?[0] {
        len @ ..128 => usize::from(len),
        high => usize::from(high & 0x7f) << 8 | usize::from(take(&mut rest, 1)?[0]),
    };
    if key_len > KEY_LEN_MAX || key_len < 128 && node[0] >= 128 {
        return None;
    }
    if take(&mut rest, key_len)?.last().is_some_and(|&end| end != 0) || rest.is_empty() {
        return None;
    }
    let mut last_type = None;
    while !rest.is_empty() {
        let header = take(&mut rest, RRSET_HEADER_LEN)?;
        let rtype = u16_at(header, 0);
        if last_type.is_some_and(|last| last >= rtype) || u32_at(header, 4) > Ttl::MAX.as_secs() {
            return None;
        }
        last_type = Some(rtype);
        let mut rdatas = take(&mut rest, usize::from(u16_at(header, 2)))?;
        if rdatas.is_empty() {
            return None;
        }
        while !rdatas.is_empty() {
            let len = take(&mut rdatas, 2)?;
            take(&mut rdatas, usize::from(len[0]) << 8 | usize::from(len[1]))?;
        }
    }
    Some(())
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}
