//! PowerDNS.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, ensure};

use super::{API_KEY, Place, Server, free_port};
use crate::data::ZoneFile;

/// How the names of the database's files begin.
const DATABASE: &str = "pdns.lmdb";

/// The back end that reads zone files. Without caches every answer is worked out; with them, answers given in the last
/// 20 seconds are sent again.
pub(super) fn start_bind(folder: &Path, zones: &[ZoneFile], place: &Place, cached: bool) -> Result<Server> {
    write_zones(folder, zones)?;
    let name = if cached { "PowerDNS, cached" } else { "PowerDNS" };
    write_config(folder, place, "bind", cached, None)?;
    Server::spawn(name, command(folder, place), folder, place)
}

/// The back end with a database of its own, which can be changed over the HTTP API. It is filled from the zone files into
/// the folder `filled`, once, and works on a copy.
pub(super) fn start_lmdb(folder: &Path, filled: &Path, zones: &[ZoneFile], place: &Place) -> Result<Server> {
    if !filled.exists() {
        fill_lmdb(folder, zones, place)?;
        fs::create_dir_all(filled)?;
        copy_database(folder, filled)?;
    }
    copy_database(filled, folder)?;
    let api = free_port()?;
    write_config(folder, place, "lmdb", false, Some(api))?;
    Ok(Server::spawn("PowerDNS, LMDB", command(folder, place), folder, place)?.with_api(api))
}

fn fill_lmdb(folder: &Path, zones: &[ZoneFile], place: &Place) -> Result<()> {
    write_zones(folder, zones)?;
    write_config(folder, place, "bind,lmdb", false, None)?;
    // The database is copied when it is complete, so that it need not be durable zone by zone.
    let mut config = fs::read_to_string(folder.join("pdns.conf"))?;
    config.push_str("lmdb-sync-mode=nosync\n");
    fs::write(folder.join("pdns.conf"), config)?;
    let mut migrate = place.command("pdnsutil");
    migrate.arg(format!("--config-dir={}", folder.display())).args(["b2b-migrate", "bind", "lmdb"]);
    let output = migrate.output()?;
    ensure!(output.status.success(), "pdnsutil b2b-migrate: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn copy_database(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(DATABASE) {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn command(folder: &Path, place: &Place) -> std::process::Command {
    let mut command = place.command("pdns_server");
    command.arg(format!("--config-dir={}", folder.display()));
    command
}

fn write_config(folder: &Path, place: &Place, launch: &str, cached: bool, api: Option<SocketAddr>) -> Result<()> {
    let dir = folder.display();
    let mut config = format!(
        "launch={launch}\nlocal-address={}\nlocal-port={}\nsocket-dir={dir}\nguardian=no\ndaemon=no\n\
         receiver-threads=1\ndistributor-threads=1\ndisable-axfr=yes\nversion-string=anonymous\nloglevel=3\n\
         max-tcp-connections=4000\nmax-tcp-connections-per-client=4000\nsecurity-poll-suffix=\n\
         query-logging=no\nlog-dns-queries=no\nmax-cache-entries=2000000\nmax-packet-cache-entries=2000000\n",
        place.dns.ip(),
        place.dns.port(),
    );
    if launch.contains("bind") {
        write!(config, "bind-config={dir}/zones.conf\nbind-check-interval=0\n")?;
    }
    if launch.contains("lmdb") {
        write!(config, "lmdb-filename={dir}/{DATABASE}\nlmdb-shards=1\n")?;
    }
    if !cached {
        config.push_str("cache-ttl=0\nquery-cache-ttl=0\nnegquery-cache-ttl=0\n");
    }
    if let Some(api) = api {
        write!(
            config,
            "webserver=yes\nwebserver-address={}\nwebserver-port={}\nwebserver-allow-from=127.0.0.1\napi=yes\n\
             api-key={API_KEY}\nwebserver-loglevel=none\ndefault-soa-edit=\n",
            api.ip(),
            api.port()
        )?;
    }
    Ok(fs::write(folder.join("pdns.conf"), config)?)
}

fn write_zones(folder: &Path, zones: &[ZoneFile]) -> Result<()> {
    let mut text = String::new();
    for zone in zones {
        writeln!(text, "zone \"{}\" {{ type native; file \"{}\"; }};", zone.name, zone.file.display())?;
    }
    Ok(fs::write(folder.join("zones.conf"), text)?)
}
