//! Lists of address prefixes (RFC 3123).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::RdataError;
use super::words::decimal;

/// What an error says an item looks like.
pub(super) const EXPECTED: &str = "an address prefix such as 1:192.0.2.0/24, !1:192.0.2.64/28 or 2:2001:db8::/32";

const IPV4: u16 = 1;
const IPV6: u16 = 2;

/// Appends the item that `text` is, or says `None`.
pub(super) fn parse_item(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let text = str::from_utf8(text).ok()?;
    let (negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let (family, rest) = text.split_once(':')?;
    let (address, prefix) = rest.split_once('/')?;
    let family = u16::try_from(decimal(family.as_bytes(), 65_535)?).ok()?;
    match family {
        IPV4 => append(family, prefix, negated, &address.parse::<Ipv4Addr>().ok()?.octets(), out),
        IPV6 => append(family, prefix, negated, &address.parse::<Ipv6Addr>().ok()?.octets(), out),
        _ => None,
    }
}

fn append(family: u16, prefix: &str, negated: bool, address: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let bits = u8::try_from(address.len() * 8).ok()?;
    let prefix = u8::try_from(decimal(prefix.as_bytes(), u32::from(bits))?).ok()?;
    let used = address.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    out.extend_from_slice(&family.to_be_bytes());
    out.push(prefix);
    out.push((u8::from(negated) << 7) | u8::try_from(used).ok()?);
    out.extend_from_slice(&address[..used]);
    Some(())
}

struct Item<'a> {
    family: u16,
    prefix: u8,
    negated: bool,
    address: &'a [u8],
}

fn split(octets: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let (&[high, low, prefix, len], rest) = octets.split_first_chunk()?;
    let (address, rest) = rest.split_at_checked(usize::from(len & 0x7f))?;
    let item = Item { family: u16::from_be_bytes([high, low]), prefix, negated: len & 0x80 != 0, address };
    let address_len_max = match item.family {
        IPV4 => 4,
        IPV6 => 16,
        _ => return None,
    };
    let valid = address.len() <= address_len_max
        && usize::from(prefix) <= address_len_max * 8
        && address.last().is_none_or(|last| *last != 0);
    valid.then_some((item, rest))
}

/// Checks every item: a known family, a prefix within the address, no trailing zero octets (RFC 3123 §4).
pub(super) fn check(mut octets: &[u8]) -> Result<(), RdataError> {
    while !octets.is_empty() {
        let Some((_, rest)) = split(octets) else {
            return Err(RdataError::new(
                "a malformed address prefix",
                "address prefixes of family 1 or 2 without trailing zero octets",
            ));
        };
        octets = rest;
    }
    Ok(())
}

/// Writes valid items with blanks between.
pub(super) fn write(mut octets: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    let mut separator = "";
    while let Some((item, rest)) = split(octets) {
        let sign = if item.negated { "!" } else { "" };
        write!(f, "{separator}{sign}{}:", item.family)?;
        let mut address = [0; 16];
        address[..item.address.len()].copy_from_slice(item.address);
        if item.family == IPV4 {
            let address = address.first_chunk::<4>().copied().unwrap_or_default();
            write!(f, "{}", Ipv4Addr::from(address))?;
        } else {
            write!(f, "{}", Ipv6Addr::from(address))?;
        }
        write!(f, "/{}", item.prefix)?;
        separator = " ";
        octets = rest;
    }
    Ok(())
}
