//! The servers asked beside Rokko: Knot and NSD, each with a folder and free ports of its own on the loopback
//! interface.

use std::fmt::Write;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::names::Name;
use super::subject::Setup;

/// How long a server may take to answer its first query.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Knot 3.2 can end up in an endless loop, in which it does not end on SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a start is tried, since another process may take the port between its choice and its use.
const START_ATTEMPTS: usize = 3;

/// A server that responses are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Knot,
    Nsd,
}

/// A running server; dropping it ends it.
pub(super) struct Peer {
    pub(super) kind: Kind,
    pub(super) addr: SocketAddr,
    child: Child,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both end their own children and threads on SIGTERM; NSD's would outlive a SIGKILL.
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = Command::new("kill").arg(id.to_string()).status();
        }
        let end = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// Starts a server for these zones: each one's name and its file.
    pub(super) fn start(kind: Kind, setup: Setup, folder: &Path, zones: &[(Name, String)]) -> Self {
        for _ in 0..START_ATTEMPTS {
            let addr = free_address();
            let mut child = match kind {
                Kind::Knot => knot(folder, addr, zones),
                Kind::Nsd => nsd(setup, folder, addr, zones),
            };
            if zones.iter().all(|(apex, _)| answers(&mut child, addr, apex)) {
                return Self { kind, addr, child };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        panic!("{kind:?} did not start; its log in {}:\n{log}", folder.display());
    }
}

/// A port that is free for both transports.
fn free_address() -> SocketAddr {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has free ports");
        let addr = listener.local_addr().expect("a bound socket has an address");
        if UdpSocket::bind(addr).is_ok() {
            return addr;
        }
    }
}

/// Waits until the server gives an authoritative answer for the zone; false if that never comes.
fn answers(child: &mut Child, addr: SocketAddr, apex: &Name) -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has free ports");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time-out above zero is valid");
    let query = [&[0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], &apex.wire()[..], &[0, 6, 0, 1]].concat();
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        if child.try_wait().expect("the child is ours").is_some() {
            return false;
        }
        let mut response = [0; 4096];
        let _ = socket.send_to(&query, addr);
        if let Ok((12.., from)) = socket.recv_from(&mut response)
            && from == addr
            && response[2] & 4 != 0
        {
            return true;
        }
    }
    false
}

fn spawn(program: &str, arguments: &[&str], folder: &Path) -> Child {
    let log = File::create(folder.join("log")).expect("the log is made");
    let copy = log.try_clone().expect("a file can be shared");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(log).stderr(copy);
    command.spawn().unwrap_or_else(|error| panic!("{program} (Debian's package) cannot be started: {error}"))
}

fn knot(folder: &Path, addr: SocketAddr, zones: &[(Name, String)]) -> Child {
    let (here, at) = (folder.display(), format!("{}@{}", addr.ip(), addr.port()));
    let mut config = format!(
        "server:\n  listen: {at}\n  rundir: {here}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 2\n\
         \x20 udp-max-payload: 1232\n  tcp-max-clients: 100\n  version: \"\"\n  identity: \"\"\n\
         database:\n  storage: {here}\n\
         log:\n  - target: stderr\n    any: warning\n\
         template:\n  - id: default\n    storage: {here}\n    semantic-checks: off\n    journal-content: none\n\
         \x20   zonefile-sync: -1\n    zonefile-load: whole\n    dnssec-signing: off\n\
         zone:\n"
    );
    for (apex, file) in zones {
        let _ = writeln!(config, "  - domain: {apex}\n    file: {file}");
    }
    let path = folder.join("knot.conf");
    std::fs::write(&path, config).expect("the configuration is written");
    spawn("knotd", &["-c", &path.to_string_lossy()], folder)
}

fn nsd(setup: Setup, folder: &Path, addr: SocketAddr, zones: &[(Name, String)]) -> Child {
    let (here, at) = (folder.display(), format!("{}@{}", addr.ip(), addr.port()));
    let minimal = if setup.minimal { "yes" } else { "no" };
    let mut config = format!(
        "server:\n  ip-address: {at}\n  server-count: 1\n  username: \"\"\n  zonesdir: \"{here}\"\n  database: \"\"\n\
         \x20 pidfile: \"{here}/pid\"\n  xfrdfile: \"{here}/xfrd\"\n  zonelistfile: \"{here}/zonelist\"\n\
         \x20 xfrdir: \"{here}\"\n  round-robin: no\n  minimal-responses: {minimal}\n  refuse-any: no\n  rrl-ratelimit: 0\n\
         \x20 rrl-whitelist-ratelimit: 0\n  ipv4-edns-size: 1232\n  answer-cookie: no\n  hide-version: yes\n\
         remote-control:\n  control-enable: no\n"
    );
    for (apex, file) in zones {
        let _ = writeln!(config, "zone:\n  name: \"{apex}\"\n  zonefile: \"{file}\"");
    }
    let path = folder.join("nsd.conf");
    std::fs::write(&path, config).expect("the configuration is written");
    spawn("nsd", &["-d", "-c", &path.to_string_lossy()], folder)
}
