//! A flood of queries for names that do not exist, from one prefix of the loopback network, and clients beside it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{A, Node, ask_tcp, folder, path, query};

const ZONE: &str = "\
$ORIGIN example.com.
$TTL 300
@ SOA ns1 hostmaster 1 7200 900 1209600 300
  NS ns1
ns1 A 192.0.2.53
www A 192.0.2.1
";
const CONFIG: &str = "\
[dns.rate]
exempt = []
nxdomain = 20
shed_above = 500
shed_pass_one_in = 8
";
/// Queries that the client beside the flood sends.
const QUERIES: usize = 300;
const NXDOMAIN: u8 = 3;
const TRUNCATED: u8 = 0x02;

/// What a flood has got back.
#[derive(Default)]
struct Flood {
    stop: AtomicBool,
    nxdomains: AtomicU64,
    slips: AtomicU64,
}

impl Flood {
    /// Sends as fast as it can from 127.0.0.0/24 until it is told to stop.
    fn run(&self, server: SocketAddr) {
        let sockets: Vec<_> = (1..=8).map(|host| udp(&format!("127.0.0.{host}"), server)).collect();
        for socket in &sockets {
            socket.set_nonblocking(true).unwrap();
        }
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            for socket in &sockets {
                number += 1;
                socket.send(&query(&format!("x{number}.example.com"), A)).unwrap();
                self.take(socket);
            }
        }
        for socket in &sockets {
            self.take(socket);
        }
    }

    fn take(&self, socket: &UdpSocket) {
        let mut response = [0; 512];
        loop {
            match socket.recv(&mut response) {
                Ok(length) if response[2] & TRUNCATED != 0 => {
                    assert_eq!(response[6..12], [0; 6], "a slip has no records");
                    assert!(length < 100);
                    self.slips.fetch_add(1, Ordering::Relaxed);
                }
                Ok(_) => {
                    assert_eq!(response[3] & 0x0f, NXDOMAIN);
                    self.nxdomains.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => return assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }
}

/// Stops a flood also where a test fails.
struct StopAtEnd<'a>(&'a Flood);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

fn udp(source: &str, server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((source, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket
}

/// Asks once; whether there is a whole answer.
fn is_answered(socket: &UdpSocket, query: &[u8]) -> bool {
    socket.send(query).unwrap();
    let mut response = [0; 512];
    socket.recv(&mut response).is_ok() && response[2] & TRUNCATED == 0 && response[7] == 1
}

fn start(data: &Path) -> (Node, TempDir) {
    let files = folder(&[("example.com", ZONE), ("rokko.toml", CONFIG)]);
    let config = path(&files, "rokko.toml").display().to_string();
    let node = Node::start_with(data, &["--config", &config], Some(crate::harness::KEY));
    node.run(&["zone", "import", &path(&files, "example.com").display().to_string()]).ok();
    (node, files)
}

fn metrics(node: &Node) -> String {
    let mut stream = TcpStream::connect(node.api.trim_start_matches("http://")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// A query for `www.example.com` with a COOKIE option.
fn with_cookie(cookie: &[u8]) -> Vec<u8> {
    let mut message = query("www.example.com", A);
    message[11] = 1;
    let option_len = u8::try_from(cookie.len()).unwrap();
    message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, option_len + 4, 0, 10, 0, option_len]);
    message.extend(cookie);
    message
}

/// The cookie at the end of the response over TCP to a query with a client cookie.
fn server_cookie(server: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).unwrap();
    let query = with_cookie(b"a client");
    stream.write_all(&[&[0, u8::try_from(query.len()).unwrap()][..], &query].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut response = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut response).unwrap();
    let cookie = response.split_off(response.len() - 24);
    assert_eq!(&cookie[..8], b"a client");
    cookie
}

#[test]
fn a_flood_from_one_prefix_leaves_the_others_their_answers() {
    let data = tempfile::tempdir().unwrap();
    let (node, _files) = start(data.path());
    let www = query("www.example.com", A);
    assert!(is_answered(&udp("127.0.1.1", node.dns), &www));
    let (flood, rss_before) = (Flood::default(), node.rss_kib());
    std::thread::scope(|scope| {
        let _end = StopAtEnd(&flood);
        scope.spawn(|| flood.run(node.dns));
        let begun = node.wait_for_log("a flood: most queries from");
        assert!(begun.contains(" from 127.0.0.0/24 are"), "{begun}");

        let client = udp("127.0.1.1", node.dns);
        let answered = (0..QUERIES).filter(|_| is_answered(&client, &www)).count();
        assert!(answered * 10 >= QUERIES * 9, "{answered} of {QUERIES}");

        // Those who show that they are where they say they are have no limit, in the prefix of the flood too.
        assert_eq!(ask_tcp(node.dns, "www.example.com", A).addresses(), ["192.0.2.1"]);
        let (client, query) = (udp("127.0.0.1", node.dns), with_cookie(&server_cookie(node.dns)));
        let answered = (0..QUERIES).filter(|_| is_answered(&client, &query)).count();
        assert!(answered * 10 >= QUERIES * 9, "{answered} of {QUERIES} with a cookie");
        assert_eq!(value(&metrics(&node), "rokko_dns_shed_prefixes"), 1);
    });
    let over = node.wait_for_log("is over");
    assert!(over.contains("the flood from 127.0.0.0/24 is over"), "{over}");
    let client = udp("127.0.0.1", node.dns);
    assert!((0..10).all(|_| is_answered(&client, &www)));

    let (slips, nxdomains) = (flood.slips.load(Ordering::Relaxed), flood.nxdomains.load(Ordering::Relaxed));
    assert!(slips > nxdomains && nxdomains > 0, "{slips} slips, {nxdomains} NXDOMAIN");
    let metrics = metrics(&node);
    // The prefix as a whole has its limit too.
    let limited = ["nxdomain", "all"].map(|limit| format!("rokko_dns_rate_limited_total{{limit=\"{limit}\"}}"));
    let limited: u64 = limited.iter().map(|name| value(&metrics, name)).sum();
    let dropped = value(&metrics, "rokko_dns_dropped_total{reason=\"rate\"}");
    assert!(limited > 500 && dropped > 0 && dropped < limited, "{limited} limited, {dropped} dropped");
    assert_eq!(value(&metrics, "rokko_dns_shed_prefixes"), 0);
    assert!(value(&metrics, "rokko_udp_kernel_dropped_total") > 0);
    let rss = node.rss_kib();
    assert!(rss < rss_before + 4096, "{rss_before} KiB before the flood, {rss} after it");
    node.stop();
}
