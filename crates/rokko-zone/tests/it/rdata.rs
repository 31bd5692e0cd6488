//! Record data against the independent codec of the crate `domain`, for the types that it knows.

#![expect(clippy::unwrap_used, reason = "a test stops at the first failure")]

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXLOWER};
use domain::base::name::Name as DomainName;
use domain::base::rdata::ComposeRecordData;
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt};
use domain::zonefile::inplace::{Entry, ScannedRecordData, Zonefile};
use proptest::prelude::*;
use rokko_wire::name::Name;
use rokko_wire::rtype::Rtype;
use rokko_zone::rdata::{from_text, to_text};

const VECTORS: &str = include_str!("../data/rdata-vectors.tsv");

/// What `domain` makes of one line of record data.
fn scan(rtype: Rtype, text: &str) -> Result<ScannedRecordData, String> {
    let mut file = Zonefile::new();
    file.set_origin("example.".parse::<DomainName<_>>().unwrap());
    file.extend_from_slice(format!("x.example. 300 IN {rtype} {text}\n").as_bytes());
    match file.next_entry() {
        Ok(Some(Entry::Record(record))) => Ok(record.into_data()),
        other => Err(format!("{rtype} {text}: {other:?}")),
    }
}

fn compose(data: &ScannedRecordData) -> Vec<u8> {
    let mut wire = Vec::new();
    data.compose_rdata(&mut wire).unwrap();
    wire
}

/// Both codecs must make the same wire form of `text`, and read each other's text back to it.
fn compare(rtype: Rtype, text: &str) -> Result<(), String> {
    let origin: Name = "example.".parse().unwrap();
    let ours = from_text(rtype, text, Some(&origin)).map_err(|error| format!("{rtype} {text}: {error}"))?;
    let theirs = scan(rtype, text)?;
    let same = |what: &str, wire: &[u8]| {
        let hex = |octets: &[u8]| HEXLOWER.encode(octets);
        if *wire == *ours { Ok(()) } else { Err(format!("{rtype} {text}: {what}: {} {}", hex(&ours), hex(wire))) }
    };
    same("domain's wire form", &compose(&theirs))?;
    let written = to_text(rtype, &ours);
    same("domain's reading of our text", &compose(&scan(rtype, &written)?))?;
    let displayed = theirs.display_zonefile(DisplayKind::Simple).to_string();
    let read = from_text(rtype, &displayed, None).map_err(|error| format!("{rtype} {displayed}: {error}"))?;
    same("our reading of domain's text", &read)
}

/// Texts that hold one of these are beyond `domain`: it lacks the type's or algorithm's mnemonic, refuses escapes in
/// alpn and units in SOA, and writes an absent gateway and no-default-alpn in a way that it does not read itself.
const BEYOND_DOMAIN: [&str; 6] =
    ["NSAP-PTR ", "RSAMD5 ", "SVCB 16 foo.example.org. alpn=", " no-default-alpn ", "IPSECKEY 10 0 ", "1d 2h"];

#[test]
fn vectors() {
    let (mut compared, mut failures) = (0, Vec::new());
    for line in VECTORS.lines() {
        let mut fields = line.split('\t');
        let (rtype, text) = (fields.next().unwrap().parse().unwrap(), fields.next().unwrap());
        let whole = format!("{rtype} {text}");
        match compare(rtype, text) {
            Ok(()) => compared += 1,
            Err(_) if BEYOND_DOMAIN.iter().any(|part| whole.contains(part)) => {}
            Err(error) if error.contains("unknown record type with concrete data") => {}
            Err(error) => failures.push(error),
        }
    }
    assert_eq!(failures, Vec::<String>::new());
    assert!(compared > 90, "{compared}");
}

fn number(max: u32) -> BoxedStrategy<String> {
    prop_oneof![Just(0), Just(max), 0..=max].prop_map(|number| number.to_string()).boxed()
}

/// Names with escapes, but not of the quotes and parentheses, which `domain` writes bare.
fn name() -> BoxedStrategy<String> {
    r"(([a-zA-Z0-9_-]|\\[0-2](0[0-9]|[12][0-9]|3[0-1])|\\\.){1,9}\.){0,3}(\.|[a-z]{1,5}\.?)"
        .prop_map(|text| if text.ends_with("..") { text[..text.len() - 1].to_owned() } else { text })
        .boxed()
}

fn octets(len: impl Into<prop::collection::SizeRange>) -> BoxedStrategy<Vec<u8>> {
    prop::collection::vec(any::<u8>(), len).boxed()
}

fn hex(len: impl Into<prop::collection::SizeRange>) -> BoxedStrategy<String> {
    octets(len).prop_map(|octets| HEXLOWER.encode(&octets)).boxed()
}

fn base64() -> BoxedStrategy<String> {
    octets(1..60).prop_map(|octets| BASE64.encode(&octets)).boxed()
}

fn string() -> BoxedStrategy<String> {
    r#""([ !#-\[\]-~]|\\[0-1][0-9][0-9]|\\["\\;]){0,60}"|[a-zA-Z0-9=_]{1,20}"#.boxed()
}

fn types() -> BoxedStrategy<String> {
    let rtype = any::<u16>().prop_map(|number| format!("TYPE{number}"));
    let known = prop::sample::select(vec!["A", "NS", "SOA", "RRSIG", "NSEC", "CAA"]).prop_map(str::to_owned);
    prop::collection::vec(prop_oneof![rtype, known], 1..6).prop_map(|types| types.join(" ")).boxed()
}

/// 1980 to 2105; day 28 at most, so that every month has it.
fn time() -> BoxedStrategy<String> {
    (1980..2106_u16, 1..13_u8, 1..29_u8, 0..24_u8, 0..60_u8, 0..60_u8)
        .prop_map(|(y, mo, d, h, mi, s)| format!("{y:04}{mo:02}{d:02}{h:02}{mi:02}{s:02}"))
        .boxed()
}

fn words(words: Vec<BoxedStrategy<String>>) -> BoxedStrategy<String> {
    words.prop_map(|words| words.join(" ")).boxed()
}

/// Service parameters; `domain` writes a value bare that needs quotes, and refuses a nine in the number of a key.
fn service() -> BoxedStrategy<String> {
    let optional = |text: BoxedStrategy<String>| prop_oneof![Just(String::new()), text].boxed();
    let ipv4 = any::<std::net::Ipv4Addr>().prop_map(|address| format!("ipv4hint={address}"));
    let ipv6 = any::<std::net::Ipv6Addr>().prop_map(|address| format!("ipv6hint={address}"));
    words(vec![
        number(65_535),
        name(),
        optional("alpn=[a-z0-9-]{1,9}(,[a-z0-9/]{1,9}){0,2}".boxed()),
        optional(number(65_535).prop_map(|port| format!("port={port}")).boxed()),
        optional(ipv4.boxed()),
        optional(base64().prop_map(|text| format!("ech={text}")).boxed()),
        optional(ipv6.boxed()),
        optional(r#"key[1-8][0-8]{3}="[!#-'*-:<-\[\]-~]{1,20}""#.boxed()),
    ])
}

/// Texts of the types that `domain` knows.
fn record() -> BoxedStrategy<(Rtype, String)> {
    let (u8, u16, u32) = (|| number(255), || number(65_535), || number(u32::MAX));
    let hash = || octets(1..40).prop_map(|octets| BASE32HEX_NOPAD.encode(&octets)).boxed();
    let salt = || prop_oneof![Just("-".to_owned()), hex(1..30)].boxed();
    let ipv4 = || any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()).boxed();
    let ipv6 = || any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string()).boxed();
    let fixed = |text: &str| Just(text.to_owned()).boxed();
    let covered = prop::sample::select(vec!["A", "SOA", "TYPE65280"]).prop_map(str::to_owned).boxed();
    let table = vec![
        (Rtype::A, vec![ipv4()]),
        (Rtype::AAAA, vec![ipv6()]),
        (Rtype::NS, vec![name()]),
        (Rtype::DNAME, vec![name()]),
        (Rtype::SOA, vec![name(), name(), u32(), number(1 << 30), number(1 << 30), number(1 << 30), number(1 << 30)]),
        (Rtype::MX, vec![u16(), name()]),
        (Rtype::RP, vec![name(), name()]),
        (Rtype::SRV, vec![u16(), u16(), u16(), name()]),
        (Rtype::NAPTR, vec![u16(), u16(), string(), string(), string(), name()]),
        (Rtype::HINFO, vec![string(), string()]),
        (Rtype::TXT, vec![string(), string(), string()]),
        (Rtype::CAA, vec![u8(), "[a-z0-9]{1,15}".boxed(), string()]),
        (Rtype::DS, vec![u16(), u8(), fixed("2"), hex(32)]),
        (Rtype::CDS, vec![u16(), u8(), fixed("77"), hex(1..90)]),
        (Rtype::DNSKEY, vec![u16(), u8(), u8(), base64()]),
        (Rtype::CDNSKEY, vec![u16(), u8(), u8(), base64()]),
        (Rtype::RRSIG, vec![covered, u8(), u8(), number(1 << 30), time(), time(), u16(), name(), base64()]),
        (Rtype::NSEC, vec![name(), types()]),
        (Rtype::NSEC3, vec![u8(), u8(), u16(), salt(), hash(), types()]),
        (Rtype::NSEC3PARAM, vec![u8(), u8(), u16(), salt()]),
        (Rtype::TLSA, vec![u8(), u8(), u8(), hex(1..90)]),
        (Rtype::SSHFP, vec![u8(), fixed("1"), hex(20)]),
        (Rtype::OPENPGPKEY, vec![base64()]),
        (Rtype::ZONEMD, vec![u32(), u8(), fixed("1"), hex(48)]),
        (Rtype::IPSECKEY, vec![u8(), fixed("1"), u8(), ipv4(), base64()]),
        (Rtype::IPSECKEY, vec![u8(), fixed("3"), u8(), name(), base64()]),
    ];
    let mut records: Vec<BoxedStrategy<(Rtype, String)>> = Vec::new();
    for (rtype, fields) in table {
        records.push(words(fields).prop_map(move |text| (rtype, text)).boxed());
    }
    for rtype in [Rtype::SVCB, Rtype::HTTPS] {
        records.push(service().prop_map(move |text| (rtype, text)).boxed());
    }
    prop::strategy::Union::new(records).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]

    #[test]
    fn generated_text((rtype, text) in record()) {
        prop_assert_eq!(compare(rtype, &text), Ok(()));
    }
}
