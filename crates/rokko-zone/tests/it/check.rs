//! Semantic checks: verdicts beside those of other servers' tools, warnings, and the check of a change.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Command;

use proptest::prelude::*;
use rokko_wire::{Name, Rtype};
use rokko_zone::check::{SortedRrsets, check_touched, check_zone};
use rokko_zone::file::{Options, Severity, load};
use rokko_zone::{Revision, Rrset, Ttl, Zone};

const BASE: &str = "$ORIGIN example.com.\n$TTL 300\n@ SOA ns1 h 1 2 3 4 300\n@ NS ns1\nns1 A 192.0.2.1\n";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The codes of errors and warnings of a zone, each with its severity's first letter.
fn codes(text: &str) -> Vec<String> {
    let loaded = load(text.as_bytes(), Options { origin: Some(name("example.com.")), ..Options::default() });
    let letter = |severity| if severity == Severity::Error { 'E' } else { 'W' };
    loaded.diagnostics.iter().map(|d| format!("{}:{}", letter(d.severity), d.code)).collect()
}

struct Case {
    title: String,
    rokko: String,
    bind: bool,
    knot: bool,
    reason: bool,
    zone: String,
}

fn cases() -> Vec<Case> {
    let text = include_str!("../data/verdicts.txt");
    let blocks = text.split("\n== ").skip(1);
    blocks
        .map(|block| {
            let (head, body) = block.split_once('\n').unwrap_or((block, ""));
            let (head, reason) = head.split_once(';').unwrap_or((head, ""));
            let words: Vec<&str> = head.split([' ', ',', ':']).filter(|word| !word.is_empty()).collect();
            assert!(["rokko", "bind", "knot"].into_iter().eq([words[1], words[3], words[5]]), "{head}");
            let whole = words.get(7) == Some(&"whole");
            Case {
                title: words[0].to_owned(),
                rokko: words[2].to_owned(),
                bind: words[4] == "error",
                knot: words[6] == "error",
                reason: !reason.trim().is_empty(),
                zone: format!("{}{body}\n", if whole { "" } else { BASE }),
            }
        })
        .collect()
}

/// Whether a tool refuses the zone file.
fn refuses(tool: &str, arguments: &[&str]) -> bool {
    let output = Command::new(tool).args(arguments).output();
    !output.unwrap_or_else(|error| panic!("{tool} (bind9-utils, knot-dnssecutils): {error}")).status.success()
}

#[test]
fn verdicts_beside_those_of_bind_and_knot() {
    let cases = cases();
    assert!(cases.len() > 60);
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let path = folder.path().join(&case.title);
        std::fs::File::create(&path).unwrap().write_all(case.zone.as_bytes()).unwrap();
        let path = path.to_str().unwrap();
        let bind = refuses("named-checkzone", &["example.com", path]);
        let knot = refuses("kzonecheck", &["-o", "example.com", path]);
        let error = codes(&case.zone).into_iter().find_map(|code| code.strip_prefix("E:").map(str::to_owned));
        let rokko = error.unwrap_or("ok".to_owned());
        if (bind, knot) != (case.bind, case.knot) || rokko != case.rokko {
            wrong.push(format!("{}: rokko {rokko}, bind {bind}, knot {knot}", case.title));
        }
        let refused = rokko != "ok";
        if ((bind, knot) == (refused, refused)) == case.reason {
            wrong.push(format!("{}: a reason is there if and only if one differs", case.title));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn warnings_do_not_refuse() {
    for (more, code) in [
        ("w 100 A 192.0.2.1\nw 200 A 192.0.2.2\n", "W:ttl-differs"),
        ("w A 192.0.2.1\nw A 192.0.2.1\n", "W:duplicate-record"),
        ("w MX 1 NS1\nw MX 1 ns1\n", "W:duplicate-record"),
        ("www.example.org. A 192.0.2.1\n", "W:out-of-zone"),
        ("w NS ns.w\n", "W:missing-glue"),
        ("w NS nowhere\n", "W:ns-without-address"),
        ("d NS w\nw CNAME ns1\n", "W:ns-is-cname"),
        ("@ MX 1 w\nw CNAME ns1\n", "W:target-is-cname"),
        ("@ MX 1 *.w\n*.w CNAME ns1\n", "W:target-is-cname"),
        ("_s._tcp SRV 1 1 1 w\n", "W:target-without-address"),
        ("www.example.com A 192.0.2.1\n", "W:apex-twice"),
        ("w CNAME www.example.com\n", "W:apex-twice"),
        ("w NS ns1\nx.w TXT hidden\n", "W:occluded"),
        ("w NS ns1\nw TXT hidden\n", "W:occluded"),
        ("*.w NS ns1\n", "W:ns-at-wildcard"),
        ("w DS 1 8 1 0000000000000000000000000000000000000000\n", "W:ds-without-ns"),
        ("@ DS 1 8 1 0000000000000000000000000000000000000000\n", "W:ds-at-apex"),
        ("w DNAME a.example.net.\nw NS ns1\n", "W:dname-and-ns"),
        ("@ NSEC3PARAM 1 0 1 -\n", "W:nsec3-iterations"),
        ("w RRSIG A 8 3 300 20300101000000 20200101000000 1 example.com. AAAA\n", "W:rrsig-without-set"),
        ("ns1 60 RRSIG A 8 3 300 20300101000000 20200101000000 1 example.com. AAAA\n", "W:rrsig-ttl-differs"),
    ] {
        assert_eq!(codes(&format!("{BASE}{more}")), [code], "{more}");
    }
}

#[test]
fn what_is_in_order_gives_no_finding() {
    for more in [
        "",
        "@ MX 0 .\n_s._tcp SRV 0 0 0 .\n",
        "@ MX 1 m.w\n*.w A 192.0.2.1\n",
        "d NS ns.d\nns.d A 192.0.2.1\nd DS 1 8 1 0000000000000000000000000000000000000000\n",
        "d NS ns.other.example.net.\n",
        "w DNAME a.example.net.\nw A 192.0.2.1\n",
        "d NS ns1.e\ne NS ns1.e\nns1.e A 192.0.2.1\n@ MX 1 m.e\n",
        "xexample.com A 192.0.2.1\n",
    ] {
        let text = format!("{BASE}{more}");
        let found: Vec<String> = codes(&text).into_iter().filter(|code| code != "W:apex-twice").collect();
        assert_eq!(found, [""; 0], "{more}");
    }
    assert_eq!(codes(&format!("{BASE}xexample.com A 192.0.2.1\n")), [""; 0]);
}

#[test]
fn names_below_a_dname_may_hold_nsec3() {
    let zone = "$ORIGIN example.com.\n$TTL 300\n@ SOA ns.example.net. h 1 2 3 4 300\n@ NS ns.example.net.\n\
        @ DNAME example.org.\n@ NSEC3PARAM 1 0 0 -\n\
        abcdefghijklmnopqrstuv0123456789 NSEC3 1 0 0 - abcdefghijklmnopqrstuv0123456789 SOA NS DNAME\n";
    assert_eq!(codes(zone), [""; 0]);
    let loaded = load(zone.as_bytes(), Options::default());
    let apex = name("example.com.");
    assert_eq!(check_touched(&apex, &SortedRrsets(&loaded.rrsets), [&apex]), []);
    let snapshot = Zone::build(&apex, Revision(1), loaded.rrsets).unwrap();
    assert_eq!(check_touched(&apex, &snapshot, [&apex]), []);
    assert_eq!(check_zone(&apex, &snapshot), []);
}

/// RRsets at few names with few values, so that they meet.
fn rrset() -> impl Strategy<Value = Rrset> {
    let owners = prop::sample::select(vec!["", "a.", "b.a.", "c.b.a.", "*.a.", "ns1.", "d."]);
    let hosts = prop::sample::select(vec!["ns1.", "a.", "b.a.", "x.a.", "c.b.a.", "q."]);
    let types = prop::sample::select(vec![Rtype::A, Rtype::NS, Rtype::CNAME, Rtype::DNAME, Rtype::SOA, Rtype::TXT]);
    (owners, types, prop::collection::btree_set(hosts, 1..3)).prop_map(|(owner, rtype, hosts)| {
        let rdata = |host: &&str| -> Box<[u8]> {
            match rtype {
                Rtype::A => Box::from([192, 0, 2, u8::try_from(host.len()).unwrap()]),
                Rtype::TXT => Box::from([1, host.as_bytes()[0]]),
                Rtype::SOA => [name("example.").as_bytes(), &[0; 21]].concat().into(),
                _ => name(&format!("{host}example.")).as_bytes().into(),
            }
        };
        let rdatas: BTreeSet<Box<[u8]>> = hosts.iter().map(rdata).collect();
        let ttl = Ttl::new(300).unwrap();
        Rrset { owner: name(&format!("{owner}example.")), rtype, ttl, rdatas: rdatas.into_iter().collect() }
    })
}

fn sorted(rrsets: impl IntoIterator<Item = Rrset>) -> Vec<Rrset> {
    let unique: std::collections::BTreeMap<(Name, Rtype), Rrset> =
        rrsets.into_iter().map(|rrset| ((rrset.owner.clone(), rrset.rtype), rrset)).collect();
    unique.into_values().collect()
}

fn has_error(findings: &[rokko_zone::check::Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A change to a zone without errors is refused by the check of the change exactly if the whole zone would be.
    #[test]
    fn a_change_is_judged_as_the_whole_zone(
        before in prop::collection::vec(rrset(), 0..8),
        added in prop::collection::vec(rrset(), 0..3),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let apex = name("example.");
        let text = "example. 300 SOA ns1 h 1 2 3 4 5\nexample. 300 NS ns1.example.\nns1.example. 300 A 192.0.2.1\n";
        let base = load(text.as_bytes(), Options { origin: Some(apex.clone()), ..Options::default() }).rrsets;
        let mut zone = base;
        for rrset in before {
            let next = sorted(zone.iter().cloned().chain([rrset]));
            if !has_error(&check_zone(&apex, &SortedRrsets(&next))) {
                zone = next;
            }
        }
        let mut touched = Vec::new();
        for index in removed {
            if !zone.is_empty() {
                touched.push(zone.remove(index.index(zone.len())).owner);
            }
        }
        touched.extend(added.iter().map(|rrset| rrset.owner.clone()));
        let zone = sorted(zone.into_iter().chain(added));
        let whole = check_zone(&apex, &SortedRrsets(&zone));
        let part = check_touched(&apex, &SortedRrsets(&zone), &touched);
        prop_assert_eq!(has_error(&part), has_error(&whole), "{:?}\n{:?}\n{:?}", zone, part, whole);

        let snapshot = Zone::build(&apex, Revision(1), zone).unwrap();
        prop_assert_eq!(check_zone(&apex, &snapshot), whole);
        prop_assert_eq!(check_touched(&apex, &snapshot, &touched), part);
    }
}
