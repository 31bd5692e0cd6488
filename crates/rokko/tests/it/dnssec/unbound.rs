//! Unbound, with a zone's key as its only trust anchor and no way to anything but loopback.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::clients::program::{DIG, at};
use crate::harness::PATIENCE;

/// How often another port is tried, should somebody else have taken the one that was free.
const ATTEMPTS: usize = 5;

/// A running resolver.
pub(super) struct Unbound {
    child: Child,
    addr: SocketAddr,
}

impl Drop for Unbound {
    fn drop(&mut self) {
        // It has no children; a failure means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a resolver answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) rcode: String,
    /// Whether it says that the answer is authentic: that it is validated.
    pub(super) ad: bool,
    pub(super) text: String,
}

impl Unbound {
    /// Starts one that finds zones at a server, and trusts a key of the first of them.
    pub(super) fn start(folder: &Path, server: SocketAddr, zones: &[&str], key: &str) -> Self {
        for _ in 0..ATTEMPTS {
            let addr = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let file = folder.join("unbound.conf");
            std::fs::write(&file, config(folder, addr, server, zones, key)).unwrap();
            let mut command = Command::new("unbound");
            let log = std::fs::File::create(folder.join("unbound.log")).unwrap();
            command.arg("-dd").arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            let child = command.spawn().expect("unbound of the package unbound is installed");
            let mut started = Self { child, addr };
            if started.answers(zones[0]) {
                return started;
            }
        }
        panic!("unbound does not start: {}", std::fs::read_to_string(folder.join("unbound.log")).unwrap());
    }

    /// Waits until it answers; false if it ends.
    fn answers(&mut self, zone: &str) -> bool {
        let query = crate::harness::query(zone, crate::harness::SOA);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && self.child.try_wait().unwrap().is_none() {
            let sent = socket.send_to(&query, self.addr);
            if sent.is_ok() && socket.recv(&mut [0; 4096]).is_ok() {
                return true;
            }
        }
        false
    }

    /// Asks it.
    #[track_caller]
    pub(super) fn ask(&self, folder: &Path, name: &str, rtype: &str) -> Resolved {
        let options = [&at(self.addr)[..], &["+dnssec", "+tries=3", name, rtype].map(str::to_owned)].concat();
        let text = DIG.run(folder, &options).ok();
        let after = |mark: &str, end: char| {
            let (_, rest) = text.split_once(mark).unwrap_or_else(|| panic!("no {mark}: {text}"));
            rest.split(end).next().unwrap().to_owned()
        };
        let (rcode, flags) = (after("status: ", ','), after("flags: ", ';'));
        Resolved { rcode, ad: flags.split(' ').any(|flag| flag == "ad"), text }
    }
}

fn config(folder: &Path, addr: SocketAddr, server: SocketAddr, zones: &[&str], key: &str) -> String {
    let (here, apex) = (folder.display(), zones[0]);
    let stub = |zone: &&str| {
        format!("stub-zone:\n  name: \"{zone}\"\n  stub-addr: {}@{}\n  stub-prime: no\n", server.ip(), server.port())
    };
    format!(
        "server:\n  interface: {}@{}\n  port: {}\n  do-ip6: no\n  do-not-query-localhost: no\n  chroot: \"\"\n\
         \x20 username: \"\"\n  directory: \"{here}\"\n  pidfile: \"\"\n  use-syslog: no\n  num-threads: 1\n\
         \x20 module-config: \"validator iterator\"\n  val-log-level: 2\n  trust-anchor: \"{apex}. DNSKEY {key}\"\n\
         remote-control:\n  control-enable: no\n{}",
        addr.ip(),
        addr.port(),
        addr.port(),
        zones.iter().map(stub).collect::<String>()
    )
}
