//! Servers that take queries past the kernel by `AF_XDP`, on a virtual cable between two network namespaces.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::turns::compare_with;
use crate::data::{Mix, Set};
use crate::load::{Pace, UdpLoad, XdpLoad, run_udp, run_xdp};
use crate::netns::Cable;
use crate::peers::{Peer, Place, Server};
use crate::report::Bench;

/// The port that queries over `AF_XDP` come from.
const SOURCE_PORT: u16 = 40_053;

/// How the load is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// By the kernel's sockets.
    Udp,
    /// By `AF_XDP` on the client's side too.
    Xdp,
}

/// A load on each server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) by: By,
    pub(crate) pace: Pace,
    pub(crate) seconds: u64,
}

pub(crate) fn run(bench: &Bench, set: Set, how: How) -> Result<()> {
    let by = if how.by == By::Udp { "the kernel's sockets" } else { "AF_XDP" };
    let pace = match how.pace {
        Pace::Closed(in_flight) => format!("{in_flight} in flight"),
        Pace::Open(rate) => format!("{rate:.0} queries a second"),
    };
    bench.title(&format!("UDP over veth, {}, load by {by}, {pace}", set.title()));
    let queries = Mix::default().queries(&set)?;
    let mut servers: Vec<(Server, Cable)> = Vec::new();
    for (index, (peer, label)) in (1..).zip([
        (Peer::Rokko, Some("AF_XDP")),
        (Peer::Knot, Some("AF_XDP")),
        (Peer::Rokko, None),
        (Peer::Knot, None),
    ]) {
        let cable = Cable::new(index)?;
        let xdp = label.is_some().then(|| cable.server.interface.clone());
        let netns = Some(cable.server.netns.clone());
        let place = Place { dns: cable.dns(), netns, xdp, label, usual_limits: false, all_cores: false };
        servers.push((peer.start_at(bench, set, &place)?, cable));
    }
    let load = |server: &Server, cable: &Cable| {
        cable.client.enter(|| match how.by {
            By::Udp => {
                let duration = Duration::from_secs(how.seconds);
                run_udp(&UdpLoad { pace: how.pace, ..UdpLoad::closed(server.dns, duration) }, &queries)
            }
            By::Xdp => {
                let load = XdpLoad {
                    interface: cable.client.interface.clone(),
                    source: (cable.client.ip, SOURCE_PORT).into(),
                    server: server.dns,
                    server_mac: cable.server.mac,
                    pace: how.pace,
                    duration: Duration::from_secs(how.seconds),
                };
                run_xdp(&load, &queries)
            }
        })
    };
    let ready = set.ready()?;
    for (server, cable) in &mut servers {
        cable.client.enter(|| server.wait_for_answer(&ready, super::turns::START_LIMIT))?;
    }
    let (servers, cables): (Vec<Server>, Vec<Cable>) = servers.into_iter().unzip();
    compare_with(bench, &format!("xdp-{by:?}-{}", set.slug(), by = how.by).to_lowercase(), &servers, |server| {
        match servers.iter().zip(&cables).find(|(one, _)| one.name == server.name) {
            Some((_, cable)) => load(server, cable),
            None => bail!("{} has no cable", server.name),
        }
    })
}
