//! CPU per UDP query, rate and latency.

use std::time::Duration;

use anyhow::Result;

use super::turns::compare;
use crate::data::{Mix, Pick, Set};
use crate::load::{Pace, UdpLoad, run_udp};
use crate::peers::{Peer, with_rokko};
use crate::report::Bench;

/// How servers are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) mix: Mix,
    pub(crate) pace: Pace,
    pub(crate) seconds: u64,
}

pub(crate) fn run(bench: &Bench, set: Set, how: How, peers: &[Peer]) -> Result<()> {
    let pick = match how.mix.pick {
        Pick::Uniform => "uniform queries".to_owned(),
        Pick::Zipf(exponent) => format!("queries after Zipf with exponent {exponent}"),
    };
    let dnssec_ok = if how.mix.dnssec_ok { " with DO" } else { "" };
    let pace = match how.pace {
        Pace::Closed(in_flight) => format!("{in_flight} in flight"),
        Pace::Open(rate) => format!("{rate:.0} queries a second"),
    };
    bench.title(&format!("UDP over loopback, {}, {pick}{dnssec_ok}, {pace}", set.title()));
    let queries = how.mix.queries(&set)?;
    let mut servers = Vec::new();
    for peer in with_rokko(peers) {
        servers.push(peer.start(bench, set)?);
    }
    let kind = if how.mix.pick == Pick::Uniform { "query" } else { "zipf" };
    compare(bench, &format!("{kind}-{}", set.slug()), servers, &set.ready()?, |server| {
        let load = UdpLoad { pace: how.pace, ..UdpLoad::closed(server.dns, Duration::from_secs(how.seconds)) };
        run_udp(&load, &queries)
    })
}
