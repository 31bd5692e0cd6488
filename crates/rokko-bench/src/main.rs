//! Load and data generators, and runs beside Knot, NSD and PowerDNS.
//!
//! Servers run on core 0 with one worker each, the load on core 1. Servers take turns, round after round, so that a
//! machine whose speed drifts treats them alike; figures are medians over the rounds and ratios round by round.

mod change;
mod cpu;
mod data;
mod import;
mod load;
mod peers;
mod query;
mod report;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measure Rokko beside its peers")]
struct Args {
    #[command(subcommand)]
    what: What,
    /// The program under test.
    #[arg(long, global = true, default_value = "target/release/rokko")]
    rokko: PathBuf,
    /// Where data and servers live while this runs; it needs a few GB.
    #[arg(long, global = true, default_value = "target/bench")]
    folder: PathBuf,
    /// How often each server has its turn.
    #[arg(long, global = true, default_value_t = 5)]
    rounds: usize,
    /// Machine-readable output.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    /// All of the below with their usual sizes.
    Suite,
    /// CPU per UDP query: Rokko, NSD and Knot in turns.
    Query {
        /// How many zones of six records.
        #[arg(long, default_value_t = 100_000)]
        zones: usize,
        /// Seconds of load in each turn.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
    },
    /// CPU per UDP query with one zone of many names.
    QueryBig {
        /// How many names.
        #[arg(long, default_value_t = 1_000_000)]
        names: usize,
        /// Seconds of load in each turn.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
    },
    /// From a PATCH's response to the first answer with the new data, and the PATCH itself.
    Change {
        /// How many zones are hosted.
        #[arg(long, default_value_t = 100_000)]
        zones: usize,
        /// How many changes, one after another.
        #[arg(long, default_value_t = 1000)]
        changes: usize,
    },
    /// Import of many small zones and of one large zone into a stopped node.
    Import {
        /// How many zones of six records.
        #[arg(long, default_value_t = 100_000)]
        zones: usize,
        /// How many names in the large zone.
        #[arg(long, default_value_t = 1_000_000)]
        names: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.folder)?;
    let bench = report::Bench {
        rokko: args.rokko.canonicalize().map_err(|error| {
            anyhow::anyhow!("{}: {error}: build it with `cargo build --release -p rokko`", args.rokko.display())
        })?,
        folder: args.folder.canonicalize()?,
        rounds: args.rounds.max(1),
        json: args.json,
    };
    match args.what {
        What::Suite => {
            import::run(&bench, 100_000, 1_000_000)?;
            query::run_small(&bench, 100_000, 4)?;
            query::run_big(&bench, 1_000_000, 4)?;
            change::run(&bench, 100_000, 1000)
        }
        What::Query { zones, seconds } => query::run_small(&bench, zones, seconds),
        What::QueryBig { names, seconds } => query::run_big(&bench, names, seconds),
        What::Change { zones, changes } => change::run(&bench, zones, changes),
        What::Import { zones, names } => import::run(&bench, zones, names),
    }
}
