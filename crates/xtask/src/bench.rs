//! `cargo xtask bench`: `rokko-bench` beside the servers that it needs, and instruction counts by valgrind.

mod counts;
mod peers;

use std::process::ExitCode;

use anyhow::Result;

use crate::shell;

/// Builds the server too, which is what gets measured; `suite` unless another of rokko-bench's commands is named.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let (what, rest) = match arguments.split_first() {
        Some((what, rest)) if !what.starts_with('-') => (what.as_str(), rest),
        _ => ("suite", arguments),
    };
    if what == "counts" {
        return counts::run(rest);
    }
    peers::install(what, rest)?;
    shell::run(shell::cargo().args(["build", "--release", "--package", "rokko"]))?;
    let target = shell::target_dir();
    let mut command = shell::cargo();
    command.env("PATH", shell::search_path(None)?);
    command.args(["run", "--release", "--package", "rokko-bench", "--", what]);
    for (option, path) in [("--rokko", "release/rokko"), ("--folder", "bench")] {
        if !rest.iter().any(|argument| argument.split('=').next() == Some(option)) {
            command.arg(option).arg(target.join(path));
        }
    }
    let status = command.args(rest).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
