//! Queries in flight: which answer belongs to which query, and what became of each.

use std::time::Duration;

use super::Outcome;

/// Ids of messages.
const IDS: usize = 1 << 16;

/// A query that waits for its answer.
#[derive(Clone, Copy, Default)]
struct Waiting {
    /// Nanoseconds since the start, plus one; 0: nothing waits.
    since: u64,
    rcode: u8,
}

/// The queries of one socket. Ids are given in turn, so the oldest query is always known.
pub(super) struct Flow {
    waiting: Box<[Waiting]>,
    /// Ids are below this power of two.
    ids: usize,
    next: usize,
    /// Every query before this one has its answer or is lost.
    oldest: usize,
    in_flight: usize,
    lost_after_ns: u64,
}

impl Flow {
    /// Room for `in_flight_max` queries in flight at least.
    pub(super) fn new(in_flight_max: usize, lost_after: Duration) -> Self {
        // Few ids in use keep the table in the processor's cache.
        let ids = in_flight_max.saturating_mul(8).next_power_of_two().clamp(64, IDS);
        let lost_after_ns = u64::try_from(lost_after.as_nanos()).unwrap_or(u64::MAX);
        let waiting = vec![Waiting::default(); ids].into_boxed_slice();
        Self { waiting, ids, next: 0, oldest: 0, in_flight: 0, lost_after_ns }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many queries have got an id.
    pub(super) fn sent(&self) -> usize {
        self.next
    }

    /// The id of the next query. It counts as sent at `now_ns`, and its answer must have this rcode.
    pub(super) fn send(&mut self, now_ns: u64, rcode: u8, outcome: &mut Outcome) -> [u8; 2] {
        let id = self.next & (self.ids - 1);
        if self.waiting[id].since != 0 {
            self.lose(id, outcome);
        }
        self.waiting[id] = Waiting { since: now_ns + 1, rcode };
        self.next += 1;
        self.in_flight += 1;
        outcome.sent += 1;
        self.oldest = self.oldest.max(self.next.saturating_sub(self.ids));
        u16::try_from(id).unwrap_or(0).to_be_bytes()
    }

    /// Takes a message in. Whether it is the answer to a query that waits.
    pub(super) fn receive(&mut self, message: &[u8], now_ns: u64, outcome: &mut Outcome) -> bool {
        let id = match message {
            [high, low, flags, ..] if flags & 0x80 != 0 && message.len() >= 12 => {
                usize::from(u16::from_be_bytes([*high, *low]))
            }
            _ => self.ids,
        };
        let Some(slot) = self.waiting.get_mut(id).filter(|slot| slot.since != 0) else {
            outcome.stray += 1;
            return false;
        };
        let latency = now_ns.saturating_sub(slot.since - 1);
        outcome.wrong += u64::from(message[3] & 0x0f != slot.rcode);
        outcome.answered += 1;
        outcome.latency.saturating_record(latency);
        slot.since = 0;
        self.in_flight -= 1;
        true
    }

    /// Gives up queries that have waited too long.
    pub(super) fn expire(&mut self, now_ns: u64, outcome: &mut Outcome) {
        while self.oldest < self.next {
            let id = self.oldest & (self.ids - 1);
            let since = self.waiting[id].since;
            if since != 0 {
                if since.saturating_add(self.lost_after_ns) > now_ns {
                    return;
                }
                self.lose(id, outcome);
            }
            self.oldest += 1;
        }
    }

    fn lose(&mut self, id: usize, outcome: &mut Outcome) {
        self.waiting[id].since = 0;
        self.in_flight -= 1;
        outcome.lost += 1;
    }

    /// Gives up all that still waits.
    pub(super) fn finish(mut self, outcome: &mut Outcome) {
        self.expire(u64::MAX, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: [u8; 2], rcode: u8) -> [u8; 12] {
        [id[0], id[1], 0x84, rcode, 0, 1, 0, 0, 0, 0, 0, 0]
    }

    #[test]
    fn answers_are_matched_by_id() {
        let mut flow = Flow::new(4, Duration::from_millis(1));
        let mut outcome = Outcome::new();
        let (first, second) = (flow.send(100, 0, &mut outcome), flow.send(200, 3, &mut outcome));
        assert!(flow.receive(&answer(second, 3), 1_200, &mut outcome));
        assert!(!flow.receive(&answer(second, 3), 1_300, &mut outcome), "twice");
        assert!(flow.receive(&answer(first, 5), 2_100, &mut outcome));
        assert!(!flow.receive(&[0, 0, 0x80], 2_200, &mut outcome), "no header");
        flow.finish(&mut outcome);
        assert_eq!((outcome.sent, outcome.answered, outcome.lost, outcome.wrong, outcome.stray), (2, 2, 0, 1, 2));
        assert!((outcome.latency_us(1.0) - 2.0).abs() < 0.01);
    }

    #[test]
    fn what_waits_too_long_is_lost() {
        let mut flow = Flow::new(4, Duration::from_micros(1));
        let mut outcome = Outcome::new();
        let first = flow.send(0, 0, &mut outcome);
        let second = flow.send(900, 0, &mut outcome);
        flow.expire(1_500, &mut outcome);
        assert_eq!(flow.in_flight(), 1);
        assert!(!flow.receive(&answer(first, 0), 1_600, &mut outcome));
        assert!(flow.receive(&answer(second, 0), 1_600, &mut outcome));
        flow.send(2_000, 0, &mut outcome);
        flow.finish(&mut outcome);
        assert_eq!((outcome.sent, outcome.answered, outcome.lost, outcome.stray), (3, 1, 2, 1));
    }

    #[test]
    fn an_id_that_comes_again_takes_the_place_of_a_lost_query() {
        let mut flow = Flow::new(1, Duration::from_secs(1));
        let mut outcome = Outcome::new();
        for at in 0..3000 {
            flow.send(at, 0, &mut outcome);
        }
        assert_eq!(flow.in_flight(), 64);
        flow.finish(&mut outcome);
        assert_eq!((outcome.sent, outcome.lost), (3000, 3000));
    }
}
