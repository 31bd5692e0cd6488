//! What the benchmarks need installed, by Debian package.

use anyhow::Result;

use crate::test::install::{Program, install_programs};

/// A server, and the programs that it and its changes need.
const PEERS: &[(&str, &[Program])] = &[
    ("nsd", &[("nsd", "nsd")]),
    ("knot", &[("knotd", "knot")]),
    ("bind", &[("named", "bind9"), ("rndc", "bind9-utils")]),
    ("pdns", PDNS),
    ("pdns-cached", PDNS),
    ("pdns-lmdb", PDNS),
];

const LIBRARIES: [&str; 2] = if cfg!(target_arch = "aarch64") {
    ["../lib/aarch64-linux-gnu/pdns/liblmdbbackend.so", "../lib/aarch64-linux-gnu/pdns/libbindbackend.so"]
} else {
    ["../lib/x86_64-linux-gnu/pdns/liblmdbbackend.so", "../lib/x86_64-linux-gnu/pdns/libbindbackend.so"]
};

/// The back ends are libraries that lie below a folder of the search path.
const PDNS: &[Program] =
    &[("pdns_server", "pdns-server"), (LIBRARIES[0], "pdns-backend-lmdb"), (LIBRARIES[1], "pdns-backend-bind")];

/// Those that stand beside Rokko if none is named.
const USUAL: &[&str] = &["nsd", "knot"];

/// Installs what the servers of a run need that are not there yet.
pub(super) fn install(what: &str, arguments: &[String]) -> Result<()> {
    let mut programs: Vec<Program> = Vec::new();
    for (peer, needed) in PEERS {
        if wanted(what, arguments, peer) {
            programs.extend_from_slice(needed);
        }
    }
    if what == "xdp" {
        programs.push(("ip", "iproute2"));
    }
    // It is the primary of all secondaries.
    if what == "fleet" {
        programs.push(("knotd", "knot"));
    }
    install_programs(&programs)
}

/// Whether a peer takes part in a run with these arguments.
fn wanted(what: &str, arguments: &[String], peer: &str) -> bool {
    if matches!(what, "load" | "import" | "scale" | "churn" | "help") {
        return false;
    }
    let mut after = arguments.iter().skip_while(|argument| argument.split('=').next() != Some("--peers"));
    let list = match after.next() {
        None if what == "suite" => return true,
        None => return USUAL.contains(&peer),
        Some(option) => option.split_once('=').map(|(_, list)| list).or(after.next().map(String::as_str)),
    };
    list.is_some_and(|list| list.split(',').any(|named| named == peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_peers_are_wanted() {
        let given = |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let all = |what: &str, text: &str| {
            let arguments = given(text);
            PEERS.iter().map(|(peer, _)| *peer).filter(|peer| wanted(what, &arguments, peer)).collect::<Vec<_>>()
        };
        assert_eq!(all("query", ""), ["nsd", "knot"]);
        assert_eq!(all("query", "--zones 10 --peers bind,pdns-lmdb"), ["bind", "pdns-lmdb"]);
        assert_eq!(all("query", "--peers=knot"), ["knot"]);
        assert_eq!(all("suite", "").len(), PEERS.len());
        assert!(all("scale", "").is_empty());
    }
}
