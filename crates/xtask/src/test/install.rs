//! What the tests need beside Rust: servers and clients to compare with, by Debian package, and Python clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// A program that is started, and the Debian package that has it.
pub(crate) type Program = (&'static str, &'static str);

/// The programs that tests start.
const PROGRAMS: &[Program] = &[
    ("cc", "gcc"),
    ("g++", "g++"),
    ("knotd", "knot"),
    ("kzonecheck", "knot-dnssecutils"),
    ("kdig", "knot-dnsutils"),
    ("kzonesign", "knot-dnssecutils"),
    ("nsd", "nsd"),
    ("dig", "bind9-dnsutils"),
    ("nsupdate", "bind9-dnsutils"),
    ("delv", "bind9-dnsutils"),
    ("dnssec-signzone", "bind9-utils"),
    ("dnssec-verify", "bind9-utils"),
    ("dnssec-keygen", "bind9-utils"),
    ("keymgr", "knot"),
    ("named-checkzone", "bind9-utils"),
    ("ldns-signzone", "ldnsutils"),
    ("ldns-verify-zone", "ldnsutils"),
    ("softhsm2-util", "softhsm2"),
    ("unbound", "unbound"),
    ("faketime", "faketime"),
    ("age", "age"),
    ("age-keygen", "age"),
    ("lego", "lego"),
    ("pebble", "pebble"),
    ("openssl", "openssl"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("ping", "iputils-ping"),
    ("kill", "procps"),
    ("xz", "xz-utils"),
    ("python3", "python3"),
];

/// Installs a package without starting the services in it, which would take the ports of a DNS server.
///
/// `policy-rc.d` is Debian's way to say so. One that is there already is left alone: it is the machine's own.
const INSTALL: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi
DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "$@"
"#;

/// The folder of the Python programs that tests start; it comes first on the search path of `cargo test`.
pub(crate) fn venv_programs() -> PathBuf {
    venv().join("bin")
}

fn venv() -> PathBuf {
    shell::target_dir().join("test-venv")
}

/// Installs what the tests need and is not there; names the package that cannot be installed and why.
pub(crate) fn run() -> Result<()> {
    let mut packages = missing(PROGRAMS)?;
    if !has_python_venv() {
        packages.push("python3-venv");
    }
    install(&packages)?;
    check(PROGRAMS)?;
    python().context("the Python clients could not be installed")
}

/// Installs those of some programs that are not there.
pub(crate) fn install_programs(programs: &[Program]) -> Result<()> {
    install(&missing(programs)?)?;
    check(programs)
}

/// The packages of the programs that are not there.
fn missing(programs: &[Program]) -> Result<Vec<&'static str>> {
    let mut packages = Vec::new();
    for (program, package) in programs {
        if !shell::has_program(program)? && !packages.contains(package) {
            packages.push(*package);
        }
    }
    Ok(packages)
}

fn install(packages: &[&str]) -> Result<()> {
    if !packages.is_empty() {
        as_root("apt-get update --quiet", &[]).context("the package lists could not be fetched")?;
    }
    for package in packages {
        println!("installing {package}");
        as_root(INSTALL, &[package]).with_context(|| format!("the package {package} could not be installed"))?;
    }
    Ok(())
}

fn check(programs: &[Program]) -> Result<()> {
    for (program, package) in programs {
        if !shell::has_program(program)? {
            bail!("the package {package} is installed and yet there is no {program}");
        }
    }
    Ok(())
}

/// Runs a shell script as root: directly, or by sudo without a password.
fn as_root(script: &str, arguments: &[&str]) -> Result<()> {
    let is_root = shell::output(Command::new("id").arg("-u"))?.trim() == "0";
    let mut command = if is_root { Command::new("sh") } else { Command::new("sudo") };
    if !is_root {
        if !shell::has_program("sudo")? {
            bail!("this needs root, and there is no sudo: run it as root or install the package by hand");
        }
        command.args(["-n", "sh"]);
    }
    // What is not asked for is not worth showing, unless it fails.
    shell::output(command.args(["-c", script, "sh"]).args(arguments)).map(|_| ())
}

fn has_python_venv() -> bool {
    let imports = Command::new("python3").args(["-c", "import ensurepip, venv"]).output();
    imports.is_ok_and(|output| output.status.success())
}

/// Makes the virtual environment unless it holds just what is asked for already.
fn python() -> Result<()> {
    let wanted_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("python-clients.txt");
    let wanted = fs::read_to_string(&wanted_file)?;
    let marker = venv().join("installed.txt");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("installing Python clients into {}", venv().display());
    shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv()))?;
    let mut pip = Command::new(venv_programs().join("pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&wanted_file);
    shell::run(&mut pip)?;
    Ok(fs::write(marker, wanted)?)
}
