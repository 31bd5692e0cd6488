//! What can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::data::{Mix, Pick, Set};
use crate::load::{Pace, TcpLoad, UdpLoad, run_tcp, run_udp};
use crate::peers::{Peer, with_rokko};
use crate::report::{Bench, say};
use crate::scenario::query::How;
use crate::scenario::{change, churn, fleet, flood, import, memory, query, scale, tcp, xdp};
use crate::wires::link::Quality;

/// Measure Rokko beside its peers.
#[derive(Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) what: What,
    /// The program under test.
    #[arg(long, global = true, default_value = "target/release/rokko")]
    pub(crate) rokko: PathBuf,
    /// Where data and servers live while this runs; it needs a few GB, for millions of zones some tens.
    #[arg(long, global = true, default_value = "target/bench")]
    pub(crate) folder: PathBuf,
    /// How often each server has its turn.
    #[arg(long, global = true, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Machine-readable output: an object per line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where plots are to be written.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,
}

/// The load of a comparison over UDP.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct UdpArgs {
    /// Seconds of load in each turn.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Queries in flight.
    #[arg(long, default_value_t = 128)]
    in_flight: usize,
    /// So many queries a second, whatever comes back, in place of a number in flight.
    #[arg(long)]
    rate: Option<f64>,
    /// Queries have the DO flag.
    #[arg(long)]
    dnssec_ok: bool,
    /// Choose zones and names after Zipf with this exponent in place of all alike.
    #[arg(long)]
    zipf: Option<f64>,
    #[command(flatten)]
    peers: PeerArgs,
}

/// The others.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PeerArgs {
    /// Which servers stand beside Rokko.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nsd,knot")]
    peers: Vec<Peer>,
}

/// A control node and nodes that follow.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FleetArgs {
    /// What is measured.
    #[arg(value_enum)]
    part: fleet::Part,
    /// How many zones of six records.
    #[arg(long, default_value_t = 100_000)]
    zones: usize,
    /// How many nodes follow.
    #[arg(long, default_value_t = 8)]
    nodes: usize,
    /// So many changes a second; without it 200 for `lag`, and as fast as they go for `throughput`.
    #[arg(long)]
    rate: Option<f64>,
    /// How many changes in a round of `lag`.
    #[arg(long, default_value_t = 2000)]
    changes: usize,
    /// How many changes are under way at once.
    #[arg(long, default_value_t = 8)]
    writers: usize,
    /// How many changes Rokko gets in one request of `throughput`.
    #[arg(long, default_value_t = 50)]
    batch: usize,
    /// Seconds of `throughput`.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Milliseconds between two queries about one change to one node.
    #[arg(long, default_value_t = 1.0)]
    every_ms: f64,
    /// Put each of Rokko's `PoPs` behind a wire with such a round trip; needs root.
    #[arg(long, value_delimiter = ',', conflicts_with = "nodes")]
    round_trips_ms: Vec<u64>,
    /// How many of a thousand packets those wires lose.
    #[arg(long, default_value_t = 0)]
    lost_per_mille: u32,
    /// Leave Rokko out.
    #[arg(long)]
    only_peers: bool,
    #[command(flatten)]
    peers: PeerArgs,
}

impl FleetArgs {
    fn size(&self) -> fleet::Size {
        let wire = |(index, ms): (usize, &u64)| Quality {
            delay: Duration::from_micros(ms * 500),
            lost_per_mille: self.lost_per_mille,
            seed: index as u64,
        };
        fleet::Size {
            zones: self.zones,
            nodes: if self.round_trips_ms.is_empty() { self.nodes } else { self.round_trips_ms.len() },
            rate: self.rate,
            changes: self.changes,
            writers: self.writers,
            batch: self.batch,
            seconds: self.seconds,
            every: Duration::from_secs_f64(self.every_ms / 1e3),
            wires: self.round_trips_ms.iter().enumerate().map(wire).collect(),
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum What {
    /// The parts below with their usual sizes, but for scale, churn, fleet, flood and xdp.
    Suite,
    /// CPU per UDP query with many small zones.
    Query {
        /// How many zones of six records.
        #[arg(long, default_value_t = 100_000)]
        zones: usize,
        #[command(flatten)]
        udp: UdpArgs,
    },
    /// CPU per UDP query with one zone of many names.
    QueryBig {
        /// How many names.
        #[arg(long, default_value_t = 1_000_000)]
        names: usize,
        #[command(flatten)]
        udp: UdpArgs,
    },
    /// CPU per UDP query with a registry's zone: referrals, with and without glue and DS.
    Registry {
        /// How many delegations.
        #[arg(long, default_value_t = 1_000_000)]
        delegations: usize,
        #[command(flatten)]
        udp: UdpArgs,
    },
    /// Queries over TCP: connections that stay, and a connection for each query.
    Tcp {
        /// How many zones of six records.
        #[arg(long, default_value_t = 100_000)]
        zones: usize,
        /// How many connections that stay.
        #[arg(long, default_value_t = 64)]
        connections: usize,
        /// Queries in flight on each.
        #[arg(long, default_value_t = 8)]
        in_flight: usize,
        /// Seconds of load in each turn.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        #[command(flatten)]
        peers: PeerArgs,
    },
    /// Rokko and Knot with `AF_XDP` and without, on veth between network namespaces; needs root.
    Xdp {
        /// How many zones of six records.
        #[arg(long, default_value_t = 100_000)]
        zones: usize,
        /// How the load is sent.
        #[arg(long, value_enum, default_value = "xdp")]
        by: xdp::By,
        /// Seconds of load in each turn.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Queries in flight.
        #[arg(long, default_value_t = 128)]
        in_flight: usize,
        /// So many queries a second, whatever comes back, in place of a number in flight.
        #[arg(long)]
        rate: Option<f64>,
    },
    /// Memory per zone, and the time of a cold start.
    Memory {
        /// How many zones Rokko has.
        #[arg(long, default_value_t = 1_000_000)]
        zones: usize,
        /// How many the others have, which need minutes to start with a million.
        #[arg(long, default_value_t = 100_000)]
        peer_zones: usize,
        #[command(flatten)]
        peers: PeerArgs,
    },
    /// From the start of a server until its first answer.
    Start {
        /// How many zones of six records.
        #[arg(long, default_value_t = 100_000)]
        zones: usize,
        #[command(flatten)]
        peers: PeerArgs,
    },
    /// From a change to the first answer that has it, and from a new zone to its first answer.
    Change {
        /// How many zones of six records are hosted.
        #[arg(long, default_value_t = 100_000)]
        zones: usize,
        /// Change one zone of so many names instead.
        #[arg(long, value_name = "NAMES", conflicts_with = "zones")]
        big: Option<usize>,
        /// How many changes, one after another.
        #[arg(long, default_value_t = 1000)]
        changes: usize,
        /// How many zones are added, one after another.
        #[arg(long, default_value_t = 100)]
        added: usize,
        #[command(flatten)]
        peers: PeerArgs,
    },
    /// Import of many small zones and of large ones.
    Import {
        /// How many zones of six records.
        #[arg(long, default_value_t = 100_000)]
        zones: usize,
        /// How many names in the large zones.
        #[arg(long, default_value_t = 1_000_000)]
        names: usize,
    },
    /// How Rokko's cost grows with the number of zones.
    Scale {
        /// Numbers of zones.
        #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
        zones: Vec<usize>,
        /// Seconds of load in each turn.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
    },
    /// Answers under a steady load while zones change all the time.
    Churn {
        /// How many zones of six records.
        #[arg(long, default_value_t = 1_000_000)]
        zones: usize,
        /// Changes a second.
        #[arg(long, default_value_t = 200.0)]
        changes: f64,
        /// Queries a second.
        #[arg(long, default_value_t = 50_000.0)]
        rate: f64,
        /// Seconds with and as many without changes, in each round.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// From a commit to the answers of nodes that follow: Rokko's `PoPs`, and secondaries behind a Knot primary.
    Fleet(FleetArgs),
    /// A flood of random subdomains beside a client that asks for what there is.
    Flood {
        /// How many zones of six records.
        #[arg(long, default_value_t = 100_000)]
        zones: usize,
        /// How many times the server's capacity is sent.
        #[arg(long, default_value_t = 5.0)]
        times: f64,
        /// How many prefixes it comes from.
        #[arg(long, default_value_t = 1)]
        prefixes: u8,
        /// Queries a second of the client.
        #[arg(long, default_value_t = 2000.0)]
        client_rate: f64,
        /// Seconds of each phase.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Threads that compete with the server for its core, so that one core can send many times its capacity.
        #[arg(long, default_value_t = 3)]
        burners: usize,
        #[command(flatten)]
        peers: PeerArgs,
    },
    /// Only the load, on a server that is there: prints what came of it as JSON.
    Load {
        /// The server's address and port.
        #[arg(long)]
        server: SocketAddr,
        /// It has so many zones of six records (`--big`: names, `--registry`: delegations).
        #[arg(long, default_value_t = 100_000)]
        zones: usize,
        #[arg(long, conflicts_with_all = ["zones", "registry"])]
        big: Option<usize>,
        #[arg(long, conflicts_with = "zones")]
        registry: Option<usize>,
        /// Ask for names that do not exist.
        #[arg(long)]
        flood: bool,
        /// Over TCP with so many connections.
        #[arg(long, value_name = "CONNECTIONS")]
        tcp: Option<usize>,
        /// UDP sockets, each with a thread.
        #[arg(long, default_value_t = 1)]
        sockets: usize,
        #[command(flatten)]
        udp: UdpArgs,
    },
}

impl UdpArgs {
    fn mix(&self) -> Mix {
        let pick = self.zipf.map_or(Pick::Uniform, Pick::Zipf);
        Mix { pick, dnssec_ok: self.dnssec_ok, ..Mix::default() }
    }

    fn how(&self) -> How {
        let pace = self.rate.map_or(Pace::Closed(self.in_flight), Pace::Open);
        How { mix: self.mix(), pace, seconds: self.seconds }
    }
}

impl What {
    /// Whether the program under test takes part.
    pub(crate) fn needs_rokko(&self) -> bool {
        !matches!(self, What::Load { .. })
    }

    pub(crate) fn run(&self, bench: &Bench) -> Result<()> {
        match self {
            What::Suite => suite(bench),
            What::Query { zones, udp } => query::run(bench, Set::Small(*zones), udp.how(), &udp.peers.peers),
            What::QueryBig { names, udp } => query::run(bench, Set::Big(*names), udp.how(), &udp.peers.peers),
            What::Registry { delegations, udp } => {
                query::run(bench, Set::Registry(*delegations), udp.how(), &udp.peers.peers)
            }
            What::Tcp { zones, connections, in_flight, seconds, peers } => {
                tcp::run(bench, Set::Small(*zones), *connections, *in_flight, *seconds, &peers.peers)
            }
            What::Xdp { zones, by, seconds, in_flight, rate } => {
                let pace = rate.map_or(Pace::Closed(*in_flight), Pace::Open);
                xdp::run(bench, Set::Small(*zones), xdp::How { by: *by, pace, seconds: *seconds })
            }
            What::Memory { zones, peer_zones, peers } => memory::run(bench, *zones, *peer_zones, &peers.peers),
            What::Start { zones, peers } => memory::run_start(bench, Set::Small(*zones), &peers.peers),
            What::Change { zones, big, changes, added, peers } => {
                let set = big.map_or(Set::Small(*zones), Set::Big);
                change::run(bench, set, *changes, *added, &peers.peers)
            }
            What::Import { zones, names } => import::run(bench, *zones, *names),
            What::Scale { zones, seconds } => scale::run(bench, zones, *seconds),
            What::Churn { zones, changes, rate, seconds } => {
                let size = churn::Size { zones: *zones, changes: *changes, rate: *rate, seconds: *seconds };
                churn::run(bench, size)
            }
            What::Fleet(args) => {
                let skipped = usize::from(args.only_peers);
                fleet::run(bench, args.part, &args.size(), &with_rokko(&args.peers.peers)[skipped..])
            }
            What::Flood { zones, times, prefixes, client_rate, seconds, burners, peers } => {
                let size = flood::Size {
                    times: *times,
                    prefixes: *prefixes,
                    client_rate: *client_rate,
                    seconds: *seconds,
                    burners: *burners,
                };
                flood::run(bench, Set::Small(*zones), size, &peers.peers)
            }
            What::Load { server, zones, big, registry, flood, tcp, sockets, udp } => {
                let set = big.map(Set::Big).or(registry.map(Set::Registry)).unwrap_or(Set::Small(*zones));
                load(*server, set, *flood, *tcp, *sockets, udp)
            }
        }
    }
}

fn suite(bench: &Bench) -> Result<()> {
    let all = [Peer::Nsd, Peer::Knot, Peer::Bind, Peer::Pdns, Peer::PdnsCached];
    let changed = [Peer::Nsd, Peer::Knot, Peer::Bind, Peer::PdnsLmdb];
    let how = How { mix: Mix::default(), pace: Pace::Closed(128), seconds: 4 };
    let zipf = How { mix: Mix { pick: Pick::Zipf(1.0), ..how.mix }, ..how };
    let dnssec_ok = How { mix: Mix { dnssec_ok: true, ..how.mix }, ..how };
    import::run(bench, 100_000, 1_000_000)?;
    query::run(bench, Set::Small(100_000), how, &all)?;
    query::run(bench, Set::Small(100_000), zipf, &all[..2])?;
    query::run(bench, Set::Big(1_000_000), how, &all)?;
    query::run(bench, Set::Registry(1_000_000), dnssec_ok, &all[..3])?;
    tcp::run(bench, Set::Small(100_000), 64, 8, 4, &all[..3])?;
    memory::run(bench, 1_000_000, 100_000, &[&changed[..], &[Peer::Pdns]].concat())?;
    memory::run_start(bench, Set::Small(100_000), &changed)?;
    change::run(bench, Set::Small(100_000), 1000, 100, &changed)?;
    change::run(bench, Set::Big(1_000_000), 1000, 0, &changed[1..3])
}

fn load(server: SocketAddr, set: Set, flood: bool, tcp: Option<usize>, sockets: usize, udp: &UdpArgs) -> Result<()> {
    let queries = if flood { udp.mix().flood(&set)? } else { udp.mix().queries(&set)? };
    let (duration, pace) = (Duration::from_secs(udp.seconds), udp.how().pace);
    let outcome = match tcp {
        Some(connections) => {
            let in_flight = udp.in_flight.div_ceil(connections.max(1));
            let load = TcpLoad { server, connections, in_flight, queries_per_connection: None, duration };
            run_tcp(&load, &queries)?
        }
        None => run_udp(&UdpLoad { server, source: None, sockets, pace, duration }, &queries)?,
    };
    say(&format!("{:#}\n", outcome.to_json()));
    Ok(())
}
