//! The wire form: how long each field is, and whether it is valid.

use rokko_wire::name::wire_len;
use rokko_wire::rtype::Rtype;

use super::table::{Field, NameUse, layout};
use super::{RdataError, apl, bitmap, loc, svcb};

/// The fewest octets that a ZONEMD digest has (RFC 8976 §2.2.4).
const ZONE_DIGEST_LEN_MIN: usize = 12;

/// Walks over the fields of one record's data. After the first error it ends.
pub(super) struct Walk<'a> {
    fields: &'static [Field],
    rdata: &'a [u8],
    at: usize,
    index: usize,
    failed: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(rtype: Rtype, rdata: &'a [u8]) -> Self {
        Self { fields: layout(rtype), rdata, at: 0, index: 0, failed: false }
    }

    fn step(&mut self) -> Result<Option<(Field, &'a [u8])>, RdataError> {
        let rest = &self.rdata[self.at..];
        let Some(field) = self.fields.get(self.index) else {
            if rest.is_empty() {
                return Ok(None);
            }
            return Err(RdataError::new(format!("{} more octets", rest.len()), "the end of the data"));
        };
        let field = match field.resolve(&self.rdata[..self.at])? {
            Field::Names if rest.is_empty() => return Ok(None),
            // The last field of its layout stays the current one until the data ends.
            Field::Names => Field::Name(NameUse::Verbatim),
            field => {
                self.index += 1;
                field
            }
        };
        let len = measure(field, self.rdata, self.at)?;
        self.at += len;
        Ok(Some((field, &rest[..len])))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<(Field, &'a [u8]), RdataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let index = self.index;
        let item = self.step().map_err(|error| error.at(index));
        self.failed = item.is_err();
        item.transpose()
    }
}

/// The length of the valid `field` at `at`, which is at most what is left.
fn measure(field: Field, rdata: &[u8], at: usize) -> Result<usize, RdataError> {
    let rest = &rdata[at..];
    match field {
        Field::Name(_) => {
            wire_len(rest).map_err(|error| RdataError::new(error.to_string(), "an uncompressed domain name"))
        }
        Field::NoGateway => Ok(0),
        Field::U8 | Field::Algorithm | Field::Scheme | Field::Protocol | Field::RelayType => fixed(rest, 1),
        Field::U16 | Field::Covered | Field::CertType => fixed(rest, 2),
        Field::U32 | Field::Period | Field::Time | Field::Ipv4 => fixed(rest, 4),
        Field::Eui48 => fixed(rest, 6),
        Field::Eui64 | Field::Locator64 => fixed(rest, 8),
        Field::Ipv6 => fixed(rest, 16),
        Field::Loc => fixed(rest, loc::LEN).and_then(|len| loc::check(&rest[..len]).map(|()| len)),
        Field::OptionalCharString if rest.is_empty() => Ok(0),
        Field::CharString | Field::OptionalCharString | Field::SizedHex => sized(rest),
        Field::SizedBase32 => sized(rest).and_then(|len| at_least(len, 2)),
        Field::Tag => tag(rest),
        Field::CharStrings => char_strings(rest),
        Field::Text | Field::Hex | Field::Base64 | Field::Nsap => at_least(rest.len(), 1),
        Field::DsDigest | Field::Fingerprint | Field::ZoneDigest => {
            digest_len(field, &rdata[..at]).check(rest.len()).map(|()| rest.len())
        }
        Field::Ports if rest.len() > bitmap::PORTS_LEN_MAX => {
            Err(RdataError::new(format!("{} octets", rest.len()), "a bit for each of 65536 ports at most"))
        }
        Field::OptionalText | Field::OptionalBase64 | Field::Base64OrDash | Field::Ports | Field::Opaque => {
            Ok(rest.len())
        }
        Field::Bitmap => bitmap::check(rest).map(|()| rest.len()),
        Field::SvcParams => svcb::check(rest).map(|()| rest.len()),
        Field::Apl => apl::check(rest).map(|()| rest.len()),
        Field::HostIdentity => host_identity(rest),
        Field::Names | Field::Gateway | Field::Relay => Err(RdataError::new("an unresolved field", "a resolved one")),
    }
}

fn fixed(rest: &[u8], len: usize) -> Result<usize, RdataError> {
    at_least(rest.len(), len).map(|_| len)
}

fn at_least(len: usize, min: usize) -> Result<usize, RdataError> {
    if len < min {
        return Err(RdataError::new(format!("{len} octets"), format!("at least {min}")));
    }
    Ok(len)
}

/// The length of a length octet and what it counts.
fn sized(rest: &[u8]) -> Result<usize, RdataError> {
    let len = rest.first().map_or(1, |len| usize::from(*len) + 1);
    fixed(rest, len)
}

fn tag(rest: &[u8]) -> Result<usize, RdataError> {
    let len = sized(rest)?;
    if len == 1 || !rest[1..len].iter().all(u8::is_ascii_alphanumeric) {
        return Err(RdataError::new("another tag", "a property tag of ASCII letters and digits"));
    }
    Ok(len)
}

fn char_strings(rest: &[u8]) -> Result<usize, RdataError> {
    let mut at = sized(rest)?;
    while at < rest.len() {
        at += sized(&rest[at..])?;
    }
    Ok(at)
}

/// Lengths of identity tag and key, the algorithm, the tag and the key (RFC 8005 §5).
fn host_identity(rest: &[u8]) -> Result<usize, RdataError> {
    let Some(&[tag_len, _, high, low]) = rest.first_chunk() else { return fixed(rest, 4) };
    let key_len = u16::from_be_bytes([high, low]);
    if tag_len == 0 || key_len == 0 {
        return Err(RdataError::new("an empty host identity tag or key", "at least one octet of each"));
    }
    fixed(rest, 4 + usize::from(tag_len) + usize::from(key_len))
}

/// Which lengths a digest may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DigestLen {
    /// The length of a known digest.
    Exactly(usize),
    /// The least length of an unknown one.
    AtLeast(usize),
}

impl DigestLen {
    pub(super) fn check(self, len: usize) -> Result<(), RdataError> {
        let expected = match self {
            Self::Exactly(exact) if len != exact => format!("a digest of {exact} octets for its type"),
            Self::AtLeast(min) if len < min => format!("a digest of at least {min} octets"),
            _ => return Ok(()),
        };
        Err(RdataError::new(format!("{len} octets"), expected))
    }
}

/// Which length the digest after the fields `before` has.
pub(super) fn digest_len(field: Field, before: &[u8]) -> DigestLen {
    let kind = before.last().copied().unwrap_or(0);
    match (field, kind) {
        (Field::DsDigest | Field::Fingerprint, 1) => DigestLen::Exactly(20),
        (Field::DsDigest | Field::Fingerprint, 2) | (Field::DsDigest, 3 | 5 | 6) => DigestLen::Exactly(32),
        (Field::DsDigest, 4) | (Field::ZoneDigest, 1) => DigestLen::Exactly(48),
        (Field::ZoneDigest, 2) => DigestLen::Exactly(64),
        (Field::ZoneDigest, _) => DigestLen::AtLeast(ZONE_DIGEST_LEN_MIN),
        // Among them digest type 0 with one octet, by which CDS asks to delete the DS RRset (RFC 8078 §4).
        _ => DigestLen::AtLeast(1),
    }
}
