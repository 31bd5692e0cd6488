//! From a commit to the answers of the nodes that follow: Rokko's `PoPs` beside the secondaries of Knot and NSD.
//!
//! ```text
//! write   makes changes on the control node;  watch   asks the others until their answers show them
//! lag     changes at a steady rate, and as fast as they go
//! whole   all zones at once: a new node, and a start from what a node has
//! ```

mod lag;
mod watch;
mod whole;
mod write;

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::data::Set;
use crate::peers::{Begin, Fleet, Peer};
use crate::report::Bench;
use crate::wires::link::Quality;

/// What is measured of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// From the acknowledgement of a change to each node's answer, at a steady rate of changes.
    Lag,
    /// The same while changes are made in batches as fast as they go, or at a rate: whether the lag grows.
    Throughput,
    /// From a start on what a node has to its first answer, without the control node; Rokko alone.
    Start,
    /// Until a new node has all zones.
    Join,
}

/// How much of what.
#[derive(Clone, Debug)]
pub(crate) struct Size {
    pub(crate) zones: usize,
    /// Nodes that follow the control node.
    pub(crate) nodes: usize,
    /// Changes a second.
    pub(crate) rate: Option<f64>,
    /// Changes in a round.
    pub(crate) changes: usize,
    pub(crate) writers: usize,
    /// Changes in a request.
    pub(crate) batch: usize,
    /// Seconds of a round as fast as it goes.
    pub(crate) seconds: u64,
    /// Between two queries about one change.
    pub(crate) every: Duration,
    /// What is between the control node and each other node; the loopback interface without any.
    pub(crate) wires: Vec<Quality>,
}

pub(crate) fn run(bench: &Bench, part: Part, size: &Size, peers: &[Peer]) -> Result<()> {
    match part {
        Part::Lag => lag::steady(bench, size, peers),
        Part::Throughput => lag::throughput(bench, size, peers),
        Part::Start => whole::start(bench, size),
        Part::Join => whole::join(bench, size, peers),
    }
}

/// A fleet whose nodes all have the set.
fn ready(bench: &Bench, peer: Peer, size: &Size) -> Result<Fleet> {
    let set = Set::Small(size.zones);
    let mut fleet = Fleet::start(bench, peer, set, size.nodes, &size.wires)?;
    fleet.control.wait_for_answer(&set.ready()?, whole::LIMIT)?;
    let begin = if peer == Peer::Rokko { Begin::Empty } else { Begin::Files };
    for _ in 0..size.nodes {
        fleet.add(bench, begin)?;
    }
    for node in &mut fleet.nodes {
        node.wait_for_answer(&set.ready()?, whole::LIMIT)?;
        whole::until_all(node, set)?;
    }
    fleet.settle()?;
    Ok(fleet)
}
