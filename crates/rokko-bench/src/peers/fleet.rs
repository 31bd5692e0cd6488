//! A node that takes changes, and nodes that follow it: Rokko's control node and its PoPs, Knot's primary and secondaries.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{API_KEY, Peer, Place, Server, agent, fresh, knot, nsd, require, rokko};
use crate::cpu::CpuTime;
use crate::data::{Set, ZoneFile};
use crate::netns;
use crate::report::{Bench, progress};
use crate::wires::link::Quality;
use crate::wires::netns::{HUB, Netns, Star};

/// How long nodes may take until they have nothing left to do.
const SETTLE_LIMIT: Duration = Duration::from_secs(1200);
/// Nodes have settled if all together use less of one core than this share.
const SETTLED_SHARE: f64 = 0.05;

/// The node that takes changes, and those that follow.
pub(crate) struct Fleet {
    /// Whose nodes follow.
    pub(crate) peer: Peer,
    pub(crate) control: Server,
    pub(crate) nodes: Vec<Server>,
    places: Vec<Place>,
    zones: Vec<ZoneFile>,
    /// Where the control node gives Rokko's PoPs the feed.
    feed: SocketAddr,
    /// What is between the nodes if that is not the loopback interface.
    _star: Option<Star>,
}

/// What a node that follows begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Nothing: it fetches all.
    Empty,
    /// For other servers than Rokko: the zones' files, which hold what the primary begins with.
    Files,
    /// What it had when it ended.
    Own,
}

impl Fleet {
    /// Starts the control node with a set of zones, and no other node yet. There will be `nodes` of them, or one for each
    /// wire.
    pub(crate) fn start(bench: &Bench, peer: Peer, set: Set, nodes: usize, wires: &[Quality]) -> Result<Self> {
        let place = |netns: Option<&Netns>| -> Result<Place> {
            let netns = netns.map(|netns| netns.name.clone());
            Ok(Place { all_cores: true, netns, ..Place::loopback()? })
        };
        let star = (!wires.is_empty()).then(|| Star::new(wires));
        ensure!(star.is_none() || peer == Peer::Rokko, "only Rokko's nodes stand behind wires");
        let (at, mut feed) = (place(star.as_ref().map(|star| &star.hub))?, super::free_port()?);
        let places: Vec<Place> = match &star {
            None => (0..nodes).map(|_| place(None)).collect::<Result<_>>()?,
            Some(star) => {
                feed.set_ip(HUB);
                star.leaves.iter().map(|leaf| place(Some(leaf))).collect::<Result<_>>()?
            }
        };
        let mut zones = Vec::new();
        let control = match peer {
            Peer::Rokko => rokko::start_control(bench, set, &at, feed)?,
            Peer::Knot | Peer::Nsd => {
                require("knotd", "knot")?;
                (zones, _) = set.files(&bench.folder)?;
                let secondaries: Vec<SocketAddr> = places.iter().map(|place| place.dns).collect();
                let folder = fresh(&bench.folder.join("fleet-knot-primary"))?;
                knot::start_primary(&folder, &zones, &at, &secondaries)?
            }
            _ => bail!("{} has no fleet: take knot or nsd", peer.title()),
        };
        Ok(Self { peer, control, nodes: Vec::new(), places, zones, feed, _star: star })
    }

    /// In words.
    pub(crate) fn title(&self) -> &'static str {
        match self.peer {
            Peer::Rokko => "Rokko",
            Peer::Nsd => "Knot to NSD",
            _ => "Knot to Knot",
        }
    }

    /// Starts the next node.
    pub(crate) fn add(&mut self, bench: &Bench, begin: Begin) -> Result<()> {
        let number = self.nodes.len();
        let place = self.places.get(number).context("a fleet has as many nodes as were announced")?;
        let folder = bench.folder.join(format!("fleet-{:?}-{number}", self.peer).to_lowercase());
        if begin != Begin::Own {
            fresh(&folder)?;
        }
        let (primary, from_files) = (self.control.dns, begin == Begin::Files);
        let node = match self.peer {
            Peer::Rokko => {
                let token = match begin {
                    Begin::Own => None,
                    Begin::Empty | Begin::Files => Some(self.token(number)?),
                };
                rokko::start_pop(bench, &folder, place, token.as_deref())?
            }
            Peer::Nsd => {
                require("nsd", "nsd")?;
                nsd::start_secondary(&folder, &self.zones, place, primary, from_files)?
            }
            _ => knot::start_secondary(&folder, &self.zones, place, primary, from_files)?,
        };
        self.nodes.push(node);
        Ok(())
    }

    /// A token for the PoP with a number.
    fn token(&self, number: usize) -> Result<String> {
        let url = format!("http://{}/v1/fleet/tokens", self.control.api()?);
        let body = json!({"name": format!("pop-{number}"), "address": self.feed.to_string()});
        let ask = || -> Result<String> {
            let mut response = agent().post(&url).header("X-API-Key", API_KEY).send_json(&body)?;
            let text = response.body_mut().read_to_string()?;
            ensure!(response.status() == 201, "POST {url} was answered with {}: {text}", response.status());
            Ok(text)
        };
        let text = match &self.control.netns {
            Some(netns) => netns::enter(netns, ask)?,
            None => ask()?,
        };
        let made: Value = serde_json::from_str(&text)?;
        made["token"].as_str().map(str::to_owned).with_context(|| format!("there is no token in {text}"))
    }

    /// CPU of the control node, and of all others together.
    pub(crate) fn cpu_times(&self) -> Result<[Duration; 2]> {
        let of = |server: &Server| server.cpu_time().map(|time| time.total_since(CpuTime::default()));
        let nodes = self.nodes.iter().map(of).sum::<Result<Duration>>()?;
        Ok([of(&self.control)?, nodes])
    }

    /// Waits until all have done what their start had them do.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < SETTLE_LIMIT {
            let (before, begin) = (self.cpu_times()?, Instant::now());
            std::thread::sleep(Duration::from_secs(2));
            self.control.is_alive()?;
            self.nodes.iter_mut().try_for_each(Server::is_alive)?;
            let after = self.cpu_times()?;
            let used = (after[0] + after[1]).saturating_sub(before[0] + before[1]);
            if used.as_secs_f64() < SETTLED_SHARE * begin.elapsed().as_secs_f64() {
                progress(&format!("{} settled after {:.0} s", self.title(), start.elapsed().as_secs_f64()));
                return Ok(());
            }
        }
        bail!("{} had not settled after {SETTLE_LIMIT:?}", self.title())
    }
}

/// A copy of a folder at another place.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fresh(to)?;
    let mut command = std::process::Command::new("cp");
    let output = command.args(["-a", "--reflink=auto"]).arg(from.join(".")).arg(to).output()?;
    ensure!(output.status.success(), "cp: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
