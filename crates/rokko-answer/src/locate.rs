//! Where a name stands in one zone (RFC 1034 §4.3.2 step 3, RFC 4592, RFC 6672).

use rokko_wire::{KeyBuf, Rtype};
use rokko_zone::{Marks, Match, NodeRef, ZoneRef};

/// Where a name stands.
#[derive(Clone, Copy)]
pub(crate) enum Place<'z> {
    /// At or below a zone cut, which this node is.
    Cut(NodeRef<'z>),
    /// Below the owner of a DNAME record, which this node is.
    Dname(NodeRef<'z>),
    /// The name has this node.
    Node(NodeRef<'z>),
    /// The name has no records, but names below it do.
    EmptyNonTerminal,
    /// The name does not exist; this wildcard is the source of synthesis.
    Wildcard(NodeRef<'z>),
    /// The name does not exist, and the source of synthesis has no records.
    EmptyWildcard,
    /// The name does not exist, and nothing stands in for it.
    Absent,
}

/// Where a name stands, and its closest encloser.
#[derive(Clone, Copy)]
pub(crate) struct Located<'z> {
    pub(crate) place: Place<'z>,
    /// The length of the closest encloser's key; that of the name's own key if the name exists.
    pub(crate) encloser_len: usize,
}

/// Finds the place of the name with `key`. If nothing but a wildcard could match, `wildcard` becomes its key.
pub(crate) fn locate<'z>(zone: ZoneRef<'z>, key: &[u8], wildcard: &mut KeyBuf) -> Located<'z> {
    let found = zone.search(key);
    let encloser_len = match found {
        Match::Exact(_) => key.len(),
        Match::Gap { before, after } => {
            let shared = |node: Option<NodeRef<'_>>| node.map_or(0, |node| shared_labels_len(key, node.key()));
            shared(before).max(shared(after))
        }
    };
    if zone.marks().has_any(Marks::CUT.with(Marks::DNAME))
        && let Some(place) = barrier(zone, key, encloser_len, found)
    {
        return Located { place, encloser_len };
    }
    let place = match found {
        Match::Exact(node) => Place::Node(node),
        Match::Gap { .. } if encloser_len == key.len() => Place::EmptyNonTerminal,
        Match::Gap { .. } => source_of_synthesis(zone, &key[..encloser_len], wildcard),
    };
    Located { place, encloser_len }
}

/// The cut or DNAME that is nearest to the apex on the way to `key`.
fn barrier<'z>(zone: ZoneRef<'z>, key: &[u8], encloser_len: usize, found: Match<'z>) -> Option<Place<'z>> {
    let near = match found {
        Match::Exact(node) => Some(node),
        Match::Gap { before, .. } => before,
    };
    let ends = key[..encloser_len].iter().enumerate().filter(|&(_, &octet)| octet == 0).map(|(at, _)| at + 1);
    let apex = zone.marks().has(Marks::DNAME).then_some(0);
    for end in apex.into_iter().chain(ends) {
        let prefix = &key[..end];
        let Some(node) = near.filter(|node| node.key() == prefix).or_else(|| zone.node(prefix)) else { continue };
        if end > 0 && node.has(Rtype::NS) {
            return Some(Place::Cut(node));
        }
        if end < key.len() && node.has(Rtype::DNAME) {
            return Some(Place::Dname(node));
        }
    }
    None
}

fn source_of_synthesis<'z>(zone: ZoneRef<'z>, encloser: &[u8], wildcard: &mut KeyBuf) -> Place<'z> {
    set_wildcard(wildcard, encloser);
    if !zone.marks().has(Marks::WILDCARD) {
        return Place::Absent;
    }
    match zone.search(wildcard.as_bytes()) {
        Match::Exact(node) => Place::Wildcard(node),
        Match::Gap { after: Some(after), .. } if after.key().starts_with(wildcard.as_bytes()) => Place::EmptyWildcard,
        Match::Gap { .. } => Place::Absent,
    }
}

/// Makes `wildcard` the key of the name `*` below the name with the key `encloser`.
fn set_wildcard(wildcard: &mut KeyBuf, encloser: &[u8]) {
    wildcard.truncate(0);
    wildcard.push_key(encloser);
    wildcard.push_label(b"*");
}

/// How many labels a part of a key has.
#[expect(clippy::naive_bytecount, reason = "keys are short")]
pub(crate) fn label_count(key: &[u8]) -> usize {
    key.iter().filter(|&&octet| octet == 0).count()
}

/// The length of the longest common prefix of two keys that ends with a label.
fn shared_labels_len(a: &[u8], b: &[u8]) -> usize {
    let shared = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    a[..shared].iter().rposition(|&octet| octet == 0).map_or(0, |at| at + 1)
}
