//! `rokko keys split` and `combine`: the master key in shares, for offline backup.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rokko_keys::{Share, write_secret};
use rokko_store::{KeyAction, KeyChange, KeyStore};
use serde::Serialize;
use zeroize::Zeroizing;

use super::place::{PlaceArgs, Site, audit, master_failure, store_failure};
use crate::failure::Failure;
use crate::output::{self, Output};

/// The most octets of shares that are read.
const SHARES_MAX: u64 = 64 << 10;

#[derive(Debug, Args)]
pub(crate) struct SplitArgs {
    /// How many shares are made.
    #[arg(long, value_name = "N")]
    shares: u8,
    /// How many of them give the master key back.
    #[arg(long, value_name = "M")]
    threshold: u8,
    /// A folder that gets a file for each share. Without it they go to standard output, one in each line.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Serialize)]
struct Split {
    master_key: String,
    set: String,
    threshold: u8,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shares: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
}

pub(super) fn split(args: &SplitArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let site = args.place.find()?;
    let (store, master) = (site.open_store()?, site.load_master()?);
    let shares =
        rokko_keys::split(&master, args.shares, args.threshold).map_err(|error| Failure::usage(error.to_string()))?;
    let set = shares.first().map(Share::set).unwrap_or_default();
    let what = format!("{} of {} shares of set {set}, master key {}", args.threshold, args.shares, master.id());
    let change = KeyChange { audit: vec![audit(KeyAction::Split, None, &what)], ..KeyChange::default() };
    store.change_signing_keys(&change).map_err(|error| store_failure(&error))?;
    let mut split = Split {
        master_key: master.id().to_string(),
        set,
        threshold: args.threshold,
        shares: Vec::new(),
        files: Vec::new(),
    };
    match &args.to {
        Some(folder) => {
            for share in &shares {
                let file = folder.join(format!("rokko-share-{}-{:03}", split.set, share.number()));
                let text = Zeroizing::new(format!("{}\n", *share.text()));
                write_secret(&file, text.as_bytes())
                    .map_err(|error| Failure::io(format_args!("write {}", file.display()), &error))?;
                split.files.push(file.display().to_string());
            }
        }
        None => split.shares = shares.iter().map(|share| share.text().to_string()).collect(),
    }
    if output.is_json() {
        output.json(&split)?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in split.shares.iter().chain(&split.files) {
        output.line(line)?;
    }
    output.flush()?;
    output::note(format_args!(
        "Any {} of these give the master key {} back: rokko keys combine FILE...\nKeep them apart, and a backup of the store beside them.",
        split.threshold, split.master_key
    ));
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Combined {
    master_key: String,
    file: String,
}

/// Writes the master key into its file, where there must be none. A store is not needed: it may be restored later.
pub(super) fn combine(place: &Site, files: &[PathBuf], output: &mut Output) -> Result<ExitCode, Failure> {
    let file = place.master_key_file()?;
    let mut shares = Vec::new();
    for from in files {
        let text = read(from)?;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let share = Share::parse(line);
            shares.push(share.map_err(|error| Failure::failed(format!("{}: {error}", from.display())))?);
        }
    }
    let master = rokko_keys::combine(&shares).map_err(|error| Failure::failed(error.to_string()))?;
    if place.store_path().exists() {
        let what = format!("set {}, master key {}", shares.first().map(Share::set).unwrap_or_default(), master.id());
        let change = KeyChange { audit: vec![audit(KeyAction::Combine, None, &what)], ..KeyChange::default() };
        place.open_store()?.change_signing_keys(&change).map_err(|error| store_failure(&error))?;
    }
    master.write(&file).map_err(|error| master_failure(&error))?;
    let combined = Combined { master_key: master.id().to_string(), file: file.display().to_string() };
    output
        .value(&combined, |combined| format!("Wrote the master key {} to {}.", combined.master_key, combined.file))?;
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(SHARES_MAX).unwrap_or_default()));
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(SHARES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|input| input.take(SHARES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::io(format_args!("read {}", file.display()), &error))?;
    Ok(text)
}
