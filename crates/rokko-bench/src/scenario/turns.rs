//! Servers beside one another: each has its turn, round after round, so that a machine whose speed drifts treats them
//! alike.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::load::Outcome;
use crate::peers::Server;
use crate::plot::{Bar, Bars};
use crate::report::Bench;
use crate::stats::Spread;

/// How long a server may take until it answers.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(1200);
/// The share of answers with another rcode than expected above which a comparison means nothing.
const WRONG_SHARE_MAX: f64 = 0.001;

/// One server's figures, a value a round.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) cpu_us: Vec<f64>,
    pub(crate) user_us: Vec<f64>,
    pub(crate) rate: Vec<f64>,
    lost: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    p999_us: Vec<f64>,
}

impl Figures {
    /// Takes in one turn, in which the server used this CPU time.
    pub(crate) fn put(&mut self, outcome: &Outcome, total: Duration, user: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 answers")]
        let answered = outcome.answered as f64;
        self.cpu_us.push(total.as_secs_f64() * 1e6 / answered);
        self.user_us.push(user.as_secs_f64() * 1e6 / answered);
        self.rate.push(outcome.rate());
        self.lost.push(outcome.lost_percent());
        self.p50_us.push(outcome.latency_us(0.5));
        self.p99_us.push(outcome.latency_us(0.99));
        self.p999_us.push(outcome.latency_us(0.999));
    }

    pub(crate) fn report(&self, bench: &Bench, server: &str) {
        bench.row("CPU per query, µs", server, &self.cpu_us);
        bench.row("of it in user space, µs", server, &self.user_us);
        bench.row("answers per second", server, &self.rate);
        bench.row("lost, %", server, &self.lost);
        bench.row("latency, median, µs", server, &self.p50_us);
        bench.row("latency, p99, µs", server, &self.p99_us);
        bench.row("latency, p99.9, µs", server, &self.p999_us);
    }
}

/// One turn of a server under a load; the CPU time is the kernel's accounting of all its processes and threads.
pub(crate) fn turn(
    server: &Server,
    figures: &mut Figures,
    load: impl FnOnce(&Server) -> Result<Outcome>,
) -> Result<()> {
    let before = server.cpu_time()?;
    let outcome = load(server)?;
    let after = server.cpu_time()?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 answers")]
    let wrong = outcome.wrong as f64 / outcome.answered as f64;
    ensure!(wrong < WRONG_SHARE_MAX, "{} gave {:.1} % wrong answers", server.name, wrong * 100.0);
    figures.put(&outcome, after.total_since(before), after.user_since(before));
    Ok(())
}

/// Waits until all servers answer `ready`, then gives each its turns under `load`, of which the first one does not
/// count. Reports the figures of all, and how the first server's stand to those of the others.
pub(crate) fn compare(
    bench: &Bench,
    plot: &str,
    mut servers: Vec<Server>,
    ready: &[u8],
    load: impl Fn(&Server) -> Result<Outcome>,
) -> Result<()> {
    for server in &mut servers {
        server.wait_for_answer(ready, START_LIMIT)?;
    }
    compare_with(bench, plot, &servers, load)
}

/// The same with servers that answer already.
pub(crate) fn compare_with(
    bench: &Bench,
    plot: &str,
    servers: &[Server],
    load: impl Fn(&Server) -> Result<Outcome>,
) -> Result<()> {
    for server in servers {
        turn(server, &mut Figures::default(), &load)?;
    }
    let mut figures: Vec<Figures> = servers.iter().map(|_| Figures::default()).collect();
    for _ in 0..bench.rounds {
        for (server, figures) in servers.iter().zip(&mut figures) {
            turn(server, figures, &load)?;
        }
    }
    for (server, figures) in servers.iter().zip(&figures) {
        figures.report(bench, &server.name);
        bench.row("memory, MiB", &server.name, &[server.memory_bytes() / 1_048_576.0]);
    }
    let [mine, peers @ ..] = &figures[..] else { return Ok(()) };
    for (server, theirs) in servers[1..].iter().zip(peers) {
        bench.ratio("CPU per query", &mine.cpu_us, &theirs.cpu_us, &server.name);
        bench.ratio("user space per query", &mine.user_us, &theirs.user_us, &server.name);
        bench.ratio("answers per second", &mine.rate, &theirs.rate, &server.name);
    }
    bench.plot(plot, || {
        let title = bench.table.borrow().title().to_owned();
        Bars {
            title,
            unit: "CPU per query, µs".to_owned(),
            servers: servers.iter().zip(&figures).map(|(server, figures)| bar(server, figures)).collect(),
        }
        .to_svg()
    })?;
    bench.flush();
    Ok(())
}

fn bar(server: &Server, figures: &Figures) -> Bar {
    Bar {
        label: server.name.clone(),
        whole: Spread::of(&figures.cpu_us),
        part: Some(("in user space".to_owned(), Spread::of(&figures.user_us).median)),
    }
}
