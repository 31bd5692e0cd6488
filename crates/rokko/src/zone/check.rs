//! `rokko zone check`: zone files without a node.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::file::{self, DiagnosticJson};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::record::zone_name;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Zone files, or folders of them; `-` is standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The zone's name, where a file does not tell it.
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// Fail if there are warnings.
    #[arg(long)]
    warnings_as_errors: bool,
}

#[derive(Serialize)]
struct Checked {
    file: String,
    zone: Option<String>,
    serial: Option<u32>,
    records: u64,
    ok: bool,
    diagnostics: Vec<DiagnosticJson>,
}

pub(crate) fn run(args: &CheckArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let origin = args.origin.as_deref().map(zone_name).transpose()?;
    let (mut all_ok, mut results) = (true, Vec::new());
    for path in file::find(&args.files)? {
        let loaded = match file::load(&path, origin.as_ref()) {
            Ok(loaded) => loaded,
            Err(failure) => {
                all_ok = false;
                output::note(format_args!("error: {}", failure.message()));
                continue;
            }
        };
        let (errors, warnings) = file::tally(&loaded);
        let ok = errors == 0 && (warnings == 0 || !args.warnings_as_errors);
        all_ok &= ok;
        let serial = file::serial(&loaded).map(|serial| serial.0);
        let records = file::records(&loaded);
        if output.is_json() {
            results.push(Checked {
                file: path.display().to_string(),
                zone: loaded.apex.as_ref().map(ToString::to_string),
                serial,
                records,
                ok,
                diagnostics: loaded.diagnostics.iter().map(DiagnosticJson::from).collect(),
            });
            continue;
        }
        for diagnostic in &loaded.diagnostics {
            output.line(diagnostic)?;
        }
        let zone = loaded.apex.as_ref().map_or_else(|| "no zone".to_owned(), |apex| format!("zone {apex}"));
        let serial = serial.map_or_else(String::new, |serial| format!(", serial {serial}"));
        let verdict = if ok { "ok" } else { "not ok" };
        let (records, tally) = (output::count(records, "record"), file::tally_text((errors, warnings)));
        output.line(format_args!("{}: {verdict}: {zone}{serial}, {records}, {tally}", path.display()))?;
    }
    if output.is_json() {
        output.json(&results)?;
    }
    Ok(if all_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
