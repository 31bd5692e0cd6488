//! Message digests of zones (RFC 8976): scheme SIMPLE with SHA-384 or SHA-512.
//!
//! The digest covers all records but the ZONEMD RRset of the apex and its signatures, so it takes time proportional to the zone.
//! To publish one with a change: have the zone with all else, its SOA record included, conform to the plan, with any ZONEMD record
//! at the apex, so that denial shows the type; then put [`record`] into the ZONEMD RRset and sign that alone.

use ring::digest::{Algorithm, Context, SHA384, SHA512};
use rokko_wire::{Name, Rtype};
use rokko_zone::file::signature_ttl;
use rokko_zone::rdata::canonical;
use rokko_zone::{RrsetRef, Ttl, Zone};
use serde::{Deserialize, Serialize};

/// The scheme that digests a zone as it stands (RFC 8976 §3.3), the only one there is.
const SIMPLE: u8 = 1;
/// Octets of a ZONEMD record's data before the digest: serial, scheme, hash algorithm.
const HEADER_LEN: usize = 6;

/// A hash algorithm of ZONEMD records (RFC 8976 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZonemdHash {
    /// SHA-384, number 1, which everybody must know.
    Sha384,
    /// SHA-512, number 2.
    Sha512,
}

impl ZonemdHash {
    /// The number in ZONEMD records.
    pub fn number(self) -> u8 {
        match self {
            Self::Sha384 => 1,
            Self::Sha512 => 2,
        }
    }

    /// The hash algorithm that has this number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Sha384, Self::Sha512].into_iter().find(|hash| hash.number() == number)
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }
}

/// Why no ZONEMD record of a zone fits it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZonemdError {
    /// None is there.
    #[error("the zone has no ZONEMD record")]
    Absent,
    /// Several have the same scheme and hash algorithm (RFC 8976 §2.2.3).
    #[error("several ZONEMD records have scheme {scheme} and hash algorithm {hash}: keep one")]
    Repeated {
        /// The scheme.
        scheme: u8,
        /// The hash algorithm.
        hash: u8,
    },
    /// It is of another serial.
    #[error("the ZONEMD record is of serial {found}, the zone has serial {expected}: make it anew")]
    Serial {
        /// The record's serial.
        found: u32,
        /// The SOA record's serial.
        expected: u32,
    },
    /// It is of a scheme or hash algorithm that is not known here.
    #[error("the ZONEMD record has scheme {scheme} and hash algorithm {hash}, which are not known here")]
    Unknown {
        /// The scheme.
        scheme: u8,
        /// The hash algorithm.
        hash: u8,
    },
    /// The digest is another one.
    #[error(
        "the digest of the zone is not the one of its ZONEMD record: the zone was changed or damaged, or the record is old"
    )]
    Mismatch,
}

/// The digest of a zone (RFC 8976 §3.3.1). The TTL of signatures is that of what they cover.
pub fn digest(zone: &Zone, hash: ZonemdHash) -> Box<[u8]> {
    let apex = zone.apex();
    let mut context = Context::new(hash.algorithm());
    let mut rrsets = zone.rrsets().peekable();
    let mut here: Vec<RrsetRef<'_>> = Vec::new();
    while let Some((owner, first)) = rrsets.next() {
        here.clear();
        here.push(first);
        while let Some((_, rrset)) = rrsets.next_if(|(other, _)| *other == owner) {
            here.push(rrset);
        }
        digest_name(&mut context, &owner, &here, owner == apex);
    }
    context.finish().as_ref().into()
}

fn digest_name(context: &mut Context, owner: &Name, rrsets: &[RrsetRef<'_>], is_apex: bool) {
    let ttl_here = |rtype| rrsets.iter().find(|rrset| rrset.rtype() == rtype).map(|rrset| rrset.ttl());
    for rrset in rrsets {
        let rtype = rrset.rtype();
        if is_apex && rtype == Rtype::ZONEMD {
            continue;
        }
        let mut rdatas: Vec<_> = rrset.rdatas().map(|rdata| canonical(rtype, rdata)).collect();
        rdatas.sort_unstable();
        for rdata in rdatas {
            let mut ttl = rrset.ttl();
            if rtype == Rtype::RRSIG {
                if is_apex && rdata.starts_with(&Rtype::ZONEMD.0.to_be_bytes()) {
                    continue;
                }
                ttl = signature_ttl(&rdata, ttl_here).unwrap_or(ttl);
            }
            digest_record(context, owner, rtype, ttl, &rdata);
        }
    }
}

fn digest_record(context: &mut Context, owner: &Name, rtype: Rtype, ttl: Ttl, rdata: &[u8]) {
    context.update(owner.as_bytes());
    context.update(&rtype.0.to_be_bytes());
    context.update(&[0, 1]);
    context.update(&ttl.as_secs().to_be_bytes());
    context.update(&u16::try_from(rdata.len()).unwrap_or(u16::MAX).to_be_bytes());
    context.update(rdata);
}

/// The data of the ZONEMD record for a zone as it stands.
pub fn record(zone: &Zone, hash: ZonemdHash) -> Box<[u8]> {
    let mut rdata = Vec::with_capacity(HEADER_LEN + 64);
    rdata.extend_from_slice(&zone.serial().0.to_be_bytes());
    rdata.extend_from_slice(&[SIMPLE, hash.number()]);
    rdata.extend_from_slice(&digest(zone, hash));
    rdata.into()
}

/// Holds a zone against its ZONEMD records (RFC 8976 §4, without its steps about DNSSEC). One that fits is enough; else the
/// error is that of the last one.
pub fn verify(zone: &Zone) -> Result<ZonemdHash, ZonemdError> {
    let rdatas: Vec<&[u8]> = zone.rrset(&zone.apex(), Rtype::ZONEMD).into_iter().flat_map(RrsetRef::rdatas).collect();
    let mut result = Err(ZonemdError::Absent);
    for rdata in &rdatas {
        let kind = rdata.get(4..HEADER_LEN);
        let is_repeated = rdatas.iter().filter(|other| other.get(4..HEADER_LEN) == kind).count() > 1;
        result = verify_record(zone, rdata, is_repeated);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn verify_record(zone: &Zone, rdata: &[u8], is_repeated: bool) -> Result<ZonemdHash, ZonemdError> {
    let Some((&[a, b, c, d, scheme, hash], found)) = rdata.split_first_chunk::<HEADER_LEN>() else {
        return Err(ZonemdError::Mismatch);
    };
    if is_repeated {
        return Err(ZonemdError::Repeated { scheme, hash });
    }
    let (serial, expected) = (u32::from_be_bytes([a, b, c, d]), zone.serial().0);
    if serial != expected {
        return Err(ZonemdError::Serial { found: serial, expected });
    }
    let known = ZonemdHash::from_number(hash).filter(|_| scheme == SIMPLE);
    let known = known.ok_or(ZonemdError::Unknown { scheme, hash })?;
    if *digest(zone, known) == *found { Ok(known) } else { Err(ZonemdError::Mismatch) }
}
