//! The servers that take part, each with its fastest sensible configuration and one worker on core 0.

mod bind;
mod fill;
mod fleet;
mod knot;
mod nsd;
mod pdns;
mod rokko;
mod server;

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::data::Set;
use crate::report::Bench;

pub(crate) use bind::addzone as bind_addzone;
pub(crate) use fill::{API_KEY, agent};
pub(crate) use fleet::{Begin, Fleet};
pub(crate) use knot::addzone as knot_addzone;
pub(crate) use nsd::control as nsd_control;
pub(crate) use rokko::{filled as rokko_filled, import as rokko_import};
pub(crate) use server::{Place, Server};

/// The core that servers run on, and the one of the load.
pub(crate) const SERVER_CORE: usize = 0;
pub(crate) const LOAD_CORE: usize = 1;

/// Ports for servers: below those that Linux gives to clients.
const PORTS: RangeInclusive<u16> = 20_000..=32_000;

/// A server and how it is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    Rokko,
    Nsd,
    Knot,
    Bind,
    /// PowerDNS with its bind back end, without caches.
    Pdns,
    /// The same with its caches, which then give most answers of a load that repeats itself.
    PdnsCached,
    /// PowerDNS with LMDB, without caches.
    PdnsLmdb,
}

impl Peer {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Peer::Rokko => "Rokko",
            Peer::Nsd => "NSD",
            Peer::Knot => "Knot",
            Peer::Bind => "BIND",
            Peer::Pdns => "PowerDNS",
            Peer::PdnsCached => "PowerDNS, cached",
            Peer::PdnsLmdb => "PowerDNS, LMDB",
        }
    }

    /// The program, and the Debian package that has it.
    fn program(self) -> Option<(&'static str, &'static str)> {
        match self {
            Peer::Rokko => None,
            Peer::Nsd => Some(("nsd", "nsd")),
            Peer::Knot => Some(("knotd", "knot")),
            Peer::Bind => Some(("named", "bind9")),
            Peer::Pdns | Peer::PdnsCached => Some(("pdns_server", "pdns-server and pdns-backend-bind")),
            Peer::PdnsLmdb => Some(("pdns_server", "pdns-server, pdns-backend-bind and pdns-backend-lmdb")),
        }
    }

    /// Starts the server with a set of zones. It may need a while until it answers.
    pub(crate) fn start(self, bench: &Bench, set: Set) -> Result<Server> {
        self.start_at(bench, set, &Place::loopback()?)
    }

    /// The same at a place of choice.
    pub(crate) fn start_at(self, bench: &Bench, set: Set, place: &Place) -> Result<Server> {
        if let Some((program, package)) = self.program() {
            require(program, package)?;
        }
        if self == Peer::Rokko {
            return rokko::start(bench, set, place);
        }
        let (zones, _) = set.files(&bench.folder)?;
        let folder = fresh(&bench.folder.join(place.folder(&format!("{self:?}"))))?;
        match self {
            Peer::Rokko => bail!("Rokko was started above"),
            Peer::Nsd => nsd::start(&folder, &zones, place),
            Peer::Knot => knot::start(&folder, &zones, place),
            Peer::Bind => bind::start(&folder, &zones, place),
            Peer::Pdns => pdns::start_bind(&folder, &zones, place, false),
            Peer::PdnsCached => pdns::start_bind(&folder, &zones, place, true),
            Peer::PdnsLmdb => {
                pdns::start_lmdb(&folder, &bench.folder.join(format!("lmdb-{}", set.slug())), &zones, place)
            }
        }
    }
}

/// Rokko first, then those of the others that are wanted.
pub(crate) fn with_rokko(peers: &[Peer]) -> Vec<Peer> {
    let others = peers.iter().copied().filter(|peer| *peer != Peer::Rokko);
    std::iter::once(Peer::Rokko).chain(others).collect()
}

/// An error that names the Debian package if there is no such program.
pub(crate) fn require(program: &str, package: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    bail!("there is no {program}: install Debian's {package} (`cargo xtask bench` does), or leave it out with --peers")
}

/// An empty folder.
pub(crate) fn fresh(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{} could not be emptied", folder.display()))?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}

/// A port of the loopback address that is free for UDP and TCP just now. It is none of those that clients get, of which
/// many are in TIME-WAIT after a load over TCP.
pub(crate) fn free_port() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start() + step % (PORTS.end() - PORTS.start());
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port of {PORTS:?} is free")
}
