//! Memory per zone and the time of a cold start.

use anyhow::Result;

use super::turns::START_LIMIT;
use crate::data::{Set, grouped};
use crate::peers::{Peer, Server, with_rokko};
use crate::plot::{Bar, Bars};
use crate::report::Bench;
use crate::stats::Spread;

/// How many zones a server has that counts as empty.
const EMPTY: usize = 1;

pub(crate) fn run(bench: &Bench, zones: usize, peer_zones: usize, peers: &[Peer]) -> Result<()> {
    bench.title(&format!(
        "Memory and cold start: Rokko with {} zones of six records, the others with {}",
        grouped(zones),
        grouped(peer_zones)
    ));
    let mut bars = Vec::new();
    for peer in with_rokko(peers) {
        let count = if peer == Peer::Rokko { zones } else { peer_zones };
        let (empty, _) = loaded(bench, peer, EMPTY)?;
        let (full, seconds) = loaded(bench, peer, count)?;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 zones")]
        let zones = count as f64;
        let per_zone = (full - empty) / zones;
        bench.row("memory per zone, octets", peer.title(), &[per_zone]);
        bench.row("the same with what an empty server has", peer.title(), &[full / zones]);
        bench.row("memory, MiB", peer.title(), &[full / 1_048_576.0]);
        bench.row("empty, MiB", peer.title(), &[empty / 1_048_576.0]);
        bench.row("start until the first answer, s", peer.title(), &[seconds]);
        bars.push(Bar { label: peer.title().to_owned(), whole: Spread::of(&[per_zone]), part: None });
    }
    bench.plot(&format!("memory-{zones}"), || {
        let title = bench.table.borrow().title().to_owned();
        Bars { title, unit: "octets in memory per zone".to_owned(), servers: bars }.to_svg()
    })?;
    bench.flush();
    Ok(())
}

/// The memory of a server that has just been started with so many zones, and the seconds until its first answer.
pub(crate) fn loaded(bench: &Bench, peer: Peer, zones: usize) -> Result<(f64, f64)> {
    let (server, seconds) = started(bench, peer, Set::Small(zones))?;
    Ok((server.memory_bytes(), seconds))
}

/// A server that answers, and the seconds that it took to.
pub(crate) fn started(bench: &Bench, peer: Peer, set: Set) -> Result<(Server, f64)> {
    let mut server = peer.start(bench, set)?;
    let took = server.wait_for_answer(&set.ready()?, START_LIMIT)?;
    Ok((server, took.as_secs_f64()))
}

/// From the start until the first answer, in turns.
pub(crate) fn run_start(bench: &Bench, set: Set, peers: &[Peer]) -> Result<()> {
    bench.title(&format!("Cold start with {}", set.title()));
    let peers = with_rokko(peers);
    let mut seconds = vec![Vec::new(); peers.len()];
    for _ in 0..bench.rounds.min(3) {
        for (peer, seconds) in peers.iter().zip(&mut seconds) {
            seconds.push(started(bench, *peer, set)?.1);
        }
    }
    for (peer, seconds) in peers.iter().zip(&seconds) {
        bench.row("start until the first answer, s", peer.title(), seconds);
    }
    bench.flush();
    Ok(())
}
