//! All zones of a server, found by name without a lock.
//!
//! ```text
//! Catalog         shards: the current table of each; a change makes a new table of one shard
//! CatalogReader   a thread's own row of tables, brought up to date before each batch of queries
//!   hash of the name ─► table ─► bucket: 64 octets, one cache line
//!                                  tags   an octet of the hash for each of 7 zones, and a mark
//!                                  zones  7 pointers
//!                                    ▼
//!                                  the zone: its apex is compared, and its records follow right after
//! ```
//!
//! A reader looks things up with plain loads: nothing is locked, counted or waited for. So the memory of many queries can
//! be asked for at once. What it holds is replaced at its next [`CatalogReader::refresh`], and freed then.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use rokko_wire::Name;
use rokko_wire::name::Labels;
use rokko_wire::query::FoldedName;

use crate::zone::Cell;
use crate::{Zone, ZoneRef};

/// How many parts the catalog has. A power of two.
const SHARDS: usize = 16_384;
/// How many changes a reader can lag behind and still take over only what changed. A power of two.
const RECENT: usize = 4096;
/// The most labels of a name, the root label not counted.
const LABELS_MAX: usize = 127;
/// The most labels that nearly all names have.
const LABELS_USUAL: usize = 11;
/// Zones in one bucket.
const BUCKET_ZONES: usize = 7;
/// Where a bucket's tags have the mark that a zone of it stands in a later bucket.
const OVERFLOW: u64 = 0xff << 56;
/// How many of 16 slots are taken in a new table, above how many it gets more buckets, and below how many fewer.
const NEW_OF_16: usize = 8;
const FULL_OF_16: usize = 13;
const SPARSE_OF_16: usize = 3;

/// The zones of a server. There is one writer at a time; each thread that answers has a [`CatalogReader`].
///
/// A zone is found by a keyed hash of its name, so that nobody can choose names that collide; then its whole
/// name is compared.
pub struct Catalog {
    shards: Box<[ArcSwap<Table>]>,
    /// The shards of the last changes: change number N at N modulo their count.
    recent: Box<[AtomicU32]>,
    /// How many changes there were.
    changes: AtomicU64,
    seed: u64,
    /// How many zones there are whose name has so many labels: no others are looked for.
    zones: [AtomicUsize; LABELS_MAX + 1],
}

/// One thread's view of a catalog.
pub struct CatalogReader {
    catalog: Arc<Catalog>,
    tables: Box<[Arc<Table>]>,
    /// The number of changes that the tables have.
    changes: u64,
}

/// Zones that are collected to be put into a catalog at once.
pub struct Fill<'c> {
    catalog: &'c Catalog,
    shards: Box<[Vec<(u64, Cell)>]>,
}

/// What the search for a name's zone came to.
#[derive(Clone, Copy)]
pub struct Lookup<'c> {
    /// The deepest zone that contains the name.
    pub zone: Option<ZoneRef<'c>>,
    /// The name's hash, with the catalog's secret seed.
    pub name_hash: u64,
    /// The hash of the zone's name; 0 without one.
    pub apex_hash: u64,
}

/// Where the memory for a query is.
#[derive(Clone, Copy, Default)]
pub struct Hint {
    /// The hash of the name's most likely zone; 0 for a name that cannot have any.
    zone: u64,
    /// As [`Lookup::name_hash`].
    pub name_hash: u64,
}

/// A hash table; a zone stands in the first bucket with room from its own on.
#[derive(Clone)]
struct Table {
    buckets: Box<[Bucket]>,
    zones: usize,
}

#[repr(align(64))]
#[derive(Clone, Default)]
struct Bucket {
    /// An octet per slot, 0 where it is empty; the highest octet is the mark.
    tags: u64,
    zones: [Option<Cell>; BUCKET_ZONES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Table {
    fn with_room_for(zones: usize) -> Self {
        let buckets = (zones * 16).div_ceil(BUCKET_ZONES * NEW_OF_16);
        Self { buckets: vec![Bucket::default(); buckets.max(1)].into(), zones: 0 }
    }

    /// The number of the bucket where a zone with this hash stands if there is room.
    fn home(&self, hash: u64) -> usize {
        // The low half chooses the bucket, the high half the shard and the tag.
        usize::try_from(((hash & 0xffff_ffff) * self.buckets.len() as u64) >> 32).unwrap_or(0)
    }

    /// The bucket and the slot of the zone `name`.
    fn place(&self, hash: u64, name: &[u8]) -> Option<(usize, usize)> {
        let home = self.home(hash);
        for at in (home..self.buckets.len()).chain(0..home) {
            let bucket = &self.buckets[at];
            let is_it = |cell: &Cell| ZoneRef::of(cell).apex_bytes() == name;
            let found = bucket.alike(hash).find(|&slot| bucket.zones[slot].as_ref().is_some_and(is_it));
            if let Some(slot) = found {
                return Some((at, slot));
            }
            if bucket.tags & OVERFLOW == 0 {
                return None;
            }
        }
        None
    }

    fn find(&self, hash: u64, name: &[u8]) -> Option<&Cell> {
        let (bucket, slot) = self.place(hash, name)?;
        self.buckets[bucket].zones[slot].as_ref()
    }

    /// Puts a zone in, replaces it, or takes it out.
    fn put(&mut self, hash: u64, name: &[u8], zone: Option<Cell>) {
        match (self.place(hash, name), zone) {
            (Some((bucket, slot)), Some(zone)) => self.buckets[bucket].zones[slot] = Some(zone),
            (Some((bucket, slot)), None) => {
                let bucket = &mut self.buckets[bucket];
                bucket.tags &= !(0xff << (8 * slot));
                bucket.zones[slot] = None;
                self.zones -= 1;
            }
            (None, Some(zone)) => self.insert(hash, zone),
            (None, None) => {}
        }
    }

    /// Puts in a zone that is not there yet; there is room for it.
    fn insert(&mut self, hash: u64, cell: Cell) {
        let home = self.home(hash);
        for at in (home..self.buckets.len()).chain(0..home) {
            let bucket = &mut self.buckets[at];
            if let Some(slot) = bucket.zones.iter().position(Option::is_none) {
                bucket.zones[slot] = Some(cell);
                bucket.tags |= u64::from(tag_of(hash)) << (8 * slot);
                self.zones += 1;
                return;
            }
            bucket.tags |= OVERFLOW;
        }
    }

    /// The same zones with room for `added` more.
    fn grown(&self, added: usize, hash_of: impl Fn(&Cell) -> u64) -> Self {
        let (wanted, slots) = (self.zones + added, self.buckets.len() * BUCKET_ZONES);
        let is_sparse = self.buckets.len() > 8 && wanted * 16 < slots * SPARSE_OF_16;
        if wanted * 16 <= slots * FULL_OF_16 && !is_sparse {
            return self.clone();
        }
        let mut table = Self::with_room_for(wanted);
        let cells = self.buckets.iter().flat_map(|bucket| bucket.zones.iter().flatten());
        cells.for_each(|cell| table.insert(hash_of(cell), cell.clone()));
        table
    }
}

impl Bucket {
    /// The slots whose zones may have this hash.
    fn alike(&self, hash: u64) -> impl Iterator<Item = usize> {
        const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        const ONES: u64 = 0x0101_0101_0101_0101;
        // All tags at once: octets that are the same become zero, and of these alone the highest bit is set then.
        let different = self.tags ^ (ONES * u64::from(tag_of(hash)));
        let mut same = !(((different & LOW_BITS) + LOW_BITS) | different | LOW_BITS) & !OVERFLOW;
        std::iter::from_fn(move || {
            let slot = (same != 0).then(|| same.trailing_zeros() as usize / 8);
            same &= same.wrapping_sub(1);
            slot
        })
    }
}

impl Catalog {
    /// An empty catalog; `seed` is secret and random.
    pub fn new(seed: u64) -> Self {
        let empty = Arc::new(Table::with_room_for(0));
        Self {
            shards: (0..SHARDS).map(|_| ArcSwap::new(Arc::clone(&empty))).collect(),
            recent: (0..RECENT).map(|_| AtomicU32::new(0)).collect(),
            changes: AtomicU64::new(0),
            seed,
            zones: [const { AtomicUsize::new(0) }; LABELS_MAX + 1],
        }
    }

    /// How many zones there are.
    pub fn len(&self) -> usize {
        self.zones.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Whether there is no zone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The zone with this name, to be kept.
    pub fn zone(&self, name: &Name) -> Option<Zone> {
        let hash = self.hash_of(name.as_bytes());
        self.shards[shard_of(hash)].load().find(hash, name.as_bytes()).cloned().map(Zone)
    }

    /// Puts zones in (`Some`) and takes zones out (`None`). Only one thread may publish at a time; readers see each
    /// zone's change whole. Many changes at once cost less than one by one.
    pub fn publish(&self, changes: impl IntoIterator<Item = (Name, Option<Zone>)>) {
        let mut by_shard: HashMap<usize, Vec<(u64, Name, Option<Zone>)>> = HashMap::new();
        for (name, zone) in changes {
            let hash = self.hash_of(name.as_bytes());
            by_shard.entry(shard_of(hash)).or_default().push((hash, name, zone));
        }
        for (index, changes) in by_shard {
            let old = self.shards[index].load();
            let mut table = old.grown(changes.len(), |cell| self.hash_of(ZoneRef::of(cell).apex_bytes()));
            for (hash, name, zone) in changes {
                self.put(&mut table, hash, name.as_bytes(), zone.map(|zone| zone.0));
            }
            self.store(index, table);
        }
    }

    /// Collects zones for [`Catalog::fill`]. Each thread that loads zones has one of its own.
    pub fn start_fill(&self) -> Fill<'_> {
        Fill { catalog: self, shards: (0..SHARDS).map(|_| Vec::new()).collect() }
    }

    /// Puts in what was collected, which is far cheaper than publishing many zones bit by bit. As with
    /// [`Catalog::publish`], only one thread may write at a time. Of zones with one name the last stays.
    pub fn fill(&self, mut fills: Vec<Fill<'_>>) {
        for (index, shard) in self.shards.iter().enumerate() {
            if fills.iter().all(|fill| fill.shards[index].is_empty()) {
                continue;
            }
            let parts: Vec<_> = fills.iter_mut().map(|fill| std::mem::take(&mut fill.shards[index])).collect();
            let count = parts.iter().map(Vec::len).sum();
            let mut table = shard.load().grown(count, |cell| self.hash_of(ZoneRef::of(cell).apex_bytes()));
            for (hash, cell) in parts.into_iter().flatten() {
                let named = cell.clone();
                self.put(&mut table, hash, ZoneRef::of(&named).apex_bytes(), Some(cell));
            }
            self.store(index, table);
        }
    }

    /// Puts a zone into a table, replaces it or takes it out.
    fn put(&self, table: &mut Table, hash: u64, name: &[u8], zone: Option<Cell>) {
        let before = table.zones;
        table.put(hash, name, zone);
        let added = table.zones.wrapping_sub(before);
        self.zones[Labels::of(name).count()].fetch_add(added, Ordering::Relaxed);
    }

    /// Makes a table the current one of its shard and tells the readers.
    fn store(&self, index: usize, table: Table) {
        self.shards[index].store(Arc::new(table));
        let number = self.changes.load(Ordering::Relaxed);
        let slot = usize::try_from(number).unwrap_or(0) % RECENT;
        self.recent[slot].store(u32::try_from(index).unwrap_or(0), Ordering::Relaxed);
        self.changes.store(number + 1, Ordering::Release);
    }

    /// The hash of a valid name in wire form.
    fn hash_of(&self, name: &[u8]) -> u64 {
        let mut folded = FoldedName::default();
        // Names of zones are valid; what is not would be taken for the root and never be found.
        let _ = folded.load(name);
        self.hash(&folded)
    }

    fn hash(&self, name: &FoldedName) -> u64 {
        (0..name.label_count())
            .rev()
            .fold(self.root_hash(), |hash, index| hash_label(hash, self.seed, name.label_with_len(index)))
    }

    fn root_hash(&self) -> u64 {
        fold(self.seed, 0x9e37_79b9_7f4a_7c15)
    }

    /// Fills in the hash of each suffix of a name, the root's first, and returns that of the name. There must be room for one
    /// hash more than the name has labels.
    fn hashes(&self, name: &FoldedName, out: &mut [u64]) -> u64 {
        let mut hash = self.root_hash();
        let (root, others) = out.split_first_mut().expect("there is room for the root");
        *root = hash;
        for (slot, index) in others.iter_mut().zip((0..name.label_count()).rev()) {
            hash = hash_label(hash, self.seed, name.label_with_len(index));
            *slot = hash;
        }
        hash
    }
}

impl Fill<'_> {
    /// Adds a zone.
    pub fn push(&mut self, zone: Zone) {
        let hash = self.catalog.hash_of(ZoneRef::of(&zone.0).apex_bytes());
        self.shards[shard_of(hash)].push((hash, zone.0));
    }
}

impl CatalogReader {
    /// How many parts [`CatalogReader::zones_in`] has.
    pub const PARTS: usize = SHARDS;

    /// A view of the catalog as it is now.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        let changes = catalog.changes.load(Ordering::Acquire);
        let tables = catalog.shards.iter().map(ArcSwap::load_full).collect();
        Self { catalog, tables, changes }
    }

    /// Takes over what was published before this call, and lets go of what that replaced.
    pub fn refresh(&mut self) {
        let Self { catalog, tables, changes } = self;
        let now = catalog.changes.load(Ordering::Acquire);
        if now == *changes {
            return;
        }
        for number in *changes..now.min(*changes + RECENT as u64) {
            let slot = usize::try_from(number).unwrap_or(0) % RECENT;
            let shard = catalog.recent[slot].load(Ordering::Relaxed) as usize;
            tables[shard] = catalog.shards[shard].load_full();
        }
        // The writer may have gone round and written over what was read just now.
        let last = catalog.changes.load(Ordering::Acquire);
        if last - *changes >= RECENT as u64 {
            tables.iter_mut().zip(&catalog.shards).for_each(|(table, shard)| *table = shard.load_full());
        }
        *changes = now;
    }

    /// What is viewed.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The zones of one part of the view, in no order. All parts together are one state of the catalog if the view was
    /// made or refreshed while nothing was being published.
    pub fn zones_in(&self, part: usize) -> impl Iterator<Item = ZoneRef<'_>> {
        let buckets = self.tables.get(part).map(|table| &table.buckets[..]).unwrap_or_default();
        buckets.iter().flat_map(|bucket| bucket.zones.iter().flatten()).map(ZoneRef::of)
    }

    /// Lets go of one part of the view, which is empty from then on until that part changes and the view is refreshed.
    pub fn let_go(&mut self, part: usize) {
        if let Some(table) = self.tables.get_mut(part)
            && table.zones > 0
        {
            *table = Arc::new(Table::with_room_for(0));
        }
    }

    /// How many zones the catalog has.
    pub fn len(&self) -> usize {
        self.catalog.len()
    }

    /// Whether the catalog has no zone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The deepest zone that contains `qname`.
    pub fn find(&self, qname: &FoldedName) -> Lookup<'_> {
        self.find_from(qname, 0)
    }

    /// The deepest zone that contains `qname` and has another name: where DS records of `qname` belong.
    pub fn find_above(&self, qname: &FoldedName) -> Lookup<'_> {
        self.find_from(qname, 1)
    }

    /// The hash that a look-up of this name gives.
    pub fn hash(&self, name: &FoldedName) -> u64 {
        self.catalog.hash(name)
    }

    /// Where a name's zone most likely is.
    pub fn hint(&self, qname: &FoldedName) -> Hint {
        let labels = qname.label_count();
        if labels > LABELS_USUAL {
            return Hint { zone: 0, name_hash: self.hash(qname) };
        }
        let mut hashes = [0; LABELS_USUAL + 1];
        let name_hash = self.catalog.hashes(qname, &mut hashes);
        let zone = (0..=labels).rev().find(|&labels| self.has_zones(labels)).map_or(0, |labels| hashes[labels]);
        Hint { zone, name_hash }
    }

    /// Asks for the memory of the zones that `hints` lead to, of all at once, so that looking them up does not wait for one
    /// after another. Returns a number that only serves to keep the loads.
    pub fn touch(&self, hints: &[Hint]) -> u64 {
        let bucket = |hint: &Hint| {
            let table = &self.tables[shard_of(hint.zone)];
            &table.buckets[table.home(hint.zone)]
        };
        let tags = hints.iter().fold(0, |sum: u64, hint| sum ^ bucket(hint).tags);
        hints.iter().fold(tags, |sum, hint| {
            let bucket = bucket(hint);
            let zone = bucket.alike(hint.zone).next().and_then(|slot| bucket.zones[slot].as_ref());
            // The zone's second line has its page's start.
            let octets = zone.map_or(0, |cell| cell.slice.get(40).or(cell.slice.last()).copied().unwrap_or(0));
            sum ^ u64::from(octets)
        })
    }

    fn has_zones(&self, labels: usize) -> bool {
        self.catalog.zones[labels].load(Ordering::Relaxed) > 0
    }

    fn find_from(&self, qname: &FoldedName, skip: usize) -> Lookup<'_> {
        // Few names have many labels, and clearing room for all that a name may have costs more than the search.
        match qname.label_count() {
            ..=LABELS_USUAL => self.find_in(qname, skip, &mut [0; LABELS_USUAL + 1]),
            _ => self.find_in(qname, skip, &mut [0; LABELS_MAX + 1]),
        }
    }

    fn find_in(&self, qname: &FoldedName, skip: usize, hashes: &mut [u64]) -> Lookup<'_> {
        let name_hash = self.catalog.hashes(qname, hashes);
        let count = qname.label_count();
        let found = (0..=count).rev().skip(skip).filter(|&labels| self.has_zones(labels)).find_map(|labels| {
            let hash = hashes[labels];
            let cell = self.tables[shard_of(hash)].find(hash, qname.suffix(count - labels))?;
            Some((ZoneRef::of(cell), hash))
        });
        Lookup { zone: found.map(|(zone, _)| zone), name_hash, apex_hash: found.map_or(0, |(_, hash)| hash) }
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

    fn reader(zones: &[&str]) -> CatalogReader {
        let catalog = Catalog::new(7);
        catalog.publish(zones.iter().map(|text| (name(text), Some(Zone::empty(&name(text))))));
        CatalogReader::new(Arc::new(catalog))
    }

    fn folded(name: &Name) -> FoldedName {
        let mut folded = FoldedName::default();
        folded.load(name.as_bytes()).unwrap();
        folded
    }

    fn found(lookup: Lookup<'_>) -> Option<String> {
        lookup.zone.map(|zone| zone.apex().to_string())
    }

    #[test]
    fn the_deepest_zone_is_found() {
        let mut reader = reader(&["com.", "example.com.", "a.b.example.com."]);
        for (qname, zone, above) in [
            ("www.example.com.", Some("example.com."), Some("example.com.")),
            ("example.com.", Some("example.com."), Some("com.")),
            ("x.a.b.example.com.", Some("a.b.example.com."), Some("a.b.example.com.")),
            ("a.b.example.com.", Some("a.b.example.com."), Some("example.com.")),
            ("1.2.3.4.5.6.7.8.9.10.11.12.example.com.", Some("example.com."), Some("example.com.")),
            ("com.", Some("com."), None),
            ("net.", None, None),
            (".", None, None),
        ] {
            assert_eq!(found(reader.find(&folded(&name(qname)))).as_deref(), zone, "{qname}");
            assert_eq!(found(reader.find_above(&folded(&name(qname)))).as_deref(), above, "{qname}");
            let Lookup { zone, name_hash, apex_hash } = reader.find(&folded(&name(qname)));
            assert_eq!(
                [reader.hash(&folded(&name(qname))), reader.hint(&folded(&name(qname))).name_hash],
                [name_hash; 2]
            );
            assert_eq!(apex_hash, zone.map_or(0, |zone| reader.hash(&folded(&zone.apex()))));
        }
        reader.catalog.publish([(name("."), Some(Zone::empty(&name("."))))]);
        assert_eq!(found(reader.find(&folded(&name("net.")))), None, "nothing changes before the refresh");
        reader.refresh();
        assert_eq!(found(reader.find(&folded(&name("net.")))).as_deref(), Some("."));
        assert_eq!(found(reader.find_above(&folded(&name("com.")))).as_deref(), Some("."));
    }

    #[test]
    fn zones_come_and_go_under_a_reader() {
        let mut reader = reader(&["example.com."]);
        let catalog = Arc::clone(&reader.catalog);
        let held = catalog.zone(&name("example.com.")).unwrap();
        catalog.publish([(name("example.com."), None)]);
        assert!(catalog.zone(&name("example.com.")).is_none());
        assert_eq!((catalog.len(), held.revision()), (0, Revision(0)));
        // More shards change than a reader can take over one by one.
        for round in 0..3 {
            let names: Vec<Name> = (0..60_000).map(|i| name(&format!("z{i}.example."))).collect();
            catalog.publish(names.iter().map(|name| (name.clone(), Some(Zone::empty(name)))));
            assert_eq!(catalog.len(), 60_000);
            reader.refresh();
            for name in &names {
                assert_eq!(reader.find(&folded(name)).zone.unwrap().apex(), *name);
            }
            catalog.publish(names.iter().skip(round).map(|name| (name.clone(), None)));
            assert_eq!(catalog.len(), round);
            reader.refresh();
            assert_eq!(names.iter().filter(|name| reader.find(&folded(name)).zone.is_some()).count(), round);
        }
    }

    #[test]
    fn a_fill_is_as_many_changes() {
        let catalog = Arc::new(Catalog::new(7));
        let zone = |i: u64, revision| Zone::empty(&name(&format!("z{i}.example."))).with_revision(Revision(revision));
        catalog.publish([(zone(3, 1).apex(), Some(zone(3, 1)))]);
        let mut reader = CatalogReader::new(Arc::clone(&catalog));
        let mut fills = vec![catalog.start_fill(), catalog.start_fill()];
        (0..50_000).for_each(|i| fills[usize::from(i % 2 == 0)].push(zone(i, 2)));
        fills[0].push(zone(4, 3));
        catalog.fill(fills);
        assert_eq!(reader.find(&folded(&zone(5, 0).apex())).zone.map(ZoneRef::revision), None);
        reader.refresh();
        assert_eq!(catalog.len(), 50_000);
        for i in 0..50_000 {
            assert!(reader.find(&folded(&zone(i, 0).apex())).zone.unwrap().revision() >= Revision(2));
        }
        let listed: usize = (0..CatalogReader::PARTS).map(|part| reader.zones_in(part).count()).sum();
        assert_eq!(listed, 50_000);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test is the caller who owns the threads")]
    fn a_reader_keeps_up_with_a_writer() {
        let mut reader = reader(&[]);
        let catalog = Arc::clone(&reader.catalog);
        let count = 20_000_u64;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for revision in 1..=count {
                    let zone = name(&format!("z{}.example.", revision % 7000));
                    catalog.publish([(zone.clone(), Some(Zone::empty(&zone).with_revision(Revision(revision))))]);
                }
            });
            // What is seen never goes back.
            let watched = folded(&name("z5.example."));
            let mut last = Revision(0);
            while last.0 + 7000 <= count {
                reader.refresh();
                let seen = reader.find(&watched).zone.map_or(Revision(0), ZoneRef::revision);
                assert!(seen >= last);
                last = seen;
                reader.touch(&[reader.hint(&watched), Hint::default()]);
            }
        });
        reader.refresh();
        for index in 0..7000 {
            let zone = name(&format!("z{index}.example."));
            let newest = (1..=count).rev().find(|revision| revision % 7000 == index).unwrap();
            assert_eq!(reader.find(&folded(&zone)).zone.map(ZoneRef::revision), Some(Revision(newest)));
        }
    }
}
