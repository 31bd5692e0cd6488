//! A running server.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{LOAD_CORE, SERVER_CORE, free_port};
use crate::cpu::{self, CpuTime};
use crate::netns;

/// How long a server may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Where a server is to listen.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) dns: SocketAddr,
    /// The network namespace that it runs in.
    pub(crate) netns: Option<String>,
    /// The interface whose queries it takes by `AF_XDP`.
    pub(crate) xdp: Option<String>,
    /// Whether Rokko limits rates as it does unless told otherwise, and not above any load.
    pub(crate) usual_limits: bool,
    /// What tells this server from another one of the same kind.
    pub(crate) label: Option<&'static str>,
    /// Whether the server may use the load's core too.
    pub(crate) all_cores: bool,
}

impl Place {
    /// A free port of the loopback address.
    pub(crate) fn loopback() -> Result<Self> {
        Ok(Self { dns: free_port()?, netns: None, xdp: None, usual_limits: false, label: None, all_cores: false })
    }

    /// The name of a folder for a server at this place.
    pub(crate) fn folder(&self, name: &str) -> String {
        self.label.map_or_else(|| name.to_owned(), |label| format!("{name}-{label}")).to_lowercase()
    }

    /// A command that runs at this place.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(netns) = &self.netns else { return Command::new(program) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", netns]).arg(program);
        command
    }
}

/// A running server; it ends when this is dropped.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) dns: SocketAddr,
    /// Where the HTTP API listens, for those that have one.
    pub(crate) api: Option<SocketAddr>,
    /// The network namespace that it runs in.
    pub(crate) netns: Option<String>,
    /// Where its files are.
    pub(crate) folder: PathBuf,
    started: Instant,
    child: Child,
}

impl Server {
    /// Starts a server on its core; its output goes to a file in `folder`.
    pub(super) fn spawn(name: &str, mut command: Command, folder: &Path, place: &Place) -> Result<Self> {
        let log = File::create(folder.join("server.log"))?;
        cpu::pin(if place.all_cores { &[SERVER_CORE, LOAD_CORE] } else { &[SERVER_CORE] })?;
        let started = Instant::now();
        let spawned = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        cpu::pin(&[LOAD_CORE])?;
        let child = spawned.with_context(|| format!("{name} can't be started"))?;
        let name = place.label.map_or_else(|| name.to_owned(), |label| format!("{name}, {label}"));
        Ok(Self {
            name,
            dns: place.dns,
            api: None,
            netns: place.netns.clone(),
            folder: folder.to_owned(),
            started,
            child,
        })
    }

    pub(super) fn with_api(mut self, api: SocketAddr) -> Self {
        self.api = Some(api);
        self
    }

    pub(crate) fn cpu_time(&self) -> Result<CpuTime> {
        CpuTime::of_tree(self.child.id())
    }

    /// Octets in memory, of all its processes.
    pub(crate) fn memory_bytes(&self) -> f64 {
        cpu::memory_bytes(self.child.id())
    }

    pub(crate) fn api(&self) -> Result<SocketAddr> {
        self.api.with_context(|| format!("{} has no HTTP API", self.name))
    }

    /// An error if the server has ended.
    pub(crate) fn is_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                bail!("{} ended with {status}: see {}", self.name, self.folder.join("server.log").display())
            }
        }
    }

    /// Has the server end, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0));
        let end = Instant::now() + STOP_LIMIT;
        let mut is_told = false;
        while Instant::now() < end {
            // One that has ended is not signalled: its number may be another process's.
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            if !std::mem::replace(&mut is_told, true) {
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A socket of a client that asks it.
    pub(crate) fn socket(&self) -> Result<UdpSocket> {
        let open = || {
            let socket = UdpSocket::bind(if self.dns.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
            socket.connect(self.dns)?;
            Ok(socket)
        };
        match &self.netns {
            // Nobody else can reach it there.
            Some(netns) if self.dns.ip().is_loopback() => netns::enter(netns, open),
            _ => open(),
        }
    }

    /// Waits until the server gives a positive answer to `query`; returns how long that is after its start.
    pub(crate) fn wait_for_answer(&mut self, query: &[u8], limit: Duration) -> Result<Duration> {
        let socket = self.socket()?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        while self.started.elapsed() < limit {
            self.is_alive()?;
            let _ = socket.send(query);
            let mut response = [0; 1500];
            match socket.recv(&mut response) {
                Ok(len) if is_positive(&response[..len]) => return Ok(self.started.elapsed()),
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        bail!("{} did not answer within {limit:?}: see {}", self.name, self.folder.join("server.log").display())
    }
}

/// Whether a response has NOERROR and an answer.
fn is_positive(response: &[u8]) -> bool {
    response.len() > 12 && response[3].trailing_zeros() >= 4 && response[6..8] != [0, 0]
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
