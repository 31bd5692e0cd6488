//! Record types.

use std::fmt;
use std::str::FromStr;

/// A record type (RFC 1035 §3.2.2 and the registry).
///
/// In text it is the registry's mnemonic, or `TYPE` and the number (RFC 3597 §5); case does not matter on the way in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rtype(pub u16);

/// The text is neither a known mnemonic nor `TYPE` and a number up to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a record type: use a mnemonic such as AAAA, or TYPE and a number up to 65535")]
pub struct UnknownRtype;

macro_rules! rtypes {
    ($($ident:ident $text:literal $number:literal)*) => {
        #[expect(missing_docs, reason = "the mnemonics are the registry's")]
        impl Rtype {
            $(pub const $ident: Self = Self($number);)*

            /// The registry's mnemonic, if the type has one here.
            pub fn mnemonic(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)*
                    _ => None,
                }
            }
        }

        const MNEMONICS: &[(&str, u16)] = &[$(($text, $number),)*];
    };
}

rtypes! {
    A "A" 1
    NS "NS" 2
    MD "MD" 3
    MF "MF" 4
    CNAME "CNAME" 5
    SOA "SOA" 6
    MB "MB" 7
    MG "MG" 8
    MR "MR" 9
    NULL "NULL" 10
    WKS "WKS" 11
    PTR "PTR" 12
    HINFO "HINFO" 13
    MINFO "MINFO" 14
    MX "MX" 15
    TXT "TXT" 16
    RP "RP" 17
    AFSDB "AFSDB" 18
    X25 "X25" 19
    ISDN "ISDN" 20
    RT "RT" 21
    NSAP "NSAP" 22
    NSAP_PTR "NSAP-PTR" 23
    SIG "SIG" 24
    KEY "KEY" 25
    PX "PX" 26
    GPOS "GPOS" 27
    AAAA "AAAA" 28
    LOC "LOC" 29
    NXT "NXT" 30
    EID "EID" 31
    NIMLOC "NIMLOC" 32
    SRV "SRV" 33
    ATMA "ATMA" 34
    NAPTR "NAPTR" 35
    KX "KX" 36
    CERT "CERT" 37
    A6 "A6" 38
    DNAME "DNAME" 39
    SINK "SINK" 40
    OPT "OPT" 41
    APL "APL" 42
    DS "DS" 43
    SSHFP "SSHFP" 44
    IPSECKEY "IPSECKEY" 45
    RRSIG "RRSIG" 46
    NSEC "NSEC" 47
    DNSKEY "DNSKEY" 48
    DHCID "DHCID" 49
    NSEC3 "NSEC3" 50
    NSEC3PARAM "NSEC3PARAM" 51
    TLSA "TLSA" 52
    SMIMEA "SMIMEA" 53
    HIP "HIP" 55
    NINFO "NINFO" 56
    RKEY "RKEY" 57
    TALINK "TALINK" 58
    CDS "CDS" 59
    CDNSKEY "CDNSKEY" 60
    OPENPGPKEY "OPENPGPKEY" 61
    CSYNC "CSYNC" 62
    ZONEMD "ZONEMD" 63
    SVCB "SVCB" 64
    HTTPS "HTTPS" 65
    DSYNC "DSYNC" 66
    HHIT "HHIT" 67
    BRID "BRID" 68
    SPF "SPF" 99
    NID "NID" 104
    L32 "L32" 105
    L64 "L64" 106
    LP "LP" 107
    EUI48 "EUI48" 108
    EUI64 "EUI64" 109
    NXNAME "NXNAME" 128
    TKEY "TKEY" 249
    TSIG "TSIG" 250
    IXFR "IXFR" 251
    AXFR "AXFR" 252
    MAILB "MAILB" 253
    MAILA "MAILA" 254
    ANY "ANY" 255
    URI "URI" 256
    CAA "CAA" 257
    AVC "AVC" 258
    DOA "DOA" 259
    AMTRELAY "AMTRELAY" 260
    RESINFO "RESINFO" 261
    WALLET "WALLET" 262
    CLA "CLA" 263
    IPN "IPN" 264
    TA "TA" 32768
    DLV "DLV" 32769
}

/// Types without a specification: their mnemonics are read and not written, as few programs know them.
const RESERVED: &[(&str, u16)] = &[("UINFO", 100), ("UID", 101), ("GID", 102), ("UNSPEC", 103)];

impl Rtype {
    /// Whether the type exists only in queries or as a meta record and can never be zone data
    /// (RFC 6895 §3.1: OPT, the range 128 to 255, and type 0).
    pub fn is_meta(self) -> bool {
        matches!(self.0, 0 | 41 | 128..=255)
    }

    /// Whether the record is of the kind that signing makes: RRSIG, NSEC, NSEC3.
    pub fn is_signing_product(self) -> bool {
        matches!(self, Self::RRSIG | Self::NSEC | Self::NSEC3)
    }
}

impl fmt::Display for Rtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(text) => f.pad(text),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for Rtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Rtype {
    type Err = UnknownRtype;

    fn from_str(text: &str) -> Result<Self, UnknownRtype> {
        if let Some((_, number)) = MNEMONICS.iter().chain(RESERVED).find(|(known, _)| known.eq_ignore_ascii_case(text))
        {
            return Ok(Self(*number));
        }
        let digits = text.get(..4).filter(|head| head.eq_ignore_ascii_case("TYPE")).and_then(|_| text.get(4..));
        let digits = digits.filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
        digits.and_then(|digits| digits.parse().ok()).map(Self).ok_or(UnknownRtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_text() {
        for number in 0..=u16::MAX {
            assert_eq!(Rtype(number).to_string().parse(), Ok(Rtype(number)));
        }
        assert_eq!("aaaa".parse(), Ok(Rtype::AAAA));
        assert_eq!("type28".parse(), Ok(Rtype::AAAA));
        assert_eq!(("uinfo".parse(), Rtype(100).to_string()), (Ok(Rtype(100)), "TYPE100".to_owned()));
        for bad in ["", "TYPE", "TYPE-1", "TYPE65536", "TYPE+1", "FOO"] {
            assert_eq!(bad.parse::<Rtype>(), Err(UnknownRtype), "{bad}");
        }
    }
}
