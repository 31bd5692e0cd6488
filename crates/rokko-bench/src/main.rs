//! Load and data generators, and runs beside Knot, NSD, BIND and PowerDNS.
//!
//! ```text
//! data       zones and queries made up from a seed
//! load       UDP, TCP and floods; what came of them
//! peers      the servers: configuration, start, stop
//! netns      network namespaces for AF_XDP;  wires   slow and lossy ones
//! scenario   what is measured, a subcommand each
//! stats, cpu, report, plot    figures, and how they are shown
//! ```
//!
//! Servers run on core 0 with one worker each, the load on core 1. Servers take turns, round after round, so that a
//! machine whose speed drifts treats them alike; figures are medians over the rounds and ratios round by round.

mod args;
mod cpu;
mod data;
mod load;
mod netns;
mod peers;
mod plot;
mod report;
mod scenario;
mod stats;
#[allow(dead_code, clippy::unwrap_used, reason = "what tests use, who fail by panicking")]
mod wires;

use anyhow::Context;
use clap::Parser;

fn main() -> anyhow::Result<()> {
    let args = args::Args::parse();
    std::fs::create_dir_all(&args.folder)?;
    let rokko = || {
        let hint = || format!("{}: build it with `cargo build --release -p rokko`", args.rokko.display());
        args.rokko.canonicalize().with_context(hint)
    };
    let bench = report::Bench {
        rokko: if args.what.needs_rokko() { rokko()? } else { args.rokko.clone() },
        folder: args.folder.canonicalize()?,
        rounds: args.rounds.max(1),
        json: args.json,
        plots: args.plots.clone(),
        table: std::cell::RefCell::default(),
    };
    cpu::pin(&[peers::LOAD_CORE])?;
    args.what.run(&bench)
}
