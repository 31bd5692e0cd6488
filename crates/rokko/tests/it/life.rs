//! Starts, stops and reloads.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use crate::harness::{A, KEY, Node, Ran, path, rokko};

#[test]
fn the_first_start_makes_a_key_and_prints_it_once() {
    let data = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = rokko();
        command.args(["up", "--dns-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--demo", "--data-dir"]);
        command.arg(data.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let stop = |mut child: std::process::Child| {
        let mut line = Vec::new();
        let mut octet = [0];
        while octet != [b'\n'] {
            child.stdout.as_mut().unwrap().read_exact(&mut octet).unwrap();
            line.push(octet[0]);
        }
        let pid = child.id().to_string();
        std::process::Command::new("kill").args(["-s", "INT", &pid]).status().unwrap();
        let mut ran = Ran::of(child.wait_with_output().unwrap());
        ran.out = String::from_utf8(line).unwrap();
        ran
    };
    let first = stop(start());
    assert_eq!(first.code, Some(0), "{first:?}");
    let ready = first.out.clone();
    assert!(ready.starts_with("ready dns=127.0.0.1:") && ready.contains(" api=http://127.0.0.1:"), "{ready}");
    let file = data.path().join("admin.key");
    let key = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(first.err.matches(&key).count(), 1, "{}", first.err);
    assert!(first.err.contains("What to type next:") && first.err.contains("www.demo.example"), "{}", first.err);
    let second = stop(start());
    assert!(!second.err.contains(&key), "{}", second.err);

    let node = Node::start_with(data.path(), &[], None);
    assert_eq!(node.ask("www.demo.example", A).addresses(), ["192.0.2.10"]);
    node.run_with_key(&key, &["zone", "show", "demo.example"]).ok();
    node.stop();
}

#[test]
fn the_first_start_takes_the_key_that_is_given() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start_with(data.path(), &[], Some(KEY));
    node.run(&["zone", "list"]).ok();
    assert_eq!(std::fs::read_to_string(path(&data, "admin.key")).unwrap().trim(), KEY);
    node.stop();
    // Later starts keep it.
    let node = Node::start_with(data.path(), &[], Some("another key, which is too late"));
    node.run(&["zone", "list"]).ok();
    node.run_with_key("another key, which is too late", &["zone", "list"]).fails(6);
    node.stop();
}

#[test]
fn a_short_given_key_is_taken_with_a_warning() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start_with(data.path(), &[], Some("a b"));
    node.wait_for_log("can be guessed");
    node.run_with_key("a b", &["zone", "list"]).ok();
    node.run_with_key("a c", &["zone", "list"]).fails(6);
    node.signal("TERM");
    assert_eq!(node.wait().0, Some(0));
    // Only the start that makes the key warns of it.
    Node::start(data.path()).stop();
}

#[test]
fn a_stop_finishes_the_request_that_is_under_way() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    let mut stream = TcpStream::connect(node.api.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let body = r#"{"name":"late.example.","nameservers":["ns1.example.net."]}"#;
    let head = format!(
        "POST /v1/zones HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body.as_bytes()[..10]).unwrap();
    // The node has begun with the request when it counts it.
    let metrics = |node: &Node| {
        let mut stream = TcpStream::connect(node.api.trim_start_matches("http://")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    while !metrics(&node).contains("rokko_api_in_flight 2\n") {
        std::thread::sleep(Duration::from_millis(5));
    }
    node.signal("TERM");
    node.wait_for_log("SIGTERM");
    stream.write_all(&body.as_bytes()[10..]).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 201 "), "{response}");
    let (code, log) = node.wait();
    assert_eq!(code, Some(0), "{log}");
    let node = Node::start(data.path());
    node.run(&["zone", "show", "late.example"]).ok();
    node.stop();
}

#[test]
fn a_store_belongs_to_one_node() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    let mut second = rokko();
    second.args(["up", "--dns-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
    let err = Ran::of(second.output().unwrap()).fails(1);
    assert!(err.contains("in use by another process"), "{err}");
    node.stop();
}

#[test]
fn a_reload_takes_over_what_it_can_and_names_what_it_cannot() {
    let data = tempfile::tempdir().unwrap();
    let file = path(&data, "rokko.toml");
    std::fs::write(&file, "[dns]\nversion = 'one'\n").unwrap();
    let name = file.display().to_string();
    let node = Node::start_with(data.path(), &["--config", &name], Some(KEY));
    assert_eq!(version_bind(&node), "one");
    std::fs::write(&file, "[dns]\nversion = 'two'\ntcp.backlog = 7\n").unwrap();
    node.signal("HUP");
    let warned = node.wait_for_log("restart the node");
    assert!(warned.contains("dns threads, buffers and TCP limits") && !warned.contains("dns.listen"), "{warned}");
    node.wait_for_log("loaded again");
    while version_bind(&node) != "two" {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::write(&file, "[dns]\nverzion = 'three'\n").unwrap();
    node.signal("HUP");
    let error = node.wait_for_log("ERROR");
    assert!(error.contains("rokko.toml:2:1:") && error.contains("nothing has changed"), "{error}");
    node.signal("TERM");
    assert_eq!(node.wait().0, Some(0));
}

/// What `version.bind` in class CH says.
fn version_bind(node: &Node) -> String {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut query = crate::harness::query("version.bind", crate::harness::TXT);
    let class = query.len() - 1;
    query[class] = 3;
    socket.send_to(&query, node.dns).unwrap();
    let mut response = [0; 512];
    let (length, _) = socket.recv_from(&mut response).unwrap();
    String::from_utf8_lossy(&response[length.saturating_sub(3)..length]).into_owned()
}

#[test]
fn metrics_count_queries() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start_with(data.path(), &["--demo"], Some(KEY));
    for _ in 0..3 {
        node.ask("nothing.demo.example", A);
    }
    let mut text = String::new();
    while !text.contains("rokko_dns_responses_total{rcode=\"NXDOMAIN\"} 3\n") {
        std::thread::sleep(Duration::from_millis(20));
        let mut stream = TcpStream::connect(node.api.trim_start_matches("http://")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        text.clear();
        stream.read_to_string(&mut text).unwrap();
    }
    assert!(text.contains("rokko_udp_received_total 3\n"), "{text}");
    node.stop();
}
