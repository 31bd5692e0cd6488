//! How much of its limit each client prefix and kind of response has used: one table for all threads.
//!
//! An entry is one number: the time at which everything that has been taken will be paid back (the "theoretical arrival
//! time" of the generic cell rate algorithm, ITU-T I.371). A response costs the inverse of its rate; it is over the limit
//! if that would push the time further ahead of now than the burst. So an entry needs no timer and grows stale by
//! itself, and what is over the limit changes nothing, however much comes.
//!
//! A cache line holds eight entries, and a key belongs to one line. A new key takes the place of the entry that owes least, so
//! the keys that are near their limits, which are those that matter, stay under a flood of keys that are seen once.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Entries of a cache line.
const WAYS: usize = 8;
/// Bits of an entry's time; the others tell the keys of a line apart.
const TIME_BITS: u32 = 44;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// Units of time in a millisecond, as a power of two: a unit is about 61 nanoseconds, and the time comes round after
/// twelve days.
const UNITS_PER_MS_LOG2: u32 = 14;
/// Units of a second.
const UNITS_PER_S: u64 = 1000 << UNITS_PER_MS_LOG2;
/// How far beyond the burst an entry may be ahead of a thread whose clock is behind that of another; an entry further
/// ahead is from before the clock was set, and counts for nothing.
const SKEW: u64 = UNITS_PER_S;
/// How often an entry is tried to be changed when other threads change the same line.
const ATTEMPTS_MAX: usize = 4;

/// Fewest entries of a table.
pub const RATE_ENTRIES_MIN: usize = 1024;
/// Most entries of a table: 8 GiB.
pub const RATE_ENTRIES_MAX: usize = 1 << 30;
/// The highest rate, in responses per second.
pub const RATE_MAX: u32 = 1_000_000;

/// The state of the rate limits, shared by all threads. Its size never changes; there is no lock.
pub struct RateTable {
    lines: Box<[Line]>,
    seeds: [u64; 2],
}

#[repr(align(64))]
struct Line([AtomicU64; WAYS]);

impl fmt::Debug for RateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The seeds are a secret.
        f.debug_struct("RateTable").field("entries", &self.entries()).finish_non_exhaustive()
    }
}

/// What one response costs and how much can be owed, in units of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limit {
    cost: u64,
    burst: u64,
}

impl Limit {
    /// A limit of so many responses per second, at most [`RATE_MAX`], of which those of `burst_ms` can come at once; `None` if
    /// the rate is 0, which is no limit.
    pub(super) fn new(per_second: u32, burst_ms: u32) -> Option<Self> {
        let cost = UNITS_PER_S.checked_div(u64::from(per_second.min(RATE_MAX)))?;
        // At least one response, however short the burst.
        let burst = (u64::from(burst_ms) << UNITS_PER_MS_LOG2).clamp(cost, TIME_MASK / 4);
        Some(Self { cost, burst })
    }
}

impl RateTable {
    /// A table with room for at least `entries` keys, rounded up to a power of two within [`RATE_ENTRIES_MIN`] and
    /// [`RATE_ENTRIES_MAX`], at eight octets each. `seeds` are a secret, so that nobody can choose keys that collide.
    pub fn new(entries: usize, seeds: [u64; 2]) -> Self {
        let lines = entries.clamp(RATE_ENTRIES_MIN, RATE_ENTRIES_MAX).next_power_of_two() / WAYS;
        // So that seeds with few bits set, such as those of a test, mix as well as others do.
        let seeds = [seeds[0] ^ 0x9e37_79b9_7f4a_7c15, seeds[1] ^ 0xd1b5_4a32_d192_ed03];
        Self { lines: (0..lines).map(|_| Line(Default::default())).collect(), seeds }
    }

    /// How many keys there is room for.
    pub fn entries(&self) -> usize {
        self.lines.len() * WAYS
    }

    /// Mixes two numbers, in a way that only those who know the seeds can foresee.
    pub(super) fn mix(&self, a: u64, b: u64) -> u64 {
        let product = u128::from(a ^ self.seeds[0]) * u128::from(b ^ self.seeds[1]);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
        let [low, high] = [product as u64, (product >> 64) as u64];
        low ^ high
    }

    /// Loads something of the line that the key with this hash belongs to.
    pub(super) fn touch(&self, hash: u64) -> u64 {
        self.line(hash).0[0].load(Ordering::Relaxed)
    }

    /// Takes one response from the limit of the key with this hash. False if that is over the limit; then nothing is taken.
    pub(super) fn take(&self, hash: u64, limit: Limit, now_ms: u64) -> bool {
        let line = self.line(hash);
        let tag = hash >> TIME_BITS;
        let now = (now_ms << UNITS_PER_MS_LOG2) & TIME_MASK;
        for _ in 0..ATTEMPTS_MAX {
            let found = line.find(tag, now, limit);
            let debt = if found.is_hit { found.debt } else { 0 };
            if debt + limit.cost > limit.burst {
                return false;
            }
            let paid_at = now.wrapping_add(debt + limit.cost) & TIME_MASK;
            let new = tag << TIME_BITS | paid_at;
            let entry = &line.0[found.way];
            if entry.compare_exchange_weak(found.entry, new, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return true;
            }
        }
        // Others are that fast on this line only if it is not a limit that is being reached; erring in favour of the client.
        true
    }

    fn line(&self, hash: u64) -> &Line {
        &self.lines[usize::try_from(hash & (self.lines.len() as u64 - 1)).unwrap_or_default()]
    }
}

/// The entry of a key, or the one that it can replace.
struct Found {
    is_hit: bool,
    way: usize,
    entry: u64,
    debt: u64,
}

impl Line {
    fn find(&self, tag: u64, now: u64, limit: Limit) -> Found {
        let load = |way: usize| self.0[way].load(Ordering::Relaxed);
        for way in 0..WAYS {
            let entry = load(way);
            if entry >> TIME_BITS == tag {
                return Found { is_hit: true, way, entry, debt: debt(entry, now, limit.burst) };
            }
        }
        let mut least = Found { is_hit: false, way: 0, entry: 0, debt: u64::MAX };
        for way in 0..WAYS {
            let entry = load(way);
            let debt = debt(entry, now, limit.burst);
            if debt < least.debt {
                least = Found { is_hit: false, way, entry, debt };
            }
            // Most owe nothing, and among those there is nothing to choose.
            if debt == 0 {
                break;
            }
        }
        least
    }
}

/// How far an entry's time is ahead of now; 0 if it is behind, or too far ahead to be true.
fn debt(entry: u64, now: u64, burst: u64) -> u64 {
    let ahead = entry.wrapping_sub(now) & TIME_MASK;
    if ahead > burst + SKEW { 0 } else { ahead }
}
