//! What is known of the world at one moment, as far as the life of keys depends on it.

use std::net::SocketAddr;

use rokko_wire::Name;

use crate::PublicKey;

/// What a step goes by. Times are in Unix seconds.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The zone.
    pub apex: &'a Name,
    /// The time.
    pub now: u64,
    /// Whether that time is to be believed.
    pub clock: Clock,
    /// The largest TTL of the zone's records, and of its negative answers, in seconds: of those that caches may hold, so a TTL
    /// that was made smaller counts for as long as it was large.
    pub max_ttl_s: u32,
    /// The highest plan that the zone's content follows in full: keys and requests published, each RRset signed as
    /// planned, the chains built.
    pub done: u32,
    /// The highest plan whose content all servers of the zone had, and since when they have it.
    pub visible: Option<Visible>,
    /// How many servers have not acknowledged it, for the explanation.
    pub pops_behind: u32,
    /// The highest plan with which the whole zone was verified.
    pub verified: u32,
    /// What the parent's servers answered last; none if they were not asked since the start.
    pub parent: Option<&'a ParentView>,
    /// The DNSKEY RRsets of the other signers of this zone (RFC 8901).
    pub peers: &'a [PeerView],
}

/// A plan that all servers of the zone follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visible {
    /// Its number.
    pub plan: u32,
    /// The moment at which the last of the servers had it.
    pub since: u64,
}

/// Whether the clock is to be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// It moves as time does.
    #[default]
    Steady,
    /// It went back by this many seconds.
    WentBack(u64),
    /// It went ahead by this many seconds more than passed.
    WentAhead(u64),
}

/// Watches the wall clock against one that only counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockGuard {
    wall_s: u64,
    counter_s: u64,
    verdict: Clock,
}

/// A clock that is this much wrong is one that jumped. Keys move in hours; less than that does no harm.
pub const JUMP_S: u64 = 300;

impl ClockGuard {
    /// Begins to watch. `wall_s` is in Unix seconds, `counter_s` of any origin.
    pub fn new(wall_s: u64, counter_s: u64) -> Self {
        Self { wall_s, counter_s, verdict: Clock::Steady }
    }

    /// Begins to watch at a start, where the wall clock was last seen at `kept_s`, as it was kept on disk.
    ///
    /// A process may have been down for long, so only more than `down_max_s` counts as a jump ahead.
    pub fn after_restart(kept_s: u64, wall_s: u64, counter_s: u64, down_max_s: u64) -> Self {
        let verdict = if wall_s + JUMP_S < kept_s {
            Clock::WentBack(kept_s - wall_s)
        } else if wall_s > kept_s.saturating_add(down_max_s) {
            Clock::WentAhead(wall_s - kept_s)
        } else {
            Clock::Steady
        };
        Self { wall_s, counter_s, verdict }
    }

    /// What to think of the wall clock now. A jump is remembered until the clock is right again or is [accepted](Self::accept).
    pub fn judge(&mut self, wall_s: u64, counter_s: u64) -> Clock {
        let expected = self.wall_s + counter_s.saturating_sub(self.counter_s);
        let off = i128::from(wall_s) - i128::from(expected);
        (self.wall_s, self.counter_s) = (wall_s, counter_s);
        if off.unsigned_abs() > u128::from(JUMP_S) {
            let before = match self.verdict {
                Clock::Steady => 0,
                Clock::WentBack(s) => -i128::from(s),
                Clock::WentAhead(s) => i128::from(s),
            };
            let all = before + off;
            let by = u64::try_from(all.unsigned_abs()).unwrap_or(u64::MAX);
            self.verdict = match all {
                _ if by <= JUMP_S => Clock::Steady,
                ..0 => Clock::WentBack(by),
                _ => Clock::WentAhead(by),
            };
        }
        self.verdict
    }

    /// A person says that the time is right as it is now.
    pub fn accept(&mut self) {
        self.verdict = Clock::Steady;
    }
}

/// The DS RRset of the zone as one server of the parent has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DsSet {
    /// Record data, in any order; none if there is no DS.
    pub rdatas: Vec<Box<[u8]>>,
    /// Its TTL in seconds; nothing if there is no DS.
    pub ttl_s: u32,
}

/// The answer of one server of the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// Who was asked.
    pub server: SocketAddr,
    /// What it has, or why that is not known.
    pub answer: Result<DsSet, String>,
}

/// What all servers of the parent answered when they were asked for the zone's DS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentView {
    /// When, in Unix seconds: the moment at which the first was asked.
    pub at: u64,
    /// All servers of the parent.
    pub servers: Vec<ServerView>,
}

/// The DNSKEY RRset that another signer of the zone serves (RFC 8901 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// A name for people.
    pub name: String,
    /// Its keys.
    pub keys: Vec<PublicKey>,
    /// Since when all its servers have this set, in Unix seconds.
    pub since: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_remembered_until_it_is_undone_or_accepted() {
        let mut guard = ClockGuard::new(1_000_000, 50);
        assert_eq!(guard.judge(1_000_100, 150), Clock::Steady);
        assert_eq!(guard.judge(1_000_100 + JUMP_S + 10, 160), Clock::Steady, "slewing is no jump");
        assert_eq!(guard.judge(5_000_000, 170), Clock::WentAhead(5_000_000 - 1_000_110 - JUMP_S - 10));
        assert!(matches!(guard.judge(5_000_010, 180), Clock::WentAhead(_)));
        assert_eq!(guard.judge(1_000_130 + JUMP_S, 190), Clock::Steady);
        assert_eq!(guard.judge(900_000, 200), Clock::WentBack(100_140 + JUMP_S));
        guard.accept();
        assert_eq!(guard.judge(900_010, 210), Clock::Steady);
    }

    #[test]
    fn a_restart_knows_the_time_that_was_kept() {
        let after = |kept, wall| ClockGuard::after_restart(kept, wall, 0, 1_000).judge(wall, 0);
        assert_eq!(after(5_000, 5_900), Clock::Steady);
        assert_eq!(after(5_000, 4_800), Clock::Steady);
        assert_eq!(after(5_000, 4_000), Clock::WentBack(1_000));
        assert_eq!(after(5_000, 7_000), Clock::WentAhead(2_000));
    }
}
