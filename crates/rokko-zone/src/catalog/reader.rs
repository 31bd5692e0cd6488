//! A thread's view of the catalog.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use rokko_wire::query::FoldedName;

use super::table::{Bucket, Table, find, home};
use super::{Catalog, LABELS_MAX, LABELS_USUAL, RECENT, SHARDS, shard_of};
use crate::ZoneRef;

/// Octets of a cache line.
const LINE: usize = 64;
/// The first octet of a zone's block that surely lies in its second line, counted without the head, and how many lines of a zone are asked for from there on: small
/// zones have no more.
const TOUCHED_FROM: usize = 40;
const TOUCHED_LINES: usize = 5;

/// One thread's view of a catalog.
pub struct CatalogReader {
    pub(super) catalog: Arc<Catalog>,
    /// The buckets of each shard's table, with their number right here: one load less on the way to a zone.
    tables: Box<[Arc<[Bucket]>]>,
    /// The number of changes that the tables have.
    changes: u64,
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

/// Where the zone of a name most likely is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// The hash of the longest suffix of the name that is as long as the name of some zone; 0 if there is none.
    zone: u64,
    /// How many labels are before that suffix.
    labels_before: u8,
    /// As [`Lookup::name_hash`].
    pub name_hash: u64,
}

impl CatalogReader {
    /// How many parts [`CatalogReader::zones_in`] has.
    pub const PARTS: usize = SHARDS;

    /// A view of the catalog as it is now.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        let changes = catalog.changes.load(Ordering::Acquire);
        let tables = catalog.shards.iter().map(current).collect();
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
            tables[shard] = current(&catalog.shards[shard]);
        }
        // The writer may have gone round and written over what was read just now.
        let last = catalog.changes.load(Ordering::Acquire);
        if last - *changes >= RECENT as u64 {
            tables.iter_mut().zip(&catalog.shards).for_each(|(table, shard)| *table = current(shard));
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
        let buckets = self.tables.get(part).map(|table| &table[..]).unwrap_or_default();
        buckets.iter().flat_map(|bucket| bucket.zones.iter().flatten()).map(ZoneRef::of)
    }

    /// Lets go of one part of the view, which is empty from then on until that part changes and the view is refreshed.
    pub fn let_go(&mut self, part: usize) {
        if let Some(table) = self.tables.get_mut(part)
            && table.iter().any(|bucket| bucket.zones.iter().any(Option::is_some))
        {
            *table = Table::with_room_for(0).buckets;
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
        self.find_by_hint(qname, self.hint(qname))
    }

    /// As [`CatalogReader::find`], with what [`CatalogReader::hint`] gave for this very name.
    #[inline]
    pub fn find_by_hint(&self, qname: &FoldedName, hint: Hint) -> Lookup<'_> {
        let before = usize::from(hint.labels_before);
        match find(&self.tables[shard_of(hint.zone)], hint.zone, qname.suffix(before)) {
            Some(cell) => Lookup { zone: Some(ZoneRef::of(cell)), name_hash: hint.name_hash, apex_hash: hint.zone },
            None => self.find_from(qname, before + 1, hint.name_hash),
        }
    }

    /// The deepest zone that contains `qname` and has another name: where DS records of `qname` belong.
    pub fn find_above(&self, qname: &FoldedName) -> Lookup<'_> {
        self.find_from(qname, 1, self.hash(qname))
    }

    /// The hash that a look-up of this name gives.
    pub fn hash(&self, name: &FoldedName) -> u64 {
        self.catalog.hash(name)
    }

    /// Where a name's zone most likely is.
    #[inline]
    pub fn hint(&self, qname: &FoldedName) -> Hint {
        let count = qname.label_count();
        let mut hint = Hint::default();
        let mut hash = self.catalog.root_hash();
        let mut labels_before = qname.label_count();
        loop {
            if self.has_zones(count - labels_before) {
                // A name has at most 127 labels.
                (hint.zone, hint.labels_before) = (hash, u8::try_from(labels_before).unwrap_or(0));
            }
            if labels_before == 0 {
                hint.name_hash = hash;
                return hint;
            }
            labels_before -= 1;
            hash = self.catalog.with_label(hash, qname.label_with_len(labels_before));
        }
    }

    /// Asks for the memory where the way to zones begins that `hints` lead to, of all at once. Returns a number that only serves to
    /// keep the loads.
    pub fn touch_ways(&self, hints: impl Iterator<Item = Hint>) -> u64 {
        hints.fold(0, |sum, hint| sum ^ self.bucket(hint).tags)
    }

    /// Asks for the memory of the zones themselves. That is of use after [`CatalogReader::touch_ways`], and after something else
    /// that takes a while.
    pub fn touch_zones(&self, hints: impl Iterator<Item = Hint>) -> u64 {
        hints.fold(0, |sum, hint| {
            let bucket = self.bucket(hint);
            let zone = bucket.alike(hint.zone).next().and_then(|slot| bucket.zones[slot].as_ref());
            zone.map_or(sum, |cell| {
                // The zone's first line is that of its length; the next ones follow at once.
                let lines = cell.slice.iter().skip(TOUCHED_FROM).step_by(LINE).take(TOUCHED_LINES);
                lines.fold(sum, |sum, octet| sum ^ u64::from(*octet))
            })
        })
    }

    #[inline]
    fn bucket(&self, hint: Hint) -> &Bucket {
        let table = &self.tables[shard_of(hint.zone)];
        &table[home(table, hint.zone)]
    }

    #[inline]
    fn has_zones(&self, labels: usize) -> bool {
        self.catalog.zones[labels].load(Ordering::Relaxed) > 0
    }

    /// The deepest zone that is named by what is left of `qname` without its first `skip` labels, or without more.
    fn find_from(&self, qname: &FoldedName, skip: usize, name_hash: u64) -> Lookup<'_> {
        let none = Lookup { zone: None, name_hash, apex_hash: 0 };
        let count = qname.label_count();
        if skip > count || !(0..=count - skip).any(|labels| self.has_zones(labels)) {
            return none;
        }
        // Few names have many labels, and clearing room for all that a name may have costs more than the search.
        let found = match count {
            ..=LABELS_USUAL => self.find_in(qname, skip, &mut [0; LABELS_USUAL + 1]),
            _ => self.find_in(qname, skip, &mut [0; LABELS_MAX + 1]),
        };
        found.map_or(none, |(zone, apex_hash)| Lookup { zone: Some(zone), name_hash, apex_hash })
    }

    fn find_in(&self, qname: &FoldedName, skip: usize, hashes: &mut [u64]) -> Option<(ZoneRef<'_>, u64)> {
        self.catalog.hashes(qname, hashes);
        let count = qname.label_count();
        (0..=count).rev().skip(skip).filter(|&labels| self.has_zones(labels)).find_map(|labels| {
            let hash = hashes[labels];
            let cell = find(&self.tables[shard_of(hash)], hash, qname.suffix(count - labels))?;
            Some((ZoneRef::of(cell), hash))
        })
    }
}

/// The buckets of a shard's current table.
fn current(shard: &ArcSwap<Table>) -> Arc<[Bucket]> {
    Arc::clone(&shard.load().buckets)
}
