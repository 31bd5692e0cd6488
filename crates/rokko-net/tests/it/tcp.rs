//! Streams (RFC 7766).

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use rokko_net::{Config, TcpLimits};

use crate::support::{PATIENCE, assert_closed, config, framed, start, tcp_ask, tcp_client, tcp_receive, until};

fn with_limits(tcp: TcpLimits) -> Config {
    Config { tcp, ..config(&["127.0.0.1:0"]) }
}

/// Enough connections that the idle time-out is not shortened by load.
fn with_idle_timeout(idle_timeout_ms: u64) -> Config {
    with_limits(TcpLimits { idle_timeout_ms, ..TcpLimits::default() })
}

#[test]
fn answers_many_queries_on_one_connection() {
    let server = start(config(&["127.0.0.1:0", "[::1]:0"]));
    for addr in server.local_addrs() {
        let mut client = tcp_client(*addr);
        for number in 0..10 {
            let query = format!("query {number}");
            assert_eq!(tcp_ask(&mut client, &query), query);
        }
        let who = tcp_ask(&mut client, "who");
        assert_eq!(who, format!("{} {addr} Tcp", client.local_addr().unwrap()));
        assert_eq!(tcp_ask(&mut client, "room"), "65535");
    }
    let values = until(&server, |values| values.tcp.answered == 24);
    assert_eq!((values.tcp.accepted, values.tcp.queries), (2, 24));
}

#[test]
fn a_wildcard_listener_knows_the_address_that_was_asked() {
    let server = start(config(&["0.0.0.0:0"]));
    let asked = SocketAddr::new([127, 0, 0, 9].into(), server.local_addrs()[0].port());
    assert!(tcp_ask(&mut tcp_client(asked), "who").ends_with(&format!(" {asked} Tcp")));
}

#[test]
fn queries_may_come_in_one_segment_or_octet_by_octet() {
    let server = start(config(&["127.0.0.1:0"]));
    let mut client = tcp_client(server.local_addrs()[0]);
    let queries: Vec<String> = (0..40).map(|number| format!("query {number}")).collect();
    let stream: Vec<u8> = queries.iter().flat_map(|query| framed(query)).collect();
    client.write_all(&stream).unwrap();
    for query in &queries {
        assert_eq!(&tcp_receive(&mut client), query);
    }
    for octet in &stream {
        client.write_all(&[*octet]).unwrap();
    }
    for query in &queries {
        assert_eq!(&tcp_receive(&mut client), query);
    }
}

#[test]
fn messages_of_any_length_are_carried() {
    let server = start(config(&["127.0.0.1:0"]));
    let mut client = tcp_client(server.local_addrs()[0]);
    // An empty message gets no response here, and must not disturb the next one.
    client.write_all(&[0, 0]).unwrap();
    let longest = "q".repeat(65_535);
    for _ in 0..3 {
        assert_eq!(tcp_ask(&mut client, &longest), longest);
    }
    client.write_all(&framed("drop")).unwrap();
    client.write_all(&framed("too long")).unwrap();
    assert_eq!(tcp_ask(&mut client, "after"), "after");
    let values = until(&server, |values| values.tcp.answered == 4);
    assert_eq!(values.tcp.queries, 7);
}

#[test]
fn a_client_that_ends_its_side_gets_its_answers() {
    let server = start(config(&["127.0.0.1:0"]));
    let mut client = tcp_client(server.local_addrs()[0]);
    let stream: Vec<u8> = (0..300).flat_map(|_| framed("big 20000")).collect();
    client.write_all(&stream).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    for number in 0..300 {
        assert_eq!(tcp_receive(&mut client).len(), 20_000, "response {number}");
    }
    assert_closed(&mut client);
    until(&server, |values| values.tcp.closed == 1 && values.tcp_connections == 0);
}

#[test]
fn a_client_that_does_not_read_is_not_answered_further() {
    const QUERIES: u64 = 2000;
    let server = start(config(&["127.0.0.1:0"]));
    let mut client = tcp_client(server.local_addrs()[0]);
    let mut writer = client.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let stream: Vec<u8> = (0..QUERIES).flat_map(|_| framed("big 60000")).collect();
        writer.write_all(&stream).unwrap();
    });
    // The kernel's buffers and the server's own fill up; then the count stands still, far from the end.
    let mut before = until(&server, |values| values.tcp.queries > 0).tcp.queries;
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let queries = server.counters().values().tcp.queries;
        if queries == before {
            break;
        }
        before = queries;
    }
    assert!(before < QUERIES / 2, "{before} responses of 60,000 octets were made for a client that takes none");
    for _ in 0..QUERIES {
        assert_eq!(tcp_receive(&mut client).len(), 60_000);
    }
    sending.join().unwrap();
    until(&server, |values| values.tcp.answered == QUERIES);
}

#[test]
fn a_client_over_its_limit_is_refused() {
    let server = start(with_limits(TcpLimits { connections_per_client_max: 2, ..TcpLimits::default() }));
    let addr = server.local_addrs()[0];
    let mut held: Vec<_> = (0..2).map(|_| tcp_client(addr)).collect();
    for client in &mut held {
        assert_eq!(tcp_ask(client, "mine"), "mine");
    }
    assert_closed(&mut tcp_client(addr));
    assert_eq!(until(&server, |values| values.tcp.refused_client == 1).tcp_connections, 2);
    for client in &mut held {
        assert_eq!(tcp_ask(client, "still mine"), "still mine");
    }
    held.pop();
    until(&server, |values| values.tcp_connections == 1);
    assert_eq!(tcp_ask(&mut tcp_client(addr), "again"), "again");
}

#[test]
fn over_the_total_limit_the_longest_idle_connection_makes_room() {
    let server = start(with_limits(TcpLimits { connections_max: 2, ..TcpLimits::default() }));
    let addr = server.local_addrs()[0];
    let mut first = tcp_client(addr);
    assert_eq!(tcp_ask(&mut first, "first"), "first");
    let mut second = tcp_client(addr);
    assert_eq!(tcp_ask(&mut second, "second"), "second");
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(tcp_ask(&mut first, "used again"), "used again");
    let mut third = tcp_client(addr);
    assert_eq!(tcp_ask(&mut third, "third"), "third");
    assert_closed(&mut second);
    assert_eq!(tcp_ask(&mut first, "kept"), "kept");
    assert_eq!(until(&server, |values| values.tcp.evicted == 1).tcp_connections, 2);
}

#[test]
fn over_the_total_limit_busy_connections_are_kept() {
    let server = start(with_limits(TcpLimits { connections_max: 1, ..TcpLimits::default() }));
    let addr = server.local_addrs()[0];
    let mut busy = tcp_client(addr);
    let query = framed("half a query");
    busy.write_all(&query[..5]).unwrap();
    until(&server, |values| values.tcp.received_bytes == 5);
    assert_closed(&mut tcp_client(addr));
    until(&server, |values| values.tcp.refused_total == 1);
    busy.write_all(&query[5..]).unwrap();
    assert_eq!(tcp_receive(&mut busy), "half a query");
}

#[test]
fn an_idle_connection_is_closed_and_a_used_one_is_not() {
    let server = start(with_idle_timeout(800));
    let addr = server.local_addrs()[0];
    let mut idle = tcp_client(addr);
    let mut used = tcp_client(addr);
    let values = until(&server, |values| {
        assert_eq!(tcp_ask(&mut used, "here"), "here");
        values.tcp.idle_timeouts > 0
    });
    assert_eq!((values.tcp.idle_timeouts, values.tcp_connections), (1, 1));
    assert_closed(&mut idle);
    assert_closed(&mut used);
    until(&server, |values| values.tcp.idle_timeouts == 2);
}

#[test]
fn a_message_must_be_whole_in_time() {
    let limits = TcpLimits { read_timeout_ms: 150, ..TcpLimits::default() };
    let server = start(with_limits(limits));
    let mut client = tcp_client(server.local_addrs()[0]);
    let start = Instant::now();
    // One octet at a time does not extend the time.
    client.write_all(&[255, 255]).unwrap();
    while client.write_all(b"x").is_ok() {
        assert!(start.elapsed() < PATIENCE, "the slow client is never cut off");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(start.elapsed() >= Duration::from_millis(150));
    until(&server, |values| values.tcp.read_timeouts == 1 && values.tcp_connections == 0);
}

#[test]
fn responses_must_be_taken_in_time() {
    let limits = TcpLimits { write_timeout_ms: 100, ..TcpLimits::default() };
    let server = start(with_limits(limits));
    let mut client = tcp_client(server.local_addrs()[0]);
    let stream: Vec<u8> = (0..500).flat_map(|_| framed("big 60000")).collect();
    client.write_all(&stream).unwrap();
    until(&server, |values| values.tcp.write_timeouts == 1 && values.tcp_connections == 0);
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest);
    assert!(rest.len() < 500 * 60_000);
}

#[test]
fn memory_for_partial_messages_is_limited() {
    let limits = TcpLimits { buffer_bytes_max: 100_000, ..TcpLimits::default() };
    let server = start(with_limits(limits));
    let addr = server.local_addrs()[0];
    let mut clients: Vec<_> = (0..4).map(|_| tcp_client(addr)).collect();
    for client in &mut clients {
        // The server may close in the middle.
        let _ = client.write_all(&vec![255; 50_000]);
    }
    let values = until(&server, |values| values.tcp.buffer_limit >= 2);
    assert!(values.tcp.buffer_limit <= 3, "{values:?}");
    drop(clients);
    until(&server, |values| values.tcp_connections == 0);
    assert_eq!(tcp_ask(&mut tcp_client(addr), "after"), "after");
}

#[test]
fn all_threads_together_hold_the_limits() {
    let limits = TcpLimits { threads: 3, connections_per_client_max: 10, ..TcpLimits::default() };
    let server = start(with_limits(limits));
    let addr = server.local_addrs()[0];
    let mut clients: Vec<_> = (0..30).map(|_| tcp_client(addr)).collect();
    let values = until(&server, |values| values.tcp.accepted + values.tcp.refused_client == 30);
    assert_eq!((values.tcp.accepted, values.tcp_connections), (10, 10));
    let mut answered = 0;
    for client in &mut clients {
        if client.write_all(&framed("mine")).is_ok() && client.read(&mut [0; 6]).is_ok_and(|length| length == 6) {
            answered += 1;
        }
    }
    assert_eq!(answered, 10);
}
