//! Service parameters of SVCB and HTTPS (RFC 9460).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::BASE64;

use super::RdataError;
use super::text::{append_decoded, append_unescaped};
use super::words::{Words, decimal};
use super::write::write_quoted;

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;
/// Reserved: no parameter ever has it (RFC 9460 §14.3.2).
const INVALID: u16 = 65_535;

const KEYS: &[(&str, u16)] = &[
    ("mandatory", MANDATORY),
    ("alpn", ALPN),
    ("no-default-alpn", NO_DEFAULT_ALPN),
    ("port", PORT),
    ("ipv4hint", IPV4HINT),
    ("ech", ECH),
    ("ipv6hint", IPV6HINT),
    ("dohpath", DOHPATH),
    ("ohttp", OHTTP),
];

/// The number of a key: a registered name, or `key` and a number without leading zeros (RFC 9460 §2.1).
fn key_number(text: &[u8]) -> Option<u16> {
    if let Some((_, number)) = KEYS.iter().find(|(name, _)| name.as_bytes() == text) {
        return Some(*number);
    }
    let digits = text.strip_prefix(b"key")?;
    let number = decimal(digits, u32::from(INVALID) - 1)?;
    (digits.len() == 1 || digits[0] != b'0').then(|| u16::try_from(number).ok()).flatten()
}

struct Key(u16);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match KEYS.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "key{}", self.0),
        }
    }
}

/// Appends the remaining words as parameters in the order of their keys.
pub(super) fn parse(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let first = words.position();
    let mut params: Vec<(u16, Vec<u8>)> = Vec::new();
    while words.peek().is_some() {
        let (key, value) = parse_param(words)?;
        match params.binary_search_by_key(&key, |(known, _)| *known) {
            Ok(_) => return Err(words.wrong(format!("each key once, and {} is there already", Key(key)))),
            Err(index) => params.insert(index, (key, value)),
        }
    }
    let start = out.len();
    for (key, value) in &params {
        let len = u16::try_from(value.len()).map_err(|_| words.wrong("a value of at most 65535 octets"))?;
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(value);
    }
    check(&out[start..]).map_err(|error| error.at(first))
}

fn parse_param(words: &mut Words<'_, '_>) -> Result<(u16, Vec<u8>), RdataError> {
    let expected = "a service parameter such as alpn=h2,h3 or key65333=\"value\"";
    let word = words.take_word(expected)?;
    let (name, raw) = match word.iter().position(|octet| *octet == b'=') {
        Some(equals) => (&word[..equals], Some(&word[equals + 1..])),
        None => (word, None),
    };
    let key = key_number(name).ok_or_else(|| words.wrong(expected))?;
    let raw = match raw {
        // A value in quotes may come as a token of its own.
        Some(b"") if words.peek().is_some_and(|next| next.quoted) => Some(words.take(expected)?.text),
        Some(quoted @ [b'"', .., b'"']) if quoted.len() > 1 => Some(&quoted[1..quoted.len() - 1]),
        raw => raw,
    };
    let mut text = Vec::new();
    append_unescaped(raw.unwrap_or_default(), &mut text)
        .ok_or_else(|| words.wrong("a value whose escapes are \\ and a character, or \\DDD up to 255"))?;
    let mut value = Vec::new();
    if name.starts_with(b"key") {
        value = text;
    } else {
        parse_value(key, &text, &mut value).ok_or_else(|| words.wrong(expected_value(key)))?;
    }
    check_value(key, &value).map_err(|expected| words.wrong(expected))?;
    Ok((key, value))
}

fn expected_value(key: u16) -> &'static str {
    match key {
        MANDATORY => "keys with commas between, each once and without mandatory itself",
        ALPN => "protocol identifiers of 1 to 255 octets with commas between",
        NO_DEFAULT_ALPN => "no-default-alpn without a value",
        PORT => "a port from 0 to 65535",
        IPV4HINT => "IPv4 addresses with commas between",
        ECH => "an ECH configuration list in base64",
        IPV6HINT => "IPv6 addresses with commas between",
        DOHPATH => "a URI template in UTF-8 with the variable dns",
        OHTTP => "ohttp without a value",
        _ => "a value of at most 65535 octets",
    }
}

fn parse_value(key: u16, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match key {
        MANDATORY => {
            let mut keys = text.split(|octet| *octet == b',').map(key_number).collect::<Option<Vec<u16>>>()?;
            keys.sort_unstable();
            out.extend(keys.iter().flat_map(|key| key.to_be_bytes()));
        }
        ALPN => {
            for protocol in split_list(text)? {
                out.push(u8::try_from(protocol.len()).ok()?);
                out.extend_from_slice(&protocol);
            }
        }
        PORT => out.extend_from_slice(&u16::try_from(decimal(text, 65_535)?).ok()?.to_be_bytes()),
        IPV4HINT => {
            for address in str::from_utf8(text).ok()?.split(',') {
                out.extend_from_slice(&address.parse::<Ipv4Addr>().ok()?.octets());
            }
        }
        IPV6HINT => {
            for address in str::from_utf8(text).ok()?.split(',') {
                out.extend_from_slice(&address.parse::<Ipv6Addr>().ok()?.octets());
            }
        }
        ECH => append_decoded(text, &BASE64, out).map(|_| ())?,
        _ => out.extend_from_slice(text),
    }
    Some(())
}

/// The items of a comma-separated list in which `\,` and `\\` stand for themselves (RFC 9460 appendix A.1).
fn split_list(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut items = vec![Vec::new()];
    let mut octets = text.iter();
    while let Some(octet) = octets.next() {
        match octet {
            b',' => items.push(Vec::new()),
            b'\\' => {
                let escaped = octets.next().filter(|octet| matches!(octet, b',' | b'\\'))?;
                items.last_mut()?.push(*escaped);
            }
            _ => items.last_mut()?.push(*octet),
        }
    }
    Some(items)
}

/// The parameters: key and value, or `None` once for a malformed rest.
struct Params<'a>(&'a [u8]);

impl<'a> Iterator for Params<'a> {
    type Item = Option<(u16, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = self.0.split_first_chunk().and_then(|(&[k0, k1, l0, l1], rest)| {
            let len = usize::from(u16::from_be_bytes([l0, l1]));
            let (value, rest) = rest.split_at_checked(len)?;
            Some((u16::from_be_bytes([k0, k1]), value, rest))
        });
        self.0 = split.map_or(&[], |(.., rest)| rest);
        Some(split.map(|(key, value, _)| (key, value)))
    }
}

/// Checks that keys ascend, that values are of their key's form, and the relations between keys (RFC 9460 §2.2, §7.1.1, §8).
pub(super) fn check(octets: &[u8]) -> Result<(), RdataError> {
    let mut previous = None;
    for param in Params(octets) {
        let Some((key, value)) = param else {
            return Err(RdataError::new("a cut service parameter", "key, length and value"));
        };
        if previous.is_some_and(|previous| previous >= key) {
            return Err(RdataError::new(Key(key).to_string(), "keys in strictly increasing order"));
        }
        previous = Some(key);
        check_value(key, value)
            .map_err(|expected| RdataError::new(format!("another value of {}", Key(key)), expected))?;
    }
    let has = |wanted: u16| Params(octets).flatten().any(|(key, _)| key == wanted);
    if has(NO_DEFAULT_ALPN) && !has(ALPN) {
        return Err(RdataError::new("no-default-alpn alone", "alpn with it"));
    }
    let Some((MANDATORY, keys)) = Params(octets).flatten().next() else { return Ok(()) };
    for key in keys.chunks_exact(2).map(|key| u16::from_be_bytes([key[0], key[1]])) {
        if !has(key) {
            return Err(RdataError::new(format!("no {}", Key(key)), "each mandatory key among the parameters"));
        }
    }
    Ok(())
}

fn check_value(key: u16, value: &[u8]) -> Result<(), &'static str> {
    let valid = match key {
        MANDATORY => {
            let ascends = value.chunks_exact(2).is_sorted_by(|a, b| a < b);
            !value.is_empty() && value.len().is_multiple_of(2) && ascends && !value.starts_with(&[0, 0])
        }
        ALPN => protocols(value).next().is_some() && protocols(value).all(|item| item.is_some_and(|p| !p.is_empty())),
        NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
        PORT => value.len() == 2,
        IPV4HINT => !value.is_empty() && value.len().is_multiple_of(4),
        IPV6HINT => !value.is_empty() && value.len().is_multiple_of(16),
        ECH => !value.is_empty(),
        DOHPATH => !value.is_empty() && str::from_utf8(value).is_ok(),
        INVALID => false,
        _ => true,
    };
    if valid { Ok(()) } else { Err(expected_value(key)) }
}

/// The protocol identifiers, or `None` once for a malformed rest.
fn protocols(value: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let (len, after) = rest.split_first()?;
        let split = after.split_at_checked(usize::from(*len));
        rest = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(protocol, _)| protocol))
    })
}

/// Writes valid parameters with blanks between.
pub(super) fn write(octets: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    let mut separator = "";
    for (key, value) in Params(octets).flatten() {
        write!(f, "{separator}{}", Key(key))?;
        separator = " ";
        if !value.is_empty() {
            f.write_char('=')?;
            write_value(key, value, f)?;
        }
    }
    Ok(())
}

fn write_value(key: u16, value: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    match key {
        MANDATORY => write_list(value.chunks_exact(2).map(|key| Key(u16::from_be_bytes([key[0], key[1]]))), f),
        ALPN => write_text(&join_protocols(value), f),
        PORT => write!(f, "{}", value.iter().fold(0, |port, octet| (port << 8) | u32::from(*octet))),
        IPV4HINT => write_list(value.as_chunks().0.iter().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets)), f),
        IPV6HINT => write_list(value.as_chunks().0.iter().map(|octets: &[u8; 16]| Ipv6Addr::from(*octets)), f),
        ECH => write!(f, "{}", BASE64.encode_display(value)),
        _ => write_text(value, f),
    }
}

fn write_list(items: impl Iterator<Item = impl fmt::Display>, f: &mut impl fmt::Write) -> fmt::Result {
    let mut separator = "";
    for item in items {
        write!(f, "{separator}{item}")?;
        separator = ",";
    }
    Ok(())
}

fn join_protocols(value: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(value.len());
    for (index, protocol) in protocols(value).flatten().enumerate() {
        if index > 0 {
            joined.push(b',');
        }
        for octet in protocol {
            if matches!(octet, b',' | b'\\') {
                joined.push(b'\\');
            }
            joined.push(*octet);
        }
    }
    joined
}

/// Writes a value, in quotes only if it has a character that needs them.
fn write_text(value: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    let plain = |octet: &u8| octet.is_ascii_graphic() && !b"\"\\;()".contains(octet);
    if !value.iter().all(plain) {
        return write_quoted(value, f);
    }
    value.iter().try_for_each(|octet| f.write_char(char::from(*octet)))
}
