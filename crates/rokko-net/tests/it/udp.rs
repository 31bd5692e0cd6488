//! Datagrams.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use rokko_net::Config;
use socket2::{Domain, Socket, Type};

use crate::support::{Echo, config, start, udp_ask, udp_client, udp_receive, until};

#[test]
fn answers_over_ipv4_and_ipv6() {
    let server = start(config(&["127.0.0.1:0", "[::1]:0"]));
    for addr in server.local_addrs() {
        assert_eq!(udp_ask(*addr, "hello"), "hello");
        let who = udp_ask(*addr, "who");
        assert!(who.ends_with(&format!(" {addr} Udp")), "{who}");
    }
    let udp = until(&server, |values| values.udp.answered == 4).udp;
    assert_eq!((udp.received, udp.received_bytes, udp.dropped, udp.send_errors), (4, 16, 0, 0));
}

#[test]
fn wildcard_replies_come_from_the_address_that_was_asked() {
    let server = start(config(&["0.0.0.0:0", "[::]:0"]));
    for host in ["127.0.0.1", "127.0.0.2", "127.7.7.7"] {
        let asked = SocketAddr::new(host.parse().unwrap(), server.local_addrs()[0].port());
        let who = udp_ask(asked, "who");
        assert!(who.ends_with(&format!(" {asked} Udp")), "{who}");
    }
    let asked = SocketAddr::new("::1".parse().unwrap(), server.local_addrs()[1].port());
    let who = udp_ask(asked, "who");
    assert!(who.ends_with(&format!(" {asked} Udp")), "{who}");
}

#[test]
fn both_wildcards_share_a_port() {
    let first = start(config(&["0.0.0.0:0"]));
    let port = first.local_addrs()[0].port();
    let second = start(config(&[&format!("[::]:{port}")]));
    assert_eq!(udp_ask(SocketAddr::new("127.0.0.1".parse().unwrap(), port), "four"), "four");
    assert_eq!(udp_ask(SocketAddr::new("::1".parse().unwrap(), port), "six"), "six");
    until(&first, |values| values.udp.answered == 1);
    until(&second, |values| values.udp.answered == 1);
}

#[test]
fn every_datagram_of_a_burst_is_answered_once() {
    // As many small datagrams as a socket holds with the default buffer.
    const BURST: usize = 200;
    let config = Config { udp_batch: 32, ..config(&["127.0.0.1:0"]) };
    let echo = Echo::default();
    let gate = echo.gate.clone();
    let server = rokko_net::Server::start(config, |_| echo.clone()).unwrap();
    let client = udp_client(server.local_addrs()[0]);
    // Held up by the first one, the server finds all others at once and has to take them in full batches.
    client.send(b"wait").unwrap();
    gate.reached();
    let queries: BTreeSet<String> = (0..BURST).map(|number| format!("query {number}")).collect();
    for query in &queries {
        client.send(query.as_bytes()).unwrap();
    }
    gate.open();
    assert_eq!(udp_receive(&client), "wait");
    let replies: Vec<String> = (0..BURST).map(|_| udp_receive(&client)).collect();
    assert_eq!(replies.iter().cloned().collect::<BTreeSet<_>>(), queries);
    let udp = until(&server, |values| values.udp.answered == BURST as u64 + 1).udp;
    assert!(udp.batches < 50, "{udp:?}");
}

#[test]
fn replies_in_one_batch_differ_in_length_and_addressee() {
    let echo = Echo::default();
    let gate = echo.gate.clone();
    let server = rokko_net::Server::start(config(&["0.0.0.0:0"]), |_| echo.clone()).unwrap();
    let port = server.local_addrs()[0].port();
    let clients: Vec<_> = (1..=9).map(|host| udp_client(SocketAddr::new([127, 0, 0, host].into(), port))).collect();
    clients[0].send(b"wait").unwrap();
    gate.reached();
    for (number, client) in clients.iter().enumerate() {
        client.send(b"drop").unwrap();
        client.send(format!("big {}", 100 + number * 400).as_bytes()).unwrap();
    }
    gate.open();
    assert_eq!(udp_receive(&clients[0]), "wait");
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(udp_receive(client).len(), 100 + number * 400);
    }
    until(&server, |values| values.udp.answered == 10 && values.udp.dropped == 9);
}

#[test]
fn nothing_is_sent_for_a_dropped_or_oversized_query() {
    let server = start(config(&["127.0.0.1:0"]));
    let client = udp_client(server.local_addrs()[0]);
    client.send(b"drop").unwrap();
    client.send(b"too long").unwrap();
    client.send(&[b'a'; 4097]).unwrap();
    client.send(&[b'b'; 4096]).unwrap();
    assert_eq!(udp_receive(&client), "b".repeat(4096));
    client.send(b"room").unwrap();
    assert_eq!(udp_receive(&client), "4096");
    let udp = until(&server, |values| values.udp.answered == 2).udp;
    assert_eq!((udp.received, udp.dropped, udp.oversized), (5, 2, 1));
}

#[test]
fn all_threads_together_serve_all_clients() {
    let server = start(Config { threads: 4, ..config(&["127.0.0.1:0"]) });
    let addr = server.local_addrs()[0];
    for number in 0..64 {
        let query = format!("query {number}");
        assert_eq!(udp_ask(addr, &query), query);
    }
    until(&server, |values| values.udp.answered == 64);
}

#[test]
fn responses_may_be_fragmented() {
    let server = start(config(&["127.0.0.1:0", "[::1]:0"]));
    for addr in server.local_addrs() {
        assert_eq!(udp_ask(*addr, "big 4096").len(), 4096);
    }
}

#[test]
fn handlers_tick_without_traffic() {
    let echo = Echo::default();
    let server = rokko_net::Server::start(config(&["127.0.0.1:0"]), |_| echo.clone()).unwrap();
    let start = std::time::Instant::now();
    while *echo.ticks.lock().unwrap() < 2 {
        assert!(start.elapsed() < crate::support::PATIENCE, "no ticks");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let before = *echo.ticks.lock().unwrap();
    drop(server);
    assert!(*echo.ticks.lock().unwrap() >= before + 2, "both threads tick once more at the end");
}

#[test]
fn nothing_is_sent_to_ports_that_reflect() {
    let client = udp_client("127.0.0.1:9".parse().unwrap());
    let port = client.local_addr().unwrap().port();
    let server = start(Config { drop_source_ports: vec![7, port], ..config(&["127.0.0.1:0"]) });
    client.connect(server.local_addrs()[0]).unwrap();
    client.send(b"reflected").unwrap();
    assert_eq!(udp_ask(server.local_addrs()[0], "hello"), "hello");
    let udp = until(&server, |values| values.udp.received == 2 && values.udp.answered == 1).udp;
    assert_eq!((udp.source_port, udp.dropped), (1, 0));
}

#[test]
fn a_query_from_the_address_that_it_goes_to_is_not_answered() {
    let server = start(config(&["127.0.0.1:0"]));
    let addr = server.local_addrs()[0];
    // Bound to the wildcard address, so that what goes to the server's is the server's.
    let client = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    client.set_reuse_port(true).unwrap();
    client.bind(&SocketAddr::from(([0, 0, 0, 0], addr.port())).into()).unwrap();
    client.send_to(b"to myself", &addr.into()).unwrap();
    assert_eq!(udp_ask(addr, "hello"), "hello");
    let udp = until(&server, |values| values.udp.received == 2 && values.udp.answered == 1).udp;
    assert_eq!((udp.own_address, udp.dropped), (1, 0));
}
