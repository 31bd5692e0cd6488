//! `rokko zone import`.
//!
//! ```text
//! files ──► some threads: read, parse, check ──► bounded channel ──► batches ──► a running node's API, or a stopped
//!                                                                                node's store
//! ```

mod api;
mod local;
mod parse;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rokko_wire::Name;
use rokko_zone::Rrset;

use super::file;
use crate::args::{ApiArgs, ChangeArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::record::zone_name;
use report::Report;

/// The most zones that go into one request.
const BATCH_ZONES_MAX: usize = 1000;
/// The most records that go into one request, unless one zone has more.
const BATCH_RECORDS_MAX: u64 = 100_000;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Zone files, or folders of them; `-` is standard input.
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,
    /// The zone's name. Without it: the SOA record's owner, or `$ORIGIN`.
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// The customer whom the zones belong to.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Import nothing if one file has an error or one zone is refused.
    #[arg(long)]
    atomic: bool,
    /// Read and check the files, and say what would be imported.
    #[arg(long)]
    dry_run: bool,
    /// Load a stopped node's store directly, in bulk.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["api", "dry_run"])]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    api: ApiArgs,
}

/// A zone that was read and is without error.
#[derive(Clone)]
struct Prepared {
    file: PathBuf,
    zone: Name,
    rrsets: Vec<Rrset>,
    records: u64,
}

/// What was made of one zone.
struct Done {
    version: u64,
    serial: Option<u32>,
    changed: bool,
}

/// What came of one file.
struct Outcome {
    file: PathBuf,
    zone: Name,
    records: u64,
    result: Result<Done, Failure>,
}

impl Prepared {
    fn outcome(&self, result: Result<Done, Failure>) -> Outcome {
        Outcome { file: self.file.clone(), zone: self.zone.clone(), records: self.records, result }
    }
}

/// How zones are to be imported.
struct Order<'a> {
    account: Option<&'a str>,
    reason: &'a str,
    if_version: Option<u64>,
    atomic: bool,
}

/// Where zones go.
enum Target {
    /// A running node.
    Api(api::ApiTarget),
    /// A stopped node's store.
    Local(local::LocalTarget),
    /// Nowhere: they are only checked.
    Nowhere,
}

impl Target {
    fn open(args: &ImportArgs) -> Result<Self, Failure> {
        Ok(match &args.data_dir {
            _ if args.dry_run => Target::Nowhere,
            Some(data_dir) => Target::Local(local::LocalTarget::open(data_dir)?),
            None => Target::Api(api::ApiTarget::open(&args.api)?),
        })
    }

    fn submit(&self, batch: Vec<Prepared>, order: &Order<'_>) -> Vec<Outcome> {
        match self {
            Target::Api(target) => target.submit(batch, order),
            Target::Local(target) => target.submit(batch, order),
            Target::Nowhere => {
                let would = || Ok(Done { version: 0, serial: None, changed: true });
                batch.iter().map(|prepared| prepared.outcome(would())).collect()
            }
        }
    }

    fn close(self) {
        if let Target::Local(target) = self {
            target.close();
        }
    }
}

pub(crate) fn run(args: &ImportArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let files = file::find(&args.paths)?;
    if files.len() != 1 && args.origin.is_some() {
        return Err(Failure::usage(format!("--origin is for one file, and there are {}", files.len())));
    }
    if files.len() != 1 && args.change.if_version.is_some() {
        return Err(Failure::usage(format!("--if-version is for one file, and there are {}", files.len())));
    }
    if files.is_empty() {
        return Err(Failure::failed("there is no zone file in there"));
    }
    let origin = args.origin.as_deref().map(zone_name).transpose()?;
    let order = Order {
        account: args.account.as_deref(),
        reason: &args.change.reason,
        if_version: args.change.if_version,
        atomic: args.atomic,
    };
    let target = Target::open(args)?;
    let mut report = Report::start(files.len() as u64, args.dry_run, output.is_json());
    let receiver = parse::start(files, origin.as_ref());
    let mut batch = Batch::default();
    let mut seen = std::collections::HashMap::new();
    for parsed in receiver {
        let Some(prepared) = report.parsed(parsed) else { continue };
        if let Some(first) = seen.insert(prepared.zone.clone(), prepared.file.clone()) {
            let first = first.display();
            let failure = Failure::failed(format!("the zone {} is in {first} too", prepared.zone));
            report.done(vec![prepared.outcome(Err(failure))]);
            continue;
        }
        if !order.atomic && batch.is_full_with(&prepared) {
            report.done(target.submit(batch.take(), &order));
        }
        batch.push(prepared);
    }
    if order.atomic && report.has_failures() {
        let refused =
            |prepared: &Prepared| prepared.outcome(Err(Failure::failed("not imported, because another file failed")));
        report.done(batch.take().iter().map(refused).collect());
    } else if !batch.is_empty() {
        report.done(target.submit(batch.take(), &order));
    }
    target.close();
    report.finish(output)
}

/// Zones that go into one request.
#[derive(Default)]
struct Batch {
    zones: Vec<Prepared>,
    records: u64,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }

    fn is_full_with(&self, next: &Prepared) -> bool {
        !self.is_empty() && (self.zones.len() >= BATCH_ZONES_MAX || self.records + next.records > BATCH_RECORDS_MAX)
    }

    fn push(&mut self, prepared: Prepared) {
        self.records += prepared.records;
        self.zones.push(prepared);
    }

    fn take(&mut self) -> Vec<Prepared> {
        self.records = 0;
        std::mem::take(&mut self.zones)
    }
}
