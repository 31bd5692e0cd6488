//! All zones of a server, found by name without a lock.
//!
//! ```text
//! Catalog         shards: the current table of each; a change makes a new table of one shard
//! CatalogReader   a thread's own row of the tables' buckets, brought up to date before each batch of queries
//!   hash of the name ─► table ─► bucket: 64 octets, one cache line
//!                                  tags   an octet of the hash for each of 7 zones, and a mark
//!                                  zones  7 pointers
//!                                    ▼
//!                                  the zone: its apex is compared, and its records follow right after
//! ```
//!
//! A reader looks things up with plain loads: nothing is locked, counted or waited for. So the memory of many queries can
//! be asked for at once. What it holds is replaced at its next [`CatalogReader::refresh`], and freed then.

mod reader;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use rokko_wire::Name;
use rokko_wire::name::Labels;
use rokko_wire::query::FoldedName;

use crate::zone::Cell;
use crate::{Zone, ZoneRef};

pub use reader::{CatalogReader, Hint, Lookup};
use table::Table;

/// How many parts the catalog has. A power of two.
const SHARDS: usize = 16_384;
/// How many changes a reader can lag behind and still take over only what changed. A power of two.
const RECENT: usize = 4096;
/// The most labels of a name, the root label not counted.
const LABELS_MAX: usize = 127;
/// The most labels that nearly all names have.
const LABELS_USUAL: usize = 11;

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

/// Zones that are collected to be put into a catalog at once.
pub struct Fill<'c> {
    catalog: &'c Catalog,
    shards: Box<[Vec<(u64, Cell)>]>,
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
        let before = table.len();
        table.put(hash, name, zone);
        let added = table.len().wrapping_sub(before);
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
            .fold(self.root_hash(), |hash, index| self.with_label(hash, name.label_with_len(index)))
    }

    fn root_hash(&self) -> u64 {
        fold(self.seed, 0x9e37_79b9_7f4a_7c15)
    }

    /// The hash of a name with one more label on the left, which comes with its length.
    #[inline]
    fn with_label(&self, hash: u64, label: &[u8]) -> u64 {
        hash_label(hash, self.seed, label)
    }

    /// Fills in the hash of each suffix of a name, the root's first. There must be room for one hash more than the name has
    /// labels.
    fn hashes(&self, name: &FoldedName, out: &mut [u64]) {
        let mut hash = self.root_hash();
        let (root, others) = out.split_first_mut().expect("there is room for the root");
        *root = hash;
        for (slot, index) in others.iter_mut().zip((0..name.label_count()).rev()) {
            hash = self.with_label(hash, name.label_with_len(index));
            *slot = hash;
        }
    }
}

impl Fill<'_> {
    /// Adds a zone.
    pub fn push(&mut self, zone: Zone) {
        let hash = self.catalog.hash_of(ZoneRef::of(&zone.0).apex_bytes());
        self.shards[shard_of(hash)].push((hash, zone.0));
    }
}

#[inline]
fn shard_of(hash: u64) -> usize {
    usize::try_from(hash >> 32).unwrap_or(0) & (SHARDS - 1)
}

/// What a bucket keeps of a hash; never 0.
#[inline]
fn tag_of(hash: u64) -> u8 {
    hash.to_be_bytes()[0].max(1)
}

/// Works a label with its length octet into the hash of the labels on its right.
#[inline]
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
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
    let (low, high) = (wide as u64, (wide >> 64) as u64);
    low ^ high
}
