//! A Knot with zones, on a free port of the loopback interface.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const START_TIMEOUT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a start is tried, since another process may take the port between its choice and its use.
const START_ATTEMPTS: usize = 3;

pub(crate) struct Knot {
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Knot {
    /// Starts a server with these zones, each an apex and the text of its file.
    pub(crate) fn start(ip: Ipv4Addr, zones: &[(&str, &str)]) -> Self {
        for _ in 0..START_ATTEMPTS {
            let folder = TempDir::new().unwrap();
            let address = free_address(ip);
            let mut child = spawn(&folder, address, zones);
            if zones.iter().all(|(apex, _)| answers(&mut child, address, apex)) {
                return Self { address, child, _folder: folder };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("knotd (Debian's package knot) did not start");
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
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

/// A port that is free for both transports.
fn free_address(ip: Ipv4Addr) -> SocketAddr {
    loop {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

fn spawn(folder: &TempDir, address: SocketAddr, zones: &[(&str, &str)]) -> Child {
    let here = folder.path().display();
    let mut config = format!(
        "server:\n  listen: {}@{}\n  rundir: {here}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         database:\n  storage: {here}\n\
         log:\n  - target: stderr\n    any: warning\n\
         template:\n  - id: default\n    storage: {here}\n    semantic-checks: off\n    journal-content: none\n\
         \x20   zonefile-sync: -1\n    zonefile-load: whole\n\
         zone:\n",
        address.ip(),
        address.port()
    );
    for (i, (apex, text)) in zones.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{i}.zone")), text).unwrap();
        config.push_str("  - domain: ");
        config.push_str(apex);
        config.push_str("\n    file: ");
        config.push_str(&i.to_string());
        config.push_str(".zone\n");
    }
    let path = folder.path().join("knot.conf");
    std::fs::write(&path, config).unwrap();
    let log = File::create(folder.path().join("log")).unwrap();
    let mut command = Command::new("knotd");
    command.arg("-c").arg(&path).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().expect("knotd (Debian's package knot) starts")
}

/// Waits until the server answers for the zone; false if that never comes.
fn answers(child: &mut Child, address: SocketAddr, apex: &str) -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let name: rokko_wire::Name = apex.parse().unwrap();
    let query = [&[0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], name.as_bytes(), &[0, 6, 0, 1]].concat();
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        let mut response = [0; 4096];
        let _ = socket.send_to(&query, address);
        if let Ok((12.., from)) = socket.recv_from(&mut response)
            && from == address
            && response[2] & 4 != 0
        {
            return true;
        }
    }
    false
}
