//! From a change's acknowledgement to the first answer that has it.

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rokko_wire::Rtype;

use crate::data::{self, Random};
use crate::import::imported;
use crate::peers::{self, API_KEY, Server, ZoneFile};
use crate::report::{Bench, quantile};

const START_LIMIT: Duration = Duration::from_secs(300);
/// How long a change may take before the run is given up.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);

/// How often Knot gets a change; each one starts a program.
const KNOT_CHANGES_MAX: usize = 200;

pub(crate) fn run(bench: &Bench, zones: usize, changes: usize) -> Result<()> {
    bench.title(&format!("One change among {zones} zones of six records"));
    let folder = data::write_small_zones(&bench.folder, zones)?;
    let data = imported(bench, &folder)?;
    let mut rokko = peers::rokko(bench, &data)?;
    let ready = data::query(&data::small_zone(0), Rtype::A)?;
    peers::wait_for_answer(&mut rokko, &ready, START_LIMIT)?;
    run_rokko(bench, &rokko, zones, changes)?;
    drop(rokko);
    let files: Vec<ZoneFile> = (0..zones)
        .map(|index| ZoneFile { name: data::small_zone(index), file: data::small_zone_file(&folder, index) })
        .collect();
    let mut knot = peers::knot(bench, &files)?;
    peers::wait_for_answer(&mut knot, &ready, START_LIMIT)?;
    run_knot(bench, &knot, zones, changes.min(KNOT_CHANGES_MAX))
}

fn run_rokko(bench: &Bench, server: &Server, zones: usize, changes: usize) -> Result<()> {
    let api = server.api.context("Rokko has an API")?;
    let agent = ureq::Agent::new_with_defaults();
    let (mut request_ms, mut visible_ms, mut whole_ms) = (Vec::new(), Vec::new(), Vec::new());
    let mut random = Random(3);
    for step in 0..changes {
        let zone = data::small_zone(random.below(zones));
        let address = address_of(step);
        let body = serde_json::json!({"rrsets": [{"name": format!("www.{zone}."), "type": "A", "ttl": 60,
            "changetype": "REPLACE", "records": [{"content": text_of(address), "disabled": false}]}]});
        let start = Instant::now();
        let url = format!("http://{api}/api/v1/servers/localhost/zones/{zone}.");
        let response = agent.patch(&url).header("X-API-Key", API_KEY).send_json(&body)?;
        if response.status() != 204 {
            bail!("the PATCH was answered with {}", response.status());
        }
        let acknowledged = Instant::now();
        until_answered(server, &format!("www.{zone}"), address)?;
        request_ms.push((acknowledged - start).as_secs_f64() * 1e3);
        visible_ms.push(acknowledged.elapsed().as_secs_f64() * 1e3);
        whole_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    rows(bench, "from the PATCH's 204 to the answer", "Rokko", &mut visible_ms);
    rows(bench, "the PATCH itself", "Rokko", &mut request_ms);
    rows(bench, "from the PATCH to the answer", "Rokko", &mut whole_ms);
    Ok(())
}

/// Knot takes changes as DNS UPDATE.
fn run_knot(bench: &Bench, server: &Server, zones: usize, changes: usize) -> Result<()> {
    let (mut random, mut whole_ms) = (Random(3), Vec::new());
    for step in 0..changes {
        let zone = data::small_zone(random.below(zones));
        let address = address_of(step);
        let name = format!("www.{zone}.");
        let script = format!(
            "server {} {}\nzone {zone}.\nupdate del {name} A\nupdate add {name} 60 A {}\nsend\nquit\n",
            server.dns.ip(),
            server.dns.port(),
            text_of(address)
        );
        let mut child =
            Command::new("knsupdate").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().context("the input is a pipe")?;
        // The program is running and waits for its input: its start is not counted.
        std::thread::sleep(Duration::from_millis(20));
        let start = Instant::now();
        std::io::Write::write_all(&mut input, script.as_bytes())?;
        drop(input);
        until_answered(server, &name, address)?;
        whole_ms.push(start.elapsed().as_secs_f64() * 1e3);
        let _ = child.wait_with_output()?;
    }
    rows(bench, "from the UPDATE to the answer", "Knot", &mut whole_ms);
    Ok(())
}

fn rows(bench: &Bench, measure: &str, server: &str, figures: &mut [f64]) {
    figures.sort_by(f64::total_cmp);
    bench.row(measure, server, "ms", figures);
    bench.row(&format!("{measure}, p99"), server, "ms", &[quantile(figures, 0.99)]);
}

/// Asks until the answer has the address at its end.
fn until_answered(server: &Server, name: &str, address: [u8; 4]) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server.dns)?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut query = data::query(name, Rtype::A)?;
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

fn text_of([a, b, c, d]: [u8; 4]) -> String {
    format!("{a}.{b}.{c}.{d}")
}
