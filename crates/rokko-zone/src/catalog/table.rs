//! The zones of one shard in buckets, one cache line each.

use std::sync::Arc;

use super::tag_of;
use crate::ZoneRef;
use crate::zone::Cell;

/// Zones in one bucket.
const BUCKET_ZONES: usize = 7;
/// Where a bucket's tags have the mark that a zone of it stands in a later bucket.
const OVERFLOW: u64 = 0xff << 56;
/// How many of 16 slots are taken in a new table, above how many it gets more buckets, and below how many fewer.
const NEW_OF_16: usize = 8;
const FULL_OF_16: usize = 13;
const SPARSE_OF_16: usize = 3;

/// A hash table; a zone stands in the first bucket with room from its own on.
pub(super) struct Table {
    /// Shared with the readers once the table is the current one of its shard; then it changes no more.
    pub(super) buckets: Arc<[Bucket]>,
    zones: usize,
}

#[repr(align(64))]
#[derive(Clone, Default)]
pub(super) struct Bucket {
    /// An octet per slot, 0 where it is empty; the highest octet is the mark.
    pub(super) tags: u64,
    pub(super) zones: [Option<Cell>; BUCKET_ZONES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// The number of the bucket where a zone with this hash stands if there is room.
#[inline]
pub(super) fn home(buckets: &[Bucket], hash: u64) -> usize {
    // The low half chooses the bucket, the high half the shard and the tag.
    usize::try_from(((hash & 0xffff_ffff) * buckets.len() as u64) >> 32).unwrap_or(0)
}

/// The zone `name`.
#[inline]
pub(super) fn find<'b>(buckets: &'b [Bucket], hash: u64, name: &[u8]) -> Option<&'b Cell> {
    let (bucket, slot) = place(buckets, hash, name)?;
    buckets[bucket].zones[slot].as_ref()
}

/// The bucket and the slot of the zone `name`.
#[inline]
fn place(buckets: &[Bucket], hash: u64, name: &[u8]) -> Option<(usize, usize)> {
    let home = home(buckets, hash);
    let mut at = home;
    loop {
        let bucket = &buckets[at];
        let is_it = |cell: &Cell| ZoneRef::of(cell).apex_bytes() == name;
        let found = bucket.alike(hash).find(|&slot| bucket.zones[slot].as_ref().is_some_and(is_it));
        if let Some(slot) = found {
            return Some((at, slot));
        }
        at = if at + 1 < buckets.len() { at + 1 } else { 0 };
        if bucket.tags & OVERFLOW == 0 || at == home {
            return None;
        }
    }
}

impl Table {
    pub(super) fn with_room_for(zones: usize) -> Self {
        let buckets = (zones * 16).div_ceil(BUCKET_ZONES * NEW_OF_16);
        Self { buckets: (0..buckets.max(1)).map(|_| Bucket::default()).collect(), zones: 0 }
    }

    /// How many zones it has.
    pub(super) fn len(&self) -> usize {
        self.zones
    }

    pub(super) fn find(&self, hash: u64, name: &[u8]) -> Option<&Cell> {
        find(&self.buckets, hash, name)
    }

    /// Puts a zone in, replaces it, or takes it out.
    pub(super) fn put(&mut self, hash: u64, name: &[u8], zone: Option<Cell>) {
        match (place(&self.buckets, hash, name), zone) {
            (Some((bucket, slot)), Some(zone)) => self.own()[bucket].zones[slot] = Some(zone),
            (Some((bucket, slot)), None) => {
                let bucket = &mut self.own()[bucket];
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
        let home = home(&self.buckets, hash);
        let buckets = self.own();
        for at in (home..buckets.len()).chain(0..home) {
            let bucket = &mut buckets[at];
            if let Some(slot) = bucket.zones.iter().position(Option::is_none) {
                bucket.zones[slot] = Some(cell);
                bucket.tags |= u64::from(tag_of(hash)) << (8 * slot);
                self.zones += 1;
                return;
            }
            bucket.tags |= OVERFLOW;
        }
    }

    fn own(&mut self) -> &mut [Bucket] {
        Arc::get_mut(&mut self.buckets).expect("a table is changed before it is shared only")
    }

    /// A table of its own with the same zones and room for `added` more.
    pub(super) fn grown(&self, added: usize, hash_of: impl Fn(&Cell) -> u64) -> Self {
        let (wanted, slots) = (self.zones + added, self.buckets.len() * BUCKET_ZONES);
        let is_sparse = self.buckets.len() > 8 && wanted * 16 < slots * SPARSE_OF_16;
        if wanted * 16 <= slots * FULL_OF_16 && !is_sparse {
            return Self { buckets: self.buckets.iter().cloned().collect(), zones: self.zones };
        }
        let mut table = Self::with_room_for(wanted);
        let cells = self.buckets.iter().flat_map(|bucket| bucket.zones.iter().flatten());
        cells.for_each(|cell| table.insert(hash_of(cell), cell.clone()));
        table
    }
}

impl Bucket {
    /// The slots whose zones may have this hash.
    #[inline]
    pub(super) fn alike(&self, hash: u64) -> impl Iterator<Item = usize> {
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
