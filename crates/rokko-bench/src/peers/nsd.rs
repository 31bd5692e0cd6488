//! NSD.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::{Place, Server};
use crate::data::ZoneFile;

/// One server process, no rate limiting, minimal responses; zones can be added and read again by `nsd-control`.
pub(super) fn start(folder: &Path, zones: &[ZoneFile], place: &Place) -> Result<Server> {
    let dir = folder.display();
    let mut config = format!(
        "server:\n  ip-address: {}@{}\n  server-count: 1\n  tcp-count: 4000\n  username: \"\"\n  chroot: \"\"\n  \
         zonesdir: \"{dir}\"\n  database: \"\"\n  zonelistfile: \"{dir}/zone.list\"\n  xfrdfile: \"{dir}/xfrd.state\"\n  \
         xfrdir: \"{dir}\"\n  pidfile: \"{dir}/nsd.pid\"\n  cookie-secret-file: \"{dir}/cookies\"\n  hide-version: yes\n  \
         minimal-responses: yes\n  rrl-ratelimit: 0\n\
         remote-control:\n  control-enable: yes\n  control-interface: \"{dir}/control\"\n\
         pattern:\n  name: \"added\"\n  zonefile: \"{dir}/%s.zone\"\n",
        place.dns.ip(),
        place.dns.port(),
    );
    for zone in zones {
        write!(config, "zone:\n  name: \"{}\"\n  zonefile: \"{}\"\n", zone.name, zone.file.display())?;
    }
    let file = folder.join("nsd.conf");
    fs::write(&file, config)?;
    let mut command = place.command("nsd");
    command.arg("-d").arg("-c").arg(file);
    Server::spawn("NSD", command, folder, place)
}

/// Has `nsd-control` do something.
pub(crate) fn control(server: &Server, arguments: &[&str]) -> Result<()> {
    let output = Command::new("nsd-control").arg("-c").arg(server.folder.join("nsd.conf")).args(arguments).output()?;
    ensure!(output.status.success(), "nsd-control {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
