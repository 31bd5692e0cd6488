//! The only automation entry: `cargo xtask test`, `tidy`, `fuzz` and `bench`.
//!
//! ```text
//! test    everything that a change must pass, with what it needs installed first
//! tidy    rules about the tree that no compiler knows: crate edges, file lengths, links, words
//! fuzz    coverage-guided fuzzing on stable Rust
//! bench   rokko-bench in a release build; instructions per answer
//! ```

#![expect(clippy::print_stdout, reason = "this program reports to the person or the job that started it")]

mod bench;
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
  bench [COMMAND] [OPTION]...        rokko-bench COMMAND (suite) on a release build; installs what it needs
  bench counts [KIND]...             instructions per answer, counted by valgrind
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
        "bench" => bench::run(rest),
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("there is no command {other:?}\n\n{USAGE}"),
    }
}
