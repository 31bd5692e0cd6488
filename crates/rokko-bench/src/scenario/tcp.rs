//! Queries over TCP: connections that stay, and a connection for each query.

use std::time::Duration;

use anyhow::Result;

use super::turns::compare;
use crate::data::{Mix, Set};
use crate::load::{TcpLoad, run_tcp};
use crate::peers::{Peer, with_rokko};
use crate::report::Bench;

/// Connections at once if each carries one query; Knot lets ten wait to be accepted, and more would wait for a second.
const SHORT_CONNECTIONS: usize = 8;

pub(crate) fn run(
    bench: &Bench,
    set: Set,
    connections: usize,
    in_flight: usize,
    seconds: u64,
    peers: &[Peer],
) -> Result<()> {
    let queries = Mix::default().queries(&set)?;
    let kept = (connections, in_flight, None, "kept");
    let short = (SHORT_CONNECTIONS.min(connections), 1, Some(1), "short");
    for (connections, in_flight, queries_per_connection, word) in [kept, short] {
        let what = match queries_per_connection {
            Some(_) => "a connection for each query".to_owned(),
            None => format!("{in_flight} queries in flight on each"),
        };
        bench.title(&format!("TCP over loopback, {}, {connections} connections, {what}", set.title()));
        let mut servers = Vec::new();
        for peer in with_rokko(peers) {
            servers.push(peer.start(bench, set)?);
        }
        compare(bench, &format!("tcp-{word}-{}", set.slug()), servers, &set.ready()?, |server| {
            let duration = Duration::from_secs(seconds);
            run_tcp(&TcpLoad { server: server.dns, connections, in_flight, queries_per_connection, duration }, &queries)
        })?;
    }
    Ok(())
}
