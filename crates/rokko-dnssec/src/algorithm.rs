//! Algorithms, public keys as DNSKEY records, key tags and DS digests.

use std::fmt;
use std::str::FromStr;

use ring::digest::{Context, SHA256, SHA384};
use ring::signature as sig;
use rokko_wire::Name;
use serde::{Deserialize, Serialize};

/// A DNSSEC algorithm that zones are signed with and that is validated (RFC 8624 §3.1).
///
/// In text and in JSON it is the registry's mnemonic in lower case, such as `ecdsap256sha256`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// RSA with SHA-256 (RFC 5702), number 8.
    RsaSha256,
    /// RSA with SHA-512 (RFC 5702), number 10.
    RsaSha512,
    /// ECDSA on P-256 with SHA-256 (RFC 6605), number 13.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384 (RFC 6605), number 14.
    EcdsaP384Sha384,
    /// Ed25519 (RFC 8080), number 15.
    Ed25519,
}

/// The text or number is not an algorithm that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this algorithm is not supported: use ecdsap256sha256, ed25519, ecdsap384sha384, rsasha256 or rsasha512")]
pub struct UnknownAlgorithm;

impl Algorithm {
    /// All of them, by rising number.
    pub const ALL: [Self; 5] =
        [Self::RsaSha256, Self::RsaSha512, Self::EcdsaP256Sha256, Self::EcdsaP384Sha384, Self::Ed25519];

    /// The number in DNSKEY, RRSIG and DS records.
    pub fn number(self) -> u8 {
        match self {
            Self::RsaSha256 => 8,
            Self::RsaSha512 => 10,
            Self::EcdsaP256Sha256 => 13,
            Self::EcdsaP384Sha384 => 14,
            Self::Ed25519 => 15,
        }
    }

    /// The algorithm that has this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.number() == number)
    }

    /// The registry's mnemonic in lower case.
    pub fn mnemonic(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsasha256",
            Self::RsaSha512 => "rsasha512",
            Self::EcdsaP256Sha256 => "ecdsap256sha256",
            Self::EcdsaP384Sha384 => "ecdsap384sha384",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The octets of a signature; `None` for RSA, where they are those of the key's modulus.
    pub fn signature_len(self) -> Option<usize> {
        match self {
            Self::RsaSha256 | Self::RsaSha512 => None,
            Self::EcdsaP256Sha256 | Self::Ed25519 => Some(64),
            Self::EcdsaP384Sha384 => Some(96),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.mnemonic())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Reads the mnemonic in any case, or the number.
    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.mnemonic().eq_ignore_ascii_case(text));
        found.or_else(|| Self::from_number(text.parse().ok()?)).ok_or(UnknownAlgorithm)
    }
}

/// A digest algorithm of DS records (RFC 8624 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DigestType {
    /// SHA-256 (RFC 4509), number 2.
    Sha256,
    /// SHA-384 (RFC 6605), number 4.
    Sha384,
}

impl DigestType {
    /// The number in DS records.
    pub fn number(self) -> u8 {
        match self {
            Self::Sha256 => 2,
            Self::Sha384 => 4,
        }
    }

    /// The digest type that has this number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Sha256, Self::Sha384].into_iter().find(|kind| kind.number() == number)
    }
}

/// A public key as a DNSKEY record holds it (RFC 4034 §2.1).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublicKey {
    /// [`PublicKey::ZONE`], and maybe [`PublicKey::SEP`] and [`PublicKey::REVOKE`].
    pub flags: u16,
    /// How it signs.
    pub algorithm: Algorithm,
    /// The key's octets as in the record: RFC 3110 §2 for RSA, both coordinates for ECDSA, 32 octets for Ed25519.
    pub key: Box<[u8]>,
}

/// Octets of a DNSKEY record's data before the key.
const DNSKEY_HEADER_LEN: usize = 4;
/// The one value of the protocol octet (RFC 4034 §2.1.2).
const PROTOCOL: u8 = 3;

impl PublicKey {
    /// The key may sign the zone's data.
    pub const ZONE: u16 = 0x0100;
    /// The key is a secure entry point: DS records mean it (RFC 4034 §2.1.1).
    pub const SEP: u16 = 0x0001;
    /// The key is revoked (RFC 5011 §2.1).
    pub const REVOKE: u16 = 0x0080;

    /// The key in the data of a DNSKEY or CDNSKEY record; `None` if it is not a zone key of a known algorithm.
    pub fn of_rdata(rdata: &[u8]) -> Option<Self> {
        let (&[high, low, protocol, algorithm], key) = rdata.split_first_chunk::<DNSKEY_HEADER_LEN>()?;
        let flags = u16::from_be_bytes([high, low]);
        let is_zone_key = flags & Self::ZONE != 0 && protocol == PROTOCOL;
        let algorithm = Algorithm::from_number(algorithm).filter(|_| is_zone_key && !key.is_empty())?;
        Some(Self { flags, algorithm, key: key.into() })
    }

    /// The data of the DNSKEY record, and of the CDNSKEY record.
    pub fn to_rdata(&self) -> Box<[u8]> {
        let mut rdata = Vec::with_capacity(DNSKEY_HEADER_LEN + self.key.len());
        rdata.extend_from_slice(&self.flags.to_be_bytes());
        rdata.extend_from_slice(&[PROTOCOL, self.algorithm.number()]);
        rdata.extend_from_slice(&self.key);
        rdata.into()
    }

    /// The key tag (RFC 4034 appendix B).
    pub fn tag(&self) -> u16 {
        key_tag(&self.to_rdata())
    }

    /// Whether it has the SEP flag.
    pub fn is_sep(&self) -> bool {
        self.flags & Self::SEP != 0
    }

    /// The data of the DS record, and of the CDS record, for this key at `owner`, the apex (RFC 4034 §5.1).
    pub fn ds(&self, owner: &Name, digest_type: DigestType) -> Box<[u8]> {
        ds(owner, &self.to_rdata(), digest_type)
    }

    /// Whether the DS record data `ds` at `owner` means this key. One with another digest type never does.
    pub fn matches_ds(&self, owner: &Name, ds_rdata: &[u8]) -> bool {
        let digest_type = ds_rdata.get(3).copied().and_then(DigestType::from_number);
        digest_type.is_some_and(|digest_type| *self.ds(owner, digest_type) == *ds_rdata)
    }

    /// Whether `signature`, as it stands in an RRSIG record, is this key's for `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self.algorithm {
            Algorithm::RsaSha256 => {
                self.verify_rsa(&sig::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, message, signature)
            }
            Algorithm::RsaSha512 => {
                self.verify_rsa(&sig::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, message, signature)
            }
            Algorithm::EcdsaP256Sha256 => self.verify_point(&sig::ECDSA_P256_SHA256_FIXED, message, signature),
            Algorithm::EcdsaP384Sha384 => self.verify_point(&sig::ECDSA_P384_SHA384_FIXED, message, signature),
            Algorithm::Ed25519 => sig::UnparsedPublicKey::new(&sig::ED25519, &self.key).verify(message, signature).ok(),
        };
        verified.is_some()
    }

    fn verify_rsa(&self, parameters: &'static sig::RsaParameters, message: &[u8], signature: &[u8]) -> Option<()> {
        let (e, n) = self.rsa_parts()?;
        sig::RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).ok()
    }

    fn verify_point(
        &self,
        algorithm: &'static dyn sig::VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Option<()> {
        // The form that the library reads begins with a 4: a point that is not compressed.
        let point = [&[4], &*self.key].concat();
        sig::UnparsedPublicKey::new(algorithm, point).verify(message, signature).ok()
    }

    /// Exponent and modulus of an RSA key, without zero octets at their start (RFC 3110 §2).
    pub fn rsa_parts(&self) -> Option<(&[u8], &[u8])> {
        let (len, rest) = match &*self.key {
            [0, high, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
            [len, rest @ ..] => (usize::from(*len), rest),
            [] => return None,
        };
        let (exponent, modulus) = rest.split_at_checked(len)?;
        let trim = |octets: &'_ [u8]| octets.iter().take_while(|&&octet| octet == 0).count();
        let (exponent, modulus) = (&exponent[trim(exponent)..], &modulus[trim(modulus)..]);
        (!exponent.is_empty() && !modulus.is_empty()).then_some((exponent, modulus))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DNSKEY({} {} {})", self.flags, self.algorithm, self.tag())
    }
}

/// The key tag of a DNSKEY record's data (RFC 4034 appendix B). Algorithm 1, which counts otherwise, is not known here.
pub fn key_tag(rdata: &[u8]) -> u16 {
    let (pairs, last) = rdata.as_chunks::<2>();
    let sum: u32 = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum();
    let sum = sum + last.iter().map(|&octet| u32::from(octet) << 8).sum::<u32>();
    let folded = sum + (sum >> 16);
    (folded & 0xffff) as u16
}

/// The data of the DS record at `owner` for the data of a DNSKEY record, whatever its algorithm (RFC 4034 §5.1).
pub fn ds(owner: &Name, dnskey: &[u8], digest_type: DigestType) -> Box<[u8]> {
    let mut context = Context::new(match digest_type {
        DigestType::Sha256 => &SHA256,
        DigestType::Sha384 => &SHA384,
    });
    context.update(owner.as_bytes());
    context.update(dnskey);
    let digest = context.finish();
    let mut rdata = Vec::with_capacity(4 + digest.as_ref().len());
    rdata.extend_from_slice(&key_tag(dnskey).to_be_bytes());
    rdata.extend_from_slice(&[dnskey.get(3).copied().unwrap_or(0), digest_type.number()]);
    rdata.extend_from_slice(digest.as_ref());
    rdata.into()
}

#[cfg(test)]
mod tests {
    use rokko_wire::Rtype;
    use rokko_zone::rdata::from_text;

    use super::*;

    #[test]
    fn the_examples_of_rfc_4509_and_rfc_6605() {
        let examples = [
            (
                "dskey.example.com.",
                "256 3 5 AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMm\
                 mAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw==",
                DigestType::Sha256,
                "60485 5 2 D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A",
            ),
            (
                "example.net.",
                "257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
                DigestType::Sha256,
                "55648 13 2 B4C8C1FE2E7477127B27115656AD6256F424625BF5C1E2770CE6D6E37DF61D17",
            ),
            (
                "example.net.",
                "257 3 14 xKYaNhWdGOfJ+nPrL8/arkwf2EY3MDJ+SErKivBVSum1w/egsXvSADtNJhyem5RCOpgQ6K8X1DRSEkrbYQ+OB+v8\
                 /uX45NBwY8rp65F6Glur8I/mlVNgF6W/qTI37m40",
                DigestType::Sha384,
                "10771 14 4 72D7B62976CE06438E9C0BF319013CF801F09ECC84B8D7E9495F27E305C6A9B0563A9B5F4D288405C3008A946DF983D6",
            ),
        ];
        for (owner, dnskey, digest_type, expected) in examples {
            let dnskey = from_text(Rtype::DNSKEY, dnskey, None).unwrap();
            let expected = from_text(Rtype::DS, expected, None).unwrap();
            assert_eq!(ds(&owner.parse().unwrap(), &dnskey, digest_type), expected, "{owner}");
            if let Some(key) = PublicKey::of_rdata(&dnskey) {
                assert_eq!(key.to_rdata(), dnskey);
                assert!(key.matches_ds(&owner.parse().unwrap(), &expected));
                assert!(!key.matches_ds(&"other.".parse().unwrap(), &expected));
            }
        }
    }

    #[test]
    fn text_and_numbers_lead_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_number(algorithm.number()), Some(algorithm));
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
            assert_eq!(algorithm.number().to_string().parse(), Ok(algorithm));
            assert_eq!(serde_json::to_string(&algorithm).unwrap(), format!("\"{algorithm}\""));
        }
        assert_eq!("rsasha1".parse::<Algorithm>(), Err(UnknownAlgorithm));
    }

    #[test]
    fn malformed_rsa_keys_have_no_parts() {
        let key = |octets: &[u8]| PublicKey { flags: 256, algorithm: Algorithm::RsaSha256, key: octets.into() };
        for octets in [&[][..], &[0], &[0, 0], &[3, 1, 0, 1], &[4, 1, 0, 1], &[0, 1, 0, 1], &[0, 0, 0, 7]] {
            assert_eq!(key(octets).rsa_parts(), None, "{octets:?}");
            assert!(!key(octets).verify(b"message", &[1; 256]));
        }
        assert_eq!(key(&[3, 1, 0, 1, 0, 9]).rsa_parts(), Some((&[1, 0, 1][..], &[9][..])));
        assert_eq!(key(&[0, 0, 1, 3, 9]).rsa_parts(), Some((&[3][..], &[9][..])));
    }
}
