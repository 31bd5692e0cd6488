//! How far another node's clock is from this one's.

use std::collections::VecDeque;

/// How many measurements count: long enough to meet a moment without queues, short enough that clocks hardly drift apart.
const SAMPLES_MAX: usize = 16;

/// The difference between two clocks, measured by messages that go there and come back. The measurement with the shortest
/// way counts: it is wrong by half of that at most, and by far less where both directions take equally long (as in NTP,
/// RFC 5905 §10).
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// How long there and back, and by how much the other clock is ahead, both in milliseconds.
    samples: VecDeque<(u64, i64)>,
}

impl Clock {
    /// Notes a measurement: sent at `sent_ms` and received at `received_ms` by this node's clock, answered at `other_ms` by
    /// the other's.
    pub fn measured(&mut self, sent_ms: u64, other_ms: u64, received_ms: u64) {
        let Some(way) = received_ms.checked_sub(sent_ms) else { return };
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((way, other_ms.wrapping_sub(sent_ms + way / 2).cast_signed()));
    }

    /// By how many milliseconds the other clock is ahead; `None`: not known yet.
    pub fn ahead_ms(&self) -> Option<i64> {
        self.samples.iter().min_by_key(|(way, _)| *way).map(|(_, ahead)| *ahead)
    }

    /// The shortest time there and back, in milliseconds.
    pub fn round_trip_ms(&self) -> Option<u64> {
        self.samples.iter().map(|(way, _)| *way).min()
    }

    /// What this clock showed when the other showed `other_ms`, heard of at `now_ms` by this clock. It is `now_ms` if the
    /// difference is not known.
    pub fn here(&self, other_ms: u64, now_ms: u64) -> u64 {
        self.ahead_ms().map_or(now_ms, |ahead| other_ms.wrapping_sub(ahead.cast_unsigned()).min(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_way_counts_and_old_ones_are_forgotten() {
        let mut clock = Clock::default();
        assert_eq!((clock.here(5, 9), clock.ahead_ms()), (9, None));
        clock.measured(1_000, 501_000, 1_200);
        clock.measured(2_000, 502_055, 2_010);
        clock.measured(3_000, 503_900, 4_000);
        assert_eq!((clock.ahead_ms(), clock.round_trip_ms()), (Some(500_050), Some(10)));
        assert_eq!((clock.here(503_050, 9_000), clock.here(503_050, 2_999)), (3_000, 2_999));
        clock.measured(5_000, 4_000, 4_999);
        for _ in 0..SAMPLES_MAX {
            clock.measured(6_000, 5_020, 6_040);
        }
        assert_eq!((clock.ahead_ms(), clock.here(5_980, 9_000)), (Some(-1_000), 6_980));
    }
}
