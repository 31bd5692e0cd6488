//! Connections that take their time, break without a word, and now and then lose or repeat something.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rokko_feed::audit::Job;

use super::Random;

/// The longest that a message is on its way one way, in milliseconds.
pub(super) const DELAY_MS_MAX: u64 = 400;

/// What happens at a time.
pub(super) enum Event {
    /// A message arrives.
    Deliver { link: u64, to_server: bool, bytes: Vec<u8> },
    /// A PoP tries to connect.
    Connect { pop: usize },
    /// The server, or the PoP, learns that a connection is gone.
    Gone { link: u64, at_server: bool },
    /// A node looks after its sessions.
    Tick { node: usize, life: u64 },
    /// A follower applies what has come.
    Settle { link: u64 },
    /// A job is done.
    Done { link: u64, at_server: bool, job: Job },
    /// A node comes back.
    Start { node: usize },
    /// The control node commits.
    Commit,
    /// Something goes wrong.
    Fault,
    /// A partition ends.
    Reach { pop: usize },
    /// A disk has room again.
    Room { node: usize },
}

/// What happens later.
#[derive(Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    count: u64,
}

impl Agenda {
    pub(super) fn at(&mut self, time: u64, event: Event) {
        self.heap.push(Reverse((time, self.count)));
        self.events.insert(self.count, event);
        self.count += 1;
    }

    pub(super) fn pop(&mut self) -> Option<(u64, Event)> {
        let Reverse((time, number)) = self.heap.pop()?;
        Some((time, self.events.remove(&number)?))
    }
}

/// A connection between a PoP and the node that it follows.
pub(super) struct Link {
    pub(super) pop: usize,
    pub(super) server: usize,
    pub(super) pop_open: bool,
    pub(super) server_open: bool,
    /// Nothing gets through any more, and nobody knows.
    pub(super) is_dead: bool,
    /// Messages on their way, and when the last of them arrives: to the server, and to the PoP.
    pub(super) to_server: Way,
    pub(super) to_pop: Way,
}

pub(super) struct Way {
    pub(super) unread: usize,
    last: u64,
    delay: u64,
    jitter: u64,
    window: usize,
}

impl Link {
    pub(super) fn new(pop: usize, server: usize, random: &mut Random) -> Self {
        let (to_server, to_pop) = (Way::new(random), Way::new(random));
        Self { pop, server, pop_open: true, server_open: true, is_dead: false, to_server, to_pop }
    }

    pub(super) fn way(&mut self, to_server: bool) -> &mut Way {
        if to_server { &mut self.to_server } else { &mut self.to_pop }
    }

    pub(super) fn is_over(&self) -> bool {
        !self.pop_open && !self.server_open
    }
}

impl Way {
    fn new(random: &mut Random) -> Self {
        let delay = [0, 1, 20, DELAY_MS_MAX / 2][random.index(4)];
        let jitter = [0, 1, 50, DELAY_MS_MAX / 2][random.index(4)];
        Self { unread: 0, last: 0, delay, jitter, window: 1 + random.index(6) }
    }

    pub(super) fn has_room(&self) -> bool {
        self.unread < self.window
    }

    /// When a message arrives that is sent now: after all before it.
    pub(super) fn send(&mut self, now: u64, random: &mut Random) -> u64 {
        self.unread += 1;
        self.last = self.last.max(now + self.delay + random.below(self.jitter + 1));
        self.last
    }
}
