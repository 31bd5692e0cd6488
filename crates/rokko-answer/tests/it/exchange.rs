//! Queries from a line of text, and responses as text.

use std::fmt::Write;

use domain::base::Message;
use domain::base::opt::{AllOptData, UnknownOptData};
use rokko_answer::{Answerer, Client, Transport};
use rokko_wire::{Name, Rtype};
use rokko_zone::CatalogReader;

use crate::zonefile::lines;

/// The time at which all queries arrive: that of the first vector in RFC 9018, appendix A.
pub(crate) const NOW_S: u64 = 1_559_731_985;

/// A query as octets, and what it came over.
pub(crate) struct Query {
    pub(crate) octets: Vec<u8>,
    pub(crate) transport: Transport,
    pub(crate) edns: bool,
    pub(crate) dnssec_ok: bool,
}

impl Query {
    /// Reads `NAME TYPE [CLASS] [+option]…`.
    pub(crate) fn parse(line: &str) -> Self {
        let (plain, options): (Vec<&str>, Vec<&str>) = line.split_whitespace().partition(|word| !word.starts_with('+'));
        let name: Name = plain[0].parse().unwrap();
        let rtype: Rtype = plain[1].parse().unwrap();
        let class: u16 = match plain.get(2).copied() {
            None => 1,
            Some("CH") => 3,
            Some("ANY") => 255,
            Some(number) => number.parse().unwrap(),
        };
        let mut query = Self { octets: Vec::new(), transport: Transport::Udp, edns: false, dnssec_ok: false };
        let (mut flags, mut size, mut version, mut opt_data) = (0_u16, 1232_u16, 0_u8, Vec::new());
        let (mut counts, mut tail) = ([1_u16, 0, 0, 0], Vec::new());
        for option in options {
            let (word, value) = option.split_once('=').unwrap_or((option, ""));
            query.edns |= matches!(word, "+do" | "+edns" | "+version" | "+nsid" | "+cookie" | "+zoneversion" | "+opt");
            match word {
                "+tcp" => query.transport = Transport::Tcp,
                "+do" => query.dnssec_ok = true,
                "+edns" => size = if value.is_empty() { size } else { value.parse().unwrap() },
                "+version" => version = value.parse().unwrap(),
                "+nsid" => push_option(&mut opt_data, 3, &[]),
                "+zoneversion" => push_option(&mut opt_data, 19, &hex(value)),
                "+cookie" => push_option(&mut opt_data, 10, &hex(value)),
                "+opt" => push_option(&mut opt_data, value.parse().unwrap(), b"x"),
                "+flags" => flags = u16::from_str_radix(value, 16).unwrap(),
                "+opcode" => flags |= value.parse::<u16>().unwrap() << 11,
                "+counts" => counts = parse_counts(value),
                "+tail" => tail = hex(value),
                other => panic!("unknown option {other}"),
            }
        }
        counts[3] += u16::from(query.edns);
        let words = [0x1234, flags].into_iter().chain(counts);
        query.octets.extend(words.flat_map(u16::to_be_bytes));
        if counts[0] > 0 {
            query.octets.extend(cased(name.as_bytes(), plain[0]));
            query.octets.extend([rtype.0, class].into_iter().flat_map(u16::to_be_bytes));
        }
        if query.edns {
            let size = size.to_be_bytes();
            let dnssec_ok = if query.dnssec_ok { 0x80 } else { 0 };
            query.octets.extend([0, 0, 41, size[0], size[1], 0, version, dnssec_ok, 0]);
            query.octets.extend(u16::try_from(opt_data.len()).unwrap().to_be_bytes());
            query.octets.extend(opt_data);
        }
        query.octets.extend(tail);
        query
    }
}

fn parse_counts(value: &str) -> [u16; 4] {
    let counts: Vec<u16> = value.split(',').map(|count| count.parse().unwrap()).collect();
    counts.try_into().unwrap()
}

/// The wire form with the letters' case as in the text, which has no escapes if it has upper-case letters.
fn cased(wire: &[u8], text: &str) -> Vec<u8> {
    if !text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        return wire.to_vec();
    }
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut cased: Vec<u8> =
        labels.flat_map(|label| std::iter::once(u8::try_from(label.len()).unwrap()).chain(label.bytes())).collect();
    cased.push(0);
    cased
}

fn push_option(data: &mut Vec<u8>, code: u16, value: &[u8]) {
    data.extend(code.to_be_bytes());
    data.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    data.extend(value);
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn to_hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// Asks, and gives the response as lines: rcode and flags, OPT, and the records by section.
pub(crate) fn ask(answerer: &mut Answerer, catalog: &CatalogReader, query: &Query) -> Vec<String> {
    let client = Client { addr: "198.51.100.100".parse().unwrap(), transport: query.transport, now_ms: NOW_S * 1000 };
    let mut out = vec![0xaa; 65_535];
    let mut len = 0;
    let allocated = allocation_counter::measure(|| len = answerer.answer(catalog, &query.octets, &client, &mut out));
    assert_eq!(allocated.count_total, 0, "allocations on the way of a query");
    if len == 0 {
        return vec!["DROP".to_owned()];
    }
    out.truncate(len);
    show(&query.octets, out)
}

pub(crate) fn show(query: &[u8], response: Vec<u8>) -> Vec<String> {
    assert_eq!(response[..2], query[..2], "the ID");
    assert_eq!(response[2] & 0xf8, query[2] & 0x78 | 0x80, "QR and the opcode");
    let message = Message::from_octets(response).unwrap();
    let header = message.header();
    let mut first = message.opt_rcode().to_string();
    for (is_set, flag) in [
        (header.aa(), " aa"),
        (header.tc(), " tc"),
        (header.rd(), " rd"),
        (header.ra(), " ra"),
        (header.z(), " z"),
        (header.ad(), " ad"),
        (header.cd(), " cd"),
    ] {
        first += if is_set { flag } else { "" };
    }
    let mut shown = vec![first];
    match message.header_counts().qdcount() {
        0 => shown.push("no question".to_owned()),
        count => {
            assert_eq!(count, 1);
            let end = message.answer().unwrap().pos();
            assert_eq!(message.as_slice()[12..end], query[12..end], "the question");
        }
    }
    shown.extend(show_opt(&message));
    for (section, prefix) in [(1, "an"), (2, "ns"), (3, "ar")] {
        shown.extend(lines(&message, section).into_iter().map(|line| format!("{prefix} {line}")));
    }
    shown
}

fn show_opt(message: &Message<Vec<u8>>) -> Option<String> {
    let opt = message.opt()?;
    let mut line = format!("opt {}", opt.udp_payload_size());
    assert_eq!(opt.version(), 0);
    if opt.dnssec_ok() {
        line += " do";
    }
    for option in opt.opt().iter::<AllOptData<_, _>>() {
        let shown = match option.unwrap() {
            AllOptData::Nsid(nsid) => format!(" nsid={}", to_hex(nsid.as_slice())),
            AllOptData::ExtendedError(error) => format!(" ede={}", error.code().to_int()),
            AllOptData::Cookie(cookie) => {
                let server = cookie.server().unwrap().as_ref().to_vec();
                format!(" cookie={}{}", to_hex(cookie.client().as_ref()), to_hex(&server))
            }
            AllOptData::Other(other) => show_other(&other),
            other => format!(" {other:?}"),
        };
        line += &shown;
    }
    Some(line)
}

fn show_other(option: &UnknownOptData<impl AsRef<[u8]>>) -> String {
    let name = if option.code().to_int() == 19 { "zoneversion".to_owned() } else { option.code().to_int().to_string() };
    format!(" {name}={}", to_hex(option.data().as_ref()))
}

#[test]
fn allocations_are_counted() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8; 100])));
    assert_eq!(counted.count_total, 1);
}
