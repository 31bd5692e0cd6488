//! The table: which fields the data of each record type has.

use rokko_wire::rtype::Rtype;

use super::RdataError;

/// What may be done with an embedded name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameUse {
    /// Compressed in messages, in lower case in canonical form: the types of RFC 1035.
    Compressible,
    /// Never compressed, in lower case in canonical form: the other types that RFC 4034 §6.2 lists.
    Folded,
    /// Never compressed, the case is significant in canonical form: every later type.
    Verbatim,
}

/// Of which kind a field is. A field reaches to the end of the data where the kind says "rest".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// A domain name.
    Name(NameUse),
    /// The rest is domain names, none or more.
    Names,
    /// A number of one octet.
    U8,
    /// A number of two octets.
    U16,
    /// A number of four octets.
    U32,
    /// Seconds in four octets; text may have units (`1h30m`).
    Period,
    /// A point in time in four octets, `YYYYMMDDHHmmSS` or seconds since 1970 (RFC 4034 §3.2).
    Time,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// The gateway of IPSECKEY, whose kind the second octet of the data tells (RFC 4025 §2.3).
    Gateway,
    /// The discovery bit and relay type of AMTRELAY, one octet and two words (RFC 8777 §4.2).
    RelayType,
    /// The relay of AMTRELAY, whose kind the low bits of the second octet tell.
    Relay,
    /// A gateway or relay that is absent: no octets, a dot in text.
    NoGateway,
    /// A character string with its length octet.
    CharString,
    /// Such a string at the end, or nothing.
    OptionalCharString,
    /// The rest is character strings, one or more.
    CharStrings,
    /// The rest is one text without a length octet, not empty.
    Text,
    /// The rest is one text without a length octet, maybe empty.
    OptionalText,
    /// A CAA property tag: letters and digits after a length octet (RFC 8659 §4.1).
    Tag,
    /// The rest in hexadecimal, at least one octet.
    Hex,
    /// The rest is a DS digest, whose length the digest type before it tells.
    DsDigest,
    /// The rest is an SSHFP fingerprint, whose length the fingerprint type before it tells.
    Fingerprint,
    /// The rest is a ZONEMD digest, whose length the hash algorithm before it tells.
    ZoneDigest,
    /// The rest in hexadecimal after `0x`, dots allowed (RFC 1706 §7).
    Nsap,
    /// A length octet and octets in hexadecimal; a dash if empty (RFC 5155 §3.3).
    SizedHex,
    /// A length octet and octets in base32hex (RFC 5155 §3.3).
    SizedBase32,
    /// The rest in base64, at least one octet.
    Base64,
    /// The rest in base64, or nothing.
    OptionalBase64,
    /// The rest in base64, or a dash for nothing.
    Base64OrDash,
    /// A record type in two octets.
    Covered,
    /// A certificate type in two octets: a number or a mnemonic (RFC 4398 §2.1).
    CertType,
    /// A DNSSEC algorithm in one octet: a number or a mnemonic.
    Algorithm,
    /// A DSYNC scheme in one octet: a number or a mnemonic (RFC 9859 §2.1).
    Scheme,
    /// The rest is the types present, none or more (RFC 4034 §4.1.2).
    Bitmap,
    /// The rest is service parameters, none or more (RFC 9460 §2.2).
    SvcParams,
    /// The rest is address prefixes, none or more (RFC 3123 §4).
    Apl,
    /// A location (RFC 1876 §2).
    Loc,
    /// An address of six octets (RFC 7043 §3).
    Eui48,
    /// An address of eight octets (RFC 7043 §4).
    Eui64,
    /// A node identifier or locator of 64 bits (RFC 6742 §2).
    Locator64,
    /// Algorithm, host identity tag and public key of HIP (RFC 8005 §5).
    HostIdentity,
    /// An Internet protocol in one octet: a number or a mnemonic (RFC 1035 §3.4.2).
    Protocol,
    /// The rest is a bitmap of ports, in text their numbers (RFC 1035 §3.4.2).
    Ports,
    /// The rest is octets that have no text but `\# LENGTH HEX`.
    Opaque,
}

impl Field {
    /// Whether the field has no word in text when it has no octets.
    pub(super) fn vanishes(self) -> bool {
        !matches!(self, Self::NoGateway | Self::Base64OrDash | Self::OptionalText)
    }

    /// The field as it is after the octets `before` of the same record data.
    pub(super) fn resolve(self, before: &[u8]) -> Result<Self, RdataError> {
        let kind = match self {
            Self::Gateway => before.get(1).copied(),
            Self::Relay => before.get(1).map(|octet| octet & 0x7f),
            _ => return Ok(self),
        };
        match kind {
            Some(0) => Ok(Self::NoGateway),
            Some(1) => Ok(Self::Ipv4),
            Some(2) => Ok(Self::Ipv6),
            Some(3) => Ok(Self::Name(NameUse::Verbatim)),
            kind => {
                let found = kind.map_or("no type of gateway".to_owned(), |kind| format!("gateway type {kind}"));
                Err(RdataError::new(found, "gateway type 0, 1, 2 or 3").at(1))
            }
        }
    }
}

/// The fields of a type's data in wire order.
pub(super) fn layout(rtype: Rtype) -> &'static [Field] {
    use Field::{
        Algorithm, Apl, Base64, Base64OrDash, Bitmap, CertType, CharString, CharStrings, Covered, DsDigest, Eui48,
        Eui64, Fingerprint, Gateway, Hex, HostIdentity, Ipv4, Ipv6, Loc, Locator64, Name, Names, Nsap, Opaque,
        OptionalBase64, OptionalCharString, OptionalText, Period, Ports, Protocol, Relay, RelayType, Scheme,
        SizedBase32, SizedHex, SvcParams, Tag, Text, Time, U8, U16, U32, ZoneDigest,
    };
    const COMPRESSIBLE: Field = Name(NameUse::Compressible);
    const FOLDED: Field = Name(NameUse::Folded);
    const VERBATIM: Field = Name(NameUse::Verbatim);
    match rtype {
        Rtype::A => &[Ipv4],
        Rtype::AAAA => &[Ipv6],
        Rtype::NS | Rtype::MD | Rtype::MF | Rtype::CNAME | Rtype::MB | Rtype::MG | Rtype::MR | Rtype::PTR => {
            &[COMPRESSIBLE]
        }
        Rtype::SOA => &[COMPRESSIBLE, COMPRESSIBLE, U32, Period, Period, Period, Period],
        Rtype::MINFO => &[COMPRESSIBLE, COMPRESSIBLE],
        Rtype::MX => &[U16, COMPRESSIBLE],
        Rtype::DNAME => &[FOLDED],
        Rtype::NSAP_PTR => &[VERBATIM],
        Rtype::RP => &[FOLDED, FOLDED],
        Rtype::TALINK => &[VERBATIM, VERBATIM],
        Rtype::AFSDB | Rtype::RT | Rtype::KX => &[U16, FOLDED],
        Rtype::LP => &[U16, VERBATIM],
        Rtype::PX => &[U16, FOLDED, FOLDED],
        Rtype::SRV => &[U16, U16, U16, FOLDED],
        Rtype::NAPTR => &[U16, U16, CharString, CharString, CharString, FOLDED],
        Rtype::HINFO => &[CharString, CharString],
        Rtype::GPOS => &[CharString, CharString, CharString],
        Rtype::X25 => &[CharString],
        Rtype::ISDN => &[CharString, OptionalCharString],
        Rtype::TXT | Rtype::SPF | Rtype::AVC | Rtype::NINFO | Rtype::RESINFO | Rtype::WALLET => &[CharStrings],
        Rtype::URI => &[U16, U16, Text],
        Rtype::CAA => &[U8, Tag, OptionalText],
        Rtype::DS | Rtype::CDS | Rtype::DLV | Rtype::TA => &[U16, Algorithm, U8, DsDigest],
        Rtype::DNSKEY | Rtype::CDNSKEY | Rtype::RKEY => &[U16, U8, Algorithm, Base64],
        Rtype::KEY => &[U16, U8, Algorithm, OptionalBase64],
        Rtype::RRSIG | Rtype::SIG => &[Covered, Algorithm, U8, Period, Time, Time, U16, FOLDED, Base64],
        Rtype::NSEC => &[VERBATIM, Bitmap],
        Rtype::NSEC3 => &[U8, U8, U16, SizedHex, SizedBase32, Bitmap],
        Rtype::NSEC3PARAM => &[U8, U8, U16, SizedHex],
        Rtype::CSYNC => &[U32, U16, Bitmap],
        Rtype::ZONEMD => &[U32, U8, U8, ZoneDigest],
        Rtype::TLSA | Rtype::SMIMEA => &[U8, U8, U8, Hex],
        Rtype::SSHFP => &[U8, U8, Fingerprint],
        Rtype::CERT => &[CertType, U16, Algorithm, Base64],
        Rtype::OPENPGPKEY | Rtype::DHCID | Rtype::HHIT | Rtype::BRID => &[Base64],
        Rtype::IPSECKEY => &[U8, U8, U8, Gateway, OptionalBase64],
        Rtype::AMTRELAY => &[U8, RelayType, Relay],
        Rtype::HIP => &[HostIdentity, Names],
        Rtype::SVCB | Rtype::HTTPS => &[U16, VERBATIM, SvcParams],
        Rtype::DSYNC => &[Covered, Scheme, U16, VERBATIM],
        Rtype::NSAP => &[Nsap],
        Rtype::LOC => &[Loc],
        Rtype::APL => &[Apl],
        Rtype::NID | Rtype::L64 => &[U16, Locator64],
        Rtype::L32 => &[U16, Ipv4],
        Rtype::EUI48 => &[Eui48],
        Rtype::EUI64 => &[Eui64],
        Rtype::DOA => &[U32, U32, U8, CharString, Base64OrDash],
        Rtype::WKS => &[Ipv4, Protocol, Ports],
        Rtype::NXT => &[FOLDED, Opaque],
        _ => &[Opaque],
    }
}
