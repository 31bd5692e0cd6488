//! Digests: one of all data, moved on in time proportional to a change, and short ones of single zones.
//!
//! The digest is a lattice hash (LtHash16 with 1,024 lanes over BLAKE3): each owner name with its records is hashed to
//! 1,024 numbers of 16 bits, and the digest is their sum, lane by lane. So adding and taking away names in any order comes
//! to the same digest, and to find two sets of names with the same one is as hard as finding short vectors in a lattice.
//!
//! ```text
//! element = apex (wire form)  kind:u8  [revision:u64, kind 0 alone]  the node as it stands in a page
//! kind    = 0: the apex with the zone's revision (and no node if the zone has no record there)
//!           1: a name below the apex    2: a name that exists for NSEC3 alone
//! ```

use std::fmt;

use rokko_wire::{KeyBuf, Name};

use crate::edit::Delta;
use crate::page::NodeRef;
use crate::tree::Match;
use crate::{Zone, ZoneRef};

/// Numbers in a digest.
const LANES: usize = 1024;
/// Octets of a digest.
pub const DIGEST_LEN: usize = 2 * LANES;
/// Keys the hash of elements, so that it is no other hash's.
const ELEMENT_KEY: &[u8; 32] = b"rokko data set digest, version 1";
/// Keys the short hash of a digest.
const SHORT_KEY: &[u8; 32] = b"rokko short form of a digest, v1";
/// Keys the hash of one zone.
const ZONE_KEY: &[u8; 32] = b"rokko digest of one zone, vers 1";

/// What a set of zones comes to, whatever the order in which they came.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest(Box<[u16; LANES]>);

/// 32 octets that stand for a [`Digest`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortDigest(pub [u8; 32]);

/// One zone in short, to find out which zones differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneMark {
    /// The first eight octets of the BLAKE3 hash of the apex in wire form, big-endian: names spread evenly over them.
    pub name: u64,
    /// The revision that made the version.
    pub revision: crate::Revision,
    /// 16 octets of a hash of the apex, the revision and all records.
    pub digest: u128,
}

impl Digest {
    /// Adds a zone.
    pub fn add_zone(&mut self, zone: ZoneRef<'_>) {
        each_element(zone, |element| self.add_element(element));
    }

    /// Takes a zone away that was added.
    pub fn subtract_zone(&mut self, zone: ZoneRef<'_>) {
        each_element(zone, |element| self.subtract_element(element));
    }

    /// Puts one version of a zone in the place of another. `delta` is what lies between them; of both versions only the
    /// names in it are read.
    pub fn replace(&mut self, before: Option<&Zone>, after: Option<&Zone>, delta: &Delta) {
        match (before, after) {
            (Some(before), Some(after)) => {
                each_touched(before.view(), delta, |element| self.subtract_element(element));
                each_touched(after.view(), delta, |element| self.add_element(element));
            }
            (Some(before), None) => self.subtract_zone(before.view()),
            (None, Some(after)) => self.add_zone(after.view()),
            (None, None) => {}
        }
    }

    /// Adds all that another digest stands for.
    pub fn add(&mut self, other: &Digest) {
        self.0.iter_mut().zip(&*other.0).for_each(|(lane, other)| *lane = lane.wrapping_add(*other));
    }

    /// Takes away all that another digest stands for.
    pub fn subtract(&mut self, other: &Digest) {
        self.0.iter_mut().zip(&*other.0).for_each(|(lane, other)| *lane = lane.wrapping_sub(*other));
    }

    /// The lanes, each little-endian.
    pub fn to_bytes(&self) -> [u8; DIGEST_LEN] {
        let mut out = [0; DIGEST_LEN];
        out.as_chunks_mut::<2>().0.iter_mut().zip(&*self.0).for_each(|(out, lane)| *out = lane.to_le_bytes());
        out
    }

    /// The digest with these lanes.
    pub fn from_bytes(bytes: &[u8; DIGEST_LEN]) -> Self {
        let mut digest = Self::default();
        digest
            .0
            .iter_mut()
            .zip(bytes.as_chunks::<2>().0)
            .for_each(|(lane, octets)| *lane = u16::from_le_bytes(*octets));
        digest
    }

    /// The short form.
    pub fn short(&self) -> ShortDigest {
        ShortDigest(*blake3::keyed_hash(SHORT_KEY, &self.to_bytes()).as_bytes())
    }

    fn add_element(&mut self, element: &blake3::Hasher) {
        self.0.iter_mut().zip(&lanes(element)).for_each(|(lane, other)| *lane = lane.wrapping_add(*other));
    }

    fn subtract_element(&mut self, element: &blake3::Hasher) {
        self.0.iter_mut().zip(&lanes(element)).for_each(|(lane, other)| *lane = lane.wrapping_sub(*other));
    }
}

impl Default for Digest {
    /// The digest of nothing.
    fn default() -> Self {
        Self(Box::new([0; LANES]))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl fmt::Display for ShortDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for ShortDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortDigest({self})")
    }
}

impl ZoneMark {
    /// The mark of a zone.
    pub fn of(zone: ZoneRef<'_>) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(ZONE_KEY);
        hasher.update(zone.apex_bytes()).update(&zone.revision().0.to_le_bytes());
        for (kind, nodes) in [(1, zone.nodes_from(&[])), (2, zone.nsec3_nodes_from(&[]))] {
            for node in nodes {
                let len = u32::try_from(node.as_bytes().len()).unwrap_or(u32::MAX);
                hasher.update(&[kind]).update(&len.to_le_bytes()).update(node.as_bytes());
            }
        }
        let mut digest = [0; 16];
        hasher.finalize_xof().fill(&mut digest);
        Self { name: Self::name_of(zone.apex_bytes()), revision: zone.revision(), digest: u128::from_le_bytes(digest) }
    }

    /// What a zone's name is in a mark.
    pub fn name_of(apex: &[u8]) -> u64 {
        let hash = blake3::hash(apex);
        hash.as_bytes().first_chunk().map_or(0, |octets| u64::from_be_bytes(*octets))
    }
}

/// The lanes that an element is hashed to.
fn lanes(element: &blake3::Hasher) -> [u16; LANES] {
    let mut octets = [0; DIGEST_LEN];
    element.finalize_xof().fill(&mut octets);
    let mut lanes = [0; LANES];
    lanes.iter_mut().zip(octets.as_chunks::<2>().0).for_each(|(lane, octets)| *lane = u16::from_le_bytes(*octets));
    lanes
}

fn each_element(zone: ZoneRef<'_>, mut each: impl FnMut(&blake3::Hasher)) {
    each(&head(zone));
    for node in zone.nodes_from(&[]).filter(|node| !node.key().is_empty()) {
        each(&element(zone, 1, node));
    }
    for node in zone.nsec3_nodes_from(&[]) {
        each(&element(zone, 2, node));
    }
}

/// The elements of the names in `delta`, and the apex's, which every change touches.
fn each_touched(zone: ZoneRef<'_>, delta: &Delta, mut each: impl FnMut(&blake3::Hasher)) {
    each(&head(zone));
    let apex = zone.apex();
    let mut last: Option<&Name> = None;
    for owner in delta.owners() {
        if last.replace(owner) == Some(owner) || *owner == apex {
            continue;
        }
        let Some(key) = KeyBuf::below(owner, &apex) else { continue };
        for (kind, found) in [(1, zone.search(key.as_bytes())), (2, zone.nsec3_search(key.as_bytes()))] {
            if let Match::Exact(node) = found {
                each(&element(zone, kind, node));
            }
        }
    }
}

fn head(zone: ZoneRef<'_>) -> blake3::Hasher {
    let mut hasher = start(zone, 0);
    hasher.update(&zone.revision().0.to_le_bytes());
    if let Some(node) = zone.apex_node() {
        hasher.update(node.as_bytes());
    }
    hasher
}

fn element(zone: ZoneRef<'_>, kind: u8, node: NodeRef<'_>) -> blake3::Hasher {
    let mut hasher = start(zone, kind);
    hasher.update(node.as_bytes());
    hasher
}

fn start(zone: ZoneRef<'_>, kind: u8) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_keyed(ELEMENT_KEY);
    hasher.update(zone.apex_bytes()).update(&[kind]);
    hasher
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Revision, Rrset, Ttl};
    use rokko_wire::Rtype;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn rrset(owner: &str, rtype: Rtype, octet: u8) -> Rrset {
        Rrset { owner: name(owner), rtype, ttl: Ttl::from_wire(60), rdatas: vec![Box::from([192, 0, 2, octet])] }
    }

    fn zone(apex: &str, revision: u64, rrsets: Vec<Rrset>) -> Zone {
        Zone::build(&name(apex), Revision(revision), rrsets).unwrap()
    }

    fn whole(zones: &[&Zone]) -> Digest {
        let mut digest = Digest::default();
        for zone in zones {
            digest.add_zone(zone.view());
        }
        digest
    }

    #[test]
    fn order_does_not_matter_and_content_does() {
        let a = zone("a.", 1, vec![rrset("a.", Rtype::A, 1), rrset("www.a.", Rtype::A, 2)]);
        let b = zone("b.", 2, vec![rrset("www.b.", Rtype::A, 2)]);
        assert_eq!(whole(&[&a, &b]), whole(&[&b, &a]));
        let others = [
            zone("a.", 3, vec![rrset("a.", Rtype::A, 1), rrset("www.a.", Rtype::A, 2)]),
            zone("a.", 1, vec![rrset("a.", Rtype::A, 1), rrset("www.a.", Rtype::A, 3)]),
            zone("a.", 1, vec![rrset("a.", Rtype::A, 1), rrset("ww.a.", Rtype::A, 2)]),
            zone("a.", 1, vec![rrset("a.", Rtype::A, 1)]),
            zone("a.", 1, vec![]),
        ];
        for other in &others {
            assert_ne!(whole(&[&a]).short(), whole(&[other]).short());
            assert_ne!(ZoneMark::of(a.view()), ZoneMark::of(other.view()));
        }
        assert_eq!(ZoneMark::of(a.view()).name, ZoneMark::of(others[0].view()).name);
        let mut digest = whole(&[&a, &b]);
        digest.subtract_zone(a.view());
        assert_eq!(digest, whole(&[&b]));
        digest.subtract(&whole(&[&b]));
        assert_eq!(digest, Digest::default());
    }

    #[test]
    fn a_digest_moves_with_a_change() {
        let empty = Zone::empty(&name("a."));
        let nsec3 = |octet| Rrset { rdatas: vec![Box::from([octet; 9])], ..rrset("p0.a.", Rtype::NSEC3, 0) };
        let first = vec![rrset("a.", Rtype::A, 1), rrset("x.a.", Rtype::A, 2), rrset("x.a.", Rtype::TXT, 2), nsec3(1)];
        let second = vec![rrset("a.", Rtype::A, 9), rrset("x.a.", Rtype::A, 2), rrset("y.a.", Rtype::A, 2), nsec3(2)];
        let mut digest = Digest::default();
        let mut current: Option<Zone> = None;
        for (revision, contents) in
            [first, second, vec![nsec3(3)], vec![rrset("p0.a.", Rtype::A, 3)]].into_iter().enumerate()
        {
            let before = current.clone().unwrap_or_else(|| empty.clone());
            let delta = before.resolve_whole(contents).unwrap();
            let (after, _) = before.apply(&delta, Revision(revision as u64 + 1)).unwrap();
            digest.replace(current.as_ref(), Some(&after), &delta);
            assert_eq!(digest, whole(&[&after]));
            current = Some(after);
        }
        assert_eq!(Digest::from_bytes(&digest.to_bytes()), digest);
        digest.replace(current.as_ref(), None, &Delta::default());
        assert_eq!(digest, Digest::default());
    }

    #[test]
    fn the_digest_is_what_it_was() {
        let a = zone("a.", 1, vec![rrset("a.", Rtype::A, 1), rrset("www.a.", Rtype::A, 2)]);
        let digest = "f73217ec8b2aba920e599881222600be27e86405ddd78d2a8020bba891f92edc";
        assert_eq!(whole(&[&a]).short().to_string(), digest);
        assert_eq!(ZoneMark::of(a.view()).digest, 325_862_177_615_554_566_196_084_337_765_203_999_103);
    }
}
