//! Answers every query with one A record, to measure the network's share of the cost.
//!
//! `canned ADDR:PORT [INTERFACE,…]` listens until it is killed, and prints its counters each second.

use std::time::Duration;

use rokko_net::{Config, Handler, Peer, Query, Server, xdp::XdpConfig};

struct Canned;

impl Handler for Canned {
    fn answer(&mut self, query: Query<'_>, _peer: &Peer, _unix_ms: u64, out: &mut [u8]) -> usize {
        const RECORD: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\x0e\x10\0\x04\xc0\0\x02\x01";
        let Some(name) = query.octets.get(12..) else { return 0 };
        let Some(end) = name.iter().position(|octet| *octet == 0).map(|root| 12 + root + 5) else { return 0 };
        let Some(question) = query.octets.get(..end) else { return 0 };
        let Some(room) = out.get_mut(..end + RECORD.len()) else { return 0 };
        room[..end].copy_from_slice(question);
        room[2..12].copy_from_slice(b"\x84\0\0\x01\0\x01\0\0\0\0");
        room[end..].copy_from_slice(RECORD);
        room.len()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("which address?")?.parse()?;
    let interfaces = arguments.next().map_or_else(Vec::new, |list| list.split(',').map(str::to_owned).collect());
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let default = XdpConfig::default();
    let xdp = XdpConfig {
        interfaces,
        ring_entries: number("RING").unwrap_or(default.ring_entries),
        busy_poll_us: number("BUSY").unwrap_or(default.busy_poll_us),
        ..default
    };
    let config = Config { listen: vec![listen], threads: 1, xdp, ..Config::default() };
    let server = Server::start(config, |_| Canned)?;
    for state in server.xdp() {
        eprintln!("{state}");
    }
    loop {
        std::thread::sleep(Duration::from_secs(1));
        eprintln!("{:?}", server.counters().values());
    }
}
