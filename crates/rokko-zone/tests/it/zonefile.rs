//! Zone files: diagnostics, what a file may leave open, `$GENERATE` and `$INCLUDE`, and the round trip.

use std::process::Command;

use proptest::prelude::*;
use rokko_wire::Name;
use rokko_zone::file::{self, Diagnostic, Loaded, Options, load, write_rrsets, write_snapshot};
use rokko_zone::{Record, Revision, Ttl, Zone, rdata};

const BASE: &str = "$ORIGIN example.com.\n$TTL 300\n@ SOA ns1 h 1 2 3 4 300\n@ NS ns1\nns1 A 192.0.2.1\n";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(|d| format!("{d} [{}]", d.code)).collect()
}

fn shown(record: &Record) -> String {
    let Record { owner, rtype, ttl, rdata } = record;
    format!("{owner} {ttl} {rtype} {}", rdata::to_text(*rtype, rdata))
}

/// The records of a file and its diagnostics, both as text.
fn read(text: &str, options: Options<'_>) -> (Vec<String>, Vec<String>) {
    let mut records = Vec::new();
    let outcome = file::read(text.as_bytes(), Options { file: "zone", ..options }, &mut |record, line| {
        records.push(format!("{line}: {}", shown(&record)));
    });
    assert_eq!(outcome.records, records.len() as u64);
    (records, lines(&outcome.diagnostics))
}

#[test]
fn every_error_of_a_file_is_reported_with_its_place() {
    let text = "$ORIGIN example.com.\n\
        $TTL forever\n\
        $FOO bar\n\
        @ 300 SOA ns1 h 1 2 3 4\n\
        a 2147483648 A 192.0.2.1\n\
        b 300 CH A 192.0.2.1\n\
        c 300 A 192.0.2.256\n\
        d..e 300 A 192.0.2.1\n\
        \t300 A 192.0.2.1\n\
        f 300 IN 60 A 192.0.2.1\n\
        g 300 TXT \"open\n\
        h 300 NOTYPE x\n\
        i 300 MX 10 m extra\n\
        j 300 (\n TXT \"x\"\n y.z..\n ) )\n\
        $ORIGIN a b\n\
        $INCLUDE other\n\
        k 300 AXFR\n\
        l 300\n\
        m 300 IN IN A 192.0.2.1\n\
        $GENERATE 5-1 n$ A 192.0.2.$\n\
        $GENERATE 1-300 n$ A 192.0.2.$\n\
        $GENERATE 1-2 n${0,x} A 192.0.2.$\n\
        \"o\" 300 A 192.0.2.1\n\
        p 300 A 192.0.2.1\n";
    let (records, diagnostics) = read(text, Options::default());
    insta::assert_snapshot!(diagnostics.join("\n"), @r#"
        zone:2:6: error: found "forever", expected a TTL in seconds or with units, such as 1h30m [bad-ttl]
        zone:3:1: error: found "$FOO", expected $ORIGIN, $TTL, $INCLUDE or $GENERATE; an owner name that starts with $ is written \$ [unknown-directive]
        zone:4:24: error: found the end of the record, expected seconds up to 4294967295, or numbers with the units w, d, h, m and s [bad-rdata]
        zone:5:3: error: found "2147483648", expected a TTL of at most 2147483647 seconds [bad-ttl]
        zone:6:7: error: found "CH", expected class IN, the only one that is hosted [class]
        zone:7:9: error: found 192.0.2.256, expected an IPv4 address [bad-rdata]
        zone:8:1: error: found "d..e", but the name has an empty label [bad-owner]
        zone:10:10: error: found "60", expected a record type, since there is a TTL already [bad-ttl]
        zone:11:11: error: found a quoted string without its end, expected a closing quote on the same line [quote]
        zone:12:7: error: found "NOTYPE", expected a TTL, the class IN, or a record type such as AAAA or TYPE65280 [unknown-type]
        zone:13:15: error: found extra, expected the end of the record [bad-rdata]
        zone:17:4: error: found a closing parenthesis, expected an opening one before it [parenthesis]
        zone:18:11: error: found "b", expected the end of the line [extra-text]
        zone:19:1: error: found $INCLUDE, which is not allowed here: put the records into this file [include]
        zone:20:7: error: found "AXFR", which is a meta type and never zone data, expected another type [meta-type]
        zone:21:6: error: found the end of the line, expected a record type [unknown-type]
        zone:22:10: error: found "IN", expected a record type, since there is a class already [class]
        zone:23:11: error: found "5-1", expected a range such as 1-254 or 0-100/2, its start not above its stop [generate]
        zone:24:22: error: found "192.0.2.$", which fails for the value 256: found 192.0.2.256, expected an IPv4 address [generate]
        zone:25:15: error: found "n${0,x}", expected $ or a modifier ${offset,width,base} with base d, o, x, X, n or N and a width up to 255 [generate]
        zone:26:1: error: found "o", expected an owner name without quotes [bad-owner]
    "#);
    assert_eq!(records.last().unwrap(), "27: p.example.com. 300 A 192.0.2.1");
    assert_eq!(records.len(), 256);
}

#[test]
fn errors_beyond_the_limit_are_counted() {
    let text = "a. 1 A x\n".repeat(7);
    let (_, diagnostics) = read(&text, Options { errors_max: 2, ..Options::default() });
    assert_eq!(diagnostics.len(), 3);
    assert_eq!(diagnostics[2], "error: 5 more errors not shown [more]");
}

#[test]
fn owners_ttls_and_classes() {
    let text = "$ORIGIN example.\n\
        @ 1h30m IN SOA ns h 1 2 3 4 5\n\
        \tNS ns ; the last owner, the last stated TTL\n\
        ns IN 60 A 192.0.2.1\n\
        \tclass1 61 AAAA 2001:db8::1\n\
        $TTL 1D\n\
        W 7 TXT (\n a ; comment\n \"b ;(\" ) c\n\
        $ORIGIN sub\n\
        \\@ type1 \\# 4 c0 000201\n\
        x\\.y.z. CNAME @\n";
    let (records, diagnostics) = read(text, Options::default());
    assert_eq!(diagnostics, [""; 0]);
    insta::assert_snapshot!(records.join("\n"), @r#"
        2: example. 5400 SOA ns.example. h.example. 1 2 3 4 5
        3: example. 5400 NS ns.example.
        4: ns.example. 60 A 192.0.2.1
        5: ns.example. 61 AAAA 2001:db8::1
        7: w.example. 7 TXT "a" "b ;(" "c"
        11: \@.sub.example. 86400 A 192.0.2.1
        12: x\.y.z. 86400 CNAME sub.example.
    "#);
}

#[test]
fn a_ttl_that_is_nowhere_stated() {
    let (records, diagnostics) = read("e. SOA . . 1 2 3 4 77\ne. NS ns.f.\n", Options::default());
    assert_eq!(records, ["1: e. 77 SOA . . 1 2 3 4 77", "2: e. 77 NS ns.f."]);
    assert_eq!(
        diagnostics,
        ["zone:1: warning: found no TTL, so the SOA's minimum, 77, is taken; state it with $TTL [no-ttl]"]
    );
    let (records, diagnostics) = read("e. NS ns.f.\n", Options::default());
    assert_eq!(records, [""; 0]);
    assert_eq!(
        diagnostics,
        ["zone:1: error: found no TTL for this record, expected one here or a $TTL before it [no-ttl]"]
    );
    let default_ttl = Ttl::new(9);
    let (records, _) = read("e. NS ns.f.\n", Options { default_ttl, ..Options::default() });
    assert_eq!(records, ["1: e. 9 NS ns.f."]);
}

#[test]
fn the_apex_comes_from_the_option_or_the_soa_or_the_origin() {
    let origin = |text: &str, origin: Option<Name>| {
        file::read(text.as_bytes(), Options { origin, ..Options::default() }, &mut |_, _| {}).origin
    };
    let soa = "$ORIGIN .\n$TTL 1\nexample SOA ns h 1 2 3 4 5\n";
    assert_eq!(origin(soa, Some(name("x."))), Some(name("x.")));
    assert_eq!(origin(soa, None), Some(name("example.")));
    assert_eq!(origin("$ORIGIN x.\n$ORIGIN y.\n", None), Some(name("x.")));
    assert_eq!(origin("", None), None);
    // The SOA's owner completes the names behind it, those of its own data included.
    let (records, diagnostics) = read("e. 1 SOA ns h 1 2 3 4 5\nw 1 A 192.0.2.1\n", Options::default());
    assert_eq!(records, ["1: e. 1 SOA ns.e. h.e. 1 2 3 4 5", "2: w.e. 1 A 192.0.2.1"]);
    assert_eq!(diagnostics, [""; 0]);
}

#[test]
fn include_restores_origin_and_owner() {
    let mut load = |path: &[u8]| match path {
        b"a file" => Ok(b"x A 192.0.2.1\n$ORIGIN other.\ny A 192.0.2.2\n$TTL 5\nz Q\n".to_vec()),
        b"loop" => Ok(b"$INCLUDE loop\n".to_vec()),
        _ => Err("there is no such file".to_owned()),
    };
    let text = "$ORIGIN e.\n$TTL 9\nw A 192.0.2.9\n$INCLUDE \"a file\" sub\n  A 192.0.2.3\n$INCLUDE b\n$INCLUDE loop\n";
    let (records, diagnostics) = read(text, Options { include: Some(&mut load), ..Options::default() });
    assert_eq!(
        records,
        ["3: w.e. 9 A 192.0.2.9", "1: x.sub.e. 9 A 192.0.2.1", "3: y.other. 9 A 192.0.2.2", "5: w.e. 5 A 192.0.2.3"]
    );
    insta::assert_snapshot!(diagnostics.join("\n"), @r#"
        a file:5:3: error: found "Q", expected a TTL, the class IN, or a record type such as AAAA or TYPE65280 [unknown-type]
        zone:6:10: error: found "b", but there is no such file [include]
        loop:1:1: error: found $INCLUDE nested more than 10 deep: check whether a file includes itself [include]
    "#);
}

#[test]
fn generate_makes_what_bind_makes() {
    for directive in [
        "$GENERATE 1-3 h$ A 192.0.2.$",
        "$GENERATE 1-3 h$ 60 IN A 192.0.2.$",
        "$GENERATE 1-3 h$ IN A 192.0.2.$",
        "$GENERATE 0-20/5 h${1,3,x} PTR p${-3,2,d}-${0,4,n}-$$-\\$",
        "$GENERATE 1-2 h$ TXT \"hello $ \\\"big world\\\"\"",
        "$GENERATE 1-2 h$ MX \"10 mx$\"",
        "$GENERATE 1-300/100 a${0,5,N} CNAME x${1,3,X}y${0,6,o}",
        "$GENERATE 0-255/15 ${0,3,n}.r PTR host-${0,3}",
        "$GENERATE 2-2 $ CNAME $.${1}.${2,0}",
        "$GENERATE 7-8 @ TXT $",
        "$GENERATE 5-6 *.$ CNAME a\\.b$",
    ] {
        let text = format!("{BASE}{directive}\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zone");
        std::fs::write(&path, &text).unwrap();
        let output = Command::new("named-checkzone")
            .args(["-q", "-D", "-i", "none", "-o", "-", "example.com"])
            .arg(&path)
            .output()
            .expect("named-checkzone is there (bind9-utils)");
        let theirs = String::from_utf8(output.stdout).unwrap();
        assert!(theirs.lines().count() > 3, "{directive}: {}", String::from_utf8_lossy(&output.stderr));
        let ours = load(text.as_bytes(), Options::default());
        assert!(!ours.has_errors(), "{directive}: {:?}", lines(&ours.diagnostics));
        assert_eq!(ours.rrsets, load(theirs.as_bytes(), Options::default()).rrsets, "{directive}");
    }
}

#[test]
fn generate_is_limited() {
    let options = || Options { generate_max: 10, ..Options::default() };
    let (records, diagnostics) = read(&format!("{BASE}$GENERATE 1-8 h$ A 192.0.2.1\n"), options());
    assert_eq!((records.len(), diagnostics.len()), (11, 0));
    let text = format!("{BASE}$GENERATE 1-8 h$ A 192.0.2.1\n$GENERATE 1-3 i$ A 192.0.2.1\n");
    let (records, diagnostics) = read(&text, options());
    assert_eq!(records.len(), 11);
    assert_eq!(
        diagnostics,
        ["zone:7:11: error: found a range of 3, expected at most 2 more records made by $GENERATE [generate-limit]"]
    );
    let long = format!("{BASE}$GENERATE 1-2 h$ TXT \"{}\"\n", "${0,255} ".repeat(9));
    assert_eq!(read(&long, options()).1.len(), 1);
}

#[test]
fn repeated_records_and_ttls_name_both_lines() {
    let text = format!("{BASE}w 10 A 192.0.2.2\nx 1 TXT a\nw 20 A 192.0.2.1\nw 10 A 192.0.2.2\n");
    let loaded = load(text.as_bytes(), Options { file: "zone", ..Options::default() });
    insta::assert_snapshot!(lines(&loaded.diagnostics).join("\n"), @r#"
        zone:8: warning: found TTL 20 in the A RRset of w.example.com., expected 10 as in line 6, which is taken [ttl-differs]
        zone:9: warning: found the A record of w.example.com. again, first in line 6: remove one of them [duplicate-record]
    "#);
    let rrset = loaded.rrsets.iter().find(|rrset| rrset.owner == name("w.example.com.")).unwrap();
    assert_eq!((rrset.ttl.as_secs(), rrset.rdatas.len()), (10, 2));
}

#[test]
fn records_of_one_rrset_on_both_sides_of_a_foreign_name() {
    let text = format!("{BASE}elsewhere.org. A 192.0.2.9\n@ NS b\norg. A 192.0.2.9\n@ NS a\n");
    let loaded = load(text.as_bytes(), Options::default());
    let of_apex = loaded.rrsets.iter().filter(|rrset| rrset.owner == name("example.com."));
    assert_eq!(of_apex.map(|rrset| rrset.rdatas.len()).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn a_file_that_is_no_zone() {
    for (text, codes) in [
        ("", vec!["no-soa"]),
        ("a. 1 A 192.0.2.1\n", vec!["no-soa"]),
        ("\0\0\0", vec!["bad-owner"]),
        ("\u{feff}; only a comment\n", vec!["no-soa"]),
    ] {
        let loaded = load(text.as_bytes(), Options::default());
        assert_eq!(loaded.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), codes, "{text:?}");
        assert!(loaded.has_errors() && loaded.rrsets.is_empty());
    }
}

fn data(file: &str) -> String {
    format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR"))
}

/// What a tool prints, taken raw.
fn output_of(tool: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(tool).args(arguments).output().unwrap_or_else(|error| panic!("{tool}: {error}"));
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Checks that the export of `loaded` reads back as the same, octet for octet, from RRsets and from a snapshot.
fn check_round_trip(loaded: Loaded) {
    let apex = loaded.apex.unwrap();
    let mut first = String::new();
    write_rrsets(&apex, &loaded.rrsets, &mut first).unwrap();
    let again = load(first.as_bytes(), Options::default());
    assert_eq!(again.apex.as_ref(), Some(&apex));
    assert!(first.starts_with(&format!("$ORIGIN {apex}\n")));
    assert_eq!(again.rrsets, loaded.rrsets);
    let mut second = String::new();
    write_rrsets(&apex, &again.rrsets, &mut second).unwrap();
    assert_eq!(first, second);
    let mut third = String::new();
    write_snapshot(&Zone::build(&apex, Revision(1), again.rrsets).unwrap(), &mut third).unwrap();
    assert_eq!(first, third);
}

#[test]
fn the_root_zone_comes_back_as_it_is() {
    // The copy was taken without its SOA record.
    let mut text =
        b". 86400 IN SOA a.root-servers.net. nstld.verisign-grs.com. 2020010100 1800 900 604800 86400\n".to_vec();
    text.extend(output_of("xz", &["-dc", &data("root-zone-2020.xz")]));
    let loaded = load(&text, Options::default());
    assert_eq!(lines(&loaded.diagnostics), [""; 0]);
    assert_eq!(loaded.rrsets.iter().map(|rrset| rrset.rdatas.len()).sum::<usize>(), 17_187);
    check_round_trip(loaded);
}

#[test]
fn zone_files_of_dnspython_and_ldns() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    for archive in ["dnspython.tar.xz", "ldns.tar.xz"] {
        output_of("tar", &["-xJf", &data(archive), "-C", folder]);
    }
    let ldns = |file: &str| format!("test/{file}");
    for (path, origin, errors) in [
        ("tests/example".to_owned(), None, vec![]),
        ("tests/example1.good".to_owned(), Some("example."), vec![]),
        ("tests/example2.good".to_owned(), None, vec![]),
        ("tests/example3.good".to_owned(), Some("example."), vec![]),
        ("tests/example4.good".to_owned(), None, vec![]),
        // Ports of WKS are numbers here, and an A record is never empty.
        (
            ldns("08-zonereader.tpkg/08-zonereader.inputzone"),
            None,
            vec!["3842: bad-rdata", "3866: bad-rdata", "3882: bad-rdata"],
        ),
        (
            ldns("08-zonereader.tpkg/08-zonereader.outputzone"),
            None,
            vec!["3842: bad-rdata", "3866: bad-rdata", "3882: bad-rdata"],
        ),
        // The second www, in line 22, has an address beside the CNAME.
        (ldns("14-read-zone.tpkg/14-read-zone.db"), Some("miek.nl."), vec!["17: cname-and-other-data"]),
        (ldns("20-sign-zone.tpkg/jelte.nlnetlabs.nl"), None, vec![]),
        (ldns("25-ZONEMD.tpkg/A.1.Simple-EXAMPLE-Zone"), None, vec![]),
        (ldns("25-ZONEMD.tpkg/A.2.Complex-EXAMPLE-Zone"), None, vec![]),
        // A private scheme there has 20 octets for SHA-384, which BIND refuses too.
        (ldns("25-ZONEMD.tpkg/A.3.EXAMPLE-Zone-with-multiple-digests"), None, vec!["25: bad-rdata"]),
        (ldns("25-ZONEMD.tpkg/A.4.The-URI.ARPA-Zone"), None, vec![]),
        (ldns("25-ZONEMD.tpkg/A.5.The-ROOT-SERVERS.NET-Zone"), None, vec![]),
        // One record, and no zone.
        (ldns("26-loc-centimetre.tpkg/26-loc-centimetre.db"), Some("e."), vec!["0: no-soa", "0: no-ns"]),
        (ldns("27-tab-between-cstrings.tpkg/27-tab-between-cstrings.db"), Some("e."), vec!["0: no-soa", "0: no-ns"]),
        (ldns("28-tab-instead-of-space.tpkg/28-tab-instead-of-space.db"), Some("com."), vec!["0: no-soa", "0: no-ns"]),
        (ldns("29-generic-rdata-tab.tpkg/29-generic-rdata-tab.db"), None, vec!["1: class"]),
    ] {
        let text = std::fs::read(find(folder, &path)).unwrap();
        let loaded = load(&text, Options { origin: origin.map(name), ..Options::default() });
        let found: Vec<String> = (loaded.diagnostics.iter())
            .filter(|d| d.severity == file::Severity::Error)
            .map(|d| format!("{}: {}", d.position.as_ref().map_or(0, |p| p.line), d.code))
            .collect();
        assert_eq!(found, errors, "{path}: {:?}", lines(&loaded.diagnostics));
        if loaded.apex.is_some() {
            check_round_trip(loaded);
        }
    }
}

fn find(folder: &str, path: &str) -> std::path::PathBuf {
    let direct = std::path::Path::new(folder).join(path);
    if direct.exists() {
        return direct;
    }
    let inside = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join(path));
    inside.into_iter().find(|path| path.exists()).unwrap_or(direct)
}

/// Pieces that zone files are made of, so that random text gets past the first token.
fn piece() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "\n",
        " ",
        "\t",
        "(",
        ")",
        "\"",
        ";",
        "\\",
        "@",
        "$",
        "$ORIGIN",
        "$TTL",
        "$INCLUDE",
        "$GENERATE",
        "1-9",
        "1-9/2",
        "${0,4,n}",
        "${",
        "}",
        "IN",
        "CH",
        "300",
        "1h",
        "99999999999",
        "A",
        "AAAA",
        "TXT",
        "SOA",
        "MX",
        "NS",
        "RRSIG",
        "DS",
        "\\#",
        "4",
        "c0000201",
        "192.0.2.1",
        "::1",
        "a",
        "b.a",
        "example.",
        "..",
        "\\000",
        "\\256",
        "=",
        "SVCB",
        "alpn=",
        "=\"",
        "NSEC3PARAM",
        "CNAME",
        "DNAME",
        "*",
    ]);
    prop_oneof![8 => known.prop_map(str::to_owned), 1 => "\\PC{0,3}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_text_makes_the_reader_fail(pieces in prop::collection::vec(piece(), 0..60), spaces in any::<bool>()) {
        let text = pieces.join(if spaces { " " } else { "" });
        let mut include = |_: &[u8]| Ok(text.clone().into_bytes());
        let origin = Some(name("example."));
        let loaded = load(text.as_bytes(), Options { origin, include: Some(&mut include), ..Options::default() });
        for place in loaded.diagnostics.iter().filter_map(|d| d.position.as_ref()) {
            let line = text.split('\n').nth(place.line as usize - 1).unwrap_or("");
            prop_assert!(place.column as usize <= line.len() + 1, "{:?}", place);
        }
        check_round_trip_of_records(loaded)?;
    }

    #[test]
    fn no_octets_make_the_reader_fail(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        load(&octets, Options { origin: Some(Name::root()), ..Options::default() });
    }
}

/// What was read is read again from its export, whether or not it makes a zone.
fn check_round_trip_of_records(loaded: Loaded) -> Result<(), TestCaseError> {
    let Some(apex) = loaded.apex else { return Ok(()) };
    let mut text = String::new();
    write_rrsets(&apex, &loaded.rrsets, &mut text).unwrap();
    let again = load(text.as_bytes(), Options { origin: Some(apex), ..Options::default() });
    prop_assert_eq!(again.rrsets, loaded.rrsets, "{}", text);
    Ok(())
}
