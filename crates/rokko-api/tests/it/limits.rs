//! What is too much, what is too slow, and the end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rokko_api::Limits;
use serde_json::json;

use crate::support::{PATIENCE, Server};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn read_all(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_body_above_the_limit_is_refused_before_it_is_read() {
    let server = Server::start();
    let mut stream = connect(&server);
    let head = format!(
        "PUT /v1/zones/a.test/file HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        server.key,
        (64 << 20) + 1
    );
    stream.write_all(head.as_bytes()).unwrap();
    let answer = read_all(stream);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("urn:rokko:problem:body-too-large"), "{answer}");
}

#[test]
fn a_body_without_length_is_refused_where_it_passes_the_limit() {
    let server = Server::start();
    let mut stream = connect(&server);
    let head = format!(
        "PUT /v1/zones/a.test/file HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        server.key
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let answer = std::thread::spawn(move || {
        let mut start = [0; 12];
        reader.read_exact(&mut start).map(|()| start)
    });
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(chunk.len() + (1 << 20), b'\n');
    chunk.extend_from_slice(b"\r\n");
    for _ in 0..66 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    assert_eq!(&answer.join().unwrap().unwrap(), b"HTTP/1.1 413");
}

#[test]
fn a_client_that_says_nothing_or_half_a_head_is_dropped() {
    let limits = Limits { header_timeout: Duration::from_millis(200), ..Limits::default() };
    let server = Server::start_with(limits, false);
    for start in ["", "GET /v1/hea", "GET /v1/health HTTP/1.1\r\nHost: x\r\n", "PRI * HTTP"] {
        let mut stream = connect(&server);
        stream.write_all(start.as_bytes()).unwrap();
        let began = Instant::now();
        read_all(stream);
        assert!(began.elapsed() < PATIENCE, "{start:?}");
    }
}

#[test]
fn connections_above_the_limit_are_closed() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let server = Server::start_with(limits, false);
    let held: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            stream.read_exact(&mut [0; 12]).unwrap();
            stream
        })
        .collect();
    assert_eq!(read_all(connect(&server)), "");
    drop(held);
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let mut stream = connect(&server);
        let _ = stream.write_all(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        if read_all(stream).starts_with("HTTP/1.1 200") {
            return;
        }
    }
    panic!("no connection was free again");
}

#[test]
fn a_stop_finishes_the_request_in_flight() {
    let mut server = Server::start();
    let body = "@ 60 SOA ns.x. h.x. 1 2 3 4 5\n@ 60 NS ns.x.\n";
    let (first, second) = body.split_at(20);
    let mut idle = connect(&server);
    idle.write_all(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut stream = connect(&server);
    let head = format!(
        "PUT /v1/zones/last.test/file HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nContent-Length: {}\r\n\r\n{first}",
        server.key,
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let began = Instant::now();
    // The request for the metrics counts itself.
    while !server.get("/metrics").text.contains("\nrokko_api_in_flight 2\n") {
        assert!(began.elapsed() < PATIENCE);
    }
    server.begin_stop();
    while TcpStream::connect(server.address).is_ok() {
        assert!(began.elapsed() < PATIENCE);
    }
    stream.write_all(second.as_bytes()).unwrap();
    let answer = read_all(stream);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    server.wait_end();
    let zone = server.control.zone(&crate::support::local(), &"last.test.".parse().unwrap()).unwrap();
    assert_eq!(zone.record.records, 2);
}

#[test]
fn a_client_with_prior_knowledge_speaks_http_2() {
    let server = Server::start();
    let mut stream = connect(&server);
    // The preface and empty SETTINGS (RFC 9113 §3.4), then HEADERS of stream 1 that end it: GET, http, path, authority.
    let mut octets = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    let block = b"\x82\x86\x04\x0a/v1/health\x01\x01x";
    octets.extend_from_slice(&[0, 0, u8::try_from(block.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
    octets.extend_from_slice(block);
    stream.write_all(&octets).unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"status\":\"ok\"") {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).unwrap();
        assert_ne!(count, 0, "the server ended the connection: {seen:?}");
        seen.extend_from_slice(&part[..count]);
    }
}

#[test]
fn metrics_count_requests_by_route_and_the_control_plane() {
    let server = Server::start();
    server.make_zone("m.test");
    server.get("/v1/zones/m.test").expect(200);
    server.get("/v1/zones/absent.test").problem(404, "no-such-zone");
    server.get("/v1/what/ever").problem(404, "no-route");
    let text = server.get("/metrics").text;
    for line in [
        "rokko_api_requests_total{method=\"GET\",route=\"/v1/zones/{zone}\",status=\"200\"} 1",
        "rokko_api_requests_total{method=\"GET\",route=\"/v1/zones/{zone}\",status=\"404\"} 1",
        "rokko_api_requests_total{method=\"POST\",route=\"/v1/zones\",status=\"201\"} 1",
        "rokko_api_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "rokko_api_request_seconds_count{route=\"/v1/zones\"} 1",
        "rokko_control_commits_total 1",
        "rokko_zones 1",
        "rokko_revision 1",
        "rokko_applied_revision 1",
        "rokko_test 7",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.ends_with("\n# EOF\n"));
    assert!(!text.contains("m.test"), "metrics must not name zones");
}

#[test]
fn a_backup_is_a_new_file_in_the_backup_folder() {
    let server = Server::start();
    server.make_zone("b.test");
    let made = server.call("POST", "/v1/backups", Some(json!({"path": "first.sqlite"}))).expect(201);
    let path = server.folder.path().join("backups/first.sqlite");
    assert_eq!(made["path"], path.to_str().unwrap());
    assert_eq!(made["bytes"], std::fs::metadata(&path).unwrap().len());
    server.call("POST", "/v1/backups", Some(json!({"path": "first.sqlite"}))).problem(409, "backup-exists");
    for bad in ["", "../x", "/etc/x", "a/b", ".hidden", "x\u{0}y"] {
        server.call("POST", "/v1/backups", Some(json!({"path": bad}))).problem(422, "bad-path");
    }
    let copy = rokko_store::sqlite::SqliteStore::open(&path).unwrap();
    assert!(rokko_store::Store::zone(&copy, &"b.test.".parse().unwrap()).unwrap().is_some());
}
