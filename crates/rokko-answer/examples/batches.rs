//! Answers batches of queries over many zones, as a thread of the server does, and prints what one costs.
//!
//! `batches ZONES ROUNDS QUERIES`: rounds of so many queries (a million) for zones that are chosen at random, rate limits at
//! work. The least of the rounds is what the machine can do when nothing disturbs it. Under callgrind, what one round more
//! takes is the instructions of so many queries.

#![expect(clippy::print_stdout, reason = "this program reports to whoever started it")]
#![expect(clippy::disallowed_methods, reason = "it measures time, which the crate must not")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use rokko_answer::{Answerer, Client, CookieSecrets, RATE_MAX, RateLimits, RateTable, Settings, Transport};
use rokko_wire::Name;
use rokko_zone::file::{Options, load};
use rokko_zone::{Catalog, CatalogReader, Revision, Zone};

const BATCH: usize = 32;
/// Room for one query.
const STRIDE: usize = 80;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap_or(1));
    let (zones, rounds) = (arguments.next().unwrap_or(100_000), arguments.next().unwrap_or(5));
    let count = arguments.next().unwrap_or(1 << 20);
    let catalog = Catalog::new(0x5eed);
    for first in (0..zones).step_by(1000) {
        catalog.publish((first..zones.min(first + 1000)).map(zone));
    }
    let catalog = CatalogReader::new(Arc::new(catalog));
    let rate =
        RateLimits { all: RATE_MAX, answers: RATE_MAX, nodata: RATE_MAX, nxdomain: RATE_MAX, ..RateLimits::default() };
    let settings = Settings { rate, ..Settings::default() };
    let table = Arc::new(RateTable::new(1 << 20, [1, 2]));
    let mut answerer = Answerer::new(settings, CookieSecrets::default()).with_rate_table(table);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut queries = vec![0; count * STRIDE];
    for room in queries.chunks_mut(STRIDE) {
        let query = query(next(&mut random), zones);
        room[..query.len()].copy_from_slice(&query);
        room[STRIDE - 1] = u8::try_from(query.len()).expect("a query fits");
    }
    let addr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let mut least = f64::MAX;
    for round in 0..rounds {
        let client = Client { addr, transport: Transport::Udp, now_ms: 1_800_000_000_000 + 10_000 * round as u64 };
        let begun = Instant::now();
        let mut out = [0; 4096];
        for batch in queries.chunks(BATCH * STRIDE) {
            let batch = || batch.chunks(STRIDE).map(|room| &room[..usize::from(room[STRIDE - 1])]);
            answerer.look_ahead(&catalog, batch().map(|query| (query, addr)));
            for (index, query) in batch().enumerate() {
                black_box(answerer.answer_ahead(index, &catalog, query, &client, &mut out));
            }
        }
        least = least.min(begun.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    }
    println!("{zones} zones: {least:.0} ns a query");
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random >> 8
}

/// One in ten is for a name that does not exist.
fn query(random: u64, zones: usize) -> Vec<u8> {
    let first = ["", "www.", "www.", "mail.", "www.", "", "mail.", "", "www.", "no."][(random % 10) as usize];
    let name: Name =
        format!("{first}{}", apex((random / 10) as usize % zones)).parse().expect("the name is well formed");
    let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend_from_slice(name.as_bytes());
    message.extend_from_slice(&[0, 1, 0, 1]);
    message.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    message
}

fn apex(index: usize) -> String {
    format!("customer-{index:08}.example")
}

fn zone(index: usize) -> (Name, Option<Zone>) {
    let apex: Name = apex(index).parse().expect("the name is well formed");
    let text = format!(
        "$TTL 3600\n@ IN SOA ns1.hosting.test. hostmaster.hosting.test. 1 10800 3600 604800 300\n\
         @ IN NS ns1.hosting.test.\n@ IN NS ns2.hosting.test.\n@ IN A 192.0.2.{low}\nwww IN A 198.51.100.{low}\n\
         mail IN A 203.0.113.{low}\n",
        low = index % 256,
    );
    let loaded = load(text.as_bytes(), Options { origin: Some(apex.clone()), ..Options::default() });
    let zone = Zone::build(&apex, Revision(1), loaded.rrsets).expect("a zone without errors can be built");
    (apex, Some(zone))
}
