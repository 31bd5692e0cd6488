//! Rokko itself: the real binary, serving the same zone files as its peers.

use std::net::SocketAddr;
use std::path::Path;

use crate::harness::{KEY, Node, run};

/// What Rokko is set to in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    /// Whether it leaves additional records out that are not needed.
    pub(super) minimal: bool,
    /// Whether it gives all RRsets to a query for type ANY over TCP.
    pub(super) full_any: bool,
}

pub(super) struct Subject(Node);

impl Subject {
    /// Imports the folder `zones` in bulk and starts a node over it, whose data go to `folder`.
    pub(super) fn start(setup: Setup, folder: &Path, zones: &Path) -> Self {
        let any = if setup.full_any { "full-over-tcp" } else { "one-rrset" };
        let config = folder.join("rokko.toml");
        let text = format!("[dns]\nthreads = 1\npin = false\nminimal = {}\nany = \"{any}\"\n", setup.minimal);
        std::fs::write(&config, text).unwrap();
        let data = folder.join("data");
        let (zones, data_dir) = (zones.to_string_lossy(), data.to_string_lossy());
        run(&["zone", "import", &zones, "--data-dir", &data_dir]).ok();
        Self(Node::start_with(&data, &["--config", &config.to_string_lossy()], Some(KEY)))
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.0.dns
    }

    /// Ends the node, which may not have warned of anything.
    pub(super) fn stop(self) {
        self.0.stop();
    }
}
