//! CPU per UDP query.

use std::time::Duration;

use anyhow::Result;
use rokko_wire::Rtype;

use crate::cpu::{self, CpuTime};
use crate::data;
use crate::import::imported;
use crate::load;
use crate::peers::{self, Server, ZoneFile};
use crate::report::Bench;

const QUERIES: usize = 500_000;
const START_LIMIT: Duration = Duration::from_secs(300);

/// One server's figures, a value a round.
#[derive(Default)]
struct Figures {
    cpu_us: Vec<f64>,
    user_us: Vec<f64>,
    rate: Vec<f64>,
    lost: Vec<f64>,
}

pub(crate) fn run_small(bench: &Bench, zones: usize, seconds: u64) -> Result<()> {
    bench.title(&format!("UDP over loopback, {zones} zones of six records"));
    let folder = data::write_small_zones(&bench.folder, zones)?;
    let files: Vec<ZoneFile> = (0..zones)
        .map(|index| ZoneFile { name: data::small_zone(index), file: data::small_zone_file(&folder, index) })
        .collect();
    let queries = data::small_zone_queries(zones, QUERIES)?;
    let data = imported(bench, &folder)?;
    let servers = vec![peers::rokko(bench, &data)?, peers::nsd(bench, &files)?, peers::knot(bench, &files)?];
    let ready = data::query(&data::small_zone(0), Rtype::A)?;
    compare(bench, servers, &ready, &queries, seconds)
}

pub(crate) fn run_big(bench: &Bench, names: usize, seconds: u64) -> Result<()> {
    bench.title(&format!("UDP over loopback, one zone of {names} names"));
    let file = data::write_big_zone(&bench.folder, names)?;
    let files = [ZoneFile { name: "big.example".to_owned(), file: file.clone() }];
    let queries = data::big_zone_queries(names, QUERIES)?;
    let data = imported(bench, &file)?;
    let servers = vec![peers::rokko(bench, &data)?, peers::nsd(bench, &files)?, peers::knot(bench, &files)?];
    let ready = data::query("host-0000000.big.example", Rtype::A)?;
    compare(bench, servers, &ready, &queries, seconds)
}

fn compare(bench: &Bench, mut servers: Vec<Server>, ready: &[u8], queries: &[Vec<u8>], seconds: u64) -> Result<()> {
    for server in &mut servers {
        let took = peers::wait_for_answer(server, ready, START_LIMIT)?;
        bench.row("start until the first answer", server.name, "s", &[took.as_secs_f64()]);
    }
    let mut figures: Vec<Figures> = servers.iter().map(|_| Figures::default()).collect();
    for server in &servers {
        load::run(server.dns, queries, Duration::from_secs(1))?;
        bench.row("memory", server.name, "MiB", &[cpu::memory_mib(server.pid())]);
    }
    for _ in 0..bench.rounds {
        for (server, figures) in servers.iter().zip(&mut figures) {
            measure(server, queries, seconds, figures)?;
        }
    }
    for (server, figures) in servers.iter().zip(&figures) {
        bench.row("CPU per query", server.name, "us", &figures.cpu_us);
        bench.row("of it in user space", server.name, "us", &figures.user_us);
        bench.row("answers per second", server.name, "", &figures.rate);
        bench.row("lost", server.name, "%", &figures.lost);
    }
    let [mine, peers @ ..] = &figures[..] else { return Ok(()) };
    for (server, theirs) in servers[1..].iter().zip(peers) {
        bench.ratio("CPU per query", &mine.cpu_us, &theirs.cpu_us, server.name);
        bench.ratio("user space per query", &mine.user_us, &theirs.user_us, server.name);
    }
    Ok(())
}

fn measure(server: &Server, queries: &[Vec<u8>], seconds: u64, figures: &mut Figures) -> Result<()> {
    let before = CpuTime::of_tree(server.pid())?;
    let outcome = load::run(server.dns, queries, Duration::from_secs(seconds))?;
    let after = CpuTime::of_tree(server.pid())?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 answers")]
    let (answered, lost) = (outcome.answered as f64, outcome.lost as f64);
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 answers")]
    let wrong = outcome.rcodes[2] as f64 / answered;
    anyhow::ensure!(wrong < 0.001, "{} answered {:.1} % with errors", server.name, wrong * 100.0);
    figures.cpu_us.push(after.total_since(before).as_secs_f64() * 1e6 / answered);
    figures.user_us.push(after.user_since(before).as_secs_f64() * 1e6 / answered);
    figures.rate.push(answered / outcome.seconds);
    figures.lost.push(lost * 100.0 / (answered + lost));
    Ok(())
}
