//! BIND.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::{Place, Server, free_port};
use crate::data::ZoneFile;

/// A key that only this server on loopback knows.
const RNDC_SECRET: &str = "cm9ra28tYmVuY2htYXJrLWtleS0wMTIzNDU2Nzg5MDE=";

/// One worker, no recursion, minimal responses; takes DNS UPDATE from loopback, and zones by `rndc addzone`.
pub(super) fn start(folder: &Path, zones: &[ZoneFile], place: &Place) -> Result<Server> {
    let dir = folder.display();
    let control = free_port()?;
    let key = format!("key \"rndc\" {{ algorithm hmac-sha256; secret \"{RNDC_SECRET}\"; }};\n");
    fs::write(
        key_file(folder),
        format!(
            "{key}options {{ default-key \"rndc\"; default-server {}; default-port {}; }};\n",
            control.ip(),
            control.port()
        ),
    )?;
    let mut config = format!(
        "{key}options {{\n  directory \"{dir}\";\n  listen-on port {port} {{ {address}; }};\n  listen-on-v6 {{ none; }};\n  \
         pid-file none;\n  session-keyfile none;\n  recursion no;\n  minimal-responses yes;\n  notify no;\n  \
         dnssec-validation no;\n  allow-new-zones yes;\n  allow-update {{ 127.0.0.1; }};\n  allow-transfer {{ none; }};\n  \
         tcp-clients 4000;\n  zone-statistics none;\n  empty-zones-enable no;\n}};\n\
         controls {{ inet {} port {} allow {{ 127.0.0.1; }} keys {{ \"rndc\"; }}; }};\n",
        control.ip(),
        control.port(),
        port = place.dns.port(),
        address = place.dns.ip(),
    );
    for zone in zones {
        let file = zone.file.display();
        writeln!(config, "zone \"{}\" {{ type primary; file \"{file}\"; journal \"{dir}/{0}.jnl\"; }};", zone.name)?;
    }
    let file = folder.join("named.conf");
    fs::write(&file, config)?;
    let mut command = place.command("named");
    command.args(["-g", "-n", "1", "-U", "1", "-c"]).arg(file);
    Server::spawn("BIND", command, folder, place)
}

/// Where `rndc` finds the server and its key.
fn key_file(folder: &Path) -> PathBuf {
    folder.join("rndc.conf")
}

/// Adds a zone from a file to the running server.
pub(crate) fn addzone(server: &Server, name: &str, file: &Path) -> Result<()> {
    let options = format!("{{ type primary; file \"{}\"; }};", file.display());
    let mut command = Command::new("rndc");
    command.arg("-c").arg(key_file(&server.folder)).args(["addzone", name, &options]);
    let output = command.output()?;
    ensure!(output.status.success(), "rndc addzone {name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
