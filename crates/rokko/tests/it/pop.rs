//! A control node and its points of presence as processes on one machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{A, KEY, Node, PATIENCE, Ran, ask_udp, follow, rokko};

const SERVFAIL: u8 = 2;

/// A running PoP.
pub(crate) struct Pop {
    pub(crate) child: Child,
    log: Mutex<Receiver<String>>,
    ready: Value,
    pub(crate) dns: SocketAddr,
}

impl Pop {
    pub(crate) fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        let mut command = rokko();
        command.args(["pop", "--output", "json", "--dns-listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(data_dir).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = follow(child.stderr.take().unwrap());
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            panic!("the PoP did not start: {line}{}", log.iter().collect::<String>());
        };
        let dns = ready["dns"][0].as_str().unwrap().parse().unwrap();
        Self { child, log: Mutex::new(log), ready, dns }
    }

    pub(crate) fn addresses(&self, name: &str) -> Vec<String> {
        ask_udp(self.dns, name, A).addresses()
    }

    /// The status code and the body of a page.
    fn page(&self, path: &str) -> (u16, String) {
        get(self.ready["status"][0].as_str().unwrap(), path, "")
    }

    /// Waits for a line of the log that has one of these in it.
    fn wait_for_log(&self, wanted: &[&str]) {
        let log = self.log.lock().unwrap();
        loop {
            let line =
                log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line with any of {wanted:?} in the log"));
            if wanted.iter().any(|text| line.contains(text)) {
                return;
            }
        }
    }
}

impl Drop for Pop {
    fn drop(&mut self) {
        // It has ended already where a test came to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request over plain HTTP.
fn get(address: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A control node that serves PoPs.
fn control(data_dir: &Path) -> Node {
    Node::start_with(data_dir, &["--fleet-listen", "127.0.0.1:0"], Some(KEY))
}

pub(crate) fn token(node: &Node, name: &str, more: &[&str]) -> String {
    node.run(&[&["fleet", "token", "--name", name], more].concat()).ok().trim().to_owned()
}

fn create(node: &Node, zone: &str) {
    node.run(&["zone", "create", zone, "--nameserver", "ns1.example.net"]).ok();
}

fn set(node: &Node, zone: &str, address: &str) -> String {
    let done = node.run(&["record", "set", zone, "www", "A", address, "--output", "json"]).json();
    done["revision"].to_string()
}

/// The PoP in the fleet's view.
fn seen(node: &Node, name: &str) -> Value {
    let fleet = Ran { code: Some(0), ..node.run(&["fleet", "status", "--output", "json"]) }.json();
    fleet["pops"].as_array().unwrap().iter().find(|pop| pop["name"] == name).unwrap().clone()
}

/// Waits until the PoP is seen so.
#[track_caller]
fn until_seen(node: &Node, name: &str, key: &str, value: &Value) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pop = seen(node, name);
        if pop[key] == *value {
            return;
        }
        assert!(Instant::now() < deadline, "{key} does not become {value}: {pop}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn in_sync(node: &Node, revision: &str) -> Value {
    node.run(&["change", "wait", revision, "--timeout", "60s", "--output", "json"]).json()
}

#[test]
fn a_change_is_everywhere_when_it_says_so() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = control(ours.path());
    create(&node, "example.com");
    let pop = Pop::start(theirs.path(), &["--join", &token(&node, "fra-1", &[])]);
    assert_eq!(pop.ready["name"], "fra-1");
    let revision = set(&node, "example.com", "192.0.2.1");
    let change = in_sync(&node, &revision);
    assert_eq!((&change["state"], &change["pops"][0]["state"]), (&json!("insync"), &json!("applied")));
    assert!(change["pops"][0]["applied_at"].as_str() >= change["committed_at"].as_str(), "{change}");
    assert_eq!(pop.addresses("www.example.com"), ["192.0.2.1"]);

    // A write that waits itself.
    let url = node.api.strip_prefix("http://").unwrap();
    let body = r#"{"ttl":60,"records":["192.0.2.2"]}"#;
    let mut stream = TcpStream::connect(url).unwrap();
    let path = "/v1/zones/example.com/rrsets/www/A?wait=insync&wait_ms=60000";
    let length = body.len();
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: test\r\nX-API-Key: {KEY}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(
        response.starts_with("HTTP/1.1 200") && response.contains("rokko-change: insync; revision=3"),
        "{response}"
    );
    assert_eq!(pop.addresses("www.example.com"), ["192.0.2.2"]);

    // Deleted zones go, too.
    create(&node, "example.org");
    node.run(&["zone", "delete", "example.com"]).ok();
    in_sync(&node, "5");
    assert_eq!(ask_udp(pop.dns, "www.example.com", A).rcode, 5);
    assert!(ask_udp(pop.dns, "example.org", 6).authoritative);
    until_seen(&node, "fra-1", "state", &json!("insync"));
    until_seen(&node, "fra-1", "digest_good", &json!(true));
    let verified = node.run(&["fleet", "verify"]).ok();
    assert!(verified.contains("good") && !verified.contains("DIFFERS"), "{verified}");
    let metrics = get(url, "/metrics", "").1;
    assert!(metrics.contains("rokko_fleet_pop_up{pop=\"fra-1\"} 1"), "{metrics}");
    assert!(pop.page("/metrics").1.contains("rokko_pop_connected 1"));
}

#[test]
fn watchers_see_changes_as_they_happen() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = control(ours.path());
    let _pop = Pop::start(theirs.path(), &["--join", &token(&node, "fra-1", &[])]);
    until_seen(&node, "fra-1", "state", &json!("insync"));
    let mut stream = TcpStream::connect(node.api.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /v1/changes/events?after=0 HTTP/1.1\r\nHost: test\r\nX-API-Key: {KEY}\r\n\r\n").unwrap();
    create(&node, "example.com");
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut event = |kind: &str| {
        assert!(lines.any(|line| line == format!("event: {kind}")));
        let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).unwrap();
        serde_json::from_str::<Value>(&data).unwrap()
    };
    let committed = event("committed");
    assert_eq!((&committed["revision"], &committed["zone"]), (&json!(1), &json!("example.com.")));
    assert_eq!(event("insync")["revision"], 1);
}

#[test]
fn a_pop_stands_alone_and_comes_back() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = control(ours.path());
    let port = node.ready["fleet"][0].as_str().unwrap().to_owned();
    create(&node, "example.com");
    let pop = Pop::start(theirs.path(), &["--join", &token(&node, "fra-1", &[])]);
    in_sync(&node, &set(&node, "example.com", "192.0.2.1"));
    node.signal("KILL");
    node.wait();
    assert_eq!(pop.addresses("www.example.com"), ["192.0.2.1"]);
    drop(pop);
    let pop = Pop::start(theirs.path(), &[]);
    assert_eq!((pop.addresses("www.example.com"), &pop.ready["revision"]), (vec!["192.0.2.1".to_owned()], &json!(2)));
    assert_eq!(pop.page("/healthz").0, 200);
    let node = Node::start_with(ours.path(), &["--fleet-listen", &port], None);
    in_sync(&node, &set(&node, "example.com", "192.0.2.2"));
    assert_eq!(pop.addresses("www.example.com"), ["192.0.2.2"]);
}

#[test]
fn a_pop_that_is_alone_for_too_long_says_so() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = control(ours.path());
    create(&node, "example.com");
    let file = theirs.path().join("pop.toml");
    std::fs::write(&file, "[pop]\nisolation_limit_s = 5\n").unwrap();
    let data = theirs.path().join("data");
    let config = file.to_str().unwrap();
    let pop = Pop::start(&data, &["--join", &token(&node, "fra-1", &[]), "--config", config]);
    in_sync(&node, &set(&node, "example.com", "192.0.2.1"));
    node.signal("KILL");
    node.wait();
    let deadline = Instant::now() + PATIENCE;
    while ask_udp(pop.dns, "www.example.com", A).rcode != SERVFAIL {
        assert!(Instant::now() < deadline, "it goes on answering");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(pop.page("/healthz").0, 503);
    // Also from the start on.
    drop(pop);
    let pop = Pop::start(&data, &["--config", config]);
    assert_eq!(ask_udp(pop.dns, "www.example.com", A).rcode, SERVFAIL);
}

#[test]
fn relays_carry_the_feed_and_the_news() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let node = control(folders[0].path());
    create(&node, "example.com");
    let join = token(&node, "relay-1", &["--relay"]);
    let relay = Pop::start(folders[1].path(), &["--join", &join, "--relay-listen", "127.0.0.1:0"]);
    let from = relay.ready["relay"][0].as_str().unwrap();
    let leaf = Pop::start(folders[2].path(), &["--join", &token(&node, "leaf-1", &[]), "--from", from]);
    until_seen(&node, "leaf-1", "via", &json!("relay-1"));
    let change = in_sync(&node, &set(&node, "example.com", "192.0.2.1"));
    assert_eq!(change["pops"].as_array().unwrap().len(), 2);
    assert_eq!(leaf.addresses("www.example.com"), ["192.0.2.1"]);
    until_seen(&node, "leaf-1", "digest_good", &json!(true));
    // Commands go the same way.
    node.run(&["fleet", "drain", "leaf-1"]).ok();
    let deadline = Instant::now() + PATIENCE;
    while leaf.page("/healthz").0 != 503 {
        assert!(Instant::now() < deadline, "it is not drained");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(relay.page("/healthz").0, 200);
    assert!(node.run(&["fleet", "verify"]).ok().contains("good"));
    // Without the relay's leave there is no relay.
    let refused = Ran::of(
        rokko()
            .args(["pop", "--relay-listen", "127.0.0.1:0", "--from", from, "--data-dir"])
            .arg(folders[2].path())
            .args(["--dns-listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0"])
            .output()
            .unwrap(),
    );
    assert_ne!(refused.code, Some(0), "{refused:?}");
}

#[test]
fn what_was_revoked_or_used_opens_nothing() {
    let folders = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let node = control(folders[0].path());
    create(&node, "example.com");
    let join = token(&node, "fra-1", &[]);
    let pop = Pop::start(folders[1].path(), &["--join", &join]);
    in_sync(&node, &set(&node, "example.com", "192.0.2.1"));
    let join_with = |token: &str, folder: &Path| {
        let mut command = rokko();
        command.args(["pop", "--dns-listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0", "--join", token]);
        Ran::of(command.arg("--data-dir").arg(folder).output().unwrap())
    };
    let used = join_with(&join, folders[2].path()).fails(1);
    assert!(used.contains("the token was used already"), "{used}");
    let other = join_with("rokko-join:AAAA", folders[2].path()).fails(2);
    assert!(other.contains("token"), "{other}");
    // The data of one control plane is not mixed with another's.
    let elsewhere = control(folders[3].path());
    let foreign = token(&elsewhere, "fra-1", &[]);
    node.run(&["fleet", "revoke", "fra-1"]).ok();
    assert_eq!(seen(&node, "fra-1")["state"], "revoked");
    let revision = set(&node, "example.com", "192.0.2.2");
    assert_eq!(in_sync(&node, &revision)["pops"], json!([]));
    assert_eq!(pop.addresses("www.example.com"), ["192.0.2.1"], "it goes on with what it has");
    pop.wait_for_log(&["put out of the fleet", "certificate was revoked"]);
    drop(pop);
    let mixed = join_with(&foreign, folders[1].path()).fails(1);
    assert!(mixed.contains("choose another --data-dir"), "{mixed}");
}
