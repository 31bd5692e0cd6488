//! Changes at a steady rate, and as fast as they go: when each node answers with them.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::watch::{Asking, Shown, watch};
use super::write::{Plan, Written, write};
use super::{Size, ready};
use crate::data::Set;
use crate::peers::{Fleet, Peer, Server};
use crate::plot::{Line, Lines};
use crate::report::Bench;
use crate::stats::quantile;

/// How long after the last change nodes may take to show it.
const LIMIT: Duration = Duration::from_secs(120);
/// Between two changes that are watched while they are made as fast as they go.
const MARK_EVERY: Duration = Duration::from_millis(50);

/// What came of one run over a fleet.
struct Run {
    begin: Instant,
    written: Written,
    shown: Vec<Shown>,
    /// CPU seconds of the control node, and of all others together.
    cpu_s: [f64; 2],
}

impl Run {
    fn new(fleet: &Fleet, plan: &Plan, every: Duration) -> Result<Self> {
        let targets = fleet.nodes.iter().map(Server::socket).collect::<Result<Vec<_>>>()?;
        let (sender, receiver) = channel();
        let (before, begin) = (fleet.cpu_times()?, Instant::now());
        let (written, shown) = std::thread::scope(|scope| -> Result<_> {
            let asking = Asking { every, limit: LIMIT };
            let watching = scope.spawn(move || watch(targets, &receiver, asking));
            let written = write(fleet, plan, &sender);
            drop(sender);
            let Ok(shown) = watching.join() else { bail!("the thread that asks panicked") };
            Ok((written?, shown?))
        })?;
        let after = fleet.cpu_times()?;
        let cpu_s = [0, 1].map(|index| after[index].saturating_sub(before[index]).as_secs_f64());
        Ok(Self { begin, written, shown, cpu_s })
    }

    /// Milliseconds from commit to answer, of one node.
    fn lags_ms(&self, node: usize) -> impl Iterator<Item = f64> {
        self.shown[node].seen.iter().map(|seen| seen.after.as_secs_f64() * 1e3)
    }
}

/// Changes at a steady rate, one by one.
pub(super) fn steady(bench: &Bench, size: &Size, peers: &[Peer]) -> Result<()> {
    let (set, rate) = (Set::Small(size.zones), size.rate.unwrap_or(200.0));
    bench.title(&format!("{}, {} nodes that follow, {rate:.0} changes a second", set.title(), size.nodes));
    let (mut lines, mut by_node) = (Vec::new(), Vec::new());
    for &peer in peers {
        let fleet = ready(bench, peer, size)?;
        let mut lags = vec![Vec::new(); fleet.nodes.len()];
        let (mut acknowledged_ms, mut missing) = (Vec::new(), 0);
        for round in 0..bench.rounds {
            let plan = Plan {
                set,
                first: 1 + round * size.changes,
                rate: Some(rate),
                batch: 1,
                writers: size.writers,
                changes: size.changes,
                duration: Duration::MAX,
                mark_every: Duration::ZERO,
            };
            let mut run = Run::new(&fleet, &plan, size.every)?;
            for (node, lags) in lags.iter_mut().enumerate() {
                lags.extend(run.lags_ms(node));
            }
            acknowledged_ms.append(&mut run.written.acknowledged_ms);
            missing += run.shown.iter().map(|shown| shown.missing).sum::<usize>();
        }
        let mut all = lags.concat();
        shares(bench, "a change until it is acknowledged", fleet.title(), &mut acknowledged_ms);
        shares(bench, "from there until a node's answer", fleet.title(), &mut all);
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 changes")]
        bench.row(&format!("not answered {} s after the last", LIMIT.as_secs()), fleet.title(), &[missing as f64]);
        lines.push(line(fleet.title(), &all));
        if peer == Peer::Rokko {
            by_node = lags;
        }
    }
    plot(bench, &format!("fleet-lag-{}", size.zones), "one answer in so many is later", lines)?;
    if !by_node.is_empty() {
        bench.title("Rokko, from the acknowledgement until the answer, by PoP");
        for (node, lags) in by_node.iter_mut().enumerate() {
            let column = size
                .wires
                .get(node)
                .map_or_else(|| format!("PoP {}", node + 1), |wire| format!("{} ms away", wire.delay.as_millis()));
            shares(bench, "until the answer", &column, lags);
        }
    }
    bench.flush();
    Ok(())
}

/// The median, the p99 and the greatest of some milliseconds, which are sorted then.
fn shares(bench: &Bench, measure: &str, column: &str, figures: &mut [f64]) {
    figures.sort_by(f64::total_cmp);
    for (share, name) in [(0.5, "median"), (0.99, "p99"), (1.0, "greatest")] {
        bench.row(&format!("{measure}, {name}, ms"), column, &[quantile(figures, share)]);
    }
}

/// The lag that one answer in 1, 10, 100 … exceeds.
fn line(label: &str, sorted: &[f64]) -> Line {
    let steps = [2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4];
    Line::new(label, steps.into_iter().map(|one_in: f64| (one_in, quantile(sorted, 1.0 - 1.0 / one_in))))
}

fn plot(bench: &Bench, name: &str, across: &str, series: Vec<Line>) -> Result<()> {
    bench.plot(name, || {
        let title = bench.table.borrow().title().to_owned();
        Lines { title, across: across.to_owned(), unit: "lag, ms".to_owned(), series }.to_svg()
    })
}

/// Changes as fast as they go, or in batches at a rate.
pub(super) fn throughput(bench: &Bench, size: &Size, peers: &[Peer]) -> Result<()> {
    let set = Set::Small(size.zones);
    let pace = size.rate.map_or("as fast as they go".to_owned(), |rate| format!("{rate:.0} a second"));
    bench.title(&format!(
        "{}, {} nodes that follow, changes {pace} for {} s, Rokko's in batches of {}",
        set.title(),
        size.nodes,
        size.seconds,
        size.batch
    ));
    let mut lines = Vec::new();
    for &peer in peers {
        let fleet = ready(bench, peer, size)?;
        let plan = Plan {
            set,
            first: 1,
            rate: size.rate,
            batch: if peer == Peer::Rokko { size.batch } else { 1 },
            writers: size.writers,
            changes: usize::MAX,
            duration: Duration::from_secs(size.seconds),
            mark_every: MARK_EVERY,
        };
        let run = Run::new(&fleet, &plan, size.every)?;
        report_throughput(bench, &fleet, &run, size);
        lines.push(over_time(fleet.title(), &run, size.seconds));
    }
    plot(bench, &format!("fleet-throughput-{}", size.zones), "seconds of changes", lines)?;
    bench.flush();
    Ok(())
}

fn report_throughput(bench: &Bench, fleet: &Fleet, run: &Run, size: &Size) {
    let column = fleet.title();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 changes")]
    let changes = run.written.changes as f64;
    bench.row("changes per second", column, &[changes / run.written.seconds]);
    let mut acknowledged_ms = run.written.acknowledged_ms.clone();
    shares(bench, "a request until it is acknowledged", column, &mut acknowledged_ms);
    let mut all: Vec<f64> = (0..run.shown.len()).flat_map(|node| run.lags_ms(node)).collect();
    shares(bench, "from there until a node's answer", column, &mut all);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
    let third = size.seconds as f64 / 3.0;
    let part = |from: f64, to: f64| {
        let of = |shown: &Shown| -> Vec<f64> { during(run, shown, from, to) };
        let mut lags = run.shown.iter().flat_map(of).collect::<Vec<_>>();
        lags.sort_by(f64::total_cmp);
        quantile(&lags, 0.5)
    };
    bench.row("the median in the first third, ms", column, &[part(0.0, third)]);
    bench.row("the median in the last third, ms", column, &[part(2.0 * third, f64::INFINITY)]);
    let missing: usize = run.shown.iter().map(|shown| shown.missing).sum();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 changes")]
    bench.row(&format!("not answered {} s after the last", LIMIT.as_secs()), column, &[missing as f64]);
    bench.row("CPU of the control node per change, µs", column, &[run.cpu_s[0] * 1e6 / changes]);
    // The processes that NSD starts to take changes over are gone when their time could be read.
    if fleet.peer != Peer::Nsd {
        #[expect(clippy::cast_precision_loss, reason = "a few nodes")]
        let nodes = size.nodes as f64;
        bench.row("CPU of a node that follows per change, µs", column, &[run.cpu_s[1] * 1e6 / changes / nodes]);
    }
}

/// The lags of changes that were committed in some part of a run.
fn during(run: &Run, shown: &Shown, from: f64, to: f64) -> Vec<f64> {
    let is_in = |committed: Instant| (from..to).contains(&committed.duration_since(run.begin).as_secs_f64());
    shown.seen.iter().filter(|seen| is_in(seen.committed)).map(|seen| seen.after.as_secs_f64() * 1e3).collect()
}

/// The greatest lag in each second.
fn over_time(label: &str, run: &Run, seconds: u64) -> Line {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
    let point = |second: u64| {
        let from = second as f64;
        let of = |shown: &Shown| during(run, shown, from, from + 1.0);
        (from + 1.0, run.shown.iter().flat_map(of).fold(0.0, f64::max))
    };
    Line::new(label, (0..seconds).map(point))
}
