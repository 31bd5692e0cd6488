//! lego gets a certificate from a local Pebble by DNS-01 with Rokko as the authority.
//!
//! Nothing leaves loopback: Pebble and lego both ask Rokko's port and no resolver, and lego talks to Pebble by address.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::program::{LEGO, OPENSSL, PEBBLE};
use crate::harness::{KEY, Node, TXT};

/// How long Pebble may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// A port that was free a moment ago may be taken; then another one is tried.
const STARTS_MAX: usize = 5;
const CHALLENGE: &str = "_acme-challenge.shop.example";

#[test]
fn a_certificate_for_the_apex_and_a_wildcard() {
    let (data, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = Node::start(data.path());
    node.run(&["zone", "create", "shop.example", "--nameserver", "ns1.example.net"]).ok();
    make_certificate(work.path());
    let pebble = Pebble::start(work.path(), &node);

    let resolver = node.dns.to_string();
    let mut lego = LEGO.command(work.path());
    lego.args(["--server", &format!("https://127.0.0.1:{}/dir", pebble.port), "--accept-tos"]);
    lego.args(["--email", "hostmaster@shop.example", "--path", "lego", "--dns", "pdns", "--dns.disable-cp"]);
    lego.args(["--dns.resolvers", &resolver, "--domains", "shop.example", "--domains", "*.shop.example", "run"]);
    lego.env("LEGO_CA_CERTIFICATES", work.path().join("ca.pem"));
    lego.envs([("PDNS_API_URL", node.api.as_str()), ("PDNS_API_KEY", KEY), ("PDNS_POLLING_INTERVAL", "1")]);
    let ran = LEGO.finish(&mut lego);
    assert_eq!(ran.code, Some(0), "{ran:#?}\n{}", pebble.log());
    assert!(ran.err.contains("Server responded with a certificate"), "{ran:#?}");

    let certificate = ["x509", "-in", "lego/certificates/shop.example.crt", "-noout", "-ext", "subjectAltName"];
    let names = OPENSSL.run(work.path(), &certificate).ok();
    let mut names: Vec<&str> = names.lines().last().unwrap().trim().split(", ").collect();
    names.sort_unstable();
    assert_eq!(names, ["DNS:*.shop.example", "DNS:shop.example"]);

    check_history(&node);
    assert_eq!(node.ask(CHALLENGE, TXT).rcode, 3, "the challenges are gone");
    node.stop();
}

/// Both challenges were there at once, under one name, and both are gone.
fn check_history(node: &Node) {
    let history = node.run(&["zone", "history", "shop.example", "--output", "json"]).json();
    let revisions = history.as_array().unwrap().iter().map(|entry| entry["revision"].to_string());
    let (mut now, mut most, mut total) = (0_i32, 0, 0);
    // The history starts with the newest.
    for revision in revisions.collect::<Vec<_>>().iter().rev() {
        let shown = node.run(&["zone", "history", "shop.example", revision]).ok();
        let count = |sign: &str| {
            let lines = shown.lines().filter(|line| line.starts_with(&format!("{sign} {CHALLENGE}. 120 TXT \"")));
            i32::try_from(lines.count()).unwrap()
        };
        now += count("+") - count("-");
        total += count("+");
        most = most.max(now);
    }
    assert_eq!((now, most, total), (0, 2, 2), "{history}");
}

/// A certificate for Pebble's own HTTPS, which is its own authority.
fn make_certificate(work: &Path) {
    let request = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ];
    OPENSSL.run(work, &request).ok();
}

struct Pebble {
    child: Child,
    port: u16,
    log: std::path::PathBuf,
}

impl Pebble {
    fn start(work: &Path, node: &Node) -> Self {
        let log = work.join("pebble.log");
        for _ in 0..STARTS_MAX {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            // Nothing listens on the ports for HTTP-01 and TLS-ALPN-01, and nobody asks for them.
            let config = serde_json::json!({ "pebble": {
                "listenAddress": format!("127.0.0.1:{port}"), "managementListenAddress": "",
                "certificate": "ca.pem", "privateKey": "ca.key", "httpPort": 9, "tlsPort": 9,
            } });
            std::fs::write(work.join("pebble.json"), config.to_string()).unwrap();
            let output = std::fs::File::create(&log).unwrap();
            let mut command = PEBBLE.command(work);
            command.args(["-config", "pebble.json", "-dnsserver", &node.dns.to_string()]);
            command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
            let child = command.stdout(output.try_clone().unwrap()).stderr(Stdio::from(output)).spawn().unwrap();
            let mut pebble = Self { child, port, log: log.clone() };
            if pebble.listens() {
                return pebble;
            }
        }
        panic!("pebble did not start; is the package pebble installed? {}", std::fs::read_to_string(&log).unwrap());
    }

    /// Whether it takes connections, once it does or has ended.
    fn listens(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && self.child.try_wait().unwrap().is_none() {
            if self.log().contains("Listening on") && TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        // The child is `timeout`, which hands this on to Pebble.
        let _ = std::process::Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
