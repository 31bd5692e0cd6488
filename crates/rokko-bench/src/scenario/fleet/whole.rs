//! All zones at once: until a new node has them, and a start from what a node has.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rokko_wire::Rtype;

use super::{Size, ready};
use crate::data::{Set, query};
use crate::peers::{Begin, Fleet, Peer, Server};
use crate::report::{Bench, progress};

/// How long a node may take.
pub(super) const LIMIT: Duration = Duration::from_secs(1200);
/// Zones that are asked for to tell whether all are there, spread over the set.
const SAMPLE: usize = 2000;
/// Writing `3` here has the kernel forget what it holds of files.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Until a new node has all zones, one after another.
pub(super) fn join(bench: &Bench, size: &Size, peers: &[Peer]) -> Result<()> {
    let set = Set::Small(size.zones);
    bench.title(&format!("A new node gets {}", set.title()));
    for &peer in peers {
        let mut fleet = Fleet::start(bench, peer, set, bench.rounds, &[])?;
        fleet.control.wait_for_answer(&set.ready()?, LIMIT)?;
        fleet.settle()?;
        let (mut seconds, mut cpu_s) = (Vec::new(), [Vec::new(), Vec::new()]);
        for _ in 0..bench.rounds {
            let (before, start) = (fleet.cpu_times()?, Instant::now());
            fleet.add(bench, Begin::Empty)?;
            let Some(node) = fleet.nodes.last_mut() else { continue };
            node.wait_for_answer(&set.ready()?, LIMIT)?;
            until_all(node, set)?;
            seconds.push(start.elapsed().as_secs_f64());
            let after = fleet.cpu_times()?;
            for (index, cpu_s) in cpu_s.iter_mut().enumerate() {
                cpu_s.push(after[index].saturating_sub(before[index]).as_secs_f64());
            }
            fleet.settle()?;
        }
        bench.row("until it answers for all zones, s", fleet.title(), &seconds);
        bench.row("CPU of the control node, s", fleet.title(), &cpu_s[0]);
        if peer != Peer::Nsd {
            bench.row("CPU of the new node, s", fleet.title(), &cpu_s[1]);
        }
        let memory: Vec<f64> = fleet.nodes.iter().map(|node| node.memory_bytes() / 1_048_576.0).collect();
        bench.row("memory of the new node, MiB", fleet.title(), &memory);
    }
    bench.flush();
    Ok(())
}

/// A `PoP` starts again and again while there is no control node.
pub(super) fn start(bench: &Bench, size: &Size) -> Result<()> {
    let set = Set::Small(size.zones);
    bench.title(&format!("A PoP starts from its mirror of {}, without a control node", set.title()));
    let mut fleet = ready(bench, Peer::Rokko, &Size { nodes: 1, wires: Vec::new(), ..size.clone() })?;
    fleet.control.stop();
    for (when, is_cold) in [("warm", false), ("cold", true)] {
        let mut seconds = Vec::new();
        for _ in 0..bench.rounds {
            fleet.nodes.clear();
            if is_cold && std::fs::write(DROP_CACHES, "3").is_err() {
                progress("a cold start needs root");
                break;
            }
            fleet.add(bench, Begin::Own)?;
            for node in &mut fleet.nodes {
                seconds.push(node.wait_for_answer(&set.ready()?, LIMIT)?.as_secs_f64());
                until_all(node, set)?;
            }
        }
        bench.row(&format!("until the first answer, {when}, s"), fleet.title(), &seconds);
    }
    bench.flush();
    Ok(())
}

/// Waits until a node answers for zones all over the set.
pub(super) fn until_all(node: &mut Server, set: Set) -> Result<()> {
    let socket = node.socket()?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let (start, count) = (Instant::now(), set.count().min(SAMPLE));
    let mut at = 0;
    while at < count {
        node.is_alive()?;
        let mut query = query(&set.host(at * set.count() / count), Rtype::A, false)?;
        query[..2].copy_from_slice(&u16::try_from(at)?.to_be_bytes());
        socket.send(&query)?;
        let mut response = [0; 1500];
        match socket.recv(&mut response) {
            Ok(_) if response[..2] != query[..2] => {}
            Ok(len) if len > 12 && response[3].trailing_zeros() >= 4 && response[7] > 0 => at += 1,
            _ if start.elapsed() > LIMIT => bail!("{} did not have all zones within {LIMIT:?}", node.name),
            Ok(_) => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => {}
        }
    }
    Ok(())
}
