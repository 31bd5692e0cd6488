//! From a change to the first answer that has it: one RRset changed, and a zone added.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rokko_wire::{Name, Rtype};
use serde_json::json;

use super::turns::START_LIMIT;
use crate::data::{Random, Set, query, small_zone, small_zone_text};
use crate::peers::{API_KEY, Peer, Server, agent, bind_addzone, knot_addzone, nsd_control, with_rokko};
use crate::report::{Bench, progress};
use crate::stats::quantile;

/// How long a change may take before the run is given up.
const CHANGE_LIMIT: Duration = Duration::from_secs(60);
/// The time that one server's changes may take together.
const TIME_MAX: Duration = Duration::from_secs(60);
/// The index of the first zone that is added; no set is that large.
const ADDED_FROM: usize = 90_000_000;

/// What a change of one RRset is called.
const CHANGED: &str = "one RRset, until the answer, ms";

/// Makes one change on a server. Returns when the server has acknowledged it.
type Changer = dyn FnMut(&str, &str, [u8; 4]) -> Result<()>;

pub(crate) fn run(bench: &Bench, set: Set, changes: usize, added: usize, peers: &[Peer]) -> Result<()> {
    bench.title(&format!("One change at {}", set.title()));
    for peer in with_rokko(peers) {
        if matches!(peer, Peer::Pdns | Peer::PdnsCached) {
            progress(&format!("{} can't be changed while it runs: take pdns-lmdb", peer.title()));
            continue;
        }
        let mut server = peer.start(bench, set)?;
        server.wait_for_answer(&set.ready()?, START_LIMIT)?;
        let before = server.memory_bytes();
        if let Some(mut changer) = changer(peer, &server)? {
            let mut whole_ms = measure_changes(&server, &mut *changer, set, changes)?;
            rows(bench, CHANGED, &server, &mut whole_ms);
        }
        if added > 0 {
            let mut added_ms = measure_added(peer, &server, added)?;
            rows(bench, "a zone added, until the answer, ms", &server, &mut added_ms);
            if peer == Peer::Nsd {
                let mut reload_ms = measure_reloads(&server, added_ms.len())?;
                rows(bench, CHANGED, &server, &mut reload_ms);
            }
        }
        bench.row("memory after / before", &server.name, &[server.memory_bytes() / before]);
    }
    bench.flush();
    Ok(())
}

fn rows(bench: &Bench, measure: &str, server: &Server, figures: &mut [f64]) {
    figures.sort_by(f64::total_cmp);
    bench.row(measure, &server.name, figures);
    bench.row(&format!("{measure}, p99"), &server.name, &[quantile(figures, 0.99)]);
}

/// How a server of this kind is changed; `None` if it only reads whole zones again.
pub(crate) fn changer(peer: Peer, server: &Server) -> Result<Option<Box<Changer>>> {
    Ok(match peer {
        Peer::Rokko | Peer::PdnsLmdb | Peer::Pdns | Peer::PdnsCached => {
            let (api, agent) = (server.api()?, agent());
            Some(Box::new(move |zone, name, address| patch(&agent, api, zone, name, address)))
        }
        Peer::Knot | Peer::Bind => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(server.dns)?;
            socket.set_read_timeout(Some(CHANGE_LIMIT))?;
            Some(Box::new(move |zone, name, address| update(&socket, zone, name, address)))
        }
        Peer::Nsd => None,
    })
}

/// Changes addresses of random hosts, one after another; milliseconds from each change to its answer.
pub(crate) fn measure_changes(server: &Server, changer: &mut Changer, set: Set, changes: usize) -> Result<Vec<f64>> {
    let (mut random, mut whole_ms) = (Random(3), Vec::new());
    let begin = Instant::now();
    for step in 0..changes {
        let index = random.below(set.count());
        let (zone, name, address) = (set.apex(index), set.host(index), address_of(step));
        let start = Instant::now();
        changer(&zone, &name, address)?;
        until_answered(server, &name, address)?;
        whole_ms.push(start.elapsed().as_secs_f64() * 1e3);
        if begin.elapsed() > TIME_MAX {
            break;
        }
    }
    Ok(whole_ms)
}

/// Adds zones that are not there, one after another; milliseconds from each to its first answer.
fn measure_added(peer: Peer, server: &Server, added: usize) -> Result<Vec<f64>> {
    let (mut whole_ms, begin, agent) = (Vec::new(), Instant::now(), agent());
    for index in ADDED_FROM..ADDED_FROM + added {
        let zone = small_zone(index);
        // The file is there before the clock starts, for those that read one.
        let file: PathBuf = server.folder.join(format!("{zone}.zone"));
        fs::write(&file, small_zone_text(index))?;
        let start = Instant::now();
        match peer {
            Peer::Knot => knot_addzone(server, &zone, &file)?,
            Peer::Bind => bind_addzone(server, &zone, &file)?,
            Peer::Nsd => nsd_control(server, &["addzone", &zone, "added"])?,
            _ => create(&agent, server.api()?, &zone, index)?,
        }
        let octets = index.to_be_bytes();
        let address = [198, 51, 100, octets[6]];
        until_answered(server, &format!("www.{zone}"), address)?;
        whole_ms.push(start.elapsed().as_secs_f64() * 1e3);
        fs::remove_file(file)?;
        if begin.elapsed() > TIME_MAX {
            break;
        }
    }
    Ok(whole_ms)
}

/// Changes zones that have been added, by files that NSD reads again; milliseconds from each request to its answer.
fn measure_reloads(server: &Server, changes: usize) -> Result<Vec<f64>> {
    let mut whole_ms = Vec::new();
    for (step, index) in (ADDED_FROM..ADDED_FROM + changes).enumerate() {
        let (zone, address) = (small_zone(index), address_of(step));
        let text = small_zone_text(index);
        let changed = format!("{text}changed IN A {}\n", std::net::Ipv4Addr::from(address));
        fs::write(server.folder.join(format!("{zone}.zone")), changed)?;
        let start = Instant::now();
        nsd_control(server, &["reload", &zone])?;
        until_answered(server, &format!("changed.{zone}"), address)?;
        whole_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(whole_ms)
}

/// A change over the HTTP API that Rokko and PowerDNS share.
pub(crate) fn patch(agent: &ureq::Agent, api: SocketAddr, zone: &str, name: &str, address: [u8; 4]) -> Result<()> {
    let record = json!({"content": std::net::Ipv4Addr::from(address).to_string(), "disabled": false});
    let body = json!({"rrsets": [{"name": format!("{name}."), "type": "A", "ttl": 60, "changetype": "REPLACE",
        "records": [record]}]});
    let url = format!("http://{api}/api/v1/servers/localhost/zones/{zone}.");
    let response = agent.patch(&url).header("X-API-Key", API_KEY).send_json(&body)?;
    ensure!(response.status() == 204, "PATCH of {zone} was answered with {}", response.status());
    Ok(())
}

/// A new zone over the same API.
fn create(agent: &ureq::Agent, api: SocketAddr, zone: &str, index: usize) -> Result<()> {
    let octets = index.to_be_bytes();
    let rrset = |name: &str, rtype: &str, contents: &[String]| {
        let records: Vec<_> = contents.iter().map(|content| json!({"content": content, "disabled": false})).collect();
        json!({"name": format!("{name}."), "type": rtype, "ttl": 3600, "records": records})
    };
    let text = |text: &str| vec![text.to_owned()];
    let body = json!({"name": format!("{zone}."), "kind": "Native", "rrsets": [
        rrset(zone, "SOA", &text("ns1.hosting.test. hostmaster.hosting.test. 1 10800 3600 604800 300")),
        rrset(zone, "NS", &["ns1.hosting.test.".to_owned(), "ns2.hosting.test.".to_owned()]),
        rrset(zone, "A", &[format!("192.0.2.{}", octets[7])]),
        rrset(&format!("www.{zone}"), "A", &[format!("198.51.100.{}", octets[6])]),
        rrset(zone, "MX", &text("10 mail.hosting.test."))]});
    let url = format!("http://{api}/api/v1/servers/localhost/zones");
    let response = agent.post(&url).header("X-API-Key", API_KEY).send_json(&body)?;
    ensure!(response.status() == 201, "POST of {zone} was answered with {}", response.status());
    Ok(())
}

/// A change by DNS UPDATE (RFC 2136).
fn update(socket: &UdpSocket, zone: &str, name: &str, address: [u8; 4]) -> Result<()> {
    socket.send(&update_message(zone, name, address)?)?;
    let mut response = [0; 512];
    let len = socket.recv(&mut response).context("no answer to an UPDATE")?;
    let rcode = response[3] & 0x0f;
    ensure!(len >= 12 && rcode == 0, "an UPDATE was answered with rcode {rcode}");
    Ok(())
}

/// Removes the addresses of a name and adds one.
fn update_message(zone: &str, name: &str, address: [u8; 4]) -> Result<Vec<u8>> {
    let (zone, name): (Name, Name) = (zone.parse()?, name.parse()?);
    let mut message = vec![0x12, 0x34, 0x28, 0, 0, 1, 0, 0, 0, 2, 0, 0];
    message.extend_from_slice(zone.as_bytes());
    message.extend_from_slice(&[0, 6, 0, 1]);
    message.extend_from_slice(name.as_bytes());
    message.extend_from_slice(&[0, 1, 0, 255, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(name.as_bytes());
    message.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    message.extend_from_slice(&address);
    Ok(message)
}

/// Asks until the answer has the address at its end.
fn until_answered(server: &Server, name: &str, address: [u8; 4]) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server.dns)?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut query = query(name, Rtype::A, false)?;
    // Without the OPT record the answer's last octets are the address.
    query.truncate(query.len() - 11);
    query[11] = 0;
    let start = Instant::now();
    let mut response = [0; 1500];
    while start.elapsed() < CHANGE_LIMIT {
        socket.send(&query)?;
        if let Ok(len) = socket.recv(&mut response)
            && response[7] == 1
            && response[..len].ends_with(&address)
        {
            return Ok(());
        }
    }
    bail!("{} did not answer with the change within {CHANGE_LIMIT:?}", server.name)
}

fn address_of(step: usize) -> [u8; 4] {
    let bytes = step.to_be_bytes();
    [10, bytes[5], bytes[6], bytes[7]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_has_a_zone_and_two_records() {
        let message = update_message("a.example", "w.a.example", [192, 0, 2, 7]).unwrap();
        let (zone, zone_len) = Name::from_wire(&message[12..]).unwrap();
        assert_eq!(zone.to_string(), "a.example.");
        let (name, _) = Name::from_wire(&message[12 + zone_len + 4..]).unwrap();
        assert_eq!(name.to_string(), "w.a.example.");
        assert!(message.ends_with(&[0, 0, 0, 60, 0, 4, 192, 0, 2, 7]));
        assert_eq!(message[2] >> 3, 5, "the opcode");
    }
}
