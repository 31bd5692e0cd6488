//! `rokko backup`: a copy of the store, made by the node itself.

use std::process::ExitCode;

use clap::Args;
use rokko_api::v1::dto::{Backup, NewBackup};
use ureq::http::Method;

use crate::args::ApiArgs;
use crate::client::{Client, UrlPath};
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The name of a new file in the folder `backups` of the node's data folder.
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) fn run(args: &BackupArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let client = Client::new(&args.api)?;
    let wanted = NewBackup { path: args.file.clone() };
    let backup: Backup = client.send(Method::POST, &UrlPath::v1(&["backups"]), &wanted, None)?;
    output.value(&backup, |backup| format!("Wrote {} ({} octets) on the node.", backup.path, backup.bytes))?;
    Ok(ExitCode::SUCCESS)
}
