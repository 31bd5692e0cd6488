//! All zones of a server, found by name without a lock.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::{ArcSwap, Guard};
use hashbrown::HashTable;
use rokko_wire::Name;
use rokko_wire::name::Labels;

use crate::Zone;

/// How many parts the catalog has; a change replaces one part. A power of two.
const SHARDS: usize = 4096;
/// The most labels of a name, the root label not counted.
const LABELS_MAX: usize = 127;

/// The zones of a server. Readers never wait; there is one writer at a time.
///
/// A zone is found by a keyed hash of its name, so that nobody can choose names that collide; then its whole
/// name is compared.
pub struct Catalog {
    shards: Box<[ArcSwap<Shard>]>,
    seed: u64,
    zones: AtomicUsize,
}

#[derive(Clone, Default)]
struct Shard(HashTable<(u64, Zone)>);

/// A zone, held against removal while it is read.
pub struct ZoneGuard {
    shard: Guard<Arc<Shard>>,
    bucket: usize,
}

impl Deref for ZoneGuard {
    type Target = Zone;

    fn deref(&self) -> &Zone {
        let (_, zone) = self.shard.0.get_bucket(self.bucket).expect("the shard is immutable and had this bucket");
        zone
    }
}

impl Catalog {
    /// An empty catalog; `seed` is secret and random.
    pub fn new(seed: u64) -> Self {
        let shards = (0..SHARDS).map(|_| ArcSwap::default()).collect();
        Self { shards, seed, zones: AtomicUsize::new(0) }
    }

    /// How many zones there are.
    pub fn len(&self) -> usize {
        self.zones.load(Ordering::Relaxed)
    }

    /// Whether there is no zone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The zone with this name.
    pub fn zone(&self, name: &Name) -> Option<ZoneGuard> {
        let mut suffixes = [(0, 0); LABELS_MAX + 1];
        let count = self.suffixes(name.as_bytes(), &mut suffixes);
        self.lookup(suffixes[count - 1].0, name.as_bytes())
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
        let mut by_shard: HashMap<usize, Vec<(u64, Name, Option<Zone>)>> = HashMap::new();
        for (name, zone) in changes {
            let mut suffixes = [(0, 0); LABELS_MAX + 1];
            let count = self.suffixes(name.as_bytes(), &mut suffixes);
            let hash = suffixes[count - 1].0;
            by_shard.entry(shard_of(hash)).or_default().push((hash, name, zone));
        }
        for (index, changes) in by_shard {
            let mut shard = Shard::clone(&self.shards[index].load());
            let before = shard.0.len();
            for (hash, name, zone) in changes {
                shard.put(hash, &name, zone);
            }
            let after = shard.0.len();
            self.shards[index].store(Arc::new(shard));
            self.zones.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    fn find_from(&self, qname: &[u8], skip: usize) -> Option<ZoneGuard> {
        let mut suffixes = [(0, 0); LABELS_MAX + 1];
        let count = self.suffixes(qname, &mut suffixes);
        suffixes[..count].iter().rev().skip(skip).find_map(|&(hash, at)| self.lookup(hash, &qname[at..]))
    }

    fn lookup(&self, hash: u64, name: &[u8]) -> Option<ZoneGuard> {
        let shard = self.shards[shard_of(hash)].load();
        let is_it = |(found, zone): &(u64, Zone)| *found == hash && zone.apex().as_bytes() == name;
        let bucket = shard.0.find_bucket_index(hash, is_it)?;
        Some(ZoneGuard { shard, bucket })
    }

    /// The hash and the start of each suffix of a name, the root first. Returns how many there are; at least one.
    fn suffixes(&self, name: &[u8], out: &mut [(u64, usize); LABELS_MAX + 1]) -> usize {
        let (mut starts, mut count, mut at) = ([0_u8; LABELS_MAX + 1], 0, 0);
        for label in Labels::of(name).take(LABELS_MAX) {
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
    fn put(&mut self, hash: u64, name: &Name, zone: Option<Zone>) {
        let same = |(found, old): &(u64, Zone)| *found == hash && old.apex() == name;
        match (self.0.find_mut(hash, same), zone) {
            (Some(slot), Some(zone)) => slot.1 = zone,
            (None, Some(zone)) => {
                self.0.insert_unique(hash, (hash, zone), |(hash, _)| *hash);
            }
            (Some(_), None) => {
                if let Ok(entry) = self.0.find_entry(hash, same) {
                    entry.remove();
                }
            }
            (None, None) => {}
        }
    }
}

fn shard_of(hash: u64) -> usize {
    // The table inside a shard takes the low and the top bits.
    usize::try_from(hash >> 32).unwrap_or(0) & (SHARDS - 1)
}

/// Works a label with its length octet into the hash of the labels on its right.
fn hash_label(hash: u64, seed: u64, label: &[u8]) -> u64 {
    let mut hash = hash;
    let mut chunks = label.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        hash = fold(hash ^ word, seed ^ 0xa076_1d64_78bd_642f);
    }
    let mut last = [0; 8];
    last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    fold(hash ^ u64::from_le_bytes(last), seed ^ 0xe703_7ed1_a0b4_28db)
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
        catalog.publish(zones.iter().map(|text| (name(text), Some(Zone::empty(name(text))))));
        catalog
    }

    fn found(zone: Option<ZoneGuard>) -> Option<String> {
        zone.map(|zone| zone.apex().to_string())
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
        catalog.publish([(name("."), Some(Zone::empty(name("."))))]);
        assert_eq!(found(catalog.find(name("net.").as_bytes())).as_deref(), Some("."));
        assert_eq!(found(catalog.find_above(name("com.").as_bytes())).as_deref(), Some("."));
    }

    #[test]
    fn zones_come_and_go_while_a_reader_holds_one() {
        let catalog = catalog(&["example.com."]);
        let held = catalog.zone(&name("example.com.")).unwrap();
        catalog.publish([(name("example.com."), None)]);
        assert!(catalog.zone(&name("example.com.")).is_none());
        assert_eq!((catalog.len(), held.revision()), (0, Revision(0)));
        for round in 0..3 {
            let names: Vec<Name> = (0..20_000).map(|i| name(&format!("z{i}.example."))).collect();
            catalog.publish(names.iter().map(|name| (name.clone(), Some(Zone::empty(name.clone())))));
            assert_eq!(catalog.len(), 20_000);
            for name in &names {
                assert_eq!(catalog.zone(name).unwrap().apex(), name);
            }
            catalog.publish(names.iter().skip(round).map(|name| (name.clone(), None)));
            assert_eq!(catalog.len(), round);
        }
    }
}
