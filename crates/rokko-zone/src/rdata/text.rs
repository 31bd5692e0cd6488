//! Presentation format to wire form, field by field.

use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::{BASE32HEX_NOPAD, BASE64, Encoding, HEXUPPER_PERMISSIVE};
use rokko_wire::name::{append_text, unescape};
use rokko_wire::rtype::Rtype;

use super::table::Field;
use super::words::{Words, decimal, range};
use super::{RdataError, Token, apl, bitmap, loc, mnemonic, svcb, time, wire};

const HEX_EXPECTED: &str = "hexadecimal digits in pairs";
const BASE64_EXPECTED: &str = "base64 text with its padding";

type Parsed = Result<(), RdataError>;

/// Appends the next field to `out`. `start` is where the record's data starts in it.
pub(super) fn parse_field(field: Field, words: &mut Words<'_, '_>, start: usize, out: &mut Vec<u8>) -> Parsed {
    match field {
        Field::Name(_) => parse_name(words, out),
        Field::Names => {
            while words.peek().is_some() {
                parse_name(words, out)?;
            }
            Ok(())
        }
        Field::NoGateway => match words.take_word("a dot, as there is no gateway")? {
            b"." => Ok(()),
            _ => Err(words.wrong("a dot, as there is no gateway")),
        },
        Field::U8 => parse_u8(words, out),
        Field::U16 => parse_u16(words, out),
        Field::U32 => words.number(u32::MAX).map(|number| out.extend_from_slice(&number.to_be_bytes())),
        Field::Period => {
            let expected = "seconds up to 4294967295, or numbers with the units w, d, h, m and s";
            parse_u32_with(words, expected, time::parse_period, out)
        }
        Field::Time => parse_u32_with(words, time::EXPECTED, time::parse, out),
        Field::Ipv4 => parse_address::<Ipv4Addr, 4>(words, "an IPv4 address", Ipv4Addr::octets, out),
        Field::Ipv6 => parse_address::<Ipv6Addr, 16>(words, "an IPv6 address", Ipv6Addr::octets, out),
        Field::RelayType => parse_relay_type(words, out),
        Field::OptionalCharString if words.peek().is_none() => Ok(()),
        Field::CharString | Field::OptionalCharString => parse_char_string(words, out),
        Field::CharStrings => {
            parse_char_string(words, out)?;
            while words.peek().is_some() {
                parse_char_string(words, out)?;
            }
            Ok(())
        }
        Field::Text => parse_text(words, 1, out),
        Field::OptionalText => parse_text(words, 0, out),
        Field::Tag => parse_tag(words, out),
        Field::Hex => {
            parse_encoded(words, &HEXUPPER_PERMISSIVE, HEX_EXPECTED, out).and_then(|octets| octets.at_least_one(words))
        }
        _ => parse_rest_field(field, words, start, out),
    }
}

fn parse_rest_field(field: Field, words: &mut Words<'_, '_>, start: usize, out: &mut Vec<u8>) -> Parsed {
    match field {
        Field::DsDigest | Field::Fingerprint | Field::ZoneDigest => {
            let len = wire::digest_len(field, &out[start..]);
            let octets = parse_encoded(words, &HEXUPPER_PERMISSIVE, HEX_EXPECTED, out)?;
            octets.at_least_one(words)?;
            len.check(octets.len).map_err(|error| error.at(octets.token))
        }
        Field::Nsap => parse_nsap(words, out),
        Field::SizedHex => parse_sized_hex(words, out),
        Field::SizedBase32 => parse_sized_base32(words, out),
        Field::Base64 => parse_encoded(words, &BASE64, BASE64_EXPECTED, out)?.at_least_one(words),
        Field::OptionalBase64 => parse_encoded(words, &BASE64, BASE64_EXPECTED, out).map(|_| ()),
        Field::Base64OrDash => match words.peek() {
            Some(Token { text: b"-", quoted: false, .. }) => words.take_word("").map(|_| ()),
            _ => parse_encoded(words, &BASE64, "base64 text, or a dash for none", out)?.at_least_one(words),
        },
        Field::Covered => parse_covered(words, out),
        Field::CertType => {
            let number = parse_named(words, mnemonic::CERT_TYPES, 65_535, "a certificate type")?;
            out.extend_from_slice(&number.to_be_bytes());
            Ok(())
        }
        Field::Algorithm => parse_named_u8(words, mnemonic::ALGORITHMS, "a DNSSEC algorithm", out),
        Field::Scheme => parse_named_u8(words, mnemonic::SCHEMES, "a scheme, NOTIFY", out),
        Field::Protocol => parse_named_u8(words, mnemonic::PROTOCOLS, "an Internet protocol, TCP or UDP", out),
        Field::Ports => parse_ports(words, out),
        Field::Bitmap => parse_bitmap(words, out),
        Field::SvcParams => svcb::parse(words, out),
        Field::Apl => parse_apl(words, out),
        Field::Loc => loc::parse(words, out),
        Field::Eui48 => parse_groups::<6>(words, b'-', 2..=2, "six pairs of hexadecimal digits with dashes", out),
        Field::Eui64 => parse_groups::<8>(words, b'-', 2..=2, "eight pairs of hexadecimal digits with dashes", out),
        Field::Locator64 => parse_locator(words, out),
        Field::HostIdentity => parse_host_identity(words, out),
        _ => Err(no_text(words)),
    }
}

fn no_text(words: &Words<'_, '_>) -> RdataError {
    words.wrong_at(words.position(), "\\#, the length and the octets in hexadecimal, as RFC 3597 has it")
}

/// Appends what `\# LENGTH HEX` says (RFC 3597 §5).
pub(super) fn parse_generic(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    words.take_word("\\#")?;
    let len = words.number(u32::from(u16::MAX))?;
    let octets = parse_encoded(words, &HEXUPPER_PERMISSIVE, HEX_EXPECTED, out)?;
    if octets.len != len as usize {
        let error = RdataError::new(format!("{} octets", octets.len), format!("{len} octets, as the length says"));
        return Err(error.at(octets.token));
    }
    Ok(())
}

fn parse_name(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let word = words.take_word("a domain name")?;
    append_text(word, words.origin, out).map_err(|error| words.wrong(format!("a domain name: {error}")))
}

fn parse_u8(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let number = words.number(255)?;
    out.push(number.to_be_bytes()[3]);
    Ok(())
}

fn parse_u16(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let number = words.number(65_535)?;
    out.extend_from_slice(&number.to_be_bytes()[2..]);
    Ok(())
}

fn parse_u32_with(
    words: &mut Words<'_, '_>,
    expected: &str,
    read: impl Fn(&[u8]) -> Option<u32>,
    out: &mut Vec<u8>,
) -> Parsed {
    let word = words.take_word(expected)?;
    let number = read(word).ok_or_else(|| words.wrong(expected))?;
    out.extend_from_slice(&number.to_be_bytes());
    Ok(())
}

fn parse_address<A: std::str::FromStr, const N: usize>(
    words: &mut Words<'_, '_>,
    expected: &str,
    octets: impl Fn(&A) -> [u8; N],
    out: &mut Vec<u8>,
) -> Parsed {
    let word = words.take_word(expected)?;
    let address = str::from_utf8(word).ok().and_then(|text| text.parse().ok());
    out.extend_from_slice(&octets(&address.ok_or_else(|| words.wrong(expected))?));
    Ok(())
}

fn parse_relay_type(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let discovery = words.number(1)?;
    let kind = words.number(127)?;
    out.push(((discovery << 7) | kind).to_be_bytes()[3]);
    Ok(())
}

/// Appends a character string, its escapes resolved; says how many octets that is.
pub(super) fn append_unescaped(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let start = out.len();
    let mut at = 0;
    while at < text.len() {
        let (octet, used) = if text[at] == b'\\' { unescape(&text[at + 1..]).ok()? } else { (text[at], 0) };
        out.push(octet);
        at += used + 1;
    }
    Some(out.len() - start)
}

fn append_text_token(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<usize, RdataError> {
    let token = words.take("a text, quoted if it has blanks")?;
    let len = append_unescaped(token.text, out);
    len.ok_or_else(|| words.wrong("a text whose escapes are \\ and a character, or \\DDD up to 255"))
}

fn parse_char_string(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let len_at = out.len();
    out.push(0);
    let len = append_text_token(words, out)?;
    out[len_at] = u8::try_from(len).map_err(|_| {
        let error = words.wrong("at most 255 octets in one text: cut it into several quoted ones");
        RdataError { found: format!("a text of {len} octets"), ..error }
    })?;
    Ok(())
}

fn parse_text(words: &mut Words<'_, '_>, len_min: usize, out: &mut Vec<u8>) -> Parsed {
    let len = append_text_token(words, out)?;
    if len < len_min {
        return Err(words.wrong("a text that is not empty"));
    }
    Ok(())
}

fn parse_tag(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let expected = "a property tag of ASCII letters and digits, such as issue";
    let token = words.take(expected)?;
    let len = u8::try_from(token.text.len()).ok().filter(|len| *len > 0);
    let len = len.filter(|_| token.text.iter().all(u8::is_ascii_alphanumeric));
    out.push(len.ok_or_else(|| words.wrong(expected))?);
    out.extend_from_slice(token.text);
    Ok(())
}

/// How many octets a run of encoded words had, and its first token.
struct Encoded {
    len: usize,
    token: usize,
    expected: &'static str,
}

impl Encoded {
    fn at_least_one(&self, words: &Words<'_, '_>) -> Parsed {
        if self.len == 0 { Err(words.wrong_at(self.token, self.expected)) } else { Ok(()) }
    }
}

/// Appends the remaining words, decoded.
fn parse_encoded(
    words: &mut Words<'_, '_>,
    encoding: &Encoding,
    expected: &'static str,
    out: &mut Vec<u8>,
) -> Result<Encoded, RdataError> {
    let token = words.position();
    let text = words.take_rest(expected)?;
    let len = append_decoded(&text, encoding, out).ok_or_else(|| words.wrong_at(token, expected))?;
    Ok(Encoded { len, token, expected })
}

/// Appends `text` decoded; says how many octets that is.
pub(super) fn append_decoded(text: &[u8], encoding: &Encoding, out: &mut Vec<u8>) -> Option<usize> {
    let start = out.len();
    out.resize(start + encoding.decode_len(text.len()).ok()?, 0);
    let len = encoding.decode_mut(text, &mut out[start..]).ok()?;
    out.truncate(start + len);
    Some(len)
}

fn parse_nsap(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let expected = "0x and hexadecimal digits in pairs";
    let word = words.take_word(expected)?;
    let digits = word.strip_prefix(b"0x").or_else(|| word.strip_prefix(b"0X"));
    let mut digits = digits.ok_or_else(|| words.wrong(expected))?.to_vec();
    digits.retain(|octet| *octet != b'.');
    let len = append_decoded(&digits, &HEXUPPER_PERMISSIVE, out).filter(|len| *len > 0);
    len.map(|_| ()).ok_or_else(|| words.wrong(expected))
}

fn parse_sized(
    words: &mut Words<'_, '_>,
    text: &[u8],
    encoding: &Encoding,
    expected: &str,
    out: &mut Vec<u8>,
) -> Parsed {
    let len_at = out.len();
    out.push(0);
    let len = append_decoded(text, encoding, out).and_then(|len| u8::try_from(len).ok()).filter(|len| *len > 0);
    out[len_at] = len.ok_or_else(|| words.wrong(expected))?;
    Ok(())
}

fn parse_sized_hex(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let expected = "up to 255 octets in hexadecimal, or a dash for none";
    match words.take_word(expected)? {
        b"-" => {
            out.push(0);
            Ok(())
        }
        word => parse_sized(words, word, &HEXUPPER_PERMISSIVE, expected, out),
    }
}

fn parse_sized_base32(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let expected = "up to 255 octets in base32hex without padding";
    let word = words.take_word(expected)?.to_ascii_uppercase();
    parse_sized(words, &word, &BASE32HEX_NOPAD, expected, out)
}

fn read_rtype(words: &mut Words<'_, '_>) -> Result<Rtype, RdataError> {
    let expected = "a record type: a mnemonic such as AAAA, or TYPE and a number up to 65535";
    let word = words.take_word(expected)?;
    let rtype = str::from_utf8(word).ok().and_then(|text| text.parse().ok());
    rtype.ok_or_else(|| words.wrong(expected))
}

fn parse_covered(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let Rtype(number) = read_rtype(words)?;
    out.extend_from_slice(&number.to_be_bytes());
    Ok(())
}

fn parse_named(words: &mut Words<'_, '_>, names: &[(&str, u16)], max: u16, what: &str) -> Result<u16, RdataError> {
    let expected = format!("{} or the mnemonic of {what}", range(u32::from(max)));
    let word = words.take_word(&expected)?;
    let number = decimal(word, u32::from(max)).and_then(|number| u16::try_from(number).ok());
    number.or_else(|| mnemonic::number(names, word)).ok_or_else(|| words.wrong(expected))
}

fn parse_named_u8(words: &mut Words<'_, '_>, names: &[(&str, u16)], what: &str, out: &mut Vec<u8>) -> Parsed {
    let number = parse_named(words, names, 255, what)?;
    out.push(number.to_be_bytes()[1]);
    Ok(())
}

fn parse_bitmap(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let mut types = Vec::new();
    while words.peek().is_some() {
        types.push(read_rtype(words)?.0);
    }
    bitmap::append(&mut types, out);
    Ok(())
}

fn parse_ports(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let start = out.len();
    while words.peek().is_some() {
        let port = words.number(65_535)? as usize;
        let len = out.len().max(start + port / 8 + 1);
        out.resize(len, 0);
        out[start + port / 8] |= 0x80 >> (port % 8);
    }
    Ok(())
}

fn parse_apl(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    while words.peek().is_some() {
        let word = words.take_word(apl::EXPECTED)?;
        apl::parse_item(word, out).ok_or_else(|| words.wrong(apl::EXPECTED))?;
    }
    Ok(())
}

/// Reads exactly `N` groups of as many hexadecimal digits as `digits` allows.
fn read_groups<const N: usize>(
    word: &[u8],
    separator: u8,
    digits: &std::ops::RangeInclusive<usize>,
) -> Option<[u16; N]> {
    let mut groups = word.split(|octet| *octet == separator);
    let mut numbers = [0; N];
    for number in &mut numbers {
        let group = groups.next().filter(|group| digits.contains(&group.len()))?;
        let group = str::from_utf8(group).ok().filter(|group| !group.starts_with('+'))?;
        *number = u16::from_str_radix(group, 16).ok()?;
    }
    groups.next().is_none().then_some(numbers)
}

fn parse_groups<const N: usize>(
    words: &mut Words<'_, '_>,
    separator: u8,
    digits: std::ops::RangeInclusive<usize>,
    expected: &str,
    out: &mut Vec<u8>,
) -> Parsed {
    let word = words.take_word(expected)?;
    let numbers = read_groups::<N>(word, separator, &digits).ok_or_else(|| words.wrong(expected))?;
    out.extend(numbers.iter().map(|number| number.to_be_bytes()[1]));
    Ok(())
}

fn parse_locator(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let expected = "four groups of up to four hexadecimal digits with colons";
    let word = words.take_word(expected)?;
    let numbers = read_groups::<4>(word, b':', &(1..=4)).ok_or_else(|| words.wrong(expected))?;
    out.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    Ok(())
}

/// Reads `algorithm tag key`; the wire form has the lengths first (RFC 8005 §5).
fn parse_host_identity(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Parsed {
    let start = out.len();
    let algorithm = words.number(255)?;
    out.extend_from_slice(&[0, algorithm.to_be_bytes()[3], 0, 0]);
    let expected = "a host identity tag of 1 to 255 octets in hexadecimal";
    let word = words.take_word(expected)?;
    let tag_len = append_decoded(word, &HEXUPPER_PERMISSIVE, out).and_then(|len| u8::try_from(len).ok());
    out[start] = tag_len.filter(|len| *len > 0).ok_or_else(|| words.wrong(expected))?;
    let word = words.take_word(BASE64_EXPECTED)?;
    let key_len = append_decoded(word, &BASE64, out).and_then(|len| u16::try_from(len).ok());
    let key_len = key_len.filter(|len| *len > 0).ok_or_else(|| words.wrong(BASE64_EXPECTED))?;
    out[start + 2..start + 4].copy_from_slice(&key_len.to_be_bytes());
    Ok(())
}
