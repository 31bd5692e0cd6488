//! `cargo xtask fuzz`: libFuzzer over the targets of the workspace in `fuzz/`, on stable Rust.
//!
//! rustc's own coverage sanitizer option is not stable, but LLVM's pass can be asked for by stable options, and
//! `libfuzzer-sys` brings libFuzzer as C++ source, so that a C++ compiler is all that is needed.
//!
//! Seeds lie in `fuzz/corpus/TARGET`. What a run discovers stays below the target folder and is where the next run
//! starts. An input that fails a target goes to `fuzz/artifacts`, and the command that runs it again is printed.
//!
//! `cargo xtask test` tries a fixed number of inputs from a fixed seed, so that the same code gets the same verdict
//! everywhere; `cargo xtask fuzz` starts from another seed each time, to find something new.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::shell;
use crate::test::Tally;

/// A binary of `fuzz/Cargo.toml` and how long its inputs get, in octets.
struct Target {
    name: &'static str,
    about: &'static str,
    len_max: u32,
    /// How many inputs `cargo xtask test` tries; they take a minute or less.
    runs: u64,
    /// A feature of the crate that it needs.
    feature: Option<&'static str>,
}

const TARGETS: &[Target] = &[
    Target {
        name: "query",
        about: "a DNS message, answered from a fixed catalog",
        len_max: 600,
        runs: 6_300_000,
        feature: None,
    },
    Target { name: "response", about: "a response of another server", len_max: 600, runs: 5_000_000, feature: None },
    Target { name: "name", about: "names in wire form and in text", len_max: 300, runs: 1_500_000, feature: None },
    Target {
        name: "zonefile",
        about: "a zone file, read, checked and written again",
        len_max: 4096,
        runs: 360_000,
        feature: None,
    },
    Target {
        name: "dnssec",
        about: "a zone, judged, signed, changed and signed again",
        len_max: 2048,
        runs: 30_000,
        feature: Some("dnssec"),
    },
    Target {
        name: "rdata",
        about: "record data in wire form and in text",
        len_max: 600,
        runs: 3_800_000,
        feature: None,
    },
    Target { name: "page", about: "a stored page", len_max: 4096, runs: 19_000_000, feature: None },
    Target { name: "delta", about: "a stored change", len_max: 4096, runs: 10_000_000, feature: None },
    Target { name: "snapshot", about: "the zones of a mirror's snapshot", len_max: 4096, runs: 400_000, feature: None },
    Target { name: "segment", about: "a segment of a mirror's log", len_max: 1024, runs: 40_000, feature: None },
    Target { name: "frame", about: "a frame with a datagram", len_max: 300, runs: 20_000_000, feature: None },
    Target {
        name: "link",
        about: "tokens, framed messages, certificates",
        len_max: 2048,
        runs: 1_000_000,
        feature: Some("link"),
    },
    Target { name: "feed", about: "a frame or a message of the feed", len_max: 2048, runs: 10_000_000, feature: None },
    Target { name: "api", about: "a body of the HTTP API", len_max: 4096, runs: 4_000_000, feature: Some("api") },
];

const SECONDS: u64 = 60;
/// Ends a run with a fixed number of inputs on a machine that is much slower than thought.
const RUNS_SECONDS_MAX: u64 = 150;
/// An input that takes longer is a failure.
const INPUT_SECONDS_MAX: u32 = 10;
const MEMORY_MIB_MAX: u32 = 2048;
/// LLVM's coverage pass: a counter for each edge, and the operands of comparisons as hints.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// How much is tried.
#[derive(Clone, Copy)]
enum Effort {
    /// New inputs for so many seconds.
    Seconds(u64),
    /// The target's number of inputs, the same each time.
    Repeatable,
}

enum Order {
    List,
    Fuzz { targets: Vec<&'static Target>, seconds: u64 },
    Replay { target: &'static Target, file: PathBuf },
}

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let tally = match parse(arguments)? {
        Order::List => {
            for target in TARGETS {
                println!("{:10} {}", target.name, target.about);
            }
            return Ok(ExitCode::SUCCESS);
        }
        Order::Fuzz { targets, seconds } => fuzz(&targets, Effort::Seconds(seconds))?,
        Order::Replay { target, file } => {
            let programs = build(&[target])?;
            let status = Command::new(programs.join(target.name)).arg(file).status()?;
            Tally { passed: u64::from(status.success()), failed: u64::from(!status.success()) }
        }
    };
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every target with its number of inputs.
pub(crate) fn run_all() -> Result<Tally> {
    fuzz(&TARGETS.iter().collect::<Vec<_>>(), Effort::Repeatable)
}

fn parse(arguments: &[String]) -> Result<Order> {
    let (mut targets, mut seconds, mut replay) = (Vec::new(), SECONDS, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--list" => return Ok(Order::List),
            "--seconds" => seconds = value()?.parse().context("--seconds takes a whole number")?,
            "--replay" => replay = Some(std::path::absolute(value()?)?),
            name => match TARGETS.iter().find(|target| target.name == name) {
                Some(target) => targets.push(target),
                None => bail!("there is no fuzz target {name:?}; see cargo xtask fuzz --list"),
            },
        }
    }
    match (replay, targets.as_slice()) {
        (Some(file), [target]) => Ok(Order::Replay { target, file }),
        (Some(_), _) => bail!("--replay takes one target"),
        (None, []) => Ok(Order::Fuzz { targets: TARGETS.iter().collect(), seconds }),
        (None, _) => Ok(Order::Fuzz { targets, seconds }),
    }
}

/// Builds targets; gives the folder of their programs.
fn build(targets: &[&Target]) -> Result<PathBuf> {
    let version = shell::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let folder = shell::target_dir().join("fuzz");
    let mut cargo = shell::cargo();
    // With a target named, the flags are for the programs only and not for build scripts, which have no libFuzzer.
    cargo.args(["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target", host]);
    for target in targets {
        cargo.args(["--bin", target.name]);
        cargo.args(target.feature.iter().flat_map(|feature| ["--features", feature]));
    }
    cargo.env("CARGO_TARGET_DIR", &folder).env_remove("RUSTFLAGS");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"));
    shell::run(&mut cargo)?;
    Ok(folder.join(host).join("release"))
}

fn fuzz(targets: &[&'static Target], effort: Effort) -> Result<Tally> {
    let programs = build(targets)?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let queue: Mutex<VecDeque<&Target>> = Mutex::new(targets.iter().copied().collect());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..workers.min(targets.len()) {
            scope.spawn(|| {
                while let Some(target) = next() {
                    let outcome = run_target(target, &programs, effort);
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    match outcome {
                        Ok(()) => tally.passed += 1,
                        Err(error) => {
                            println!("fuzz {}: {error:#}", target.name);
                            tally.failed += 1;
                        }
                    }
                }
            });
        }
    });
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs one target with its report going to a file, of which a line is shown, or the end if it failed.
fn run_target(target: &Target, programs: &std::path::Path, effort: Effort) -> Result<()> {
    let seeds = shell::root().join("fuzz/corpus").join(target.name);
    let found = shell::target_dir().join("fuzz/found").join(target.name);
    let artifacts = shell::root().join("fuzz/artifacts").join(target.name);
    let limits = match effort {
        Effort::Seconds(seconds) => vec![format!("-max_total_time={seconds}")],
        Effort::Repeatable => {
            // What earlier runs found would make this one another one.
            let _ = fs::remove_dir_all(&found);
            vec![format!("-runs={}", target.runs), "-seed=1".to_owned(), format!("-max_total_time={RUNS_SECONDS_MAX}")]
        }
    };
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&artifacts)?;
    let report = found.with_extension("log");
    let file = File::create(&report)?;
    let mut program = Command::new(programs.join(target.name));
    program
        .args(limits)
        .arg(format!("-max_len={}", target.len_max))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        // libFuzzer keeps what it discovers in the first folder.
        .args([&found, &seeds])
        .stdout(file.try_clone()?)
        .stderr(file);
    let start = Instant::now();
    let status = program.status().with_context(|| format!("{} could not be started", target.name))?;
    let text = String::from_utf8_lossy(&fs::read(&report)?).into_owned();
    if !status.success() {
        return Err(failure(target, status, &text));
    }
    let summary = Summary::of(&text).context("libFuzzer reported no coverage: the targets are not instrumented")?;
    let Summary { runs, seeded, covered, discovered } = summary;
    println!(
        "fuzz {}: {runs} inputs in {:.0} s, edges {seeded} -> {covered}, {discovered} inputs discovered",
        target.name,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

fn failure(target: &Target, status: ExitStatus, report: &str) -> anyhow::Error {
    let artifact = report.lines().rev().find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path));
    let lines: Vec<&str> = report.lines().collect();
    let from = lines.iter().position(|line| line.contains("panicked at")).unwrap_or(lines.len().saturating_sub(30));
    let end = lines[from..].iter().take(30).copied().collect::<Vec<_>>().join("\n");
    let again = artifact.map_or_else(String::new, |path| {
        let path = std::path::Path::new(path);
        let path = path.strip_prefix(shell::root()).unwrap_or(path);
        format!("\nrun it again: cargo xtask fuzz {} --replay {}", target.name, path.display())
    });
    anyhow::anyhow!("ended with {status}\n{end}{again}")
}

/// What libFuzzer says about a run.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    runs: u64,
    /// Edges covered by the inputs at hand.
    seeded: u64,
    /// Edges covered at the end.
    covered: u64,
    /// Inputs that covered something new.
    discovered: u64,
}

impl Summary {
    fn of(report: &str) -> Option<Self> {
        let coverage = |line: &str| line.split_once("cov: ")?.1.split(' ').next()?.parse().ok();
        let number_after = |label: &str| {
            report.lines().find_map(|line| line.strip_prefix(label)).and_then(|number| number.trim().parse().ok())
        };
        Some(Self {
            runs: number_after("stat::number_of_executed_units:")?,
            seeded: report.lines().find(|line| line.contains("INITED")).and_then(coverage)?,
            covered: report.lines().rev().find_map(coverage)?,
            discovered: number_after("stat::new_units_added:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_summed_up() {
        let report = "INFO: seed corpus\n#12\tINITED cov: 120 ft: 300 corp: 10/2Kb\n#90\tNEW    cov: 125 ft: 320\n\
                      #99\tDONE   cov: 125 ft: 320 corp: 1\nstat::number_of_executed_units: 99\n\
                      stat::new_units_added:          4\n";
        assert_eq!(Summary::of(report), Some(Summary { runs: 99, seeded: 120, covered: 125, discovered: 4 }));
        assert_eq!(Summary::of("INFO: no counters"), None);
    }

    #[test]
    fn orders_are_read() {
        let parse = |text: &str| parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let Order::Fuzz { targets, seconds } = parse("query --seconds 5 name").unwrap() else { panic!("not to fuzz") };
        assert_eq!((targets.len(), targets[0].name, seconds), (2, "query", 5));
        let Order::Fuzz { targets, .. } = parse("").unwrap() else { panic!("not to fuzz") };
        assert_eq!(targets.len(), TARGETS.len());
        assert!(parse("nothing").is_err());
        assert!(parse("--replay x").is_err());
    }
}
