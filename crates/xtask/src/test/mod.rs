//! `cargo xtask test`: everything that a change must pass, one step after another.
//!
//! A failed step does not keep the later ones from running. The last line counts: each test of `cargo test`, and each
//! other check (a step, or a fuzz target) as one.

pub(crate) mod install;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::{fuzz, shell, tidy};

/// What came of a step.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<Tally>,
}

const STEPS: &[Step] = &[
    Step { name: "install", about: "install the programs that tests talk to", run: || check(install::run()) },
    Step { name: "tidy", about: "rules about the tree", run: || check(tidy::check()) },
    Step { name: "fmt", about: "rustfmt changes nothing", run: || check(fmt()) },
    Step { name: "clippy", about: "no lint warns", run: || check(clippy()) },
    Step { name: "test", about: "cargo test of the whole workspace", run: tests },
    Step { name: "doc", about: "the documentation builds without a warning", run: || check(doc()) },
    Step { name: "fuzz", about: "each fuzz target, the same inputs each time", run: fuzz::run_all },
];

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some(steps) = chosen(arguments)? else {
        for step in STEPS {
            println!("{:8} {}", step.name, step.about);
        }
        return Ok(ExitCode::SUCCESS);
    };
    let mut total = Tally::default();
    let mut times = Vec::new();
    for step in steps {
        println!("=== {}: {}", step.name, step.about);
        let start = Instant::now();
        let tally = (step.run)().unwrap_or_else(|error| {
            println!("{} failed: {error:#}", step.name);
            Tally { passed: 0, failed: 1 }
        });
        let seconds = start.elapsed().as_secs_f64();
        let verdict = if tally.failed == 0 { "passed" } else { "FAILED" };
        println!("=== {} {verdict} in {seconds:.1} s", step.name);
        times.push(format!("{} {verdict} {seconds:.1} s", step.name));
        total.passed += tally.passed;
        total.failed += tally.failed;
    }
    println!("\n{}", times.join(", "));
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The steps that were asked for, all if none was; `None` if the list was asked for.
fn chosen(arguments: &[String]) -> Result<Option<Vec<&'static Step>>> {
    let mut steps = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => return Ok(None),
            "--only" => {
                let name = arguments.next().map_or("", String::as_str);
                let Some(step) = STEPS.iter().find(|step| step.name == name) else {
                    bail!("there is no step {name:?}; see cargo xtask test --list");
                };
                steps.push(step);
            }
            other => bail!("test takes --only STEP and --list, found {other:?}"),
        }
    }
    Ok(Some(if steps.is_empty() { STEPS.iter().collect() } else { steps }))
}

fn check(result: Result<()>) -> Result<Tally> {
    result.map(|()| Tally { passed: 1, failed: 0 })
}

fn fmt() -> Result<()> {
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    shell::run(shell::cargo().args(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]))
}

fn clippy() -> Result<()> {
    shell::run(shell::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn doc() -> Result<()> {
    shell::run(shell::cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// A test that is ignored counts as failed: nothing is skipped in silence.
fn tests() -> Result<Tally> {
    let mut tally = Tally::default();
    let mut command = shell::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command.env("PATH", shell::search_path(Some(&install::venv_programs()))?);
    // The same code gets the same verdict everywhere; `cargo test` by hand tries other cases each time.
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        command.env("PROPTEST_RNG_SEED", "1");
    }
    let status = shell::run_lines(&mut command, |line| {
        let [passed, failed, ignored] = counts(line);
        tally.passed += passed;
        tally.failed += failed + ignored;
    })?;
    if !status.success() && tally.failed == 0 {
        println!("cargo test ended with {status} though no test failed: something did not build or was killed");
        tally.failed = 1;
    }
    Ok(tally)
}

/// The tests passed, failed and ignored, if a line is the last one of a test binary.
fn counts(line: &str) -> [u64; 3] {
    let Some((_, rest)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
        return [0; 3];
    };
    ["passed", "failed", "ignored"].map(|word| {
        let part = rest.split("; ").find_map(|part| part.strip_suffix(word));
        part.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_test_binaries_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.01s";
        assert_eq!(counts(line), [12, 3, 1]);
        assert_eq!(counts("test a::b ... ok"), [0; 3]);
        assert_eq!(counts("12 passed; 3 failed"), [0; 3]);
    }

    #[test]
    fn steps_are_chosen_by_name() {
        let names = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
            chosen(&arguments).map(|steps| steps.map(|steps| steps.iter().map(|step| step.name).collect::<Vec<_>>()))
        };
        assert_eq!(names(&["--only", "doc", "--only", "fmt"]).unwrap(), Some(vec!["doc", "fmt"]));
        assert_eq!(names(&[]).unwrap().map(|steps| steps.len()), Some(STEPS.len()));
        assert_eq!(names(&["--list"]).unwrap(), None);
        assert!(names(&["--only", "docs"]).is_err());
        assert!(names(&["doc"]).is_err());
    }
}
