//! Starts nodes, runs commands, asks queries.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The administrator's key of the nodes that tests start.
pub(crate) const KEY: &str = "a-key-that-only-tests-know";

/// The configuration of nodes that are given none: their new zones are not signed.
const UNSIGNED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/unsigned.toml");

/// A running node on free loopback ports.
pub(crate) struct Node {
    child: Child,
    log: Mutex<Receiver<String>>,
    /// What the node said when it was ready.
    pub(crate) ready: Value,
    pub(crate) dns: SocketAddr,
    pub(crate) api: String,
}

impl Node {
    /// Starts a node over a data folder.
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[], Some(KEY))
    }

    /// Starts a node with more arguments, and with or without `ROKKO_API_KEY`.
    pub(crate) fn start_with(data_dir: &Path, arguments: &[&str], key: Option<&str>) -> Self {
        Self::start_by(rokko(), data_dir, arguments, key)
    }

    /// The same by a command made by [`rokko`], which may have more in its environment.
    pub(crate) fn start_by(mut command: Command, data_dir: &Path, arguments: &[&str], key: Option<&str>) -> Self {
        command.args(["up", "--output", "json", "--dns-listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
        if !arguments.contains(&"--api-listen") {
            command.args(["--api-listen", "127.0.0.1:0"]);
        }
        if !arguments.contains(&"--config") {
            command.args(["--config", UNSIGNED]);
        }
        command.args(arguments);
        if let Some(key) = key {
            command.env("ROKKO_API_KEY", key);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = follow(child.stderr.take().unwrap());
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            let status = child.wait().unwrap();
            panic!("the node did not start ({status}): {line}{}", log.iter().collect::<String>());
        };
        let dns = ready["dns"][0].as_str().unwrap().parse().unwrap();
        let api = ready["api"][0].as_str().unwrap().to_owned();
        Self { child, log: Mutex::new(log), ready, dns, api }
    }

    /// Runs a client command against this node as the administrator.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ran {
        self.run_with_key(KEY, arguments)
    }

    /// Runs a client command with another key.
    pub(crate) fn run_with_key<S: AsRef<OsStr>>(&self, key: &str, arguments: &[S]) -> Ran {
        let mut command = rokko();
        command.args(arguments).env("ROKKO_API", &self.api).env("ROKKO_API_KEY", key);
        Ran::of(command.output().unwrap())
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Its resident memory.
    pub(crate) fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    }

    /// Waits for the end; returns the exit code and what is left of the log.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the node did not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        (status.code(), self.log.lock().unwrap().iter().collect())
    }

    /// SIGTERM; the node has to end well and may not have warned of anything.
    pub(crate) fn stop(self) {
        self.signal("TERM");
        let (code, log) = self.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    }

    /// Waits until a line of the log has this text in it.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        loop {
            let line = self
                .log
                .lock()
                .unwrap()
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("no line with `{text}` in the log"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Asks over UDP.
    pub(crate) fn ask(&self, name: &str, qtype: u16) -> Answer {
        ask_udp(self.dns, name, qtype)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It has ended already where a test came to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn follow(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stderr);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The binary, without anything from the environment of the tests.
pub(crate) fn rokko() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rokko"));
    for name in ["ROKKO_API", "ROKKO_API_KEY", "ROKKO_API_CA", "ROKKO_API_FINGERPRINT", "RUST_LOG", "NOTIFY_SOCKET"] {
        command.env_remove(name);
    }
    command
}

/// Runs the binary without a node.
pub(crate) fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Ran {
    Ran::of(rokko().args(arguments).output().unwrap())
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |octets| String::from_utf8(octets).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Standard output of a command that has to succeed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }

    /// Standard error of a command that has to fail with an exit code.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self.err
    }

    /// The JSON of a command that has to succeed.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

/// A folder with zone files in it.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

pub(crate) fn path(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join(name)
}

/// The parts of a response that tests look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) rcode: u8,
    pub(crate) authoritative: bool,
    /// Type and data of each record of the answer section.
    pub(crate) records: Vec<(u16, Vec<u8>)>,
}

pub(crate) const A: u16 = 1;
pub(crate) const SOA: u16 = 6;
pub(crate) const TXT: u16 = 16;

pub(crate) fn ask_udp(server: SocketAddr, name: &str, qtype: u16) -> Answer {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&query(name, qtype), server).unwrap();
    let mut response = vec![0; 4096];
    let (length, _) = socket.recv_from(&mut response).unwrap();
    Answer::parse(&response[..length])
}

pub(crate) fn ask_tcp(server: SocketAddr, name: &str, qtype: u16) -> Answer {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let query = query(name, qtype);
    stream.write_all(&[&u16::try_from(query.len()).unwrap().to_be_bytes()[..], &query].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut response = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut response).unwrap();
    Answer::parse(&response)
}

/// A query with ID 0x1234 and RD.
pub(crate) fn query(name: &str, qtype: u16) -> Vec<u8> {
    let mut message = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&qtype.to_be_bytes());
    message.extend_from_slice(&1_u16.to_be_bytes());
    message
}

impl Answer {
    fn parse(message: &[u8]) -> Self {
        let word = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        assert_eq!(word(0), 0x1234);
        let mut at = skip_name(message, 12) + 4;
        let mut records = Vec::new();
        for _ in 0..word(6) {
            at = skip_name(message, at);
            let length = usize::from(word(at + 8));
            records.push((word(at), message[at + 10..at + 10 + length].to_vec()));
            at += 10 + length;
        }
        records.sort();
        Self { rcode: message[3] & 0x0f, authoritative: message[2] & 0x04 != 0, records }
    }

    /// The IPv4 addresses.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let of_type = self.records.iter().filter(|(rtype, _)| *rtype == A);
        of_type.map(|(_, data)| data.iter().map(u8::to_string).collect::<Vec<_>>().join(".")).collect()
    }
}

fn skip_name(message: &[u8], mut at: usize) -> usize {
    loop {
        match message[at] {
            0 => return at + 1,
            0xc0..=0xff => return at + 2,
            length => at += usize::from(length) + 1,
        }
    }
}
