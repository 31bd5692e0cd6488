//! Two network namespaces with a cable between them: a server's and its clients'.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};

use crate::peers::require;

/// The port that the server listens on.
const PORT: u16 = 53;

/// The namespaces; they are gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Cable {
    pub(crate) server: End,
    pub(crate) client: End,
}

/// One end of the cable.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) netns: String,
    pub(crate) interface: String,
    pub(crate) mac: [u8; 6],
    pub(crate) ip: IpAddr,
}

impl Cable {
    /// Makes the cable number `index`; needs root.
    pub(crate) fn new(index: u8) -> Result<Self> {
        require("ip", "iproute2")?;
        let end = |side: u8, word: &str| End {
            netns: format!("rokko-bench-{word}{index}"),
            interface: format!("rb{word}{index}"),
            mac: [2, 0x72, 0x6b, 0, index, side],
            ip: Ipv4Addr::new(10, 73, index, side).into(),
        };
        let cable = Self { server: end(1, "s"), client: end(2, "c") };
        // What an earlier run left behind when it was killed.
        cable.remove();
        for end in cable.ends() {
            ip(&["netns", "add", &end.netns])?;
        }
        let (server, client) = (&cable.server, &cable.client);
        ip(&[
            "-n",
            &server.netns,
            "link",
            "add",
            &server.interface,
            "type",
            "veth",
            "peer",
            "name",
            &client.interface,
        ])?;
        ip(&["-n", &server.netns, "link", "set", &client.interface, "netns", &client.netns])?;
        for end in cable.ends() {
            let mac = end.mac.map(|octet| format!("{octet:02x}")).join(":");
            ip(&["-n", &end.netns, "link", "set", &end.interface, "address", &mac])?;
            ip(&["-n", &end.netns, "address", "add", &format!("{}/24", end.ip), "dev", &end.interface])?;
            ip(&["-n", &end.netns, "link", "set", &end.interface, "up"])?;
            ip(&["-n", &end.netns, "link", "set", "lo", "up"])?;
        }
        Ok(cable)
    }

    fn ends(&self) -> [&End; 2] {
        [&self.server, &self.client]
    }

    fn remove(&self) {
        for end in self.ends() {
            // It need not be there.
            let _ = Command::new("ip").args(["netns", "delete", &end.netns]).output();
        }
    }

    /// Where the server listens.
    pub(crate) fn dns(&self) -> std::net::SocketAddr {
        (self.server.ip, PORT).into()
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.remove();
    }
}

impl End {
    /// Runs `work` with the network of this end, on a thread of its own.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        enter(&self.netns, work)
    }
}

/// Runs `work` with the network of a namespace, on a thread of its own.
pub(crate) fn enter<T: Send>(netns: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            stay(netns)?;
            work()
        });
        match thread.join() {
            Ok(result) => result,
            Err(_) => bail!("a thread in the namespace {netns} panicked"),
        }
    })
}

/// Gives this thread the network of a namespace for the rest of its life.
pub(crate) fn stay(netns: &str) -> Result<()> {
    let file = File::open(format!("/run/netns/{netns}"))?;
    setns(file, CloneFlags::CLONE_NEWNET).context("a network namespace could not be entered")
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}; this needs root", arguments.join(" "), said.trim());
    Ok(())
}
