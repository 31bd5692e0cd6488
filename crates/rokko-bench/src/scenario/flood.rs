//! A flood of random subdomains from few prefixes, beside a client that asks for what there is.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};

use super::turns::START_LIMIT;
use crate::cpu;
use crate::data::{Mix, Queries, Set};
use crate::load::{Outcome, UdpLoad, flood, run_udp};
use crate::peers::{Peer, Place, SERVER_CORE, with_rokko};
use crate::report::Bench;

/// Where the legitimate client is.
const CLIENT: [u8; 4] = [127, 0, 1, 1];
/// Addresses of each prefix of the flood.
const ADDRESSES: u8 = 16;

/// The size of a flood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// How many times the server's capacity is sent.
    pub(crate) times: f64,
    /// How many prefixes of 24 bits it comes from: 127.0.2.0/24 and those after it.
    pub(crate) prefixes: u8,
    /// Queries a second of the legitimate client.
    pub(crate) client_rate: f64,
    pub(crate) seconds: u64,
    /// Threads that compete with the server for its core: they make its capacity so small that a flood from one core
    /// can be many times as large.
    pub(crate) burners: usize,
}

pub(crate) fn run(bench: &Bench, set: Set, size: Size, peers: &[Peer]) -> Result<()> {
    bench.title(&format!(
        "A flood of random subdomains from {} prefixes of 24 bits, up to {} times the capacity, {}",
        size.prefixes,
        size.times,
        set.title()
    ));
    let prefixes = 2..2_u8.saturating_add(size.prefixes);
    let sources: Vec<IpAddr> =
        prefixes.flat_map(|prefix| (1..=ADDRESSES).map(move |host| [127, 0, prefix, host].into())).collect();
    let mix = Mix { count: 200_000, ..Mix::default() };
    let (queries, random) = (mix.queries(&set)?, mix.flood(&set)?);
    let burners = Burners::start(size.burners);
    for peer in with_rokko(peers) {
        let capacity = capacity(bench, peer, set, &random, size)?;
        bench.row("capacity for the flood's queries, per second", peer.title(), &[capacity]);
        let mut server = peer.start_at(bench, set, &Place { usual_limits: true, ..Place::loopback()? })?;
        server.wait_for_answer(&set.ready()?, START_LIMIT)?;
        let client = || {
            let load = UdpLoad::open(server.dns, size.client_rate, Duration::from_secs(size.seconds));
            run_udp(&UdpLoad { source: Some(CLIENT.into()), ..load }, &queries)
        };
        let quiet = client()?;
        let (before, stop) = (server.memory_bytes(), AtomicBool::new(false));
        let (flooded, rate) = std::thread::scope(|scope| -> Result<(Outcome, f64)> {
            let thread = scope.spawn(|| flood(server.dns, &sources, &random, size.times * capacity, &stop));
            let outcome = client();
            stop.store(true, Ordering::Relaxed);
            let Ok(rate) = thread.join() else { bail!("the flood's thread panicked") };
            Ok((outcome?, rate?))
        })?;
        bench.row("the flood's queries, per second", peer.title(), &[rate]);
        bench.row("the flood / the capacity", peer.title(), &[rate / capacity]);
        report(bench, peer.title(), "before", &quiet);
        report(bench, peer.title(), "during the flood", &flooded);
        bench.row("memory after / before", peer.title(), &[server.memory_bytes() / before]);
    }
    drop(burners);
    bench.flush();
    Ok(())
}

/// How many of the flood's queries a server answers in a second if it limits no rate.
fn capacity(bench: &Bench, peer: Peer, set: Set, queries: &Queries, size: Size) -> Result<f64> {
    let mut server = peer.start(bench, set)?;
    server.wait_for_answer(&set.ready()?, START_LIMIT)?;
    Ok(run_udp(&UdpLoad::closed(server.dns, Duration::from_secs(size.seconds)), queries)?.rate())
}

/// Threads on the server's core that do nothing but use it; they end when this is dropped.
struct Burners(Arc<AtomicBool>);

impl Burners {
    fn start(count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..count {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let pinned = cpu::pin(&[SERVER_CORE]).is_ok();
                while pinned && !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(stop)
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn report(bench: &Bench, server: &str, when: &str, outcome: &Outcome) {
    bench.row(&format!("answers that the client gets {when}, %"), server, &[100.0 - outcome.lost_percent()]);
    bench.row(&format!("their latency {when}, p99, µs"), server, &[outcome.latency_us(0.99)]);
}
