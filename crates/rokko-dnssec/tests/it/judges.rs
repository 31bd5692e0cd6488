//! Other programs judge what is signed here.

use std::fs;
use std::process::Command;

use rokko_dnssec::{OptOut, PublicKey, Wanted};
use rokko_zone::Zone;

use crate::signer::{Keys, name, now, parse, sign_from_scratch, text};

/// A zone with all that makes denial hard: cuts with and without DS, glue, empty non-terminals, wildcards, DNAME.
pub(crate) const HARD: &str = include_str!("../data/hard.zone");

/// Asks `dnssec-verify`, `ldns-verify-zone` and `kzonecheck` about a signed zone.
pub(crate) fn judge(zone: &Zone, has_csk: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zone");
    let text = text(zone);
    fs::write(&path, &text).unwrap();
    let (path, apex) = (path.to_str().unwrap(), zone.apex().to_string());
    let time = now().to_string();
    let keys = if has_csk { "-z" } else { "-x" };
    let mut programs = vec![
        vec!["dnssec-verify", keys, "-o", &apex, path],
        vec!["kzonecheck", "--dnssec", "on", "--time", &time, "--origin", &apex, path],
    ];
    // It takes delegations that are left out for errors, as its manual says.
    let is_opt_out = text.contains(" NSEC3 1 1 ");
    if !is_opt_out {
        programs.push(vec!["ldns-verify-zone", path]);
    }
    for command in programs {
        let output = Command::new(command[0]).args(&command[1..]).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", command[0]));
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{command:?} refuses the zone:\n{text}\n{command:?} says:\n{said}");
    }
}

pub(crate) fn kinds() -> [Wanted; 4] {
    let nsec3 = |opt_out| Wanted { nsec: false, nsec3: Some(opt_out) };
    [Wanted::NSEC, Wanted::NSEC3, nsec3(OptOut::Yes), nsec3(OptOut::Leaving)]
}

#[test]
fn a_hard_zone_signed_at_once_is_valid_for_all() {
    let zone = parse(HARD);
    for denial in kinds() {
        let one = Keys::csk();
        judge(&sign_from_scratch(&zone, &one, &one.plan(&name("example."), denial)), true);
        let two = Keys::new(&[(1, PublicKey::ZONE | PublicKey::SEP), (2, PublicKey::ZONE)]);
        judge(&sign_from_scratch(&zone, &two, &two.plan(&name("example."), denial)), false);
    }
}

#[test]
fn a_zone_of_its_apex_alone_is_valid_for_all() {
    let zone = parse("$ORIGIN example.\n@ 300 SOA ns.test. h 1 2 3 4 300\n@ 300 NS ns.test.\n");
    let keys = Keys::csk();
    for denial in kinds() {
        judge(&sign_from_scratch(&zone, &keys, &keys.plan(&name("example."), denial)), true);
    }
}
