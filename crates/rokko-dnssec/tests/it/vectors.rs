//! Zones, signatures and digests that others made, which come signed with RSA and ECDSA, NSEC and salted NSEC3.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use rokko_dnssec::PublicKey;
use rokko_dnssec::verify::{Terms, whole};
use rokko_dnssec::zonemd::{self, ZonemdError, ZonemdHash};
use rokko_wire::Rtype;
use rokko_zone::check::Finding;
use rokko_zone::file::{Options, Severity, load};
use rokko_zone::rdata::from_text;
use rokko_zone::zone::to_rrset;
use rokko_zone::{Edit, Revision, Zone};

use crate::signer::{Keys, apply, conform_whole, name, parse, sign_from_scratch};

/// When the signed zones were valid: 2020-11-01.
const THEN: u32 = 1_604_188_800;

/// Unpacks the archive of vectors for as long as the folder lives.
fn unpacked() -> tempfile::TempDir {
    unpack("tests/data/unbound.tar.xz")
}

fn unpack(archive: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = format!("{}/{archive}", env!("CARGO_MANIFEST_DIR"));
    let status = Command::new("tar").args(["-xJf", &archive, "-C"]).arg(folder.path()).status().unwrap();
    assert!(status.success());
    folder
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join("testdata").join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn codes(findings: &[Finding]) -> BTreeSet<&'static str> {
    findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn zones_that_came_signed() {
    let folder = unpacked();
    for (number, expected) in [
        (3, &[][..]),
        (4, &[]),
        (5, &[]),
        (6, &[]),
        (7, &[]),
        (8, &[]),
        (9, &["rrsig-bogus", "rrsig-missing"]),
        (10, &["rrsig-bogus", "rrsig-missing"]),
        (11, &["nsec-wrong"]),
        (12, &["nsec3-wrong"]),
        (13, &["rrsig-bogus", "rrsig-missing"]),
        (14, &["rrsig-bogus", "rrsig-missing"]),
        (15, &["rrsig-bogus", "rrsig-missing"]),
    ] {
        let zone = parse(&read(folder.path(), &format!("zonemd.example{number}.zone")));
        let findings = whole(&zone, &Terms { now: THEN, ..Terms::default() });
        assert_eq!(codes(&findings), expected.iter().copied().collect(), "zone {number}: {findings:?}");
        let late = whole(&zone, &Terms { now: THEN + 40 * 86_400, ..Terms::default() });
        assert!(codes(&late).contains("rrsig-expired"));
    }
}

#[test]
fn digests_of_zones() {
    let folder = unpacked();
    let (sha384, sha512) = (Ok(ZonemdHash::Sha384), Ok(ZonemdHash::Sha512));
    for (file, expected) in [
        ("1", Err(ZonemdError::Absent)),
        ("2", sha512.clone()),
        ("3", Err(ZonemdError::Mismatch)),
        ("4", Err(ZonemdError::Mismatch)),
        ("5", sha512.clone()),
        ("6", sha512.clone()),
        ("7", Err(ZonemdError::Absent)),
        ("16", Err(ZonemdError::Repeated { scheme: 1, hash: 2 })),
        ("17", sha512),
        // RFC 8976 appendix A.
        ("_a1", sha384.clone()),
        ("_a2", sha384.clone()),
        ("_a3", sha384.clone()),
        ("_a4", Err(ZonemdError::Absent)),
        // An address has been brought up to date in it, so that its digest fits no longer.
        ("_a5", Err(ZonemdError::Mismatch)),
    ] {
        let zone = parse(&read(folder.path(), &format!("zonemd.example{file}.zone")));
        assert_eq!(zonemd::verify(&zone), expected, "{file}");
    }
    let as_in_rfc = read(folder.path(), "zonemd.example_a5.zone");
    let as_in_rfc = as_in_rfc.replace("2801:1b8:10::b", "2001:500:200::b").replace("170.247.170.2", "199.9.14.201");
    assert_eq!(zonemd::verify(&parse(&as_in_rfc)), sha384);
    let others = unpack("../rokko-zone/tests/data/ldns.tar.xz");
    let uri_arpa = others.path().join("test/25-ZONEMD.tpkg/A.4.The-URI.ARPA-Zone");
    assert_eq!(zonemd::verify(&parse(&fs::read_to_string(uri_arpa).unwrap())), sha384);
    let zone = parse(&read(folder.path(), "zonemd.example_a1.zone"));
    let mut soa = to_rrset(zone.apex(), zone.rrset(&zone.apex(), Rtype::SOA).unwrap());
    let at = soa.rdatas[0].len() - 17;
    soa.rdatas[0][at] += 1;
    let next = apply(&zone, &zone.resolve(&[Edit::Replace(soa)]).unwrap());
    assert!(matches!(zonemd::verify(&next), Err(ZonemdError::Serial { found, expected }) if expected == found + 1));
}

#[test]
fn a_signed_zone_gets_a_digest_that_others_accept() {
    let text = "$ORIGIN example.\n$TTL 300\n@ SOA ns.test. h 1 2 3 4 300\n@ NS ns.test.\n\
        @ ZONEMD 1 1 1 000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\n\
        @ ZONEMD 1 1 2 0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
        0000000000000000000000000000\n\
        A.b MX 10 Mail\n*.c TXT x\n";
    let keys = Keys::csk();
    for denial in crate::judges::kinds() {
        let plan = keys.plan(&name("example."), denial);
        let zone = sign_from_scratch(&parse(text), &keys, &plan);
        assert_eq!(zonemd::verify(&zone), Err(ZonemdError::Mismatch));
        let mut rrset = to_rrset(zone.apex(), zone.rrset(&zone.apex(), Rtype::ZONEMD).unwrap());
        rrset.rdatas = [ZonemdHash::Sha384, ZonemdHash::Sha512].map(|hash| zonemd::record(&zone, hash)).into();
        let (zone, _, _) = crate::signer::change(&zone, &[Edit::Replace(rrset)], &plan, &keys);
        assert!(zonemd::verify(&zone).is_ok());
        assert_eq!(conform_whole(&zone, 100, &plan, &keys).1, 0);
        // These two hold ZONEMD records against the zone.
        crate::judges::judge(&zone, true);
    }
}

/// The zone of an entry of a vector file and the keys of its first entry.
fn entry_zone(keys: &str, entry: &str) -> Zone {
    let apex = name(keys.split_whitespace().next().unwrap());
    let text = format!("{keys}\n{entry}\n");
    let loaded = load(text.as_bytes(), Options { origin: Some(apex.clone()), ..Options::default() });
    Zone::build(&apex, Revision(1), loaded.rrsets).unwrap()
}

/// The answer sections of a vector file.
fn answers(text: &str) -> Vec<String> {
    let entries = text.split("ENTRY_BEGIN").skip(1);
    let answer =
        |entry: &str| entry.split("SECTION ANSWER").nth(1)?.split("ENTRY_END").next().map(|s| s.trim().to_owned());
    entries.filter_map(answer).collect()
}

#[test]
fn signatures_of_each_algorithm() {
    let folder = unpacked();
    for file in ["rsasha256", "ecdsa_p256", "ecdsa_p384", "ed25519"] {
        let answers = answers(&read(folder.path(), &format!("test_sigs.{file}")));
        let [keys, signed] = &answers[..] else { panic!("{file}") };
        let zone = entry_zone(keys, signed);
        let (owner, rrsig) = zone.rrsets().find(|(_, rrset)| rrset.rtype() == Rtype::RRSIG).unwrap();
        let rdata = rrsig.rdatas().next().unwrap();
        let covered = Rtype(u16::from_be_bytes(*rdata.first_chunk().unwrap()));
        let now = u32::from_be_bytes(*rdata[12..].first_chunk().unwrap()) + 1;
        let judge = |zone: &Zone| {
            let of_rrset = |finding: &Finding| finding.owner == owner && finding.rtype == Some(covered);
            let findings = whole(zone, &Terms { now, ..Terms::default() });
            let errors =
                findings.into_iter().filter(|finding| finding.severity == Severity::Error && of_rrset(finding));
            codes(&errors.collect::<Vec<_>>())
        };
        assert_eq!(judge(&zone), BTreeSet::new(), "{file}");
        for rtype in [covered, Rtype::RRSIG] {
            let mut damaged = to_rrset(owner.clone(), zone.rrset(&owner, rtype).unwrap());
            *damaged.rdatas[0].last_mut().unwrap() ^= 1;
            let damaged = apply(&zone, &zone.resolve(&[Edit::Replace(damaged)]).unwrap());
            assert_eq!(judge(&damaged), BTreeSet::from(["rrsig-bogus", "rrsig-missing"]), "{file}");
        }
    }
}

#[test]
fn ds_records_and_the_keys_that_they_mean() {
    let folder = unpacked();
    let mut compared = 0;
    for file in ["test_ds.sha384"] {
        for entry in read(folder.path(), file).split("ENTRY_BEGIN").skip(1) {
            let expected = entry.split_whitespace().skip_while(|word| *word != "QUESTION").nth(1).unwrap() == "yes.";
            let record = |rtype: Rtype| {
                let mark = format!(" {rtype} ");
                let line = entry.lines().find(|line| line.contains(&mark)).unwrap();
                let (owner, rdata) = (line.split_whitespace().next().unwrap(), line.split(&mark).nth(1).unwrap());
                (name(owner), from_text(rtype, rdata, None).unwrap())
            };
            let ((owner, ds), (_, dnskey)) = (record(Rtype::DS), record(Rtype::DNSKEY));
            let found = PublicKey::of_rdata(&dnskey).is_some_and(|key| key.matches_ds(&owner, &ds));
            assert_eq!(found, expected, "{file}: {entry}");
            compared += 1;
        }
    }
    assert!(compared >= 4);
}
