//! `cargo xtask tidy`: rules about the tree that no compiler knows.

mod crates;
mod documents;
mod manifest;
mod purity;
mod text;

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Folders that hold nothing of ours: what builds, fuzzing and a running node leave, and inputs taken from elsewhere.
const NOT_OURS: &[&str] = &["target", ".git", "rokko-data", "corpus", "artifacts"];

/// A text file of the project.
struct File {
    /// Relative to the root.
    path: PathBuf,
    text: String,
}

impl File {
    fn has_extension(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|found| found == extension)
    }
}

/// What was found.
#[derive(Default)]
struct Report {
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Report {
    fn error(&mut self, message: impl Display) {
        self.errors.push(message.to_string());
    }

    fn warn(&mut self, message: impl Display) {
        self.warnings.push(message.to_string());
    }

    fn error_at(&mut self, file: &File, line: usize, message: impl Display) {
        self.errors.push(format!("{}:{}: {message}", file.path.display(), line + 1));
    }
}

pub(crate) fn run() -> Result<ExitCode> {
    check()?;
    println!("tidy");
    Ok(ExitCode::SUCCESS)
}

/// All rules; an error that says how many are broken, after each has been printed.
pub(crate) fn check() -> Result<()> {
    let files = files(shell::root())?;
    let mut report = Report::default();
    crates::check(&files, &mut report)?;
    purity::check(shell::root(), &mut report)?;
    manifest::check(&files, &mut report)?;
    text::check(&files, &mut report);
    documents::check(shell::root(), &files, &mut report);
    for warning in &report.warnings {
        println!("warning: {warning}");
    }
    for error in &report.errors {
        println!("error: {error}");
    }
    match report.errors.len() {
        0 => Ok(()),
        1 => bail!("a rule is broken"),
        many => bail!("rules are broken in {many} places"),
    }
}

/// All text files of the project, sorted.
fn files(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                if !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
                    folders.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root).unwrap_or(&path).to_owned();
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn find<'a>(files: &'a [File], path: &str) -> Result<&'a File> {
    files.iter().find(|file| file.path == Path::new(path)).with_context(|| format!("{path} is missing"))
}
