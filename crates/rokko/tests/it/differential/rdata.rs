//! Random record data as text.

use std::fmt::Write;
use std::net::Ipv6Addr;

use super::names::Name;
use super::random::Random;

/// Types that any name may have beside others.
const DATA_TYPES: [&str; 27] = [
    "A",
    "A",
    "A",
    "AAAA",
    "AAAA",
    "TXT",
    "TXT",
    "MX",
    "MX",
    "SRV",
    "CAA",
    "TLSA",
    "NAPTR",
    "LOC",
    "SSHFP",
    "HINFO",
    "PTR",
    "SVCB",
    "HTTPS",
    "URI",
    "EUI48",
    "EUI64",
    "RP",
    "AFSDB",
    "CERT",
    "TYPE32000",
    "TYPE65280",
];

pub(super) fn data_type(random: &mut Random) -> &'static str {
    DATA_TYPES[random.below(DATA_TYPES.len())]
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn text(random: &mut Random, len_max: usize) -> String {
    (0..random.range(0, len_max)).map(|_| char::from(b"abc DEF-0"[random.below(9)])).collect()
}

/// One record's data; `target` makes the names in it.
pub(super) fn rdata(random: &mut Random, rtype: &str, target: &mut dyn FnMut(&mut Random) -> Name) -> String {
    match rtype {
        "A" => format!("192.0.2.{}", random.octet()),
        "AAAA" => Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(random.next() & 0xffff)).to_string(),
        "NS" | "CNAME" | "DNAME" | "PTR" => target(random).to_string(),
        "MX" | "AFSDB" => format!("{} {}", random.below(4) * 10, target(random)),
        "SRV" => format!("{} {} {} {}", random.below(3), random.below(9), random.below(65536), target(random)),
        "RP" => format!("{} {}", target(random), target(random)),
        "NAPTR" => format!("{} {} \"s\" \"SIP+D2U\" \"\" {}", random.below(9), random.below(9), target(random)),
        "TXT" => texts(random),
        "HINFO" => format!("\"{}\" \"{}\"", text(random, 9), text(random, 9)),
        "CAA" => format!("{} issue \"ca{}.example.net\"", random.below(2) * 128, random.below(99)),
        "TLSA" => format!("3 1 1 {}", hex(&random.octets(32))),
        "SSHFP" => format!("4 2 {}", hex(&random.octets(32))),
        "DS" => format!("{} 15 2 {}", random.below(65536), hex(&random.octets(32))),
        "LOC" => {
            format!("{} 22 23.000 N 4 53 32.000 E {}.00m 1.00m 10000.00m 10.00m", random.below(80), random.below(99))
        }
        "SVCB" | "HTTPS" => service(random, target),
        "URI" => format!("{} 1 \"https://example.net/{}\"", random.below(9), random.below(99)),
        "EUI48" => format!("00-00-5e-00-53-{:02x}", random.octet()),
        "EUI64" => format!("00-00-5e-ef-10-00-00-{:02x}", random.octet()),
        "CERT" => format!("1 {} 8 AAAA", random.below(65536)),
        _ => {
            let len = random.range(0, 40);
            format!("\\# {len} {}", hex(&random.octets(len)))
        }
    }
}

/// Character strings, at times more than fit into a datagram.
fn texts(random: &mut Random) -> String {
    let (strings, len_max) = if random.chance(12) { (random.range(2, 5), 255) } else { (random.range(1, 3), 30) };
    let strings: Vec<String> = (0..strings).map(|_| format!("\"{}\"", text(random, len_max))).collect();
    strings.join(" ")
}

fn service(random: &mut Random, target: &mut dyn FnMut(&mut Random) -> Name) -> String {
    if random.chance(30) {
        return format!("0 {}", target(random));
    }
    let target = if random.chance(30) { Name::root() } else { target(random) };
    let port = random.range(1, 65535);
    format!("{} {target} alpn=h2,h3 port={port} ipv4hint=192.0.2.{}", random.range(1, 9), random.octet())
}
