//! `rokko keys`: signing keys and the master key that wraps them, on the data folder of a node.
//!
//! ```text
//! place     the data folder, its store and its master key
//! list      what keys there are, and their movements
//! files     keys in BIND's format;  seal: keys for another site
//! backup    the master key in shares;  rewrap: another master key
//! ```
//!
//! All but `rewrap` work beside a node that runs: they reach only the tables of keys.

mod backup;
mod files;
mod list;
mod place;
mod rewrap;
mod seal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::Output;
use place::PlaceArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make the master key, if a node that starts should not do it.
    Init {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// List signing keys.
    List {
        /// Only those of this zone.
        #[arg(long, value_name = "ZONE")]
        zone: Option<String>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Bring keys in from files in BIND's format.
    Import {
        /// The files: `K*.key` with `K*.private` beside it; either name will do.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Write keys into files in BIND's format. Their private parts are then in the clear.
    Export {
        /// The ids of the keys, as `rokko keys list` shows them. Without any: all of `--zone`.
        #[arg(value_name = "ID", required_unless_present = "zone")]
        ids: Vec<String>,
        /// All keys of this zone.
        #[arg(long, value_name = "ZONE", conflicts_with = "ids")]
        zone: Option<String>,
        /// The folder that gets the files.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Write keys into a file that only chosen recipients open (age).
    Seal(seal::SealArgs),
    /// Bring keys in from a sealed file.
    Open {
        /// The sealed file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The file with the recipient's identity, as `age-keygen` writes it.
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Split the master key into shares for offline backup.
    Split(backup::SplitArgs),
    /// Make the master key of shares.
    Combine {
        /// Files with shares, one share in each line; `-` is standard input.
        #[arg(value_name = "FILE", default_value = "-")]
        shares: Vec<PathBuf>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// List the movements of keys, oldest first.
    Audit {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Wrap all keys under another master key. The node has to be stopped.
    Rewrap {
        /// The file with the new master key, which is made if it is not there. Without it, the file of the present one gets a new one.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

pub(crate) fn run(command: KeysCommand, output: &mut Output) -> Result<ExitCode, Failure> {
    match command {
        KeysCommand::Init { place } => place::init(&place.find()?, output),
        KeysCommand::List { zone, place } => list::keys(&place.find()?, zone.as_deref(), output),
        KeysCommand::Import { files, place } => files::import(&place.find()?, &files, output),
        KeysCommand::Export { ids, zone, to, place } => {
            files::export(&place.find()?, &ids, zone.as_deref(), &to, output)
        }
        KeysCommand::Seal(args) => seal::seal(&args, output),
        KeysCommand::Open { file, identity, place } => seal::open(&place.find()?, &file, &identity, output),
        KeysCommand::Split(args) => backup::split(&args, output),
        KeysCommand::Combine { shares, place } => backup::combine(&place.find()?, &shares, output),
        KeysCommand::Audit { place } => list::audit(&place.find()?, output),
        KeysCommand::Rewrap { to, place } => rewrap::run(&place.find()?, to, output),
    }
}
