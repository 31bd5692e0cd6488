//! Rokko.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{API_KEY, Place, Server, fill, fleet, free_port, fresh};
use crate::data::Set;
use crate::netns;
use crate::report::{Bench, progress};

/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(1200);
/// What lies in a data folder that holds its whole set, and by which program it was made.
const MARKER: &str = "filled-by";

/// Starts on a store that holds the set.
pub(super) fn start(bench: &Bench, set: Set, place: &Place) -> Result<Server> {
    let (data, _) = filled_at(bench, set, &place.folder(&format!("rokko-{}", set.slug())))?;
    start_on(bench, &data, place)
}

fn start_on(bench: &Bench, data: &Path, place: &Place) -> Result<Server> {
    let (api, mut command) = command(bench, data, place)?;
    if let Some(interface) = &place.xdp {
        command.args(["--xdp", interface]);
    }
    command.env("ROKKO_API_KEY", API_KEY);
    Ok(Server::spawn("Rokko", command, data, place)?.with_api(api))
}

/// `rokko up` over a data folder, and where its API will be.
fn command(bench: &Bench, data: &Path, place: &Place) -> Result<(SocketAddr, Command)> {
    let api = free_port()?;
    let config = data.join("bench.toml");
    let limits = if place.usual_limits { LIMITS_USUAL } else { LIMITS_ABOVE_LOAD };
    fs::write(&config, format!("{CONFIGURATION}{limits}"))?;
    let mut command = place.command(&bench.rokko);
    command.arg("up").arg("--config").arg(config).arg("--data-dir").arg(data);
    command.args(["--dns-listen", &place.dns.to_string(), "--api-listen", &api.to_string()]);
    Ok((api, command))
}

/// Starts a control node with a set, which gives PoPs the feed at an address. Its data folder is a copy, so that each
/// fleet is a new one.
pub(super) fn start_control(bench: &Bench, set: Set, place: &Place, feed: SocketAddr) -> Result<Server> {
    let (filled, _) = filled(bench, set)?;
    let data = bench.folder.join("fleet-rokko-control");
    fleet::copy(&filled, &data)?;
    let (api, mut command) = command(bench, &data, place)?;
    command.args(["--fleet-listen", &feed.to_string()]).env("ROKKO_API_KEY", API_KEY);
    let mut server = Server::spawn("Rokko", command, &data, place)?.with_api(api);
    wait_for_api(&mut server)?;
    Ok(server)
}

/// Starts a PoP, which joins with a token if it has not yet.
pub(super) fn start_pop(bench: &Bench, data: &Path, place: &Place, token: Option<&str>) -> Result<Server> {
    let mut command = place.command(&bench.rokko);
    command.arg("pop").arg("--data-dir").arg(data).args(["--dns-listen", &place.dns.to_string()]);
    command.args(["--status-listen", &free_port()?.to_string()]);
    if let Some(token) = token {
        command.args(["--join", token]);
    }
    Server::spawn("Rokko, PoP", command, data, place)
}

/// One thread of each kind, no limit on what one client does over TCP, and zones as their sets have them: unsigned.
const CONFIGURATION: &str = "[log]\nlevel = \"warn\"\n[dns]\nthreads = 1\n[dns.tcp]\nthreads = 1\n\
                             connections_per_client_max = 4000\n[dnssec]\nsign_new_zones = false\n";

/// Rate limits as they come, for loopback addresses too.
const LIMITS_USUAL: &str = "[dns.rate]\nexempt = []\n";

/// Rate limits at work that no load reaches.
const LIMITS_ABOVE_LOAD: &str = "[dns.rate]\nexempt = []\nall = 1000000\nanswers = 1000000\nnodata = 1000000\n\
                                 nxdomain = 1000000\nreferrals = 1000000\nerrors = 1000000\n";

/// A data folder with the set, and the seconds that filling it took, 0 if it was there. One that the same program has
/// filled is used again.
pub(crate) fn filled(bench: &Bench, set: Set) -> Result<(PathBuf, f64)> {
    filled_at(bench, set, &format!("rokko-{}", set.slug()))
}

fn filled_at(bench: &Bench, set: Set, folder: &str) -> Result<(PathBuf, f64)> {
    let data = bench.folder.join(folder);
    let version = version(&bench.rokko)?;
    if fs::read_to_string(data.join(MARKER)).is_ok_and(|found| found == version) {
        return Ok((data, 0.0));
    }
    fresh(&data)?;
    let seconds = match set {
        Set::Small(count) => fill_by_api(bench, &data, count)?,
        Set::Big(_) | Set::Registry(_) => {
            let (_, input) = set.files(&bench.folder)?;
            import(bench, &data, &input)?
        }
    };
    fs::write(data.join(MARKER), version)?;
    progress(&format!("Rokko was filled with {} in {seconds:.1} s", set.title()));
    Ok((data, seconds))
}

fn fill_by_api(bench: &Bench, data: &Path, count: usize) -> Result<f64> {
    let mut server = start_on(bench, data, &Place { all_cores: true, ..Place::loopback()? })?;
    wait_for_api(&mut server)?;
    fill::fill(server.api()?, 0, count)
}

fn wait_for_api(server: &mut Server) -> Result<()> {
    let start = Instant::now();
    let url = format!("http://{}/v1/zones?limit=1", server.api()?);
    let agent = fill::agent();
    let netns = server.netns.clone();
    let mut wait = || {
        while !agent.get(&url).header("X-API-Key", API_KEY).call().is_ok_and(|response| response.status() == 200) {
            server.is_alive()?;
            ensure!(start.elapsed() < START_LIMIT, "Rokko's API did not answer within {START_LIMIT:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    };
    match netns {
        Some(netns) => netns::enter(&netns, wait),
        None => wait(),
    }
}

/// Imports files into a new data folder of a stopped node; returns the seconds that it took.
pub(crate) fn import(bench: &Bench, data: &Path, input: &Path) -> Result<f64> {
    fresh(data)?;
    let start = Instant::now();
    let mut command = Command::new(&bench.rokko);
    command.args(["zone", "import"]).arg(input).arg("--data-dir").arg(data);
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "the import failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(start.elapsed().as_secs_f64())
}

/// What tells one build of the program from another.
fn version(program: &Path) -> Result<String> {
    let metadata = fs::metadata(program).with_context(|| program.display().to_string())?;
    Ok(format!("{} octets, {:?}", metadata.len(), metadata.modified()?))
}
