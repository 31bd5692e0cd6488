//! EDNS (RFC 6891): the OPT record and its options.

/// The octets of an OPT record without options.
pub const OPT_LEN: usize = 11;
/// The octets of an option's code and length.
pub const OPTION_HEAD_LEN: usize = 4;
/// The smallest UDP payload size; a smaller one counts as this (RFC 6891 §6.2.3).
pub const PAYLOAD_MIN: u16 = 512;

/// Option codes that the server knows (the registry "DNS EDNS0 Option Codes").
pub mod option {
    /// Name server identifier (RFC 5001).
    pub const NSID: u16 = 3;
    /// DNS cookie (RFC 7873).
    pub const COOKIE: u16 = 10;
    /// Extended DNS error (RFC 8914).
    pub const EDE: u16 = 15;
    /// Zone version (RFC 9660).
    pub const ZONEVERSION: u16 = 19;
}

/// The OPT record of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns<'q> {
    /// The largest UDP payload that the client takes, as sent; values below 512 count as 512.
    pub payload_size: u16,
    /// The EDNS version; anything but 0 is to be answered with BADVERS.
    pub version: u8,
    /// The DO bit (RFC 3225).
    pub dnssec_ok: bool,
    options: &'q [u8],
}

impl<'q> Edns<'q> {
    /// Takes the parts of an OPT record: its class and TTL fields carry the fixed values.
    #[inline]
    pub fn new(class: u16, ttl: u32, rdata: &'q [u8]) -> Self {
        let [_, version, flags, _] = ttl.to_be_bytes();
        Self { payload_size: class, version, dnssec_ok: flags & 0x80 != 0, options: rdata }
    }

    /// The options in the order sent.
    #[inline]
    pub fn options(&self) -> Options<'q> {
        Options(self.options)
    }
}

/// An option ends after the OPT record does: a FORMERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an EDNS option is cut off")]
pub struct CutOff;

/// Iterates over an OPT record's options as code and data; a cut-off one ends it with an error.
#[derive(Clone, Debug)]
pub struct Options<'q>(&'q [u8]);

impl<'q> Iterator for Options<'q> {
    type Item = Result<(u16, &'q [u8]), CutOff>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let taken = self.0.split_first_chunk().and_then(|(head, rest): (&[u8; OPTION_HEAD_LEN], _)| {
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (data, rest) = rest.split_at_checked(len)?;
            Some(((u16::from_be_bytes([head[0], head[1]]), data), rest))
        });
        let Some((option, rest)) = taken else {
            self.0 = &[];
            return Some(Err(CutOff));
        };
        self.0 = rest;
        Some(Ok(option))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_fields() {
        let edns = Edns::new(1232, 0x0001_8000, &[]);
        assert_eq!((edns.payload_size, edns.version, edns.dnssec_ok), (1232, 1, true));
        assert!(!Edns::new(1232, 0xff00_7fff, &[]).dnssec_ok);
    }

    #[test]
    fn options_in_order() {
        let edns = Edns::new(0, 0, b"\x00\x03\x00\x00\x00\x0a\x00\x02ab");
        assert_eq!(edns.options().collect::<Vec<_>>(), [Ok((3, &b""[..])), Ok((10, &b"ab"[..]))]);
        for cut in [b"\x00\x03\x00\x01".as_slice(), b"\x00\x03\x00", b"\x00\x03\x00\x00\x00"] {
            assert_eq!(Edns::new(0, 0, cut).options().last(), Some(Err(CutOff)), "{cut:?}");
        }
    }
}
