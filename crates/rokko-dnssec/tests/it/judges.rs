//! Other programs judge what is signed here.

use std::fs;
use std::process::Command;

use rokko_dnssec::verify::{Terms, whole};
use rokko_dnssec::{OptOut, PublicKey, Wanted};
use rokko_wire::Name;
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

/// Some 1,500 delegations, most of them secure, with much glue below other delegations.
#[test]
fn the_root_zone_is_valid_for_all() {
    let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/../rokko-zone/tests/data/root-zone-2020.xz");
    let output = Command::new("xz").args(["-dc", packed]).output().unwrap();
    assert!(output.status.success());
    let soa = ". 86400 IN SOA a.root-servers.net. nstld.verisign-grs.com. 2020010100 1800 900 604800 86400\n";
    let zone = parse(&format!("{soa}{}", String::from_utf8(output.stdout).unwrap()));
    let keys = Keys::new(&[(1, PublicKey::ZONE | PublicKey::SEP), (2, PublicKey::ZONE)]);
    for denial in [Wanted::NSEC, Wanted { nsec: false, nsec3: Some(OptOut::Yes) }] {
        let signed = sign_from_scratch(&zone, &keys, &keys.plan(&Name::root(), denial));
        assert_eq!(whole(&signed, &Terms { now: now(), ..Terms::default() }), []);
        judge(&signed, false);
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
