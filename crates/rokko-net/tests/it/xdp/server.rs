//! The server over AF_XDP, and what it leaves to the kernel.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rokko_net::xdp::{XdpConfig, XdpState};
use rokko_net::{Config, Server};

use super::namespaces::{Cable, Namespace};
use crate::support::{config, start, tcp_ask, tcp_client, udp_client, udp_receive, until};

/// A server in a namespace, on all its addresses, over AF_XDP on these interfaces.
pub(super) fn serve(namespace: &Namespace, interfaces: &[&str]) -> Server {
    let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
    let xdp = XdpConfig { interfaces, ..XdpConfig::default() };
    namespace.enter(|| start(Config { xdp, ..config(&["0.0.0.0:0", "[::]:0"]) }))
}

/// Both addresses of the server as its clients see them.
pub(super) fn addrs(cable: &Cable, server: &Server) -> [SocketAddr; 2] {
    let ports = server.local_addrs();
    [cable.server.addrs(ports[0].port())[0], cable.server.addrs(ports[1].port())[1]]
}

fn ask(cable: &Cable, server: SocketAddr, query: &str) -> String {
    let client = cable.client.enter(|| udp_client(server));
    client.send(query.as_bytes()).unwrap();
    udp_receive(&client)
}

#[test]
fn queries_are_answered_past_the_kernel() {
    let cable = Cable::new(1);
    let server = serve(&cable.server, &["veth-s"]);
    assert_eq!(server.xdp()[0].to_string(), "AF_XDP on veth-s: native, copy mode, 1 queue");
    assert!(cable.server.has_program());
    for (round, addr) in addrs(&cable, &server).into_iter().cycle().take(4).enumerate() {
        if round == 2 {
            // From here on, queries have whole checksums.
            cable.client.make_own_checksums();
        }
        let client = cable.client.enter(|| udp_client(addr));
        client.send(b"who").unwrap();
        let port = client.local_addr().unwrap().port();
        let from = cable.client.addrs(port)[usize::from(addr.is_ipv6())];
        // The client's kernel verifies the checksums of what it takes.
        assert_eq!(udp_receive(&client), format!("{from} {addr} Udp"));
    }
    let values = until(&server, |values| values.xdp.answered == 4);
    assert_eq!((values.xdp.received, values.xdp.received_bytes, values.udp.received), (4, 12, 0));
}

#[test]
fn all_else_stays_with_the_kernel() {
    let cable = Cable::new(1);
    let server = serve(&cable.server, &["veth-s"]);
    cable.client.run(&["ping", "-4", "-c", "1", "-W", "10", cable.server.v4]);
    cable.client.run(&["ping", "-6", "-c", "1", "-W", "10", cable.server.v6]);
    for addr in addrs(&cable, &server) {
        let mut stream = cable.client.enter(|| tcp_client(addr));
        assert_eq!(tcp_ask(&mut stream, "stream"), "stream");
        let neighbour = cable.server.enter(|| UdpSocket::bind(SocketAddr::new(addr.ip(), 0)).unwrap());
        neighbour.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        let client = cable.client.enter(|| udp_client(neighbour.local_addr().unwrap()));
        client.send(b"for the neighbour").unwrap();
        assert_eq!(udp_receive(&neighbour), "for the neighbour");
    }
    let xdp = until(&server, |values| values.xdp.passed_elsewhere >= 2 && values.xdp.passed_not_ip >= 1).xdp;
    assert!(xdp.passed_not_udp > 4, "{xdp:?}");
    assert_eq!(xdp.received, 0);
}

#[test]
fn fragments_are_answered_by_the_kernels_sockets() {
    let cable = Cable::new(1);
    let server = serve(&cable.server, &["veth-s"]);
    for addr in addrs(&cable, &server) {
        let query = "q".repeat(3000);
        assert_eq!(ask(&cable, addr, &query), query);
    }
    let values = until(&server, |values| values.udp.answered == 2 && values.xdp.passed_fragment >= 4);
    assert_eq!(values.xdp.received, 0);
}

#[test]
fn responses_have_the_room_of_one_packet() {
    let cable = Cable::new(1);
    let server = serve(&cable.server, &["veth-s"]);
    let [v4, v6] = addrs(&cable, &server);
    assert_eq!(ask(&cable, v4, "room"), "1472");
    assert_eq!(ask(&cable, v6, "room"), "1452");
    assert_eq!(ask(&cable, v4, "big 1472").len(), 1472);
    assert_eq!(ask(&cable, v6, "big 1452").len(), 1452);
}

#[test]
fn bursts_on_all_queues_are_answered() {
    let cable = Cable::new(2);
    let server = serve(&cable.server, &["veth-s"]);
    assert_eq!(server.xdp()[0].to_string(), "AF_XDP on veth-s: native, copy mode, 2 queues");
    let addrs = addrs(&cable, &server);
    let clients: Vec<_> = (0..40).map(|number| cable.client.enter(|| udp_client(addrs[number % 2]))).collect();
    for round in 0..20 {
        for (number, client) in clients.iter().enumerate() {
            client.send(format!("query {number} {round}").as_bytes()).unwrap();
        }
        for (number, client) in clients.iter().enumerate() {
            assert_eq!(udp_receive(client), format!("query {number} {round}"));
        }
    }
    let values = until(&server, |values| values.xdp.answered == 800);
    assert_eq!(values.xdp.received, 800);
}

#[test]
fn a_driver_without_xdp_is_served_in_front_of_the_network_stack() {
    let cable = Cable::new(1);
    let end = &cable.server;
    end.ip(&["link", "add", "bridge", "type", "bridge"]);
    end.ip(&["link", "set", "veth-s", "master", "bridge"]);
    end.ip(&["addr", "flush", "dev", "veth-s"]);
    end.ip(&["addr", "add", &format!("{}/24", end.v4), "dev", "bridge"]);
    end.ip(&["addr", "add", &format!("{}/64", end.v6), "dev", "bridge", "nodad"]);
    end.ip(&["link", "set", "bridge", "up"]);
    let server = serve(end, &["bridge"]);
    assert_eq!(server.xdp()[0].to_string(), "AF_XDP on bridge: generic, copy mode, 1 queue");
    for addr in addrs(&cable, &server) {
        assert_eq!(ask(&cable, addr, "hello"), "hello");
    }
    let values = until(&server, |values| values.xdp.answered == 2);
    assert_eq!(values.udp.received, 0);
}

#[test]
fn addresses_that_come_later_are_served() {
    let cable = Cable::new(1);
    let server = serve(&cable.server, &["veth-s"]);
    cable.server.ip(&["addr", "add", "192.0.2.77/24", "dev", "veth-s"]);
    let addr = SocketAddr::new("192.0.2.77".parse().unwrap(), server.local_addrs()[0].port());
    // At first by the kernel's sockets, then past the kernel.
    until(&server, |_| {
        assert_eq!(ask(&cable, addr, "hello"), "hello");
        server.counters().values().xdp.answered > 0
    });
}

#[test]
fn the_stop_leaves_the_interface_as_it_was() {
    let cable = Cable::new(1);
    let server = serve(&cable.server, &["veth-s"]);
    let addr = addrs(&cable, &server)[0];
    assert_eq!(ask(&cable, addr, "hello"), "hello");
    let counters = server.counters();
    server.stop(Duration::from_secs(20));
    assert!(!cable.server.has_program());
    assert_eq!(counters.values().xdp.answered, 1);
    // At once and more than once: a restart must find the queues free.
    for _ in 0..3 {
        let again = serve(&cable.server, &["veth-s"]);
        assert!(matches!(again.xdp(), [XdpState::On { .. }]), "{:?}", again.xdp());
    }
}

#[test]
fn what_does_not_work_is_said_and_made_up_for() {
    let cable = Cable::new(1);
    let server = serve(&cable.server, &["nothing0", "veth-s"]);
    let states: Vec<_> = server.xdp().iter().map(ToString::to_string).collect();
    assert_eq!(states[0], "no AF_XDP on nothing0: there is no network interface `nothing0`: see `ip link`");
    assert!(states[1].starts_with("AF_XDP on veth-s"), "{states:?}");
    // The first server has the interface.
    let second = serve(&cable.server, &["veth-s"]);
    let state = second.xdp()[0].to_string();
    assert!(state.starts_with("no AF_XDP on veth-s: another XDP program is attached to veth-s"), "{state}");
    for server in [&server, &second] {
        assert_eq!(ask(&cable, addrs(&cable, server)[0], "hello"), "hello");
    }
    until(&second, |values| values.udp.answered == 1);
    cable.server.ip(&["link", "set", "veth-s", "down"]);
    let third = serve(&cable.server, &["veth-s"]);
    assert!(third.xdp()[0].to_string().contains("the interface veth-s is down"), "{:?}", third.xdp());
}
