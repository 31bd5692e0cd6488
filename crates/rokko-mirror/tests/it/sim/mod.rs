//! The fleet in one thread and without time: a control node, mirrors that follow it, some of them through relays, and everything
//! that can go wrong between them and below them. One seed is one schedule, and always the same one.
//!
//! `ROKKO_SIM_SEED=N` runs the schedule of one seed and tells what happens; `ROKKO_SIM_SEEDS=FROM..TO` runs others than usual.

mod network;
mod node;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use world::World;

/// How many schedules there are in a usual run.
const SCHEDULES: u64 = 20_000;

/// Numbers by `SplitMix64`.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    /// True once in so many times.
    pub(super) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

#[test]
fn every_mirror_comes_to_what_the_log_has() {
    if let Ok(seed) = std::env::var("ROKKO_SIM_SEED") {
        World::new(seed.parse().unwrap(), true).run();
        return;
    }
    let seeds = std::env::var("ROKKO_SIM_SEEDS").ok();
    let (from, to) = seeds.map_or((0, SCHEDULES), |range| {
        let (from, to) = range.split_once("..").unwrap();
        (from.parse().unwrap(), to.parse().unwrap())
    });
    let keeps_going = std::env::var("ROKKO_SIM_KEEP_GOING").is_ok();
    let next = AtomicU64::new(from);
    let failed = AtomicU64::new(u64::MAX);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) == u64::MAX || keeps_going {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        break;
                    }
                    if catch_unwind(AssertUnwindSafe(|| World::new(seed, false).run())).is_err() {
                        println!("seed {seed} failed");
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(failed == u64::MAX, "the schedule of seed {failed} failed; ROKKO_SIM_SEED={failed} runs it again");
}
