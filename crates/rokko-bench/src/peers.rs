//! The servers that take part, each started with its fastest sensible configuration and one worker on core 0.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cpu;
use crate::report::Bench;

/// A running server; it ends when this is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) dns: SocketAddr,
    /// Where the HTTP API listens, for those that have one.
    pub(crate) api: Option<SocketAddr>,
    child: Child,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM);
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A zone and the file that holds it.
pub(crate) struct ZoneFile {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
}

/// The key that the benchmark uses for HTTP APIs.
pub(crate) const API_KEY: &str = "benchmark-key-0123456789";

/// Rokko on a store that holds the zones already.
pub(crate) fn rokko(bench: &Bench, data: &Path) -> Result<Server> {
    let (dns, api) = (free_port()?, free_port()?);
    let mut command = Command::new(&bench.rokko);
    command.arg("up").arg("--data-dir").arg(data);
    command.args(["--dns-listen", &dns.to_string(), "--api-listen", &api.to_string()]);
    command.env("ROKKO_API_KEY", API_KEY);
    start("Rokko", command, data, dns, Some(api))
}

pub(crate) fn nsd(bench: &Bench, zones: &[ZoneFile]) -> Result<Server> {
    let folder = fresh(&bench.folder.join("nsd"))?;
    let dns = free_port()?;
    let mut config = format!(
        "server:\n  ip-address: {}@{}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{dir}\"\n  \
         database: \"\"\n  zonelistfile: \"{dir}/zone.list\"\n  xfrdfile: \"{dir}/xfrd.state\"\n  xfrdir: \"{dir}\"\n  \
         pidfile: \"{dir}/nsd.pid\"\n  cookie-secret-file: \"{dir}/cookies\"\n  hide-version: yes\n  \
         minimal-responses: yes\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n",
        dns.ip(),
        dns.port(),
        dir = folder.display(),
    );
    for zone in zones {
        write!(config, "zone:\n  name: \"{}\"\n  zonefile: \"{}\"\n", zone.name, zone.file.display())?;
    }
    let file = folder.join("nsd.conf");
    fs::write(&file, config)?;
    let mut command = Command::new("nsd");
    command.arg("-d").arg("-c").arg(file);
    start("NSD", command, &folder, dns, None)
}

pub(crate) fn knot(bench: &Bench, zones: &[ZoneFile]) -> Result<Server> {
    let folder = fresh(&bench.folder.join("knot"))?;
    let dns = free_port()?;
    let mut config = format!(
        "server:\n  rundir: \"{dir}\"\n  listen: {}@{}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         log:\n  - target: stderr\n    any: error\ndatabase:\n  storage: \"{dir}\"\n\
         acl:\n  - id: update\n    address: 127.0.0.1\n    action: update\n\
         template:\n  - id: default\n    storage: \"{dir}\"\n    zonefile-sync: -1\n    journal-content: changes\n    \
         acl: update\nzone:\n",
        dns.ip(),
        dns.port(),
        dir = folder.display(),
    );
    for zone in zones {
        write!(config, "  - domain: {}\n    file: \"{}\"\n", zone.name, zone.file.display())?;
    }
    let file = folder.join("knot.conf");
    fs::write(&file, config)?;
    let mut command = Command::new("knotd");
    command.arg("-c").arg(file);
    start("Knot", command, &folder, dns, None)
}

/// Starts a server on core 0; its output goes to a file in `folder`.
fn start(
    name: &'static str,
    mut command: Command,
    folder: &Path,
    dns: SocketAddr,
    api: Option<SocketAddr>,
) -> Result<Server> {
    let log = File::create(folder.join("server.log"))?;
    cpu::pin(None, 0)?;
    let spawned = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
    cpu::pin(None, 1)?;
    let child = spawned.with_context(|| format!("{name} can't be started: install its package"))?;
    Ok(Server { name, dns, api, child })
}

/// Waits until a server gives a positive answer to `query`; returns how long that took.
pub(crate) fn wait_for_answer(server: &mut Server, query: &[u8], limit: Duration) -> Result<Duration> {
    let start = Instant::now();
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server.dns)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    while start.elapsed() < limit {
        if let Some(status) = server.child.try_wait()? {
            bail!("{} ended with {status}: see server.log in its folder", server.name);
        }
        let _ = socket.send(query);
        let mut response = [0; 1500];
        match socket.recv(&mut response) {
            Ok(len) if len > 12 && response[3].trailing_zeros() >= 4 && response[7] > 0 => return Ok(start.elapsed()),
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    bail!("{} did not answer within {limit:?}", server.name)
}

fn fresh(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}

fn free_port() -> Result<SocketAddr> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?)
}
