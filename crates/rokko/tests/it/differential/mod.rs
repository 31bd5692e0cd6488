//! Random zones and random queries, asked of Rokko and of running Knot and NSD at once and compared by meaning.
//!
//! ```text
//! generator ─► zone files ─► signing ─► Rokko (subject), Knot, NSD (peers)
//!                                            ▲
//! queries ───────────────────────────────────┘ exchange ─► message ─► compare ─► explain ─► nothing may be left
//! ```
//!
//! Each round has zones of its own. The environment chooses other rounds than those of every run:
//! `ROKKO_SEED` the seed of the first (each further round has the next), `ROKKO_ROUNDS` how many, and `ROKKO_QUERIES`
//! how many queries each. A failure prints its round's seed and the queries, and keeps the zone files; the seed alone
//! makes them all again.

mod compare;
mod exchange;
mod explain;
mod generator;
mod message;
mod names;
mod peers;
mod queries;
mod random;
mod rdata;
mod round;
mod signing;
mod subject;

use std::time::Instant;

use explain::Tally;
use round::Round;

/// The seed of the first round of every run.
const SEED: u64 = 1;
const ROUNDS: u64 = 9;
const QUERIES_PER_ROUND: usize = 6_000;
/// Fewer comparisons than this prove too little.
const COMPARISONS_MIN: usize = 100_000;

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("found {name}={text}, expected a number")),
        Err(_) => default,
    }
}

#[test]
fn rokko_answers_as_knot_and_nsd_do() {
    let (seed, rounds) = (setting("ROKKO_SEED", SEED), setting("ROKKO_ROUNDS", ROUNDS));
    let queries = usize::try_from(setting("ROKKO_QUERIES", QUERIES_PER_ROUND as u64)).unwrap();
    let (mut tally, mut compared, started) = (Tally::new(), 0, Instant::now());
    for seed in seed..seed + rounds {
        compared += Round::start(seed).run(queries, &mut tally);
    }
    println!("{compared} comparisons in {:.1} s; explained differences:", started.elapsed().as_secs_f64());
    for ((name, kind), count) in &tally {
        println!("{count:>8}  {kind:?}: {name}");
    }
    let is_default = rounds == ROUNDS && queries == QUERIES_PER_ROUND;
    assert!(!is_default || compared >= COMPARISONS_MIN, "only {compared} comparisons");
}
