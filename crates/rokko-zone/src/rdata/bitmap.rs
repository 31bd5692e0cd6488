//! Bitmaps: of the types present (RFC 4034 §4.1.2), and of ports (RFC 1035 §3.4.2).

use std::fmt;

use rokko_wire::rtype::Rtype;

use super::RdataError;

const WINDOW_LEN_MAX: usize = 32;
/// A bit for each port.
pub(super) const PORTS_LEN_MAX: usize = 8_192;

/// Appends the bitmap of `types`, which are put in order.
pub(super) fn append(types: &mut Vec<u16>, out: &mut Vec<u8>) {
    types.sort_unstable();
    types.dedup();
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0_u8; WINDOW_LEN_MAX];
        let mut len = 0;
        for rtype in window {
            let [_, low] = rtype.to_be_bytes();
            bits[usize::from(low / 8)] |= 0x80 >> (low % 8);
            len = low / 8 + 1;
        }
        out.push(window[0].to_be_bytes()[0]);
        out.push(len);
        out.extend_from_slice(&bits[..usize::from(len)]);
    }
}

/// Checks that windows ascend, have 1 to 32 octets and do not end in a zero octet.
pub(super) fn check(octets: &[u8]) -> Result<(), RdataError> {
    let fault = |found: &str| RdataError::new(found, "a type bitmap as in RFC 4034 section 4.1.2");
    let mut previous = None;
    for window in Windows(octets) {
        let (number, bits) = window.ok_or_else(|| fault("a cut or empty bitmap window"))?;
        if previous.is_some_and(|previous| previous >= number) {
            return Err(fault("bitmap windows out of order"));
        }
        if bits.last() == Some(&0) {
            return Err(fault("a bitmap window that ends in a zero octet"));
        }
        previous = Some(number);
    }
    Ok(())
}

/// Writes the mnemonics of a valid bitmap with blanks between.
pub(super) fn write(octets: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    let mut separator = "";
    for (number, bits) in Windows(octets).flatten() {
        for (index, octet) in (0_u16..).zip(bits) {
            for bit in (0..8).filter(|bit| octet & (0x80 >> bit) != 0) {
                write!(f, "{separator}{}", Rtype((u16::from(number) << 8) | (index * 8) | bit))?;
                separator = " ";
            }
        }
    }
    Ok(())
}

/// Whether the numbers of the ports say all that the octets do: a zero octet at the end would be lost.
pub(super) fn ports_have_text(octets: &[u8]) -> bool {
    octets.last() != Some(&0)
}

/// Writes the numbers of the ports with blanks between.
pub(super) fn write_ports(octets: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    let mut separator = "";
    for (index, octet) in octets.iter().enumerate() {
        for bit in (0..8).filter(|bit| octet & (0x80 >> bit) != 0) {
            write!(f, "{separator}{}", index * 8 + bit)?;
            separator = " ";
        }
    }
    Ok(())
}

/// The windows: number and bits, or `None` once for a malformed rest.
struct Windows<'a>(&'a [u8]);

impl<'a> Iterator for Windows<'a> {
    type Item = Option<(u8, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Some((&[number, len], rest)) = self.0.split_first_chunk() else {
            self.0 = &[];
            return Some(None);
        };
        let len = usize::from(len);
        if len == 0 || len > WINDOW_LEN_MAX || len > rest.len() {
            self.0 = &[];
            return Some(None);
        }
        self.0 = &rest[len..];
        Some(Some((number, &rest[..len])))
    }
}
