//! Valid wire form to presentation format, field by field.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXLOWER, HEXUPPER};
use rokko_wire::name::write_wire;
use rokko_wire::rtype::Rtype;

use super::table::Field;
use super::{apl, bitmap, loc, mnemonic, svcb, time};

/// Writes `octets`, which are the whole valid field.
pub(super) fn write_field(field: Field, octets: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    match field {
        Field::Name(_) | Field::Names => write_wire(octets, f),
        Field::NoGateway => f.write_char('.'),
        Field::U8 | Field::U16 | Field::U32 | Field::Period | Field::Algorithm | Field::CertType | Field::Protocol => {
            write!(f, "{}", number(octets))
        }
        Field::Time => time::write(number(octets), f),
        Field::Covered => write!(f, "{}", rtype(octets)),
        Field::Scheme => write_scheme(octets, f),
        Field::RelayType => write!(f, "{} {}", number(octets) >> 7, number(octets) & 0x7f),
        Field::Ipv4 => write!(f, "{}", Ipv4Addr::from(number(octets))),
        Field::Ipv6 => {
            let octets = octets.first_chunk::<16>().copied().unwrap_or_default();
            write!(f, "{}", Ipv6Addr::from(octets))
        }
        Field::CharString | Field::OptionalCharString | Field::CharStrings => write_char_strings(octets, f),
        Field::Text | Field::OptionalText => write_quoted(octets, f),
        Field::Tag => f.write_str(str::from_utf8(after_len(octets)).unwrap_or_default()),
        Field::Hex | Field::DsDigest | Field::Fingerprint | Field::ZoneDigest | Field::Opaque => {
            write!(f, "{}", HEXUPPER.encode_display(octets))
        }
        Field::Nsap => write!(f, "0x{}", HEXLOWER.encode_display(octets)),
        Field::SizedHex if after_len(octets).is_empty() => f.write_char('-'),
        Field::SizedHex => write!(f, "{}", HEXUPPER.encode_display(after_len(octets))),
        Field::SizedBase32 => write!(f, "{}", BASE32HEX_NOPAD.encode_display(after_len(octets))),
        Field::Base64OrDash if octets.is_empty() => f.write_char('-'),
        Field::Base64 | Field::OptionalBase64 | Field::Base64OrDash => write!(f, "{}", BASE64.encode_display(octets)),
        Field::Ports => bitmap::write_ports(octets, f),
        Field::Bitmap => bitmap::write(octets, f),
        Field::SvcParams => svcb::write(octets, f),
        Field::Apl => apl::write(octets, f),
        Field::Loc => loc::write(octets, f),
        Field::Eui48 | Field::Eui64 => write_groups(octets.chunks(1), '-', f),
        Field::Locator64 => write_groups(octets.chunks(2), ':', f),
        Field::HostIdentity => write_host_identity(octets, f),
        Field::Gateway | Field::Relay => Ok(()),
    }
}

fn number(octets: &[u8]) -> u32 {
    octets.iter().fold(0, |value, octet| (value << 8) | u32::from(*octet))
}

fn rtype(octets: &[u8]) -> Rtype {
    Rtype(u16::from_be_bytes(octets.first_chunk().copied().unwrap_or_default()))
}

fn after_len(octets: &[u8]) -> &[u8] {
    octets.get(1..).unwrap_or_default()
}

fn write_scheme(octets: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    let number = octets.first().copied().unwrap_or(0);
    match mnemonic::name(mnemonic::SCHEMES, u16::from(number)) {
        Some(name) => f.write_str(name),
        None => write!(f, "{number}"),
    }
}

fn write_char_strings(mut octets: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    let mut separator = "";
    while let Some((len, rest)) = octets.split_first() {
        let (string, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        f.write_str(separator)?;
        write_quoted(string, f)?;
        separator = " ";
        octets = rest;
    }
    Ok(())
}

/// Writes a quoted string; blanks stay as they are, octets that are not printable ASCII become `\DDD`.
pub(super) fn write_quoted(octets: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    f.write_char('"')?;
    for octet in octets {
        match octet {
            b'"' | b'\\' => write!(f, "\\{}", char::from(*octet))?,
            0x20..=0x7e => f.write_char(char::from(*octet))?,
            _ => write!(f, "\\{octet:03}")?,
        }
    }
    f.write_char('"')
}

fn write_groups<'a>(groups: impl Iterator<Item = &'a [u8]>, separator: char, f: &mut impl fmt::Write) -> fmt::Result {
    for (index, group) in groups.enumerate() {
        if index > 0 {
            f.write_char(separator)?;
        }
        for octet in group {
            write!(f, "{octet:02x}")?;
        }
    }
    Ok(())
}

fn write_host_identity(octets: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    let Some((&[tag_len, algorithm, _, _], rest)) = octets.split_first_chunk() else { return Ok(()) };
    let (tag, key) = rest.split_at(usize::from(tag_len).min(rest.len()));
    write!(f, "{algorithm} {} {}", HEXUPPER.encode_display(tag), BASE64.encode_display(key))
}
