//! A clean stop loses nothing that was accepted.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use rokko_net::{Config, Server, TcpLimits};

use crate::support::{
    Echo, PATIENCE, assert_closed, config, framed, start, tcp_ask, tcp_client, tcp_receive, udp_client, udp_receive,
};

/// Starts a server whose handlers share a gate.
fn start_gated(config: Config) -> (Server, Echo) {
    let echo = Echo::default();
    let server = Server::start(config, |_| echo.clone()).unwrap();
    (server, echo)
}

/// Returns when what this thread sent before has been delivered: the loopback interface keeps the order.
fn delivered() {
    let marker = UdpSocket::bind("127.0.0.1:0").unwrap();
    marker.set_read_timeout(Some(PATIENCE)).unwrap();
    marker.send_to(b"marker", marker.local_addr().unwrap()).unwrap();
    marker.recv(&mut [0; 16]).unwrap();
}

/// Stops the server on a thread of its own, opens the gate once the stop has begun, and returns when it is over.
fn stop_then_open(server: Server, echo: &Echo, grace: Duration) {
    let stopping = std::thread::spawn(move || server.stop(grace));
    // The gate opens after the stop signal: the handler's thread cannot see it earlier, as it stands at the gate.
    std::thread::sleep(Duration::from_millis(50));
    echo.gate.open();
    stopping.join().unwrap();
}

#[test]
fn every_datagram_that_arrived_is_answered() {
    // As many small datagrams as a socket holds with the default buffer.
    const WAITING: usize = 200;
    let (server, echo) = start_gated(config(&["127.0.0.1:0", "0.0.0.0:0"]));
    let counters = server.counters();
    let clients: Vec<_> = server
        .local_addrs()
        .iter()
        .map(|addr| udp_client(std::net::SocketAddr::new([127, 0, 0, 1].into(), addr.port())))
        .collect();
    clients[0].send(b"wait").unwrap();
    echo.gate.reached();
    for number in 0..WAITING {
        for client in &clients {
            client.send(format!("query {number}").as_bytes()).unwrap();
        }
    }
    delivered();
    stop_then_open(server, &echo, PATIENCE);
    assert_eq!(udp_receive(&clients[0]), "wait");
    for client in &clients {
        // The server is gone: what is not in the client's buffer by now will never be.
        client.set_nonblocking(true).unwrap();
        let replies: BTreeSet<String> = (0..WAITING).map(|_| udp_receive(client)).collect();
        assert_eq!(replies.len(), WAITING);
    }
    assert_eq!(counters.values().udp.answered, 2 * WAITING as u64 + 1);
}

#[test]
fn every_query_on_a_connection_is_answered() {
    let (server, echo) = start_gated(config(&["127.0.0.1:0"]));
    let addr = server.local_addrs()[0];
    let mut holding = tcp_client(addr);
    let mut waiting = tcp_client(addr);
    assert_eq!(tcp_ask(&mut waiting, "connected"), "connected");
    holding.write_all(&framed("wait")).unwrap();
    echo.gate.reached();
    // Behind the gate: queries on an accepted connection, some with large responses, and a connection not yet accepted.
    let stream: Vec<u8> = (0..200).flat_map(|_| framed("big 50000")).collect();
    waiting.write_all(&stream).unwrap();
    let mut fresh = tcp_client(addr);
    fresh.write_all(&framed("fresh")).unwrap();
    delivered();
    let reading = std::thread::spawn(move || {
        for number in 0..200 {
            assert_eq!(tcp_receive(&mut waiting).len(), 50_000, "response {number}");
        }
        assert_closed(&mut waiting);
    });
    stop_then_open(server, &echo, PATIENCE);
    reading.join().unwrap();
    assert_eq!(tcp_receive(&mut holding), "wait");
    assert_closed(&mut holding);
    assert_eq!(tcp_receive(&mut fresh), "fresh");
    assert_closed(&mut fresh);
}

#[test]
fn a_stop_takes_no_longer_than_it_must() {
    let server = start(config(&["127.0.0.1:0", "[::1]:0"]));
    let mut client = tcp_client(server.local_addrs()[0]);
    assert_eq!(tcp_ask(&mut client, "connected"), "connected");
    let begin = Instant::now();
    // The client stays and never ends its side.
    server.stop(Duration::from_secs(3600));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_closed(&mut client);
}

#[test]
fn a_client_that_takes_nothing_holds_up_the_stop_for_the_grace_only() {
    let limits = TcpLimits { write_timeout_ms: 3_600_000, ..TcpLimits::default() };
    let server = start(Config { tcp: limits, ..config(&["127.0.0.1:0"]) });
    let mut client = tcp_client(server.local_addrs()[0]);
    let stream: Vec<u8> = (0..500).flat_map(|_| framed("big 60000")).collect();
    client.write_all(&stream).unwrap();
    crate::support::until(&server, |values| values.tcp.queries > 0);
    let begin = Instant::now();
    server.stop(Duration::from_millis(300));
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_flood_does_not_keep_the_server_from_stopping() {
    // A small buffer and a slow handler: the flood fills the buffer faster than it is emptied.
    let server = start(Config { udp_rcvbuf_bytes: 64 << 10, ..config(&["127.0.0.1:0"]) });
    let client = udp_client(server.local_addrs()[0]);
    let flooding = std::thread::spawn(move || {
        let begin = Instant::now();
        // An error says that the port is closed.
        while client.send(b"slow").is_ok() && begin.elapsed() < PATIENCE {}
        begin.elapsed()
    });
    crate::support::until(&server, |values| values.udp.received > 500);
    let begin = Instant::now();
    server.stop(Duration::from_secs(3600));
    assert!(begin.elapsed() < PATIENCE / 2, "{:?}", begin.elapsed());
    assert!(flooding.join().unwrap() < PATIENCE);
}
