//! Tests over the whole table: vectors of other implementations, round trips, errors, and any octets.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::table::{Field, layout};
use super::*;

const VECTORS: &str = include_str!("../../tests/data/rdata-vectors.tsv");

fn origin() -> Name {
    "example.".parse().unwrap()
}

fn vectors() -> impl Iterator<Item = (Rtype, &'static str, Vec<u8>)> {
    VECTORS.lines().map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [rtype, text, hex] = fields[..] else { panic!("three fields: {line}") };
        (rtype.parse().unwrap(), text, HEXLOWER.decode(hex.as_bytes()).unwrap())
    })
}

/// The types that have text of their own.
fn known_types() -> Vec<Rtype> {
    (0..=u16::MAX).map(Rtype).filter(|rtype| !layout(*rtype).contains(&Field::Opaque)).collect()
}

fn wire(rtype: Rtype, text: &str) -> Vec<u8> {
    from_text(rtype, text, Some(&origin())).unwrap_or_else(|error| panic!("{rtype} {text}: {error}")).into()
}

#[test]
fn other_implementations_make_the_same_wire_form() {
    for (rtype, text, expected) in vectors() {
        assert_eq!(HEXLOWER.encode(&wire(rtype, text)), HEXLOWER.encode(&expected), "{rtype} {text}");
        let generic = format!("\\# {} {}", expected.len(), HEXLOWER.encode(&expected));
        assert_eq!(wire(rtype, &generic), expected, "{rtype} {generic}");
        assert_eq!(check(rtype, &expected), Ok(()), "{rtype} {text}");
        let written = to_text(rtype, &expected);
        assert_eq!(from_text(rtype, &written, None).as_deref(), Ok(&expected[..]), "{rtype} {written}");
        assert_eq!(layout(rtype).contains(&Field::Opaque), written.starts_with("\\#"), "{rtype} {written}");
    }
}

#[test]
fn every_type_with_text_has_a_vector() {
    let covered: BTreeSet<Rtype> = vectors().map(|(rtype, ..)| rtype).collect();
    let missing: Vec<Rtype> = known_types().into_iter().filter(|rtype| !covered.contains(rtype)).collect();
    assert_eq!(missing, []);
}

#[test]
fn canonical_text() {
    for (rtype, text, expected) in [
        ("SOA", "ns Host.Master 1 1h 2m 3 4", "ns.example. Host.Master.example. 1 3600 120 3 4"),
        ("TXT", "a \"b c\" d\\\"e \\\\ \\000\\200", r#""a" "b c" "d\"e" "\\" "\000\200""#),
        (
            "DS",
            "1 RSASHA256 2 ( aa bb cc dd ee ff 00 11 22 33 44 55 66 77 88 99 \n aabbccddeeff00112233445566778899 )",
            "1 8 2 AABBCCDDEEFF00112233445566778899AABBCCDDEEFF00112233445566778899",
        ),
        ("LOC", "60 9 N 24 39 E 10 20 2000 20", "60 9 0.000 N 24 39 0.000 E 10.00m 20m 2000m 20m"),
        ("LOC", "0 0 0.001 S 0 0 0.001 W -0.01m 0.01m", "0 0 0.001 S 0 0 0.001 W -0.01m 0.01m 10000m 10m"),
        ("LOC", "90 S 180 W -100000 0 0 0", "90 0 0.000 S 180 0 0.000 W -100000.00m 0.00m 0.00m 0.00m"),
        ("NSAP", "0x47.00AB", "0x4700ab"),
        ("NSEC3PARAM", "1 0 5 AaBb", "1 0 5 AABB"),
        ("NSEC3PARAM", "1 0 0 -", "1 0 0 -"),
        ("CAA", "0 issue ca.example.net", "0 issue \"ca.example.net\""),
        ("CAA", "0 issue \"\"", "0 issue \"\""),
        ("SVCB", "1 . port=\"53\" alpn=h2,h3", "1 . alpn=h2,h3 port=53"),
        ("SVCB", r"1 . alpn=f\\\092oo\092,bar,h2", r#"1 . alpn="f\\\\oo\\,bar,h2""#),
        ("SVCB", "1 . key7=/q{?dns} key8 key65534=\"a b\"", "1 . dohpath=/q{?dns} ohttp key65534=\"a b\""),
        ("IPSECKEY", "10 0 0 .", "10 0 0 ."),
        ("AMTRELAY", "10 1 2 2001:DB8::15", "10 1 2 2001:db8::15"),
        ("APL", "!1:192.168.38.0/28 2:FF00::/8", "!1:192.168.38.0/28 2:ff00::/8"),
        ("NID", "10 14:4fff:ff20:ee64", "10 0014:4fff:ff20:ee64"),
        ("EUI48", "00-00-5E-00-53-2A", "00-00-5e-00-53-2a"),
        ("DSYNC", "CDS 1 5300 n", "CDS NOTIFY 5300 n.example."),
        ("NULL", "\\# 2 ab cd", "\\# 2 ABCD"),
        ("TYPE65280", "\\# 0", "\\# 0"),
        ("APL", "", "\\# 0"),
    ] {
        let rtype = rtype.parse().unwrap();
        assert_eq!(to_text(rtype, &wire(rtype, text)), expected, "{rtype} {text}");
    }
}

#[test]
fn malformed_wire_form_is_written_as_octets() {
    for (rtype, octets, expected) in [
        (Rtype::A, &b"\x01\x02\x03"[..], "\\# 3 010203"),
        (Rtype::A, b"\x01\x02\x03\x04\x05", "\\# 5 0102030405"),
        (Rtype::NS, b"\xc0\x00", "\\# 2 C000"),
        (Rtype::TXT, b"", "\\# 0"),
        (Rtype::TXT, b"\x02a", "\\# 2 0261"),
    ] {
        assert!(check(rtype, octets).is_err(), "{rtype} {octets:?}");
        assert_eq!(to_text(rtype, octets), expected);
    }
}

#[test]
fn errors_name_what_is_there_and_what_may_be() {
    for (rtype, text, expected) in [
        ("MX", "70000 mail", "found 70000 at column 1, expected a number from 0 to 65535"),
        ("MX", "10", "found the end of the record at column 3, expected a domain name"),
        ("MX", "10 a..b.", "found a..b. at column 4, expected a domain name: the name has an empty label"),
        ("MX", "10 mail x", "found x at column 9, expected the end of the record"),
        ("A", "192.0.2.256", "found 192.0.2.256 at column 1, expected an IPv4 address"),
        ("A", "\"192.0.2.1\"", "found \"192.0.2.1\" at column 1, expected an IPv4 address"),
        ("TXT", "ä \"b", "found a quoted string without end at column 3, expected a closing quote"),
        ("TXT", "a;b", "found a semicolon at column 2, expected quotes around the text that has it, or \\;"),
        (
            "TXT",
            "ää \\300",
            "found \\300 at column 4, expected a text whose escapes are \\ and a character, or \\DDD up to 255",
        ),
        ("TXT", "(a", "found the end of the record at column 3, expected a closing parenthesis"),
        ("DS", "1 8 2 abcd", "found 2 octets at column 7, expected a digest of 32 octets for its type"),
        ("DS", "1 8 9", "found the end of the record at column 6, expected hexadecimal digits in pairs"),
        (
            "DS",
            "1 X 2 00",
            "found X at column 3, expected a number from 0 to 255 or the mnemonic of a DNSSEC algorithm",
        ),
        ("A", "\\# 3 010203", "found 3 octets at column 1, expected at least 4"),
        ("A", "\\# 4 010203", "found 3 octets at column 6, expected 4 octets, as the length says"),
        (
            "TYPE65280",
            "x",
            "found x at column 1, expected \\#, the length and the octets in hexadecimal, as RFC 3597 has it",
        ),
        ("SVCB", "1 . port=1 port=2", "found port=2 at column 12, expected each key once, and port is there already"),
        (
            "SVCB",
            "1 . mandatory=alpn port=2",
            "found no alpn at column 5, expected each mandatory key among the parameters",
        ),
        (
            "SVCB",
            "1 . mandatory=mandatory",
            "found mandatory=mandatory at column 5, expected keys with commas between, each once and without mandatory itself",
        ),
        ("IPSECKEY", "1 4 1 . AAAA", "found gateway type 4 at column 3, expected gateway type 0, 1, 2 or 3"),
        ("LOC", "91 N 0 E 0", "found 91 at column 1, expected a number from 0 to 90"),
        ("LOC", "90 0 1 N 0 E 0", "found N at column 8, expected an angle of at most 90 degrees before it"),
        (
            "NSEC",
            ". A B",
            "found B at column 5, expected a record type: a mnemonic such as AAAA, or TYPE and a number up to 65535",
        ),
        (
            "CAA",
            "0 is-sue x",
            "found is-sue at column 3, expected a property tag of ASCII letters and digits, such as issue",
        ),
    ] {
        let error = from_text(rtype.parse().unwrap(), text, Some(&origin())).unwrap_err();
        assert_eq!(error.to_string(), expected, "{rtype} {text}");
    }
    let long = from_text(Rtype::TXT, &format!("a {}", "b".repeat(256)), None).unwrap_err();
    assert_eq!(long.token, 1);
    assert!(long.found.starts_with("a text of 256 octets"), "{long}");
    assert!(from_text(Rtype::NS, "relative", None).is_err());
}

#[test]
fn bad_text_is_refused() {
    for (rtype, text) in [
        ("TXT", ""),
        ("AAAA", "::1%eth0"),
        ("SVCB", "1 . no-default-alpn"),
        ("SVCB", "1 . alpn=h2 no-default-alpn=x"),
        ("SVCB", "1 . alpn"),
        ("SVCB", "1 . alpn=h2,,h3"),
        ("SVCB", "1 . port"),
        ("SVCB", "1 . ipv4hint"),
        ("SVCB", "1 . ech=*"),
        ("SVCB", "1 . key65535=x"),
        ("SVCB", "1 . key007=x"),
        ("SVCB", "1 . key4=abc"),
        ("SVCB", "1 . mandatory=alpn,alpn alpn=h2"),
        ("DNSKEY", "256 3 8"),
        ("DNSKEY", "256 3 8 AA"),
        ("RRSIG", "A 8 2 300 20300101000000 2030010100000 1 . AA=="),
        ("APL", "1:192.0.2.0/33"),
        ("APL", "3:192.0.2.0/3"),
        ("EUI48", "00-00-5e-00-53-2a-00"),
        ("EUI48", "00-00-5e-00-53-+a"),
        ("L64", "10 1:2:3"),
        ("NSEC3", "1 0 0 - -"),
        ("ZONEMD", "1 1 240 0011"),
        ("URI", "1 1 \"\""),
        ("NSAP", "47"),
        ("A", "1.2.3.4)"),
        ("A", "1.2.3.4\n1.2.3.4"),
    ] {
        let rtype = rtype.parse().unwrap();
        assert!(from_text(rtype, text, Some(&origin())).is_err(), "{rtype} {text}");
    }
}

#[test]
fn bad_wire_form_is_refused() {
    for (rtype, octets) in [
        (Rtype::SVCB, &b"\0\x01\0\0\x03\0\x02\0\x35\0\x01\0\x03\x02h2"[..]),
        (Rtype::SVCB, b"\0\x01\0\0\x03\0\x02\0"),
        (Rtype::SVCB, b"\0\x01\0\0\x01\0\x01\0"),
        (Rtype::NSEC, b"\0\0\x01\0"),
        (Rtype::NSEC, b"\0\x01\x01\x40\0\x01\x40"),
        (Rtype::NSEC, b"\0\0\x21"),
        (Rtype::APL, b"\0\x01\x18\x03\xc0\0\0"),
        (Rtype::LOC, b"\x01\0\0\0\x80\0\0\0\x80\0\0\0\0\0\0\0"),
        (Rtype::LOC, b"\0\xa0\0\0\x80\0\0\0\x80\0\0\0\0\0\0\0"),
        (Rtype::LOC, b"\0\0\0\0\0\0\0\0\x80\0\0\0\0\0\0\0"),
        (Rtype::IPSECKEY, b"\0\x81\0\x01\x02\x03\x04"),
        (Rtype::CAA, b"\0\0value"),
        (Rtype::HIP, b"\0\x02\0\x01\0"),
    ] {
        assert!(check(rtype, octets).is_err(), "{rtype} {octets:?}");
    }
}

#[test]
fn canonical_form_folds_the_listed_types_only() {
    for (rtype, text, folded) in [
        ("SOA", "Ns Host 1 2 3 4 5", true),
        ("SRV", "0 0 0 Target", true),
        ("RRSIG", "A 8 1 300 20300101000000 20300101000000 1 Signer AA==", true),
        ("NAPTR", "1 1 S X Y Next", true),
        ("NSEC", "Next A", false),
        ("SVCB", "1 Target", false),
        ("TXT", "Text", false),
    ] {
        let rtype = rtype.parse().unwrap();
        let wire = wire(rtype, text);
        assert_eq!(canonical(rtype, &wire) != wire, folded, "{rtype} {text}");
    }
    let naptr = wire(Rtype::NAPTR, "1 1 S X Y Next");
    assert_eq!(to_text(Rtype::NAPTR, &canonical(Rtype::NAPTR, &naptr)), "1 1 \"S\" \"X\" \"Y\" next.example.");
}

#[test]
fn embedded_names() {
    for (rtype, text, expected) in [
        ("SOA", "a b 1 2 3 4 5", &["a.example.", "b.example."][..]),
        ("MX", "1 A", &["A.example."]),
        ("IPSECKEY", "1 3 0 gw AAAA", &["gw.example."]),
        ("IPSECKEY", "1 1 0 192.0.2.1 AAAA", &[]),
        ("HIP", "2 AA AAAA a b c", &["a.example.", "b.example.", "c.example."]),
        ("TXT", "a", &[]),
    ] {
        let rtype = rtype.parse().unwrap();
        let wire = wire(rtype, text);
        let found: Vec<String> = names(rtype, &wire)
            .map(|name| {
                let mut text = String::new();
                rokko_wire::name::write_wire(name, &mut text).unwrap();
                text
            })
            .collect();
        assert_eq!(found, expected, "{rtype} {text}");
    }
}

#[test]
fn a_failed_parse_leaves_the_buffer_alone() {
    let mut out = vec![1, 2, 3];
    let token = |text| Token { text, quoted: false, line: 1, column: 1 };
    assert!(parse(Rtype::MX, &[token(b"10"), token(b"a..b")], None, &mut out).is_err());
    assert_eq!(out, [1, 2, 3]);
    parse(Rtype::IPSECKEY, &[token(b"10"), token(b"1"), token(b"0"), token(b"1.2.3.4")], None, &mut out).unwrap();
    assert_eq!(out, [1, 2, 3, 10, 1, 0, 1, 2, 3, 4]);
}

#[test]
fn a_quoted_value_may_be_a_token_of_its_own() {
    let tokens = [(&b"1"[..], false), (b".", false), (b"alpn=", false), (b"h2,h3", true)];
    let tokens = tokens.map(|(text, quoted)| Token { text, quoted, line: 1, column: 1 });
    let mut out = Vec::new();
    parse(Rtype::HTTPS, &tokens, None, &mut out).unwrap();
    assert_eq!(to_text(Rtype::HTTPS, &out), "1 . alpn=h2,h3");
}

#[test]
fn too_much_data_is_refused() {
    let strings = vec![Token { text: &[b'x'; 255], quoted: true, line: 1, column: 1 }; 257];
    let mut out = Vec::new();
    assert!(parse(Rtype::TXT, &strings, None, &mut out).is_err());
    assert_eq!(parse(Rtype::TXT, &strings[..255], None, &mut out), Ok(()));
    assert!(check(Rtype::NULL, &vec![0; RDATA_LEN_MAX + 1]).is_err());
}

/// Makes a valid field from random octets.
struct Maker {
    entropy: std::vec::IntoIter<u8>,
    out: Vec<u8>,
}

impl Maker {
    fn octet(&mut self) -> u8 {
        self.entropy.next().unwrap_or(0)
    }

    fn octets(&mut self, count: usize) {
        for _ in 0..count {
            let octet = self.octet();
            self.out.push(octet);
        }
    }

    /// A length octet up to `max`, and as many octets.
    fn sized(&mut self, min: u8, max: u8) {
        let len = min + self.octet() % (max - min).saturating_add(1);
        self.out.push(len);
        self.octets(usize::from(len));
    }

    fn name(&mut self) {
        for _ in 0..self.octet() % 4 {
            self.sized(1, 20);
        }
        self.out.push(0);
    }

    fn bitmap(&mut self) {
        let mut types = (0..self.octet() % 8).map(|_| u16::from_be_bytes([self.octet() % 3, self.octet()])).collect();
        bitmap::append(&mut types, &mut self.out);
    }

    fn digest(&mut self, field: Field) {
        match wire::digest_len(field, &self.out) {
            wire::DigestLen::Exactly(len) | wire::DigestLen::AtLeast(len) => self.octets(len),
        }
    }

    fn angle(&mut self, degrees: u32) {
        let octets = [self.octet(), self.octet(), self.octet(), self.octet()];
        let angle = u32::from_be_bytes(octets) % (2 * degrees * 3_600_000 + 1);
        self.out.extend_from_slice(&((1 << 31) - degrees * 3_600_000 + angle).to_be_bytes());
    }

    fn location(&mut self) {
        self.out.push(0);
        for _ in 0..3 {
            let size = ((self.octet() % 9 + 1) << 4) | (self.octet() % 10);
            self.out.push(size);
        }
        self.angle(90);
        self.angle(180);
        self.octets(4);
    }

    fn prefixes(&mut self) {
        for _ in 0..self.octet() % 4 {
            let (family, len) = if self.octet().is_multiple_of(2) { (1, 4) } else { (2, 16) };
            let used = self.octet() % (len + 1);
            let prefix = self.octet() % (len * 8 + 1);
            let sign = self.octet() & 0x80;
            self.out.extend_from_slice(&[0, family, prefix, sign | used]);
            self.octets(usize::from(used));
            if used > 0 {
                *self.out.last_mut().unwrap() |= 1;
            }
        }
    }

    fn param(&mut self, key: u16, make: impl FnOnce(&mut Self)) {
        if self.octet().is_multiple_of(2) {
            return;
        }
        self.out.extend_from_slice(&key.to_be_bytes());
        let len_at = self.out.len();
        self.out.extend_from_slice(&[0, 0]);
        make(self);
        let len = u16::try_from(self.out.len() - len_at - 2).unwrap();
        self.out[len_at..len_at + 2].copy_from_slice(&len.to_be_bytes());
    }

    fn params(&mut self) {
        self.param(1, |maker| {
            for _ in 0..=maker.octet() % 3 {
                maker.sized(1, 9);
            }
        });
        self.param(3, |maker| maker.octets(2));
        self.param(4, |maker| maker.octets(8));
        self.param(5, |maker| maker.octets(7));
        self.param(6, |maker| maker.octets(32));
        self.param(7, |maker| maker.out.extend_from_slice("/q;\"{?dns}ä".as_bytes()));
        self.param(8, |_| {});
        self.param(777, |maker| maker.octets(5));
        self.param(65_534, |_| {});
    }

    fn field(&mut self, field: Field) {
        match field {
            Field::Name(_) => self.name(),
            Field::Names => (0..self.octet() % 3).for_each(|_| self.name()),
            Field::NoGateway => {}
            Field::U8 | Field::Algorithm | Field::Scheme | Field::Protocol => self.octets(1),
            Field::RelayType => {
                let octet = self.octet() & 0x83;
                self.out.push(octet);
            }
            Field::U16 | Field::Covered | Field::CertType => self.octets(2),
            Field::U32 | Field::Period | Field::Time | Field::Ipv4 => self.octets(4),
            Field::Ipv6 => self.octets(16),
            Field::Eui48 => self.octets(6),
            Field::Eui64 | Field::Locator64 => self.octets(8),
            Field::CharString | Field::SizedHex => self.sized(0, 255),
            Field::SizedBase32 => self.sized(1, 255),
            Field::OptionalCharString | Field::CharStrings => self.sized(0, 200),
            Field::Tag => self.out.extend_from_slice(b"\x08issueVmc"),
            Field::OptionalText | Field::OptionalBase64 | Field::Base64OrDash | Field::Opaque => {
                let len = self.octet() % 4 * 25;
                self.octets(usize::from(len));
            }
            Field::Text | Field::Hex | Field::Base64 | Field::Nsap => {
                let len = self.octet();
                self.octets(usize::from(len) + 1);
            }
            Field::DsDigest | Field::Fingerprint | Field::ZoneDigest => self.digest(field),
            Field::Bitmap => self.bitmap(),
            Field::Ports => {
                self.octets(8);
                self.out.push(1);
            }
            Field::SvcParams => self.params(),
            Field::Apl => self.prefixes(),
            Field::Loc => self.location(),
            Field::HostIdentity => {
                self.out.extend_from_slice(&[3, 2, 0, 5]);
                self.octets(8);
            }
            Field::Gateway | Field::Relay => unreachable!("resolved before"),
        }
    }
}

fn valid(rtype: Rtype, entropy: Vec<u8>) -> Vec<u8> {
    let mut maker = Maker { entropy: entropy.into_iter(), out: Vec::new() };
    for (index, field) in layout(rtype).iter().enumerate() {
        if rtype == Rtype::IPSECKEY && index == 1 {
            let kind = maker.octet() % 4;
            maker.out.push(kind);
            continue;
        }
        let field = field.resolve(&maker.out).unwrap();
        maker.field(field);
    }
    maker.out
}

fn any_type() -> impl Strategy<Value = Rtype> {
    prop_oneof![9 => prop::sample::select(known_types()), 1 => any::<u16>().prop_map(Rtype)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn valid_data_survives_text(rtype in any_type(), entropy in prop::collection::vec(any::<u8>(), 0..400)) {
        let data = valid(rtype, entropy);
        prop_assert_eq!(check(rtype, &data), Ok(()));
        let text = to_text(rtype, &data);
        let own_text = !layout(rtype).contains(&Field::Opaque) && !data.is_empty();
        prop_assert_eq!(own_text, !text.starts_with("\\#"), "{}", text);
        let back = from_text(rtype, &text, None);
        prop_assert_eq!(back.as_deref(), Ok(&data[..]), "{} {}", rtype, text);
        let canonical = canonical(rtype, &data);
        prop_assert!(canonical.eq_ignore_ascii_case(&data));
        prop_assert_eq!(check(rtype, &canonical), Ok(()));
        prop_assert_eq!(super::canonical(rtype, &canonical), &canonical[..]);
    }

    #[test]
    fn any_octets_are_taken(rtype in any_type(), data in prop::collection::vec(any::<u8>(), 0..80)) {
        let valid = check(rtype, &data).is_ok();
        let text = to_text(rtype, &data);
        let back = from_text(rtype, &text, None);
        prop_assert_eq!(back.is_ok(), valid, "{} {}", rtype, text);
        if let Ok(back) = back {
            prop_assert_eq!(&back[..], &data[..]);
        }
        prop_assert!(canonical(rtype, &data).eq_ignore_ascii_case(&data));
        prop_assert!(names(rtype, &data).all(|name| rokko_wire::name::wire_len(name) == Ok(name.len())));
    }

    #[test]
    fn damaged_data_is_taken(
        rtype in any_type(),
        entropy in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        octet in any::<u8>(),
        cut in 0_usize..3,
    ) {
        let mut data = valid(rtype, entropy);
        if !data.is_empty() {
            let at = at.index(data.len());
            data[at] = octet;
        }
        data.truncate(data.len().saturating_sub(cut));
        let text = to_text(rtype, &data);
        prop_assert_eq!(from_text(rtype, &text, None).is_ok(), check(rtype, &data).is_ok(), "{} {}", rtype, text);
        prop_assert!(canonical(rtype, &data).eq_ignore_ascii_case(&data));
    }

    #[test]
    fn any_text_is_taken(rtype in any_type(), text in "([ -~]|[0-9 .\"\\\\();=,:m-]|\\PC|\n){0,60}") {
        if let Ok(data) = from_text(rtype, &text, Some(&origin())) {
            prop_assert_eq!(check(rtype, &data), Ok(()), "{} {}", rtype, text);
            let written = to_text(rtype, &data);
            let back = from_text(rtype, &written, None);
            prop_assert_eq!(back.as_deref(), Ok(&data[..]), "{} {} {}", rtype, text, written);
        }
    }

    #[test]
    fn damaged_text_is_taken(
        vector in prop::sample::select(vectors().collect::<Vec<_>>()),
        at in any::<prop::sample::Index>(),
        octet in 0_u8..128,
    ) {
        let (rtype, text, _) = vector;
        let mut text = text.as_bytes().to_vec();
        if !text.is_empty() {
            let at = at.index(text.len());
            text[at] = octet;
        }
        let text = String::from_utf8(text).unwrap();
        if let Ok(data) = from_text(rtype, &text, Some(&origin())) {
            prop_assert_eq!(check(rtype, &data), Ok(()), "{} {}", rtype, text);
        }
    }
}
