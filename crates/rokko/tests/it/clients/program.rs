//! Runs a client to its end.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::Ran;

/// How long a client may take, in seconds.
const PATIENCE_S: &str = "120";
/// What coreutils' `timeout` ends with if there is no such program, and if the program took too long.
const MISSING: i32 = 127;
const TOO_LONG: i32 = 124;

/// A program, and the Debian package that has it.
pub(crate) struct Program {
    name: &'static str,
    package: &'static str,
}

pub(crate) const DELV: Program = Program { name: "delv", package: "bind9-dnsutils" };
pub(crate) const DIG: Program = Program { name: "dig", package: "bind9-dnsutils" };
pub(crate) const DNSSEC_KEYGEN: Program = Program { name: "dnssec-keygen", package: "bind9-utils" };
pub(crate) const DNSSEC_SIGNZONE: Program = Program { name: "dnssec-signzone", package: "bind9-utils" };
pub(crate) const DNSSEC_VERIFY: Program = Program { name: "dnssec-verify", package: "bind9-utils" };
pub(crate) const KDIG: Program = Program { name: "kdig", package: "knot-dnsutils" };
pub(crate) const KZONECHECK: Program = Program { name: "kzonecheck", package: "knot-dnssecutils" };
pub(crate) const LDNS_VERIFY_ZONE: Program = Program { name: "ldns-verify-zone", package: "ldnsutils" };
pub(crate) const LEGO: Program = Program { name: "lego", package: "lego" };
pub(crate) const NSUPDATE: Program = Program { name: "nsupdate", package: "bind9-dnsutils" };
pub(crate) const OPENSSL: Program = Program { name: "openssl", package: "openssl" };
pub(crate) const PEBBLE: Program = Program { name: "pebble", package: "pebble" };
pub(crate) const XZ: Program = Program { name: "xz", package: "xz-utils" };

impl Program {
    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The program with an environment that knows no proxy, no resolver and no configuration of a user.
    pub(crate) fn command(&self, home: &Path) -> Command {
        command(self.name, home)
    }

    /// Runs it to its end; it is an error of the test if it is not installed or does not end.
    #[track_caller]
    pub(crate) fn run<S: AsRef<OsStr>>(&self, home: &Path, arguments: &[S]) -> Ran {
        self.finish(self.command(home).args(arguments))
    }

    /// Runs a command made by [`Program::command`] to its end.
    #[track_caller]
    pub(crate) fn finish(&self, command: &mut Command) -> Ran {
        let ran = finish(command);
        assert_ne!(ran.code, Some(MISSING), "there is no {}: install the package {}", self.name, self.package);
        ran
    }
}

/// Runs a program by its name or path.
pub(super) fn command(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", PATIENCE_S]).arg(program).current_dir(home).stdin(Stdio::null());
    command.env_clear().env("HOME", home).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command.env("PATH", std::env::var_os("PATH").expect("there is a search path"));
    command
}

#[track_caller]
pub(super) fn finish(command: &mut Command) -> Ran {
    let ran = Ran::of(command.output().expect("timeout of the package coreutils is installed"));
    assert_ne!(ran.code, Some(TOO_LONG), "took too long: {command:?}\n{ran:#?}");
    ran
}

/// `@ADDR -p PORT`, as `dig`, `kdig` and `delv` take it.
pub(crate) fn at(server: SocketAddr) -> [String; 3] {
    [format!("@{}", server.ip()), "-p".to_owned(), server.port().to_string()]
}
