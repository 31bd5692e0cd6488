//! All zones of a server, found by name without a lock.
//!
//! ```text
//! hash of the name ─► shard ─► table ─► bucket: 64 octets, one cache line
//!                                         tags   an octet of the hash for each of 7 zones, and a mark
//!                                         zones  7 pointers
//!                                           ▼
//!                                         the zone: its apex is compared, and its records follow right after
//! ```
//!
//! A zone is put into its slot and replaced there without touching another one. A table that grows full is built anew
//! with more buckets and swapped whole; there are many shards so that this is little work each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, ArcSwapAny, Guard};
use rokko_wire::Name;
use rokko_wire::name::Labels;

use crate::zone::Cell;
use crate::{Zone, ZoneRef};

/// How many parts the catalog has. A power of two.
const SHARDS: usize = 4096;
/// The most labels of a name, the root label not counted.
const LABELS_MAX: usize = 127;
/// The most labels that nearly all names have.
const LABELS_USUAL: usize = 11;
/// Zones in one bucket.
const BUCKET_ZONES: usize = 7;
/// Where a bucket's tags have the mark that a zone of it stands in a later bucket.
const OVERFLOW: u64 = 0xff << 56;
/// How many of 16 slots are taken in a new table, above how many it is built anew, and below how many.
const NEW_OF_16: usize = 8;
const FULL_OF_16: usize = 13;
const SPARSE_OF_16: usize = 3;

/// The zones of a server. Readers never wait; there is one writer at a time.
///
/// A zone is found by a keyed hash of its name, so that nobody can choose names that collide; then its whole
/// name is compared.
pub struct Catalog {
    shards: Box<[Shard]>,
    seed: u64,
    /// How many zones there are whose name has so many labels: no others are looked for.
    zones: [AtomicUsize; LABELS_MAX + 1],
}

#[derive(Default)]
struct Shard {
    table: ArcSwap<Table>,
    zones: AtomicUsize,
}

/// A hash table of a fixed number of buckets; a zone stands in the first bucket with room from its own on.
struct Table(Box<[Bucket]>);

/// The slot of a zone, or of none.
type Slot = ArcSwapAny<Option<Cell>>;

#[repr(align(64))]
#[derive(Default)]
struct Bucket {
    /// An octet per slot, 0 where it is empty; the highest octet is the mark.
    tags: AtomicU64,
    zones: [Slot; BUCKET_ZONES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// A zone, held against removal while it is read.
pub struct ZoneGuard(Guard<Option<Cell>>);

impl ZoneGuard {
    /// The zone to read in.
    pub fn view(&self) -> ZoneRef<'_> {
        ZoneRef::of(self.cell())
    }

    /// The zone itself, to be kept.
    pub fn to_zone(&self) -> Zone {
        Zone(self.cell().clone())
    }

    fn cell(&self) -> &Cell {
        self.0.as_ref().expect("only a slot with a zone becomes a guard")
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::with_room_for(1)
    }
}

impl Table {
    fn with_room_for(zones: usize) -> Self {
        let buckets = (zones * 16).div_ceil(BUCKET_ZONES * NEW_OF_16);
        Self((0..buckets.max(1)).map(|_| Bucket::default()).collect())
    }

    fn slots(&self) -> usize {
        self.0.len() * BUCKET_ZONES
    }

    /// The buckets where a zone with this hash may stand, in order.
    fn buckets(&self, hash: u64) -> impl Iterator<Item = &Bucket> {
        // The low half chooses the bucket, the high half the shard and the tag.
        let first = usize::try_from(((hash & 0xffff_ffff) * self.0.len() as u64) >> 32).unwrap_or(0);
        self.0[first..].iter().chain(&self.0[..first])
    }

    /// The slot that holds the zone `name`, what it holds, its bucket and its number there.
    fn find(&self, hash: u64, name: &[u8]) -> Option<(Guard<Option<Cell>>, &Bucket, usize)> {
        let tag = tag_of(hash);
        for bucket in self.buckets(hash) {
            let tags = bucket.tags.load(Ordering::Acquire);
            for (number, slot) in bucket.zones.iter().enumerate() {
                if (tags >> (8 * number)).to_le_bytes()[0] == tag {
                    let found = slot.load();
                    if found.as_ref().is_some_and(|cell| ZoneRef::of(cell).apex_bytes() == name) {
                        return Some((found, bucket, number));
                    }
                }
            }
            if tags & OVERFLOW == 0 {
                return None;
            }
        }
        None
    }

    /// Puts in a zone that is not there yet; there is room for it.
    fn insert(&self, hash: u64, cell: Cell) {
        for bucket in self.buckets(hash) {
            let tags = bucket.tags.load(Ordering::Relaxed);
            let empty = (0..BUCKET_ZONES).find(|number| (tags >> (8 * number)).to_le_bytes()[0] == 0);
            if let Some(number) = empty {
                bucket.zones[number].store(Some(cell));
                bucket.tags.store(tags | u64::from(tag_of(hash)) << (8 * number), Ordering::Release);
                return;
            }
            bucket.tags.store(tags | OVERFLOW, Ordering::Release);
        }
    }

    /// All zones.
    fn cells(&self) -> impl Iterator<Item = Cell> {
        self.0.iter().flat_map(|bucket| &bucket.zones).filter_map(Slot::load_full)
    }
}

impl Catalog {
    /// An empty catalog; `seed` is secret and random.
    pub fn new(seed: u64) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { shards, seed, zones: [const { AtomicUsize::new(0) }; LABELS_MAX + 1] }
    }

    /// How many zones there are.
    pub fn len(&self) -> usize {
        self.zones.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Whether there is no zone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The zone with this name.
    pub fn zone(&self, name: &Name) -> Option<ZoneGuard> {
        self.lookup(self.hash(name.as_bytes()), name.as_bytes())
    }

    /// The deepest zone that contains `qname`, a lower-case name in wire form.
    pub fn find(&self, qname: &[u8]) -> Option<ZoneGuard> {
        self.find_from(qname, 0)
    }

    /// The deepest zone that contains `qname` and has another name: where DS records of `qname` belong.
    pub fn find_above(&self, qname: &[u8]) -> Option<ZoneGuard> {
        self.find_from(qname, 1)
    }

    /// Puts zones in (`Some`) and takes zones out (`None`). Only one thread may publish at a time; readers see each
    /// zone's change whole.
    pub fn publish(&self, changes: impl IntoIterator<Item = (Name, Option<Zone>)>) {
        for (name, zone) in changes {
            let hash = self.hash(name.as_bytes());
            let shard = &self.shards[shard_of(hash)];
            let before = shard.zones.load(Ordering::Relaxed);
            let after = shard.put(hash, name.as_bytes(), zone, |cell| self.hash(ZoneRef::of(cell).apex_bytes()));
            self.zones[name.label_count()].fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    fn find_from(&self, qname: &[u8], skip: usize) -> Option<ZoneGuard> {
        // Few names have many labels, and clearing room for all that a name may have costs more than the search.
        match Labels::of(qname).count() {
            ..=LABELS_USUAL => self.find_in(qname, skip, &mut [(0, 0); LABELS_USUAL + 1]),
            _ => self.find_in(qname, skip, &mut [(0, 0); LABELS_MAX + 1]),
        }
    }

    fn find_in(&self, qname: &[u8], skip: usize, suffixes: &mut [(u64, usize)]) -> Option<ZoneGuard> {
        let count = self.suffixes(qname, suffixes);
        let present = (0..count).rev().skip(skip).filter(|&labels| self.zones[labels].load(Ordering::Relaxed) > 0);
        present.map(|labels| suffixes[labels]).find_map(|(hash, at)| self.lookup(hash, &qname[at..]))
    }

    fn lookup(&self, hash: u64, name: &[u8]) -> Option<ZoneGuard> {
        let table = self.shards[shard_of(hash)].table.load();
        table.find(hash, name).map(|(found, ..)| ZoneGuard(found))
    }

    fn hash(&self, name: &[u8]) -> u64 {
        let mut suffixes = [(0, 0); LABELS_MAX + 1];
        let count = self.suffixes(name, &mut suffixes);
        suffixes[count - 1].0
    }

    /// The hash and the start of each suffix of a name, the root first. Returns how many there are, at least one.
    fn suffixes(&self, name: &[u8], out: &mut [(u64, usize)]) -> usize {
        let (mut starts, mut count, mut at) = ([0_u8; LABELS_MAX + 1], 0, 0);
        for label in Labels::of(name).take(out.len() - 1) {
            starts[count] = u8::try_from(at).unwrap_or(u8::MAX);
            count += 1;
            at += label.len() + 1;
        }
        out[0] = (fold(self.seed, 0x9e37_79b9_7f4a_7c15), at);
        let mut hash = out[0].0;
        for (slot, &start) in out[1..].iter_mut().zip(starts[..count].iter().rev()) {
            let start = usize::from(start);
            let label = &name[start..=start + usize::from(name[start])];
            hash = hash_label(hash, self.seed, label);
            *slot = (hash, start);
        }
        count + 1
    }
}

impl Shard {
    /// Puts a zone in or takes it out; returns how many zones there are then.
    fn put(&self, hash: u64, name: &[u8], zone: Option<Zone>, hash_of: impl Fn(&Cell) -> u64) -> usize {
        let table = self.table.load();
        let count = self.zones.load(Ordering::Relaxed);
        let after = match (table.find(hash, name), zone) {
            (Some((_, bucket, number)), Some(zone)) => {
                bucket.zones[number].store(Some(zone.0));
                count
            }
            (Some((_, bucket, number)), None) => {
                bucket.tags.fetch_and(!(0xff << (8 * number)), Ordering::AcqRel);
                bucket.zones[number].store(None);
                count - 1
            }
            (None, Some(zone)) => {
                let is_full = (count + 1) * 16 > table.slots() * FULL_OF_16;
                if is_full {
                    self.rebuild(count + 1, &hash_of).insert(hash, zone.0);
                } else {
                    table.insert(hash, zone.0);
                }
                count + 1
            }
            (None, None) => count,
        };
        self.zones.store(after, Ordering::Relaxed);
        if after < count && table.0.len() > 8 && after * 16 < table.slots() * SPARSE_OF_16 {
            self.rebuild(after, &hash_of);
        }
        after
    }

    /// Builds the table anew for so many zones.
    fn rebuild(&self, zones: usize, hash_of: &impl Fn(&Cell) -> u64) -> Arc<Table> {
        let table = Table::with_room_for(zones);
        self.table.load().cells().for_each(|cell| table.insert(hash_of(&cell), cell));
        let table = Arc::new(table);
        self.table.store(Arc::clone(&table));
        table
    }
}

fn shard_of(hash: u64) -> usize {
    usize::try_from(hash >> 32).unwrap_or(0) & (SHARDS - 1)
}

/// What a bucket keeps of a hash; never 0.
fn tag_of(hash: u64) -> u8 {
    hash.to_be_bytes()[0].max(1)
}

/// Works a label with its length octet into the hash of the labels on its right.
fn hash_label(hash: u64, seed: u64, label: &[u8]) -> u64 {
    let (words, rest) = label.as_chunks::<8>();
    let hash =
        words.iter().fold(hash, |hash, word| fold(hash ^ u64::from_le_bytes(*word), seed ^ 0xa076_1d64_78bd_642f));
    // Octets that are read twice do no harm: the length octet tells labels of different lengths apart.
    let last = match (label.last_chunk::<8>(), rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (Some(last), ..) => u64::from_le_bytes(*last),
        (None, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        _ => rest.iter().fold(0, |word, &octet| word << 8 | u64::from(octet)),
    };
    fold(hash ^ last, seed ^ 0xe703_7ed1_a0b4_28db)
}

/// Multiplies to 128 bits and folds the halves together.
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
    let (low, high) = (wide as u64, (wide >> 64) as u64);
    low ^ high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Revision;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn catalog(zones: &[&str]) -> Catalog {
        let catalog = Catalog::new(7);
        catalog.publish(zones.iter().map(|text| (name(text), Some(Zone::empty(&name(text))))));
        catalog
    }

    fn found(zone: Option<ZoneGuard>) -> Option<String> {
        zone.map(|zone| zone.view().apex().to_string())
    }

    #[test]
    fn the_deepest_zone_is_found() {
        let catalog = catalog(&["com.", "example.com.", "a.b.example.com."]);
        for (qname, zone, above) in [
            ("www.example.com.", Some("example.com."), Some("example.com.")),
            ("example.com.", Some("example.com."), Some("com.")),
            ("x.a.b.example.com.", Some("a.b.example.com."), Some("a.b.example.com.")),
            ("a.b.example.com.", Some("a.b.example.com."), Some("example.com.")),
            ("com.", Some("com."), None),
            ("net.", None, None),
            (".", None, None),
        ] {
            assert_eq!(found(catalog.find(name(qname).as_bytes())).as_deref(), zone, "{qname}");
            assert_eq!(found(catalog.find_above(name(qname).as_bytes())).as_deref(), above, "{qname}");
        }
        catalog.publish([(name("."), Some(Zone::empty(&name("."))))]);
        assert_eq!(found(catalog.find(name("net.").as_bytes())).as_deref(), Some("."));
        assert_eq!(found(catalog.find_above(name("com.").as_bytes())).as_deref(), Some("."));
    }

    #[test]
    fn zones_come_and_go_while_a_reader_holds_one() {
        let catalog = catalog(&["example.com."]);
        let held = catalog.zone(&name("example.com.")).unwrap();
        catalog.publish([(name("example.com."), None)]);
        assert!(catalog.zone(&name("example.com.")).is_none());
        assert_eq!((catalog.len(), held.view().revision()), (0, Revision(0)));
        for round in 0..3 {
            let names: Vec<Name> = (0..20_000).map(|i| name(&format!("z{i}.example."))).collect();
            catalog.publish(names.iter().map(|name| (name.clone(), Some(Zone::empty(name)))));
            assert_eq!(catalog.len(), 20_000);
            for name in &names {
                assert_eq!(catalog.zone(name).unwrap().view().apex(), *name);
            }
            catalog.publish(names.iter().skip(round).map(|name| (name.clone(), None)));
            assert_eq!(catalog.len(), round);
        }
    }
}
