//! Answers under a steady load while zones change all the time.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::change::patch;
use super::turns::START_LIMIT;
use crate::data::{Mix, Random, Set};
use crate::load::{Outcome, UdpLoad, run_udp};
use crate::peers::{Peer, agent};
use crate::plot::{Line, Lines};
use crate::report::Bench;
use crate::stats::quantile;

/// Changes under way at once.
const CLIENTS: usize = 8;

/// How much of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) zones: usize,
    /// Changes a second.
    pub(crate) changes: f64,
    /// Queries a second.
    pub(crate) rate: f64,
    pub(crate) seconds: u64,
}

pub(crate) fn run(bench: &Bench, size: Size) -> Result<()> {
    let set = Set::Small(size.zones);
    bench.title(&format!(
        "{}, {:.0} queries a second, without and with {:.0} changes a second",
        set.title(),
        size.rate,
        size.changes
    ));
    let queries = Mix { count: 1_000_000, ..Mix::default() }.queries(&set)?;
    let mut server = Peer::Rokko.start(bench, set)?;
    server.wait_for_answer(&set.ready()?, START_LIMIT)?;
    let api = server.api()?;
    let load = UdpLoad::open(server.dns, size.rate, Duration::from_secs(size.seconds));
    // What comes first warms up.
    run_udp(&load, &queries)?;
    let before = server.memory_bytes();
    let (mut quiet, mut busy, mut changes_ms) = (Outcome::new(), Outcome::new(), Vec::new());
    for round in 0..bench.rounds {
        quiet.then(&run_udp(&load, &queries)?);
        let (outcome, mut changes) = std::thread::scope(|scope| -> Result<(Outcome, Vec<f64>)> {
            let thread = scope.spawn(|| change(api, set, size, round));
            let outcome = run_udp(&load, &queries)?;
            let Ok(changes) = thread.join() else { bail!("the thread that makes changes panicked") };
            Ok((outcome, changes?))
        })?;
        busy.then(&outcome);
        changes_ms.append(&mut changes);
    }
    report(bench, "without changes", &quiet);
    report(bench, "with changes", &busy);
    changes_ms.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand changes in a few seconds")]
    let rate = changes_ms.len() as f64 / (size.seconds as f64 * bench.rounds as f64);
    bench.row("changes per second", "with changes", &[rate]);
    bench.row("a change until it is acknowledged, ms", "with changes", &changes_ms);
    bench.row("the same, p99", "with changes", &[quantile(&changes_ms, 0.99)]);
    bench.row("memory after / before", "with changes", &[server.memory_bytes() / before]);
    bench.plot(&format!("churn-{}", set.slug()), || {
        let lines = vec![line("without changes", &quiet), line("with changes", &busy)];
        Lines {
            title: bench.table.borrow().title().to_owned(),
            across: "one answer in so many is slower".to_owned(),
            unit: "latency, µs".to_owned(),
            series: lines,
        }
        .to_svg()
    })?;
    bench.flush();
    Ok(())
}

fn report(bench: &Bench, when: &str, outcome: &Outcome) {
    bench.row("answers per second", when, &[outcome.rate()]);
    bench.row("lost, %", when, &[outcome.lost_percent()]);
    for (share, name) in [(0.5, "median"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"), (1.0, "greatest")] {
        bench.row(&format!("latency, {name}, µs"), when, &[outcome.latency_us(share)]);
    }
}

/// The latency that one answer in 1, 10, 100 … exceeds.
fn line(label: &str, outcome: &Outcome) -> Line {
    let of = |one_in: f64| (one_in, outcome.latency_us(1.0 - 1.0 / one_in));
    let steps = [2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5];
    Line::new(label, steps.into_iter().map(of))
}

/// Makes changes at a steady rate; the milliseconds that each took, from when it was due.
fn change(api: SocketAddr, set: Set, size: Size, round: usize) -> Result<Vec<f64>> {
    let (start, next, all) = (Instant::now(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let duration = Duration::from_secs(size.seconds);
    let client = || -> Result<()> {
        let (agent, mut mine) = (agent(), Vec::new());
        loop {
            let step = next.fetch_add(1, Ordering::Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 changes")]
            let due = Duration::from_secs_f64(step as f64 / size.changes);
            if due >= duration {
                break;
            }
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            let index = Random((step + 1_000_000 * round) as u64).below(set.count());
            let [.., a, b, c] = (step + 1_000_000 * round).to_be_bytes();
            patch(&agent, api, &set.apex(index), &set.host(index), [10, a, b, c])?;
            mine.push((start.elapsed().saturating_sub(due)).as_secs_f64() * 1e3);
        }
        if let Ok(mut all) = all.lock() {
            all.append(&mut mine);
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for thread in threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a thread that makes changes panicked"),
            }
        }
        Ok(())
    })?;
    Ok(all.into_inner().unwrap_or_default())
}
