//! What can be listened on, and how a refusal reads.

use std::net::{TcpListener, UdpSocket};

use rokko_net::{Config, NetError, Server, Transport};

use crate::support::{Echo, config, start, tcp_ask, tcp_client, udp_ask};

fn refusal(config: Config) -> NetError {
    Server::start(config, |_| Echo::default()).expect_err("this cannot be listened on")
}

#[test]
fn port_0_is_the_same_free_port_for_udp_and_tcp() {
    let server = start(config(&["127.0.0.1:0", "127.0.0.1:0", "[::1]:0"]));
    let addrs = server.local_addrs();
    assert_eq!(addrs.len(), 3);
    assert_ne!(addrs[0], addrs[1]);
    for addr in addrs {
        assert_ne!(addr.port(), 0);
        assert_eq!(udp_ask(*addr, "datagram"), "datagram");
        assert_eq!(tcp_ask(&mut tcp_client(*addr), "stream"), "stream");
    }
}

#[test]
fn an_address_in_use_is_refused_with_advice() {
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = held.local_addr().unwrap().to_string();
    let error = refusal(config(&[&addr]));
    assert!(matches!(error, NetError::Listen { transport: Transport::Udp, .. }));
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on {addr} (UDP): the address is in use")), "{text}");

    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = held.local_addr().unwrap().to_string();
    let text = refusal(config(&[&addr])).to_string();
    assert!(text.starts_with(&format!("cannot listen on {addr} (TCP): the address is in use")), "{text}");
}

#[test]
fn a_second_server_of_the_same_user_cannot_take_a_share() {
    let first = start(config(&["127.0.0.1:0"]));
    let addr = first.local_addrs()[0].to_string();
    let error = refusal(config(&[&addr]));
    assert!(matches!(error, NetError::Listen { transport: Transport::Udp, .. }), "{error}");
    assert_eq!(udp_ask(first.local_addrs()[0], "still here"), "still here");
}

#[test]
fn an_address_is_free_again_after_the_stop() {
    let first = start(config(&["127.0.0.1:0"]));
    let addr = first.local_addrs()[0];
    let mut client = tcp_client(addr);
    assert_eq!(tcp_ask(&mut client, "one"), "one");
    first.stop(std::time::Duration::ZERO);
    // The server closed first, so that its end of the connection is in TIME-WAIT.
    let second = start(config(&[&addr.to_string()]));
    assert_eq!(tcp_ask(&mut tcp_client(second.local_addrs()[0]), "two"), "two");
}

#[test]
fn a_foreign_address_is_refused_with_advice() {
    let text = refusal(config(&["203.0.113.77:0"])).to_string();
    assert!(text.contains("no network interface has this address"), "{text}");
}

#[test]
fn nothing_is_left_bound_when_a_later_address_fails() {
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let free = {
        let probe = start(config(&["127.0.0.1:0"]));
        probe.local_addrs()[0].to_string()
    };
    refusal(config(&[&free, &held.local_addr().unwrap().to_string()]));
    start(config(&[&free]));
}

#[test]
fn a_setting_out_of_range_is_named() {
    let text = refusal(Config { udp_batch: 0, ..config(&["127.0.0.1:0"]) }).to_string();
    assert_eq!(text, "the setting `udp_batch` is 0, but must be from 1 to 1024");
}
