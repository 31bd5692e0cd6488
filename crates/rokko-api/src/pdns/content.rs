//! Record contents as PowerDNS reads and writes them.

use std::borrow::Cow;

use rokko_wire::{NameError, Rtype};
use rokko_zone::rdata;

/// The most octets in one character string (RFC 1035 §3.3).
const CHAR_STRING_MAX: usize = 255;

/// Reads a record's content. Names in it must be absolute, and the strings of TXT and SPF quoted; a string that is
/// longer than a character string may be is split.
pub(super) fn from_text(rtype: Rtype, content: &str) -> Result<Box<[u8]>, String> {
    let content = if matches!(rtype, Rtype::TXT | Rtype::SPF) { split_strings(content)? } else { content.into() };
    // There is no $ORIGIN here that the general advice could be followed with.
    let relative = NameError::Relative.to_string();
    rdata::from_text(rtype, &content, None)
        .map_err(|error| error.to_string().replace(&relative, "names are absolute here: end it with a dot"))
}

/// The content with quoted strings of at most 255 octets; an error if anything is not quoted.
fn split_strings(content: &str) -> Result<Cow<'_, str>, String> {
    let mut split = String::new();
    let (mut copied, mut octets, mut quoted) = (0, 0, false);
    let mut chars = content.char_indices();
    while let Some((at, character)) = chars.next() {
        match character {
            '"' => (quoted, octets) = (!quoted, 0),
            ' ' | '\t' if !quoted => {}
            _ if !quoted => {
                return Err(format!("found {character:?} outside of quotes, expected \"text in double quotes\""));
            }
            _ => {
                let len = if character == '\\' { skip_escaped(&mut chars) } else { character.len_utf8() };
                if octets + len > CHAR_STRING_MAX {
                    split.push_str(&content[copied..at]);
                    split.push_str("\" \"");
                    (copied, octets) = (at, 0);
                }
                octets += len;
            }
        }
    }
    if copied == 0 {
        return Ok(content.into());
    }
    split.push_str(&content[copied..]);
    Ok(split.into())
}

/// Passes what follows a backslash; returns how many octets the escape stands for.
fn skip_escaped(chars: &mut std::str::CharIndices<'_>) -> usize {
    let rest = chars.as_str();
    let digits = rest.bytes().take(3).filter(u8::is_ascii_digit).count();
    let escaped = if digits == 3 { 3 } else { 1 };
    (0..escaped).filter_map(|_| chars.next()).last().map_or(0, |(_, last)| last.len_utf8())
}

/// Writes a record's content as PowerDNS does, which clients compare letter by letter with what they sent.
pub(super) fn to_text(rtype: Rtype, rdata: &[u8]) -> String {
    let mut text = rdata::to_text(rtype, rdata);
    let generic = text.starts_with("\\#");
    match rtype {
        _ if generic => text.make_ascii_lowercase(),
        Rtype::DS
        | Rtype::CDS
        | Rtype::DLV
        | Rtype::TLSA
        | Rtype::SMIMEA
        | Rtype::SSHFP
        | Rtype::ZONEMD
        | Rtype::NSEC3PARAM => text.make_ascii_lowercase(),
        Rtype::NID | Rtype::L64 => text.make_ascii_uppercase(),
        Rtype::LOC => return by_word(&text, metres_with_centimetres),
        Rtype::SVCB | Rtype::HTTPS => return by_word(&text, quoted_parameter),
        _ => {}
    }
    text
}

fn by_word(text: &str, change: fn(&str) -> Cow<'_, str>) -> String {
    text.split(' ').map(change).collect::<Vec<_>>().join(" ")
}

/// `10m` is `10.00m` to PowerDNS.
fn metres_with_centimetres(word: &str) -> Cow<'_, str> {
    match word.strip_suffix('m') {
        Some(number) if !number.contains('.') => format!("{number}.00m").into(),
        _ => word.into(),
    }
}

/// PowerDNS puts the values of `ech` and of unknown parameters into quotes.
fn quoted_parameter(word: &str) -> Cow<'_, str> {
    match word.split_once('=') {
        Some((name, value)) if (name == "ech" || name.starts_with("key")) && !value.starts_with('"') => {
            format!("{name}=\"{value}\"").into()
        }
        _ => word.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(rtype: Rtype, content: &str) -> String {
        to_text(rtype, &from_text(rtype, content).unwrap())
    }

    #[test]
    fn contents_come_back_as_powerdns_writes_them() {
        let digest = "0c72ac70b745ac19998811b131d662c9ac69dbdbe7cb23e5b514b56664c5d3d6";
        for (rtype, given, expected) in [
            (Rtype::A, "192.0.2.1", "192.0.2.1"),
            (Rtype::AAAA, "2001:0db8:0:0:0:0:0:1", "2001:db8::1"),
            (Rtype::MX, "10 Mail.Example.", "10 Mail.Example."),
            (Rtype::TXT, "\"semi;colon\"", "\"semi;colon\""),
            (Rtype::TLSA, &format!("3 1 1 {}", digest.to_uppercase()), &format!("3 1 1 {digest}")),
            (
                Rtype::SSHFP,
                "1 1 DD465C09CFA51FB45020CC83316FFF21B9EC74AC",
                "1 1 dd465c09cfa51fb45020cc83316fff21b9ec74ac",
            ),
            (Rtype::CAA, "0 issue \"letsencrypt.org\"", "0 issue \"letsencrypt.org\""),
            (
                Rtype::LOC,
                "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",
                "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000.00m 10.00m",
            ),
            (Rtype::HTTPS, "1 . ech=\"AEP+DQA=\" alpn=h2,h3", "1 . alpn=h2,h3 ech=\"AEP+DQA=\""),
            (Rtype(65_400), "\\# 4 0A0B0C0D", "\\# 4 0a0b0c0d"),
            (Rtype::L64, "10 2001:0DB8:1140:1000", "10 2001:0DB8:1140:1000"),
        ] {
            assert_eq!(round(rtype, given), expected, "{rtype}");
            assert_eq!(round(rtype, expected), expected, "{rtype}: the second time");
        }
    }

    #[test]
    fn long_strings_are_split_and_escapes_stay_whole() {
        let long = round(Rtype::TXT, &format!("\"{}\"", "x".repeat(600)));
        assert_eq!(long, format!("\"{0}\" \"{0}\" \"{1}\"", "x".repeat(255), "x".repeat(90)));
        let escaped = round(Rtype::TXT, &format!("\"{}\\200\\\"\"", "x".repeat(254)));
        assert_eq!(escaped, format!("\"{}\\200\" \"\\\"\"", "x".repeat(254)));
        let wide = round(Rtype::TXT, &format!("\"{}ü\"", "x".repeat(254)));
        assert_eq!(wide, format!("\"{}\" \"\\195\\188\"", "x".repeat(254)));
    }

    #[test]
    fn relative_names_are_told_to_end_with_a_dot() {
        let error = from_text(Rtype::MX, "10 mail").unwrap_err();
        assert_eq!(error, "found mail at column 4, expected a domain name: names are absolute here: end it with a dot");
    }

    #[test]
    fn bad_contents() {
        for (rtype, content) in [
            (Rtype::TXT, "unquoted"),
            (Rtype::TXT, "\"a\" b"),
            (Rtype::TXT, "\"open"),
            (Rtype::TXT, "\"trailing\\"),
            (Rtype::TXT, ""),
            (Rtype::MX, "10 mail"),
            (Rtype::CNAME, "target"),
            (Rtype::A, "nonsense"),
        ] {
            assert!(from_text(rtype, content).is_err(), "{rtype} {content}");
        }
    }
}
