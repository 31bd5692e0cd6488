//! The processes: a control node, and `PoPs` that can be killed, damaged and started again.

use std::fmt::Write;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::netns::{HUB, Netns};
use crate::harness::{A, KEY, Node, query, rokko};

/// Where the control node's API is, in its namespace.
pub(crate) const API: &str = "127.0.0.1:8053";
/// Where each `PoP` answers, in its namespace.
const DNS: ([u8; 4], u16) = ([127, 0, 0, 1], 5300);
/// How long a `PoP` may take for an answer, on a machine that has much else to do.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How often it is looked whether an answer is still to be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Starts the control node.
pub(crate) fn control(hub: &Netns, data: &Path) -> Node {
    let feed = SocketAddr::from((HUB, 8054)).to_string();
    hub.enter(|| Node::start_with(data, &["--api-listen", API, "--fleet-listen", &feed], Some(KEY)))
}

/// A `PoP`, running or not.
pub(crate) struct Pop<'a> {
    pub(crate) name: String,
    netns: &'a Netns,
    data: TempDir,
    child: Mutex<Option<Child>>,
    /// How often it was started and stopped: odd while it has to answer.
    pub(crate) life: AtomicU32,
    /// From which life on it may say that it can't answer: its copy was damaged.
    pub(crate) damaged_from: AtomicU32,
}

impl<'a> Pop<'a> {
    pub(crate) fn new(netns: &'a Netns, index: usize) -> Self {
        Self {
            name: format!("pop-{index}"),
            netns,
            data: tempfile::tempdir().unwrap(),
            child: Mutex::new(None),
            life: AtomicU32::new(0),
            damaged_from: AtomicU32::new(u32::MAX),
        }
    }

    /// Starts it and waits until it answers; with a token it joins first.
    pub(crate) fn start(&self, token: Option<&str>) {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = rokko();
        command.args(["pop", "--output", "json", "--status-listen", "127.0.0.1:0", "--dns-listen"]);
        command.arg(SocketAddr::from(DNS).to_string()).arg("--data-dir").arg(self.data.path().join("data"));
        if let Some(token) = token {
            command.args(["--join", token]);
        }
        let mut child = self.netns.enter(|| command.stdout(Stdio::piped()).stderr(log).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str::<Value>(&line);
        assert!(ready.is_ok_and(|ready| ready["ready"] == true), "{} did not start: {}", self.name, self.log());
        *self.child.lock().unwrap() = Some(child);
        assert!(self.life.fetch_add(1, Ordering::SeqCst).is_multiple_of(2));
    }

    /// kill -9.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap().take().unwrap();
        self.life.fetch_add(1, Ordering::SeqCst);
        assert_eq!(child.try_wait().unwrap(), None, "{} ended by itself: {}", self.name, self.log());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Flips bits in all files of the mirror and takes the end of the logs away; the `PoP` must not run.
    pub(crate) fn damage(&self) {
        self.damaged_from.store(self.life.load(Ordering::SeqCst), Ordering::SeqCst);
        let mut damaged = 0;
        for entry in fs::read_dir(self.data.path().join("data/mirror")).unwrap() {
            let path = entry.unwrap().path();
            let mut octets = fs::read(&path).unwrap();
            if octets.len() < 1000 {
                continue;
            }
            let len = octets.len();
            for place in [len / 2, len * 5 / 8] {
                octets[place] ^= 0x10;
            }
            if !path.file_name().unwrap().to_string_lossy().starts_with("snapshot") {
                octets.truncate(len * 3 / 4);
            }
            fs::write(&path, &octets).unwrap();
            damaged += 1;
        }
        assert!(damaged > 0, "there was nothing to damage");
    }

    fn log_file(&self) -> PathBuf {
        self.data.path().join("log")
    }

    /// All that it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    /// A socket that asks it from within its namespace.
    pub(crate) fn client(&self) -> Client {
        let socket = self.netns.enter(|| UdpSocket::bind("127.0.0.1:0").unwrap());
        socket.connect(SocketAddr::from(DNS)).unwrap();
        socket.set_read_timeout(Some(LOOK_EVERY)).unwrap();
        Client(socket)
    }
}

impl Drop for Pop<'_> {
    fn drop(&mut self) {
        if let Ok(Some(mut child)) = self.child.lock().map(|mut child| child.take()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a query came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The last two octets of the address.
    Number(u32),
    /// Another rcode, or no address.
    Rcode(u8),
    /// None.
    Nothing,
}

pub(crate) struct Client(UdpSocket);

impl Client {
    /// Asks for the address of a name, and waits as long as an answer can come.
    pub(crate) fn ask(&self, name: &str, id: u16, is_alive: impl Fn() -> bool) -> Answered {
        let mut message = query(name, A);
        message[..2].copy_from_slice(&id.to_be_bytes());
        if self.0.send(&message).is_err() {
            return Answered::Nothing;
        }
        let (mut response, deadline) = ([0; 512], Instant::now() + ANSWER_TIME);
        loop {
            match self.0.recv(&mut response) {
                Ok(len) if response[..2] == message[..2] => {
                    let tail = [response[len - 2], response[len - 1]];
                    let (rcode, answers) = (response[3] & 15, response[7]);
                    let number = Answered::Number(u16::from_be_bytes(tail).into());
                    return if (rcode, answers) == (0, 1) { number } else { Answered::Rcode(rcode) };
                }
                // An answer to a query that was given up.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && is_alive() && Instant::now() < deadline => {}
                Err(_) => return Answered::Nothing,
            }
        }
    }
}

/// Keeps what a failed test leaves behind short.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Zone files for `rokko zone import`, each with a name whose address tells how often it was changed.
pub(crate) fn zone_files(zones: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in (0..zones).map(zone) {
        let mut text = format!(
            "$ORIGIN {name}.\n$TTL 300\n@ SOA ns1.example.net. hostmaster.example.net. 1 7200 900 1209600 300\n\
             @ NS ns1.example.net.\nwww A 10.0.0.0\n"
        );
        // Some have more names than fit into one page.
        if name.starts_with("z1") {
            for host in 0..500 {
                writeln!(text, "host{host} A 192.0.2.{}", host % 256).unwrap();
            }
        }
        fs::write(dir.path().join(&name), text).unwrap();
    }
    dir
}

/// The name of a zone.
pub(crate) fn zone(index: usize) -> String {
    format!("z{index}.example")
}
