//! Rate limits, from the bytes of a query to those of its response. None of the ways that a query can go allocates.

use std::sync::Arc;

use rokko_answer::{
    Answerer, Client, CookieSecrets, Counters, Prefix, RateClass, RateLimits, RateTable, Settings, Transport,
};
use rokko_zone::{Catalog, CatalogReader};

use crate::exchange::{Query, show};
use crate::zonefile::zone;

const ZONE: &str = "\
@ 3600 SOA ns hostmaster 1 7200 3600 1209600 300
@ 3600 NS ns
ns 60 A 192.0.2.1
sub 60 NS ns.sub
ns.sub 60 A 192.0.2.2
";
const NOW_MS: u64 = 1_559_731_985_000;
const COOKIE: &str = "+cookie=2464c4abcf10c957";

struct Server {
    catalog: CatalogReader,
    answerer: Answerer,
}

impl Server {
    fn new(rate: RateLimits) -> Self {
        let catalog = Catalog::new(3);
        let zone = zone(ZONE, "example.");
        catalog.publish([("example.".parse().unwrap(), Some(zone))]);
        let settings = Settings { rate, nsid: b"node".to_vec(), ..Settings::default() };
        let table = Arc::new(RateTable::new(0, [1, 2]));
        let answerer = Answerer::new(settings, CookieSecrets::default()).with_rate_table(table);
        Self { catalog: CatalogReader::new(Arc::new(catalog)), answerer }
    }

    fn ask_from(&mut self, client: &str, query: &str) -> Vec<String> {
        let query = Query::parse(query);
        let client = Client { addr: client.parse().unwrap(), transport: query.transport, now_ms: NOW_MS };
        let mut out = vec![0; 65_535];
        let mut len = 0;
        let allocated = allocation_counter::measure(|| {
            len = self.answerer.answer(&self.catalog, &query.octets, &client, &mut out);
        });
        assert_eq!(allocated.count_total, 0, "allocations on the way of a query");
        out.truncate(len);
        if len == 0 { vec!["DROP".to_owned()] } else { show(&query.octets, out) }
    }

    fn ask(&mut self, query: &str) -> Vec<String> {
        self.ask_from("198.51.100.100", query)
    }

    fn counters(&self) -> &Counters {
        self.answerer.counters()
    }
}

/// No limits.
fn unlimited() -> RateLimits {
    let none =
        RateLimits { all: 0, answers: 0, nodata: 0, nxdomain: 0, referrals: 0, errors: 0, ..RateLimits::default() };
    RateLimits { exempt: Vec::new(), ..none }
}

#[test]
fn each_kind_of_response_has_its_limit() {
    let limits = RateLimits { slip: 0, ..unlimited() };
    for (limits, class, first, over, other) in [
        (RateLimits { answers: 1, ..limits.clone() }, RateClass::Answer, "ns.example A", "NS.Example A", "example NS"),
        (
            RateLimits { nodata: 1, ..limits.clone() },
            RateClass::NoData,
            "ns.example TXT",
            "ns.example MX",
            "example TXT",
        ),
        (
            RateLimits { nxdomain: 1, ..limits.clone() },
            RateClass::NxDomain,
            "a.example A",
            "b.c.example A",
            "ns.example A",
        ),
        (
            RateLimits { referrals: 1, ..limits.clone() },
            RateClass::Referral,
            "a.sub.example A",
            "sub.example A",
            "a.example A",
        ),
        (RateLimits { errors: 1, ..limits.clone() }, RateClass::Error, "a.test A", "b.invalid A", "ns.example A"),
        (RateLimits { all: 1, ..limits.clone() }, RateClass::All, "ns.example A", "a.example A", "ns.example A +tcp"),
    ] {
        let mut server = Server::new(limits);
        assert_ne!(server.ask(first), ["DROP"], "{class:?}");
        assert_eq!(server.ask(over), ["DROP"], "{class:?}");
        assert_ne!(server.ask(other), ["DROP"], "{class:?}");
        assert_ne!(server.ask(&format!("{over} +tcp")), ["DROP"], "{class:?}");
        assert_ne!(server.ask_from("198.51.101.100", over), ["DROP"], "{class:?}");
        let counters = server.counters();
        assert_eq!(
            (counters.rate_limited[class as usize], counters.rate_limited.iter().sum()),
            (1, 1_u64),
            "{class:?}"
        );
        assert_eq!((counters.dropped_rate, counters.by_rcode.iter().sum()), (1, 4_u64), "{class:?}");
    }
}

#[test]
fn a_slip_sends_a_true_client_to_tcp_and_is_small() {
    for limits in [RateLimits { all: 1, ..unlimited() }, RateLimits { answers: 1, ..unlimited() }] {
        let mut server = Server::new(RateLimits { slip: 1, ..limits });
        server.ask("ns.example A");
        assert_eq!(server.ask("ns.example A"), ["NOERROR tc"]);
        assert_eq!(server.ask("ns.example A +do +nsid"), ["NOERROR tc", "opt 1232 do"]);
        assert!(server.ask("ns.example A +tcp").contains(&"an ns.example. 60 IN A 192.0.2.1".to_owned()));
        assert_eq!((server.counters().rate_slips, server.counters().truncated), (2, 2));
    }
}

#[test]
fn a_client_with_cookies_gets_badcookie_and_comes_back_with_its_cookie() {
    for limits in [RateLimits { all: 1, ..unlimited() }, RateLimits { answers: 1, ..unlimited() }] {
        let mut server = Server::new(RateLimits { slip: 1, ..limits });
        server.ask("ns.example A");
        let told = server.ask(&format!("ns.example A {COOKIE} +nsid"));
        assert_eq!(told.len(), 2, "{told:?}");
        let cookie = told[1].strip_prefix("opt 1232 cookie=").unwrap();
        assert_eq!((told[0].as_str(), &cookie[..16], cookie.len()), ("BADCOOKIE", &COOKIE[8..], 48));
        let forged = format!("{}{}", &cookie[..40], "00000000");
        assert_eq!(server.ask(&format!("ns.example A +cookie={forged}"))[0], "BADCOOKIE");
        for _ in 0..10 {
            assert_eq!(server.ask(&format!("ns.example A +cookie={cookie}"))[0], "NOERROR aa");
        }
        assert_eq!((server.counters().rate_badcookies, server.counters().by_rcode[23]), (2, 2));
    }
}

#[test]
fn the_exempt_and_those_without_a_table_have_no_limit() {
    let limits = RateLimits { all: 1, answers: 1, ..unlimited() };
    let exempt = vec![Prefix::new("198.51.100.0".parse().unwrap(), 24)];
    let mut server = Server::new(RateLimits { exempt, ..limits.clone() });
    let mut without = Server::new(limits.clone());
    without.answerer = Answerer::new(Settings { rate: limits, ..Settings::default() }, CookieSecrets::default());
    for _ in 0..10 {
        assert_eq!(server.ask("ns.example A")[0], "NOERROR aa");
        assert_eq!(without.ask("ns.example A")[0], "NOERROR aa");
    }
}

#[test]
fn what_is_not_a_query_is_dropped_by_reason() {
    let mut server = Server::new(unlimited());
    let client = Client { addr: "192.0.2.1".parse().unwrap(), transport: Transport::Udp, now_ms: NOW_MS };
    let mut out = [0; 512];
    for message in [&[][..], &[0; 11], &[0x12, 0x34, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]] {
        assert_eq!(server.answerer.answer(&server.catalog, message, &client, &mut out), 0);
    }
    assert_eq!((server.counters().dropped_short, server.counters().dropped_responses), (2, 1));
}

#[test]
fn the_case_of_letters_makes_no_other_name() {
    let mut server =
        Server::new(RateLimits { all: 0, answers: 1, slip: 0, exempt: Vec::new(), ..RateLimits::default() });
    assert_ne!(server.ask("ns.example. A"), ["DROP"]);
    assert_eq!(server.ask("nS.exAmple. A"), ["DROP"]);
    assert_ne!(server.ask("ns.example. AAAA"), ["DROP"], "a name's answers and its NODATA are counted apart");
    assert_ne!(server.ask("example. SOA"), ["DROP"]);
}

#[test]
fn what_is_asked_for_ahead_changes_no_answer() {
    let limits = RateLimits { answers: 2, slip: 0, exempt: Vec::new(), ..RateLimits::default() };
    let (mut server, mut plain) = (Server::new(limits.clone()), Server::new(limits));
    let queries = [
        "ns.example. A",
        "www.sub.example. A",
        "NO.example. A",
        "elsewhere.test. A",
        "example. DS",
        "id.server. TXT CH",
        "example. SOA +opcode=4",
        "ns.example. A +do +nsid +cookie=2464c4abcf10c957",
    ];
    let queries: Vec<_> = queries.iter().map(|text| Query::parse(text).octets).collect();
    // Some are no queries, and more come than are looked at together.
    let broken = [&[][..], b"no message", b"\0\0\0\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01"];
    let octets: Vec<&[u8]> = queries.iter().map(Vec::as_slice).chain(broken).cycle().take(50).collect();
    let addr = "198.51.100.100".parse().unwrap();
    let client = Client { addr, transport: Transport::Udp, now_ms: NOW_MS };
    let (mut out, mut expected) = ([0; 4096], [0; 4096]);
    let mut ahead = 0;
    let allocated = allocation_counter::measure(|| {
        ahead = server.answerer.look_ahead(&server.catalog, octets.iter().map(|octets| (*octets, addr)));
    });
    assert_eq!((allocated.count_total, ahead), (0, Answerer::AHEAD_MAX));
    for (index, query) in octets.iter().enumerate() {
        let len = server.answerer.answer_ahead(index, &server.catalog, query, &client, &mut out);
        let expected_len = plain.answerer.answer(&plain.catalog, query, &client, &mut expected);
        assert_eq!(out[..len], expected[..expected_len], "{index}");
    }
    assert!(server.counters().dropped_rate > 0, "limits are taken from once");
    assert_eq!(server.counters(), plain.counters());
}
