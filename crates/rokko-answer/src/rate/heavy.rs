//! Which client prefixes are so far over their limits that the kernel should keep most of their queries away.
//!
//! Each thread counts for itself whose responses it suppressed, in a small table of fixed size. Where more prefixes
//! come than it has room for, they take each other's counts away (Misra and Gries), so that only those remain which
//! make up a good part of what is suppressed: shedding helps against floods from few prefixes, and from many it would
//! only do harm.

use std::net::IpAddr;

const SETS: usize = 64;
const WAYS: usize = 4;
/// How long a prefix must have been quiet before it is no longer shed.
const QUIET_MS: u64 = 3000;
/// A shorter round counts as this long: one datagram in a millisecond is no flood.
const ROUND_MS_MIN: u64 = 100;
/// A longer round cannot be: the clock has been set. It counts as a second.
const ROUND_MS_MAX: u64 = 10_000;
/// The most prefixes that are shed at a time.
pub(crate) const SHED_MAX: usize = 64;

/// What the kernel is to keep away from the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shed {
    /// Network addresses with the lengths of their prefixes in bits; at most 64.
    pub prefixes: Vec<(IpAddr, u8)>,
    /// One in so many queries of these is to be let through, at random.
    pub pass_one_in: u32,
    /// Whether queries that look as if they had a server cookie are to be let through; not if the flood has forged
    /// ones.
    pub spare_cookies: bool,
}

/// A client prefix: its network address and what it hashes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(super) network: IpAddr,
    pub(super) hash: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    network: IpAddr,
    count: u32,
    is_shed: bool,
    quiet_ms: u64,
}

/// Whose responses one thread suppressed since the last round.
pub(super) struct Heavy {
    entries: Box<[Entry]>,
    /// When the round began.
    began_ms: u64,
    /// How many entries are shed.
    shed: usize,
    /// Suppressed queries with a forged server cookie since the last round.
    forged: u32,
    spare_cookies: bool,
}

impl Heavy {
    pub(super) fn new() -> Self {
        let none = Entry { network: IpAddr::from([0; 4]), count: 0, is_shed: false, quiet_ms: 0 };
        Self { entries: vec![none; SETS * WAYS].into(), began_ms: 0, shed: 0, forged: 0, spare_cookies: true }
    }

    /// Counts a query, whatever becomes of it, if its prefix is shed: so few come through that they may well be
    /// below the limit.
    pub(super) fn saw(&mut self, source: Source) {
        if self.shed == 0 {
            return;
        }
        let shed = self.set(source).iter_mut().find(|entry| entry.is_shed && entry.network == source.network);
        if let Some(entry) = shed {
            entry.count = entry.count.saturating_add(1);
        }
    }

    /// Counts a suppressed response.
    pub(super) fn suppressed(&mut self, source: Source, has_forged_cookie: bool) {
        self.forged = self.forged.saturating_add(u32::from(has_forged_cookie));
        let set = self.set(source);
        if let Some(entry) = set.iter_mut().find(|entry| entry.network == source.network && entry.count > 0) {
            // Those of a shed prefix have been counted when they were seen.
            entry.count = entry.count.saturating_add(u32::from(!entry.is_shed));
            return;
        }
        let free = set.iter_mut().filter(|entry| !entry.is_shed).min_by_key(|entry| entry.count);
        match free {
            Some(entry) if entry.count == 0 => {
                *entry = Entry { network: source.network, count: 1, is_shed: false, quiet_ms: 0 };
            }
            Some(entry) => entry.count -= 1,
            None => {}
        }
    }

    /// Ends a round, which is to take a quarter of a second or more: decides which prefixes are shed in the next.
    ///
    /// A prefix is shed from `above` suppressed responses per second on, and until fewer than half as many have come for
    /// some seconds, those included that the kernel is thought to have kept away.
    pub(super) fn shed(
        &mut self,
        now_ms: u64,
        (above, pass_one_in): (u32, u32),
        prefix_len: impl Fn(IpAddr) -> u8,
    ) -> Shed {
        let round_ms = match now_ms.checked_sub(self.began_ms) {
            Some(ms @ 1..=ROUND_MS_MAX) => ms.max(ROUND_MS_MIN),
            _ => 1000,
        };
        self.began_ms = now_ms;
        let per_second = |count: u32| u64::from(count) * 1000 / round_ms;
        let threshold = u64::from(above);
        let mut shed = Shed { pass_one_in, ..Shed::default() };
        if above > 0 && per_second(self.forged) >= threshold {
            self.spare_cookies = false;
        }
        for entry in &mut self.entries {
            if entry.is_shed {
                let is_quiet = per_second(entry.count) * u64::from(pass_one_in) < (threshold / 2).max(1);
                entry.quiet_ms = if is_quiet { entry.quiet_ms + round_ms } else { 0 };
            }
            entry.is_shed = above > 0
                && shed.prefixes.len() < SHED_MAX
                && if entry.is_shed { entry.quiet_ms < QUIET_MS } else { per_second(entry.count) >= threshold };
            entry.count = 0;
            if entry.is_shed {
                shed.prefixes.push((entry.network, prefix_len(entry.network)));
            } else {
                entry.quiet_ms = 0;
            }
        }
        self.shed = shed.prefixes.len();
        self.forged = 0;
        self.spare_cookies |= self.shed == 0;
        shed.spare_cookies = self.spare_cookies;
        shed
    }

    fn set(&mut self, source: Source) -> &mut [Entry] {
        // Not the bits that choose the line of the rate table, nor those of the tag.
        let set = usize::try_from(source.hash >> 32).unwrap_or_default() % SETS;
        &mut self.entries[set * WAYS..][..WAYS]
    }
}
