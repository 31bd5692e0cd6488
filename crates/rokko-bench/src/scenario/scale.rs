//! How cost grows with the number of zones: Rokko alone.

use std::time::Duration;

use anyhow::{Context, Result};

use super::change::{changer, measure_changes};
use super::memory::{loaded, started};
use super::turns::{Figures, turn};
use crate::data::{Mix, Set, grouped};
use crate::load::{UdpLoad, run_udp};
use crate::peers::Peer;
use crate::plot::{Line, Lines};
use crate::report::Bench;
use crate::stats::Spread;

/// Changes that are timed at each size.
const CHANGES: usize = 200;

/// What was found at one size.
struct Point {
    zones: f64,
    cpu_us: f64,
    user_us: f64,
    bytes: f64,
    start_s: f64,
    change_ms: f64,
}

pub(crate) fn run(bench: &Bench, sizes: &[usize], seconds: u64) -> Result<()> {
    bench.title("Rokko by the number of zones of six records");
    let (empty, _) = loaded(bench, Peer::Rokko, 1)?;
    let mut points = Vec::new();
    for &zones in sizes {
        points.push(at(bench, zones, empty, seconds)?);
    }
    bench.plot("scale-cpu", || {
        let by = |label: &str, of: fn(&Point) -> f64| Line::new(label, points.iter().map(|one| (one.zones, of(one))));
        let lines = vec![by("whole", |one| one.cpu_us), by("in user space", |one| one.user_us)];
        lines_of("CPU per UDP query by hosted zones", "µs", lines)
    })?;
    bench.plot("scale-memory", || {
        let line = Line::new("memory per zone", points.iter().map(|one| (one.zones, one.bytes)));
        lines_of("Memory per zone by hosted zones", "octets", vec![line])
    })?;
    bench.plot("scale-time", || {
        let start = Line::new("cold start", points.iter().map(|one| (one.zones, one.start_s * 1e3)));
        let change = Line::new("change until the answer", points.iter().map(|one| (one.zones, one.change_ms)));
        lines_of("Cold start and one change by hosted zones", "ms", vec![start, change])
    })?;
    bench.flush();
    Ok(())
}

fn lines_of(title: &str, unit: &str, lines: Vec<Line>) -> String {
    Lines { title: title.to_owned(), across: "zones".to_owned(), unit: unit.to_owned(), series: lines }.to_svg()
}

fn at(bench: &Bench, zones: usize, empty: f64, seconds: u64) -> Result<Point> {
    let (set, column) = (Set::Small(zones), grouped(zones));
    let queries = Mix { count: 2_000_000, ..Mix::default() }.queries(&set)?;
    let (server, start_s) = started(bench, Peer::Rokko, set)?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 zones")]
    let per_zone = (server.memory_bytes() - empty) / zones as f64;
    let load = UdpLoad::closed(server.dns, Duration::from_secs(seconds));
    let mut figures = Figures::default();
    for round in 0..=bench.rounds {
        let mut first = Figures::default();
        turn(&server, if round == 0 { &mut first } else { &mut figures }, |_| run_udp(&load, &queries))?;
    }
    figures.report(bench, &column);
    bench.row("memory per zone, octets", &column, &[per_zone]);
    bench.row("start until the first answer, s", &column, &[start_s]);
    let mut changer = changer(Peer::Rokko, &server)?.context("Rokko can be changed")?;
    let change_ms = measure_changes(&server, &mut *changer, set, CHANGES)?;
    bench.row("from a change to the answer, ms", &column, &change_ms);
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 zones")]
    let point = Point {
        zones: zones as f64,
        cpu_us: Spread::of(&figures.cpu_us).median,
        user_us: Spread::of(&figures.user_us).median,
        bytes: per_zone,
        start_s,
        change_ms: Spread::of(&change_ms).median,
    };
    Ok(point)
}
