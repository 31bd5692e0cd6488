//! Loads on servers that are made for a test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use super::*;
use crate::data::{Mix, Queries, Set};

/// How long a load lasts; what is checked does not depend on how much of it gets done.
const SHORT: Duration = Duration::from_millis(200);

fn queries() -> Queries {
    Mix { count: 100, ..Mix::default() }.queries(&Set::Small(10)).unwrap()
}

/// Turns a query into the answer that the queries of a load expect: names that begin with "no" do not exist.
fn answer(message: &mut [u8]) {
    message[2] |= 0x80;
    message[3] = if message[13..].starts_with(b"no") { 3 } else { 0 };
}

/// A server that leaves out every `skip`th query.
fn udp_server(skip: usize) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        for number in 1.. {
            let Ok((len, client)) = socket.recv_from(&mut buffer) else { return };
            answer(&mut buffer[..len]);
            if number % skip != 0 {
                let _ = socket.send_to(&buffer[..len], client);
            }
        }
    });
    address
}

/// A server of connections that stay.
fn tcp_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut len = [0; 2];
                while stream.read_exact(&mut len).is_ok() {
                    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
                    stream.read_exact(&mut message).unwrap();
                    answer(&mut message);
                    let _ = stream.write_all(&[&len[..], &message].concat());
                }
            });
        }
    });
    address
}

/// Every query is answered or lost. How many are lost depends on how busy the machine is.
fn check(outcome: &Outcome) {
    assert!(outcome.answered > 0);
    assert_eq!(outcome.answered + outcome.lost, outcome.sent);
    assert_eq!(outcome.wrong, 0);
}

#[test]
fn a_closed_loop_gets_answers() {
    for sockets in [1, 3] {
        let load = UdpLoad { sockets, pace: Pace::Closed(20), ..UdpLoad::closed(udp_server(usize::MAX), SHORT) };
        let outcome = run_udp(&load, &queries()).unwrap();
        check(&outcome);
        assert_eq!(outcome.latency.len(), outcome.answered);
    }
}

#[test]
fn what_is_not_answered_is_lost() {
    let load = UdpLoad { pace: Pace::Open(2000.0), ..UdpLoad::closed(udp_server(4), SHORT) };
    let outcome = run_udp(&load, &queries()).unwrap();
    check(&outcome);
    assert!(outcome.lost >= outcome.sent / 4, "{} of {}", outcome.lost, outcome.sent);
}

#[test]
fn rcodes_that_are_not_expected_count_as_wrong() {
    let mut others = Queries::default();
    others.push(queries().message(0).0, 9);
    let outcome = run_udp(&UdpLoad::closed(udp_server(usize::MAX), SHORT), &others).unwrap();
    assert!(outcome.wrong > 0);
    assert_eq!(outcome.wrong, outcome.answered);
}

#[test]
fn connections_carry_many_queries_or_one() {
    for queries_per_connection in [None, Some(1)] {
        let load = TcpLoad {
            server: tcp_server(),
            connections: 4,
            in_flight: if queries_per_connection.is_some() { 1 } else { 5 },
            queries_per_connection,
            duration: SHORT,
        };
        let outcome = run_tcp(&load, &queries()).unwrap();
        check(&outcome);
    }
}

#[test]
fn a_flood_comes_from_its_sources() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let sources = [[127, 0, 2, 1].into(), [127, 0, 2, 2].into()];
    let random = Mix { count: 100, ..Mix::default() }.flood(&Set::Small(10)).unwrap();
    let server = socket.local_addr().unwrap();
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| flood(server, &sources, &random, 1e5, &stop).unwrap());
        let mut seen = std::collections::HashSet::new();
        while seen.len() < sources.len() {
            seen.insert(socket.recv_from(&mut [0; 512]).unwrap().1.ip());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(flood.join().unwrap() > 0.0);
        assert!(sources.iter().all(|source| seen.contains(source)));
    });
}

#[test]
fn outcomes_add_up() {
    let mut all = Outcome::new();
    for (latency, lost) in [(1_000, 1), (3_000, 0), (9_000, 1)] {
        let mut one = Outcome { sent: 10, answered: 10 - lost, lost, seconds: 2.0, ..Outcome::new() };
        one.latency.record(latency).unwrap();
        all.add(&one);
    }
    assert_eq!((all.sent, all.answered, all.lost), (30, 28, 2));
    assert!((all.rate() - 14.0).abs() < 1e-9, "at the same time");
    let again = all.clone();
    all.then(&again);
    assert!((all.rate() - 14.0).abs() < 1e-9, "one after the other");
    assert_eq!((all.sent, all.lost), (60, 4));
    assert!((all.lost_percent() - 100.0 * 2.0 / 30.0).abs() < 1e-9);
    assert!((all.latency_us(0.5) - 3.0).abs() < 0.01);
    assert!((all.latency_us(1.0) - 9.0).abs() < 0.01);
}
