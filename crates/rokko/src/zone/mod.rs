//! `rokko zone`: whole zones.

mod check;
mod export;
mod file;
mod history;
mod import;
mod list;
mod manage;

use std::process::ExitCode;

use clap::Subcommand;

use crate::args::ApiArgs;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum ZoneCommand {
    /// Load zone files into a node, running or stopped.
    Import(import::ImportArgs),
    /// Write zones as zone files in canonical form.
    Export(export::ExportArgs),
    /// Check zone files without a node.
    Check(check::CheckArgs),
    /// List zones.
    List(list::ListArgs),
    /// Show a zone's version, serial and metadata.
    Show {
        /// The zone.
        zone: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Make a zone.
    Create(manage::CreateArgs),
    /// Change a zone's account, kind or serial policy.
    Set(manage::SetArgs),
    /// List a zone's revisions, the newest first, or show what one of them changed.
    History(history::HistoryArgs),
    /// Make a zone again what it was at an earlier revision, as a new revision. Brings back a deleted zone too.
    Rollback(manage::RollbackArgs),
    /// Delete a zone. Its history stays, and a rollback brings it back.
    Delete(manage::DeleteArgs),
}

pub(crate) fn run(command: ZoneCommand, output: &mut Output) -> Result<ExitCode, Failure> {
    match command {
        ZoneCommand::Import(args) => import::run(&args, output),
        ZoneCommand::Export(args) => export::run(&args, output),
        ZoneCommand::Check(args) => check::run(&args, output),
        ZoneCommand::List(args) => list::run(&args, output),
        ZoneCommand::Show { zone, api } => list::show(&zone, &api, output),
        ZoneCommand::Create(args) => manage::create(args, output),
        ZoneCommand::Set(args) => manage::set(args, output),
        ZoneCommand::History(args) => history::run(&args, output),
        ZoneCommand::Rollback(args) => manage::rollback(&args, output),
        ZoneCommand::Delete(args) => manage::delete(&args, output),
    }
}
