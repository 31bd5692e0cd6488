//! Answers one kind of query many times, for counting the instructions of an answer.
//!
//! `one_kind list` prints the kinds, `one_kind KIND N` answers N queries of a kind. What an answer costs is the difference
//! between runs with different N, divided by the difference of N: making the zones is in both. `cargo xtask bench counts`
//! does that under valgrind.

#![expect(clippy::print_stdout, reason = "this program reports to whoever started it")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rokko_answer::{Answerer, Client, CookieSecrets, Settings, Transport};
use rokko_wire::{Name, Rtype};
use rokko_zone::file::{Options, load};
use rokko_zone::{Catalog, CatalogReader, Revision, Zone};

/// Small zones, of which each query asks for another.
const ZONES: usize = 5000;
/// Delegations in the one zone that has them.
const DELEGATIONS: usize = 5000;
/// Queries that take turns.
const QUERIES: usize = 1000;

/// A kind of query.
struct Kind {
    name: &'static str,
    /// What comes before the name of a zone or delegation, and the name if it is always the same.
    first: &'static str,
    zone: Asked,
    rtype: Rtype,
    dnssec_ok: bool,
    /// The rcode of the answer, and the records of its three sections: a kind that turns into another is noticed.
    expected: [u8; 4],
}

/// Where a query goes.
enum Asked {
    Small,
    Delegated,
    One(&'static str),
}

const fn kind(name: &'static str, first: &'static str, rtype: Rtype, expected: [u8; 4]) -> Kind {
    Kind { name, first, zone: Asked::Small, rtype, dnssec_ok: false, expected }
}

const fn signed(name: &'static str, first: &'static str, zone: &'static str, expected: [u8; 4]) -> Kind {
    Kind { name, first, zone: Asked::One(zone), rtype: Rtype::A, dnssec_ok: true, expected }
}

const KINDS: &[Kind] = &[
    kind("a", "www.", Rtype::A, [0, 1, 0, 1]),
    kind("aaaa-nodata", "www.", Rtype::AAAA, [0, 0, 1, 1]),
    kind("nxdomain", "no.", Rtype::A, [3, 0, 1, 1]),
    kind("wildcard", "any.wild.", Rtype::A, [0, 1, 0, 1]),
    kind("mx-additional", "", Rtype::MX, [0, 1, 0, 2]),
    kind("cname", "alias.", Rtype::A, [0, 2, 0, 1]),
    kind("cname-chain", "chain.", Rtype::A, [0, 4, 0, 1]),
    kind("any", "", Rtype::ANY, [0, 1, 0, 1]),
    Kind { zone: Asked::Delegated, ..kind("referral-glue", "www.", Rtype::A, [0, 0, 2, 3]) },
    Kind { zone: Asked::One("elsewhere.test"), ..kind("refused", "www.", Rtype::A, [5, 0, 0, 1]) },
    signed("signed-a", "mail.", "nsec.test", [0, 2, 0, 1]),
    signed("signed-nxdomain-nsec", "nowhere.", "nsec.test", [3, 0, 6, 1]),
    signed("signed-nxdomain-nsec3", "nowhere.", "nsec3.test", [3, 0, 8, 1]),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let found = arguments.first().and_then(|name| KINDS.iter().find(|kind| kind.name == name));
    let times = arguments.get(1).and_then(|text| text.parse::<usize>().ok());
    match (found, times) {
        (Some(kind), Some(times)) => println!("{} octets in all", run(kind, times)),
        _ => KINDS.iter().for_each(|kind| println!("{}", kind.name)),
    }
}

fn run(kind: &Kind, times: usize) -> usize {
    let catalog = catalog();
    let queries: Vec<Vec<u8>> = (0..QUERIES).map(|index| kind.query(index * 7)).collect();
    // Additional records are part of what is counted.
    let settings = Settings { minimal: false, ..Settings::default() };
    let mut answerer = Answerer::new(settings, CookieSecrets::default());
    let client =
        Client { addr: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), transport: Transport::Udp, now_ms: 1_800_000_000_000 };
    let mut out = [0; 4096];
    for query in &queries {
        let len = answerer.answer(&catalog, query, &client, &mut out);
        assert!(len > 12, "an answer to {}", kind.name);
        let found = [out[3] & 0x0f, out[7], out[9], out[11]];
        assert_eq!(found, kind.expected, "rcode and records of the sections of {}", kind.name);
    }
    let mut octets = 0;
    for query in queries.iter().cycle().take(times) {
        octets += answerer.answer(black_box(&catalog), black_box(query), &client, &mut out);
        black_box(&out);
    }
    octets
}

impl Kind {
    fn query(&self, index: usize) -> Vec<u8> {
        let apex = match self.zone {
            Asked::Small => small_zone(index % ZONES),
            Asked::Delegated => format!("d-{:06}.tld.example", index % DELEGATIONS),
            Asked::One(name) => name.to_owned(),
        };
        let name: Name = format!("{}{apex}", self.first).parse().expect("the names of all kinds are well formed");
        let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        message.extend_from_slice(name.as_bytes());
        message.extend_from_slice(&self.rtype.0.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        let flags = if self.dnssec_ok { 0x80 } else { 0 };
        message.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, flags, 0, 0, 0]);
        message
    }
}

fn catalog() -> CatalogReader {
    let catalog = Catalog::new(0x5eed);
    let small = (0..ZONES).map(|index| zone(&small_zone(index), &small_zone_text(index)));
    catalog.publish(small.collect::<Vec<_>>());
    catalog.publish([
        zone("tld.example", &delegations()),
        zone("nsec.test", include_str!("../tests/zones/nsec.zone")),
        zone("nsec3.test", include_str!("../tests/zones/nsec3.zone")),
    ]);
    CatalogReader::new(Arc::new(catalog))
}

fn zone(apex: &str, text: &str) -> (Name, Option<Zone>) {
    let apex: Name = apex.parse().expect("the names of all zones are well formed");
    let options = Options { origin: Some(apex.clone()), ..Options::default() };
    let loaded = load(text.as_bytes(), options);
    assert!(!loaded.has_errors(), "{apex}: {:?}", loaded.diagnostics);
    let zone = Zone::build(&apex, Revision(1), loaded.rrsets).expect("a zone without errors can be built");
    (apex, Some(zone))
}

fn small_zone(index: usize) -> String {
    format!("customer-{index:07}.example")
}

fn small_zone_text(index: usize) -> String {
    format!(
        "$TTL 3600\n@ IN SOA ns1.hosting.test. hostmaster.hosting.test. 1 10800 3600 604800 300\n\
         @ IN NS ns1.hosting.test.\n@ IN NS ns2.hosting.test.\n@ IN A 192.0.2.{low}\nwww IN A 198.51.100.{low}\n\
         @ IN MX 10 mail\nmail IN A 203.0.113.{low}\n*.wild IN A 192.0.2.1\nalias IN CNAME www\n\
         chain IN CNAME chain2\nchain2 IN CNAME chain3\nchain3 IN CNAME www\n",
        low = index % 256,
    )
}

fn delegations() -> String {
    let mut text = String::from("$TTL 3600\n@ IN SOA a.nic hostmaster.nic 1 1800 900 604800 900\n@ IN NS a.nic\n");
    text.push_str("a.nic IN A 192.0.2.1\n");
    for index in 0..DELEGATIONS {
        let name = format!("d-{index:06}");
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{name} IN NS ns1.{name}\n{name} IN NS ns2.{name}\nns1.{name} IN A 192.0.2.1\nns2.{name} IN A 192.0.2.2"
        );
    }
    text
}
