//! Knot DNS.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::{Place, Server};
use crate::data::ZoneFile;

/// One UDP worker, no modules; takes DNS UPDATE from loopback.
pub(super) fn start(folder: &Path, zones: &[ZoneFile], place: &Place) -> Result<Server> {
    let dir = folder.display();
    let (address, port) = (place.dns.ip(), place.dns.port());
    let mut config = format!(
        "server:\n  rundir: \"{dir}\"\n  listen: {address}@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\n  tcp-max-clients: 4000\n"
    );
    if let Some(interface) = &place.xdp {
        write!(config, "xdp:\n  listen: {interface}@{port}\n")?;
    }
    write!(
        config,
        "control:\n  listen: \"{dir}/control\"\n  timeout: 600\nlog:\n  - target: stderr\n    any: error\n\
         database:\n  storage: \"{dir}\"\n\
         acl:\n  - id: update\n    address: 127.0.0.1\n    action: update\n\
         template:\n  - id: default\n    storage: \"{dir}\"\n    zonefile-sync: -1\n    zonefile-load: whole\n    \
         journal-content: changes\n    acl: update\nzone:\n"
    )?;
    for zone in zones {
        write!(config, "  - domain: {}\n    file: \"{}\"\n", zone.name, zone.file.display())?;
    }
    let file = folder.join("knot.conf");
    fs::write(&file, config)?;
    let mut command = place.command("knotd");
    command.arg("-c").arg(file);
    Server::spawn("Knot", command, folder, place)
}

/// Takes DNS UPDATE from loopback and tells some secondaries of each change, who then fetch it.
pub(super) fn start_primary(
    folder: &Path,
    zones: &[ZoneFile],
    place: &Place,
    secondaries: &[SocketAddr],
) -> Result<Server> {
    let (mut remotes, mut ids) = (String::from("remote:\n"), Vec::new());
    for (index, address) in secondaries.iter().enumerate() {
        writeln!(remotes, "  - id: s{index}\n    address: {}@{}", address.ip(), address.port())?;
        ids.push(format!("s{index}"));
    }
    let config = format!(
        "{}{remotes}acl:\n  - id: clients\n    address: 127.0.0.1\n    action: [update, transfer]\n\
         template:\n  - id: default\n    storage: \"{}\"\n    zonefile-sync: -1\n    zonefile-load: whole\n    \
         journal-content: changes\n    acl: clients\n    notify: [{}]\n",
        node(folder, place),
        folder.display(),
        ids.join(", ")
    );
    spawn("Knot", config, folder, zones, place)
}

/// Follows a primary. With `from_files` it begins with the zones' files, without it fetches all zones. What it has taken
/// it keeps in its journal, which is not synchronized with each transfer: what is lost can be fetched again.
pub(super) fn start_secondary(
    folder: &Path,
    zones: &[ZoneFile],
    place: &Place,
    primary: SocketAddr,
    from_files: bool,
) -> Result<Server> {
    let (load, journal) = if from_files { ("whole", "changes") } else { ("none", "all") };
    let config = format!(
        "{}  journal-db-mode: asynchronous\nremote:\n  - id: primary\n    address: {}@{}\nacl:\n  - id: primary\n    address: 127.0.0.1\n    \
         action: notify\ntemplate:\n  - id: default\n    storage: \"{}\"\n    zonefile-sync: -1\n    \
         zonefile-load: {load}\n    journal-content: {journal}\n    acl: primary\n    master: primary\n",
        node(folder, place),
        primary.ip(),
        primary.port(),
        folder.display(),
    );
    spawn("Knot, secondary", config, folder, zones, place)
}

/// What every node has; as many background workers as there are cores. Connections are kept for the next zone.
fn node(folder: &Path, place: &Place) -> String {
    let dir = folder.display();
    format!(
        "server:\n  rundir: \"{dir}\"\n  listen: {}@{}\n  udp-workers: 1\n  tcp-workers: 1\n  tcp-max-clients: 4000\n  \
         remote-pool-limit: 100\n  remote-pool-timeout: 10\ncontrol:\n  listen: \"{dir}/control\"\n  timeout: 600\nlog:\n  - target: stderr\n    any: error\n\
         database:\n  storage: \"{dir}\"\n",
        place.dns.ip(),
        place.dns.port()
    )
}

fn spawn(name: &str, mut config: String, folder: &Path, zones: &[ZoneFile], place: &Place) -> Result<Server> {
    config.push_str("zone:\n");
    for zone in zones {
        write!(config, "  - domain: {}\n    file: \"{}\"\n", zone.name, zone.file.display())?;
    }
    let file = folder.join("knot.conf");
    fs::write(&file, config)?;
    let mut command = place.command("knotd");
    command.arg("-c").arg(file);
    Server::spawn(name, command, folder, place)
}

/// Adds a zone from a file to the running server's configuration.
pub(crate) fn addzone(server: &Server, name: &str, file: &Path) -> Result<()> {
    let zone = format!("zone[{name}]");
    let file_of_zone = format!("zone[{name}].file");
    control(server, &["conf-begin"])?;
    control(server, &["conf-set", &zone])?;
    control(server, &["conf-set", &file_of_zone, &file.display().to_string()])?;
    control(server, &["conf-commit"])
}

fn control(server: &Server, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("knotc");
    command.arg("-t").arg("600").arg("-s").arg(server.folder.join("control")).args(arguments);
    let output = command.output()?;
    ensure!(output.status.success(), "knotc {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
