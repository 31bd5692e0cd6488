//! What is told about an import: diagnostics and progress while it runs, a summary at its end.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::parse::Parsed;
use super::{Outcome, Prepared};
use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::zone::file::{self, DiagnosticJson};

pub(super) struct Report {
    started: Instant,
    bar: ProgressBar,
    dry_run: bool,
    is_json: bool,
    imported: u64,
    unchanged: u64,
    failed: u64,
    records: u64,
    /// The kind of the only failure, if all are of one kind.
    kind: Option<Kind>,
    files: Vec<FileJson>,
}

#[derive(Serialize)]
struct FileJson {
    file: String,
    zone: Option<String>,
    ok: bool,
    version: Option<u64>,
    serial: Option<u32>,
    changed: bool,
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<DiagnosticJson>,
}

#[derive(Serialize)]
struct Summary<'a> {
    imported: u64,
    unchanged: u64,
    failed: u64,
    records: u64,
    seconds: f64,
    dry_run: bool,
    files: &'a [FileJson],
}

impl Report {
    pub(super) fn start(files: u64, dry_run: bool, is_json: bool) -> Self {
        let bar = if output::is_watched() && !is_json && files > 1 {
            let style =
                ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} zones, {per_sec}, {eta} left");
            let bar = ProgressBar::new(files);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        } else {
            ProgressBar::hidden()
        };
        Self {
            started: Instant::now(),
            bar,
            dry_run,
            is_json,
            imported: 0,
            unchanged: 0,
            failed: 0,
            records: 0,
            kind: None,
            files: Vec::new(),
        }
    }

    pub(super) fn has_failures(&self) -> bool {
        self.failed > 0
    }

    /// Tells a file's diagnostics; gives the zone if it can be imported.
    pub(super) fn parsed(&mut self, parsed: Parsed) -> Option<Prepared> {
        let Parsed { file, loaded } = parsed;
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(failure) => {
                self.note(format_args!("error: {}", failure.message()));
                self.fail(FileJson::failed(&file, None, failure.message().to_owned()), failure.kind());
                return None;
            }
        };
        let diagnostics =
            if self.is_json { loaded.diagnostics.iter().map(DiagnosticJson::from).collect() } else { Vec::new() };
        if !self.is_json {
            loaded.diagnostics.iter().for_each(|diagnostic| self.note(diagnostic));
        }
        if loaded.has_errors() {
            let tally = file::tally_text(file::tally(&loaded));
            self.note(format_args!("{}: not imported: {tally}", file.display()));
            let zone = loaded.apex.as_ref().map(ToString::to_string);
            let failed = FileJson { diagnostics, ..FileJson::failed(&file, zone, tally) };
            self.fail(failed, Kind::Failed);
            return None;
        }
        let records = file::records(&loaded);
        let zone = loaded.apex?;
        Some(Prepared { file, zone, rrsets: loaded.rrsets, records })
    }

    pub(super) fn done(&mut self, outcomes: Vec<Outcome>) {
        for Outcome { file, zone, records, result } in outcomes {
            match result {
                Ok(done) => {
                    let count = if done.changed { &mut self.imported } else { &mut self.unchanged };
                    *count += 1;
                    self.records += records;
                    self.bar.inc(1);
                    if self.is_json {
                        self.files.push(FileJson {
                            version: (!self.dry_run).then_some(done.version),
                            serial: done.serial,
                            changed: done.changed,
                            ok: true,
                            error: None,
                            ..FileJson::failed(&file, Some(zone.to_string()), String::new())
                        });
                    }
                }
                Err(failure) => {
                    self.note(format_args!("error: {}: {}", file.display(), failure.message()));
                    let zone = Some(zone.to_string());
                    self.fail(FileJson::failed(&file, zone, failure.message().to_owned()), failure.kind());
                }
            }
        }
    }

    fn fail(&mut self, file: FileJson, kind: Kind) {
        self.kind = if self.failed == 0 || self.kind == Some(kind) { Some(kind) } else { None };
        self.failed += 1;
        self.bar.inc(1);
        self.files.push(file);
    }

    fn note(&self, text: impl std::fmt::Display) {
        if !self.is_json {
            self.bar.suspend(|| output::note(text));
        }
    }

    pub(super) fn finish(self, output: &mut Output) -> Result<ExitCode, Failure> {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        if output.is_json() {
            let Self { imported, unchanged, failed, records, dry_run, ref files, .. } = self;
            output.json(&Summary { imported, unchanged, failed, records, seconds, dry_run, files })?;
        } else {
            output.line(self.summary(seconds))?;
        }
        if self.failed == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        // A script has to tell a stale version and an unreachable API from a bad file.
        Ok(self.kind.map_or(ExitCode::FAILURE, |kind| Failure::new(kind, "").exit_code()))
    }

    fn summary(&self, seconds: f64) -> String {
        let verb = if self.dry_run { "Would import" } else { "Imported" };
        let (zones, records) = (output::count(self.imported, "zone"), output::count(self.records, "record"));
        let mut text = format!("{verb} {zones} ({records}) in {seconds:.1} s");
        if self.unchanged > 0 {
            text = format!("{text}; {} already as in the file", self.unchanged);
        }
        if self.failed > 0 {
            text = format!("{text}; {} failed", self.failed);
        }
        text + "."
    }
}

impl FileJson {
    fn failed(file: &std::path::Path, zone: Option<String>, error: String) -> Self {
        Self {
            file: file.display().to_string(),
            zone,
            ok: false,
            version: None,
            serial: None,
            changed: false,
            error: Some(error),
            diagnostics: Vec::new(),
        }
    }
}
