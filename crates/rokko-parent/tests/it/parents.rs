//! Whole looks at parents.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rokko_dnssec::life::DsSet;
use rokko_parent::{FindError, Looker, Settings, Timing, look};
use rokko_wire::Name;

use crate::knot::Knot;
use crate::rogue::Rogue;

const QUICK: Timing = Timing { timeout: Duration::from_millis(200), attempts: 2 };
const PATIENT: Timing = Timing { timeout: Duration::from_secs(5), attempts: 3 };
const DS: &str = "12345 13 2 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn parent_zone(records: &str) -> String {
    format!(
        "$ORIGIN parent.\n$TTL 3600\n@ SOA ns admin 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n\
         child NS ns.elsewhere.\nbare NS ns.elsewhere.\n{records}"
    )
}

fn ds() -> Box<[u8]> {
    let digest = 0..32;
    [0x30, 0x39, 13, 2].into_iter().chain(digest).collect()
}

#[test]
fn the_parent_is_found_and_asked() {
    let knot = Knot::start(Ipv4Addr::LOCALHOST, &[("parent.", &parent_zone(&format!("child 7200 DS {DS}\n")))]);
    let settings = Settings {
        resolvers: vec![knot.address],
        server_port: knot.address.port(),
        timing: PATIENT,
        ..Settings::default()
    };
    let looker = Looker::new(settings);
    let expected = [
        ("child.parent", DsSet { rdatas: vec![ds()], ttl_s: 7_200 }),
        ("bare.parent", DsSet::default()),
        ("absent.parent", DsSet::default()),
        ("deep.below.parent", DsSet::default()),
    ];
    for (zone, ds) in expected {
        let view = looker.look(&name(zone)).unwrap();
        assert_eq!(view.servers.len(), 1, "{zone}");
        assert_eq!(view.servers[0].server, knot.address);
        assert_eq!(view.servers[0].answer, Ok(ds), "{zone}");
        assert!(view.is_complete() && view.at > 1_700_000_000);
    }
    drop(knot);
    assert_eq!(looker.servers(&name("child.parent")).unwrap().len(), 1, "who serves the parent is remembered");
}

#[test]
fn a_large_rrset_comes_over_tcp() {
    let many: Vec<String> = (0..40).map(|i| format!("child DS {i} 13 2 {}\n", "ab".repeat(32))).collect();
    let knot = Knot::start(Ipv4Addr::LOCALHOST, &[("parent.", &parent_zone(&many.concat()))]);
    let view = look(&name("child.parent"), &[knot.address], PATIENT);
    assert_eq!(view.servers[0].answer.as_ref().unwrap().rdatas.len(), 40);
}

#[test]
fn servers_that_differ_or_do_not_answer_are_shown_one_by_one() {
    let with = Knot::start(Ipv4Addr::LOCALHOST, &[("parent.", &parent_zone(&format!("child DS {DS}\n")))]);
    let without = Knot::start(Ipv4Addr::LOCALHOST, &[("parent.", &parent_zone(""))]);
    let child = "$ORIGIN child.parent.\n$TTL 3600\n@ SOA ns admin 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n";
    let child = Knot::start(Ipv4Addr::LOCALHOST, &[("child.parent.", child)]);
    let stranger = Knot::start(Ipv4Addr::LOCALHOST, &[("stranger.", &parent_zone("").replace("parent", "stranger"))]);
    let silent = Rogue::start(|_| Vec::new());
    let servers = [with.address, without.address, child.address, stranger.address, silent.address];
    // The one that is silent decides how long it takes; the others have time enough.
    let view = look(&name("child.parent"), &servers, Timing { timeout: Duration::from_secs(2), attempts: 2 });
    let answers: Vec<_> = view.servers.into_iter().map(|server| server.answer).collect();
    assert_eq!(answers[0], Ok(DsSet { rdatas: vec![ds()], ttl_s: 3_600 }));
    assert_eq!(answers[1], Ok(DsSet::default()));
    assert_eq!(answers[2], Err("answered from the zone itself, and not from its parent".to_owned()));
    assert_eq!(answers[3], Err("answered with RCODE 5".to_owned()));
    assert_eq!(answers[4], Err("no response in time".to_owned()));
}

#[test]
fn forged_and_malformed_datagrams_are_passed_over() {
    let rogue = Rogue::start(|query| {
        let mut right = query.to_vec();
        right[2] |= 0x84;
        let mut other_id = right.clone();
        other_id[0] ^= 1;
        let mut other_name = right.clone();
        other_name[13] ^= 1;
        vec![Vec::new(), vec![0; 11], other_id, other_name, query.to_vec(), right[..20].to_vec(), right]
    });
    let view = look(&name("child.parent"), &[rogue.address], PATIENT);
    assert_eq!(view.servers[0].answer, Ok(DsSet::default()));
}

#[test]
fn answers_that_prove_nothing_are_none() {
    let answer = |flags: u8, rcode: u8| {
        let rogue = Rogue::start(move |query| {
            let mut response = query.to_vec();
            (response[2], response[3]) = (0x80 | flags, rcode);
            vec![response]
        });
        look(&name("child.parent"), &[rogue.address], PATIENT).servers[0].answer.clone()
    };
    assert_eq!(answer(4, 0), Ok(DsSet::default()));
    assert_eq!(answer(4, 3), Ok(DsSet::default()));
    assert_eq!(answer(0, 0), Err("not responsible for the parent zone".to_owned()));
    assert_eq!(answer(4, 2), Err("answered with RCODE 2".to_owned()));
    assert!(answer(6, 0).is_err(), "truncated, and nobody listens on TCP");
}

#[test]
fn without_a_way_to_find_out_it_says_so() {
    let silent = Rogue::start(|_| Vec::new());
    let looker = |resolvers: Vec<SocketAddr>| Looker::new(Settings { resolvers, timing: QUICK, ..Settings::default() });
    assert_eq!(looker(Vec::new()).look(&name("child.parent")), Err(FindError::NoResolver));
    assert_eq!(looker(vec![silent.address]).look(&Name::root()), Err(FindError::Root));
    let error = looker(vec![silent.address]).look(&name("child.parent")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("no resolver said who serves parent.: {}: no response in time", silent.address)
    );
}

#[test]
fn servers_that_are_set_are_asked_without_a_resolver() {
    let knot = Knot::start(Ipv4Addr::LOCALHOST, &[("parent.", &parent_zone(&format!("child DS {DS}\n")))]);
    let parents = [(name("parent"), vec![knot.address])].into();
    let looker = Looker::new(Settings { resolvers: Vec::new(), parents, timing: PATIENT, ..Settings::default() });
    assert_eq!(looker.look(&name("child.parent")).unwrap().servers[0].answer.as_ref().unwrap().rdatas, [ds()]);
    assert_eq!(looker.look(&name("child.other")), Err(FindError::NoResolver));
}
