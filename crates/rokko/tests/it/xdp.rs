//! A node that takes queries past the kernel, in a network namespace of its own. Needs root.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{KEY, rokko};

const SERVER: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
const CLIENT: [&str; 2] = ["192.0.2.2", "2001:db8::2"];
const CONFIG: &str = "\
[dns.rate]
nxdomain = 20
shed_above = 500
shed_pass_one_in = 8
[dns.xdp]
ring_entries = 64
";
/// Reads a page of the API.
const FETCH: &str = "import sys, urllib.request as u\n\
    print(u.urlopen(u.Request(sys.argv[1], headers={'X-API-Key': sys.argv[2]})).read().decode())";

/// Sends queries for names that do not exist for some seconds, from as many ports, and then asks for one that does.
const FLOOD: &str = "import sys, time, socket as s\n\
    ask = lambda name: b'\\0\\1\\0\\0\\0\\1\\0\\0\\0\\0\\0\\0' + name + b'\\4demo\\7example\\0\\0\\1\\0\\1'\n\
    out = [s.socket(s.AF_INET, s.SOCK_DGRAM) for _ in range(8)]\n\
    for one in out:\n\
    \tone.connect((sys.argv[1], int(sys.argv[2])))\n\
    \tone.setblocking(False)\n\
    end, count = time.time() + float(sys.argv[3]), 0\n\
    while time.time() < end:\n\
    \tfor one in out:\n\
    \t\tcount += 1\n\
    \t\ttry: one.send(ask(b'\\x08%08d' % (count % 100000000)))\n\
    \t\texcept OSError: pass\n\
    print(count)";

/// Two network namespaces with a virtual cable between them. Gone when dropped.
struct Cable {
    server: String,
    client: String,
}

impl Cable {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("rokko-up-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let cable = Self { server: format!("{prefix}-s"), client: format!("{prefix}-c") };
        run("ip", &["netns", "add", &cable.server]);
        run("ip", &["netns", "add", &cable.client]);
        let peer = ["type", "veth", "peer", "name", "veth-c", "netns", &cable.client];
        run("ip", &[&["link", "add", "veth-s", "netns", &cable.server][..], &peer].concat());
        for (name, interface, addrs) in [(&cable.server, "veth-s", SERVER), (&cable.client, "veth-c", CLIENT)] {
            run("ip", &["-n", name, "addr", "add", &format!("{}/24", addrs[0]), "dev", interface]);
            run("ip", &["-n", name, "addr", "add", &format!("{}/64", addrs[1]), "dev", interface, "nodad"]);
            run("ip", &["-n", name, "link", "set", "lo", "up"]);
            run("ip", &["-n", name, "link", "set", interface, "up"]);
        }
        cable
    }

    fn ask(&self, server: &str, port: &str, more: &[&str]) -> String {
        let server = format!("@{server}");
        let kdig = ["netns", "exec", &self.client, "kdig", &server, "-p", port, "www.demo.example", "A", "+short"];
        run("ip", &[&kdig[..], more].concat())
    }

    fn has_program(&self) -> bool {
        run("ip", &["-n", &self.server, "link", "show", "veth-s"]).contains("prog/xdp")
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in [&self.server, &self.client] {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

/// Runs a program that has to succeed.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "this test needs root: {program} {arguments:?}: {err}");
    out.into_owned()
}

/// A node with the sample zone in the server's namespace.
struct Node {
    child: Child,
    ready: Value,
    port: String,
    data: TempDir,
}

impl Node {
    /// Starts one, by way of other programs if there are any in `by`.
    fn start(cable: &Cable, by: &[&str], interface: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        // So that it takes no more memory than any system lets a process lock.
        let config = data.path().join("rokko.toml");
        std::fs::write(&config, CONFIG).unwrap();
        let program = rokko();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &cable.server]).args(by).arg(program.get_program());
        command.args(["up", "--output", "json", "--demo", "--api-listen", "127.0.0.1:0", "--xdp", interface]);
        command.arg("--config").arg(config);
        command.args(["--dns-listen", "0.0.0.0:5300", "--dns-listen", "[::]:5300", "--data-dir"]).arg(data.path());
        command.env("ROKKO_API_KEY", KEY).env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
        command.stdout(Stdio::piped()).stderr(File::create(log_file(data.path())).unwrap());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            panic!("the node did not start: {}", std::fs::read_to_string(log_file(data.path())).unwrap());
        };
        let port = ready["dns"][0].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        Self { child, ready, port, data }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(log_file(self.data.path())).unwrap()
    }

    /// A number of the API's metrics.
    fn metric(&self, cable: &Cable, name: &str) -> u64 {
        let url = format!("{}/metrics", self.ready["api"][0].as_str().unwrap());
        let page = run("ip", &["netns", "exec", &cable.server, "python3", "-c", FETCH, &url, KEY]);
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_file(data: &Path) -> std::path::PathBuf {
    data.join("log")
}

#[test]
fn a_killed_node_leaves_nothing_on_the_interface() {
    let cable = Cable::new();
    let mut node = Node::start(&cable, &[], "veth-s");
    assert_eq!(node.ready["xdp"][0]["on"], true, "{}", node.log());
    assert_eq!(node.ready["xdp"][0]["state"], "AF_XDP on veth-s: native, copy mode, 1 queue");
    assert!(node.log().contains("AF_XDP on veth-s: native"), "{}", node.log());
    assert!(cable.has_program());
    for server in SERVER {
        for transport in ["+notcp", "+tcp"] {
            assert!(cable.ask(server, &node.port, &[transport]).contains("192.0.2.10"));
        }
    }
    while node.metric(&cable, "rokko_xdp_answered_total") < 2 {
        std::thread::yield_now();
    }
    assert_eq!(node.metric(&cable, "rokko_udp_received_total"), 0);
    node.child.kill().unwrap();
    node.child.wait().unwrap();
    assert!(!cable.has_program());
}

#[test]
fn three_capabilities_are_enough() {
    let cable = Cable::new();
    let node = Node::start(&cable, &["setpriv", "--bounding-set=-all,+net_admin,+net_raw,+bpf"], "veth-s");
    assert_eq!(node.ready["xdp"][0]["on"], true, "{}", node.log());
    assert!(cable.ask(SERVER[0], &node.port, &["+notcp"]).contains("192.0.2.10"));
}

#[test]
fn without_capabilities_the_kernels_sockets_answer() {
    let cable = Cable::new();
    let node = Node::start(&cable, &["setpriv", "--bounding-set=-net_admin,-net_raw,-bpf,-sys_admin"], "veth-s");
    assert_eq!(node.ready["xdp"][0]["on"], false);
    let log = node.log();
    let missing = "no AF_XDP on veth-s: the capability CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF is missing: set `Ambient";
    assert!(log.contains("WARN") && log.contains(missing), "{log}");
    assert!(!cable.has_program());
    assert!(cable.ask(SERVER[0], &node.port, &["+notcp"]).contains("192.0.2.10"));
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let cable = Cable::new();
    let node = Node::start(&cable, &[], "veth-s,nothing0");
    assert_eq!((&node.ready["xdp"][0]["on"], &node.ready["xdp"][1]["on"]), (&true.into(), &false.into()));
    let log = node.log();
    assert!(log.contains("no AF_XDP on nothing0: there is no network interface `nothing0`: see `ip link`"), "{log}");
    assert!(cable.ask(SERVER[1], &node.port, &["+notcp"]).contains("192.0.2.10"));
}

#[test]
fn a_flood_is_dropped_before_it_reaches_the_rings() {
    let cable = Cable::new();
    let node = Node::start(&cable, &[], "veth-s");
    assert_eq!(node.ready["xdp"][0]["on"], true, "{}", node.log());
    let flood = ["netns", "exec", &cable.client, "python3", "-c", FLOOD, SERVER[0], &node.port];
    let mut seconds = 2;
    // On a machine at work a flood may be too thin for a moment.
    while node.metric(&cable, "rokko_xdp_dropped_total{reason=\"shed\"}") == 0 {
        let sent: u64 = run("ip", &[&flood[..], &[&seconds.to_string()]].concat()).trim().parse().unwrap();
        assert!(sent > 0 && seconds < 60, "{}", node.log());
        seconds *= 2;
        // The program's counters are read once a second.
        std::thread::sleep(std::time::Duration::from_millis(1200));
    }
    let log = node.log();
    assert!(log.contains("a flood: most queries from 192.0.2.0/24 are kept away"), "{log}");
    assert!(cable.ask(SERVER[1], &node.port, &["+notcp"]).contains("192.0.2.10"), "another prefix has its answers");
    while !node.log().contains("the flood from 192.0.2.0/24 is over") {
        std::thread::yield_now();
    }
    assert!(cable.ask(SERVER[0], &node.port, &["+notcp"]).contains("192.0.2.10"));
}
