//! The only automation entry: `cargo xtask test`, `tidy`, `fuzz` and `bench`.
//!
//! ```text
//! test    everything that a change must pass, with what it needs installed first
//! tidy    rules about the tree that no compiler knows: crate edges, file lengths, links, words
//! fuzz    coverage-guided fuzzing on stable Rust
//! bench   rokko-bench in a release build
//! ```

#![expect(clippy::print_stdout, reason = "this program reports to the person or the job that started it")]

mod fuzz;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--only STEP]... [--list]     all checks and tests; installs what they need
  tidy                               rules about the tree
  fuzz [TARGET]... [--seconds N] [--list]
                                     fuzz targets for N seconds each (60), as many at once as there are cores
  fuzz TARGET --replay FILE          one target on one input
  bench [COMMAND] [OPTION]...        rokko-bench COMMAND (suite) on a release build
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    match command {
        "test" => test::run(rest),
        "tidy" => tidy::run(),
        "fuzz" => fuzz::run(rest),
        "bench" => bench(rest),
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("there is no command {other:?}\n\n{USAGE}"),
    }
}

/// Builds the server too, which is what gets measured; `suite` unless another of rokko-bench's commands is named.
fn bench(arguments: &[String]) -> Result<ExitCode> {
    shell::run(shell::cargo().args(["build", "--release", "--package", "rokko"]))?;
    let (what, rest) = match arguments.split_first() {
        Some((what, rest)) if !what.starts_with('-') => (what.as_str(), rest),
        _ => ("suite", arguments),
    };
    let target = shell::target_dir();
    let mut command = shell::cargo();
    command.args(["run", "--release", "--package", "rokko-bench", "--", what]);
    for (option, path) in [("--rokko", "release/rokko"), ("--folder", "bench")] {
        if !rest.iter().any(|argument| argument.split('=').next() == Some(option)) {
            command.arg(option).arg(target.join(path));
        }
    }
    let status = command.args(rest).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
