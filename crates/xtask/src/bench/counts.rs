//! `cargo xtask bench counts`: instructions per answer, counted by callgrind, on the pure path without any input or output.
//!
//! Unlike times these do not depend on what else the machine does, so that a change of one per cent shows.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::shell;
use crate::test::install::install_programs;

/// Answers of the shorter run; the longer one gives twice as many, and the difference is what they cost.
const ANSWERS: u64 = 2000;

pub(super) fn run(arguments: &[String]) -> Result<ExitCode> {
    let wanted: Vec<&str> = arguments.iter().map(String::as_str).filter(|kind| !kind.starts_with('-')).collect();
    if wanted.len() != arguments.len() {
        bail!("counts takes names of kinds, and no options");
    }
    install_programs(&[("valgrind", "valgrind")])?;
    shell::run(shell::cargo().args(["build", "--release", "--package", "rokko-answer", "--example", "one_kind"]))?;
    let program = shell::target_dir().join("release/examples/one_kind");
    let kinds = shell::output(Command::new(&program).arg("list"))?;
    let mut table = String::from("| kind of query | instructions per answer |\n|---|---|\n");
    for kind in kinds.lines().filter(|kind| wanted.is_empty() || wanted.contains(kind)) {
        let (less, more) = (count(&program, kind, ANSWERS)?, count(&program, kind, 2 * ANSWERS)?);
        let row = format!("| {kind} | {} |", more.saturating_sub(less) / ANSWERS);
        eprintln!("{row}");
        writeln!(table, "{row}")?;
    }
    print!("{table}");
    Ok(ExitCode::SUCCESS)
}

/// The instructions of one run.
fn count(program: &Path, kind: &str, answers: u64) -> Result<u64> {
    let out = shell::target_dir().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", out.display()));
    shell::output(command.arg(program).args([kind, &answers.to_string()]))?;
    let text = fs::read_to_string(&out).with_context(|| format!("valgrind wrote no {}", out.display()))?;
    fs::remove_file(&out)?;
    total(&text).with_context(|| format!("{} has no total", out.display()))
}

/// The sum over the whole program in a file of callgrind.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_stands_in_its_line() {
        assert_eq!(total("version: 1\nevents: Ir\nsummary: 12345\n\nfn=(1)\n"), Some(12_345));
        assert_eq!(total("fn=(1)\n16 4\ntotals: 77\n"), Some(77));
        assert_eq!(total("events: Ir\n"), None);
    }
}
