//! A private key in memory, for as long as it is needed, and as octets that are then wrapped or sealed.
//!
//! As octets: kind (1 octet), then for
//! - 1, a number or seed: its octets, 32 or 48;
//! - 2, RSA: private exponent, both primes, both CRT exponents and the CRT coefficient, each behind its length (2 octets);
//! - 3, a key that a token keeps: the token's serial number and the key's `CKA_ID`, each behind its length (2 octets).
//!
//! Numbers are in network order.

use std::fmt;

use rokko_dnssec::Algorithm;
use zeroize::Zeroizing;

use crate::{KeyError, random};

const KIND_NUMBER: u8 = 1;
const KIND_RSA: u8 = 2;
const KIND_TOKEN: u8 = 3;

/// Names a signing key: 16 octets that are chosen at random. Written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 16]);

impl KeyId {
    /// A new one.
    ///
    /// # Errors
    ///
    /// If the system gives no random octets.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self(random::octets()?))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// The private part of a key, or where a token has it. Overwritten when dropped.
pub struct PrivateKey {
    /// How it signs.
    pub(crate) algorithm: Algorithm,
    pub(crate) material: Material,
}

/// Octets that are overwritten when dropped.
pub(crate) type Octets = Zeroizing<Vec<u8>>;

pub(crate) enum Material {
    /// ECDSA's private number, or Ed25519's seed.
    Number(Octets),
    /// Numbers of RSA.
    Rsa(RsaNumbers),
    /// A token keeps it.
    Token(TokenKey),
}

/// The private numbers of an RSA key (RFC 8017, section 3.2), without zero octets at their start.
pub(crate) struct RsaNumbers {
    pub(crate) exponent: Octets,
    pub(crate) prime1: Octets,
    pub(crate) prime2: Octets,
    pub(crate) exponent1: Octets,
    pub(crate) exponent2: Octets,
    pub(crate) coefficient: Octets,
}

/// Where a token has a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenKey {
    /// The token's serial number.
    pub(crate) serial: String,
    /// The key's `CKA_ID`.
    pub(crate) id: Vec<u8>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.algorithm)
    }
}

impl PrivateKey {
    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether a token keeps it, so that it cannot go elsewhere.
    pub fn is_in_token(&self) -> bool {
        matches!(self.material, Material::Token(_))
    }

    pub(crate) fn encode(&self) -> Octets {
        let len = |numbers: &[&[u8]]| 1 + numbers.iter().map(|number| 2 + number.len()).sum::<usize>();
        // Growing would leave a copy behind.
        let put_all = |kind, numbers: &[&[u8]]| {
            let mut out = Zeroizing::new(Vec::with_capacity(len(numbers)));
            out.push(kind);
            for number in numbers {
                let len = u16::try_from(number.len()).expect("a number of a key has at most 512 octets");
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(number);
            }
            out
        };
        match &self.material {
            Material::Number(number) => {
                let mut out = Zeroizing::new(Vec::with_capacity(1 + number.len()));
                out.push(KIND_NUMBER);
                out.extend_from_slice(number);
                out
            }
            Material::Rsa(rsa) => put_all(KIND_RSA, &rsa.all().map(|number| number.as_slice())),
            Material::Token(token) => put_all(KIND_TOKEN, &[token.serial.as_bytes(), &token.id]),
        }
    }

    /// `None` if the octets are not those of a key of this algorithm.
    pub(crate) fn decode(algorithm: Algorithm, octets: &[u8]) -> Option<Self> {
        let (&kind, rest) = octets.split_first()?;
        let material = match kind {
            KIND_NUMBER if Some(rest.len()) == number_len(algorithm) => Material::Number(Zeroizing::new(rest.to_vec())),
            KIND_RSA if number_len(algorithm).is_none() => {
                let [exponent, prime1, prime2, exponent1, exponent2, coefficient] =
                    parts(rest)?.map(|number| Zeroizing::new(number.to_vec()));
                Material::Rsa(RsaNumbers { exponent, prime1, prime2, exponent1, exponent2, coefficient })
            }
            KIND_TOKEN => {
                let [serial, id] = parts(rest)?;
                Material::Token(TokenKey { serial: str::from_utf8(serial).ok()?.to_owned(), id: id.to_vec() })
            }
            _ => return None,
        };
        Some(Self { algorithm, material })
    }
}

/// So many octet strings, each behind its length, and nothing more.
fn parts<const N: usize>(mut rest: &[u8]) -> Option<[&[u8]; N]> {
    let mut parts = [&[][..]; N];
    for part in &mut parts {
        let (len, tail) = rest.split_first_chunk::<2>()?;
        (*part, rest) = tail.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    }
    rest.is_empty().then_some(parts)
}

impl RsaNumbers {
    /// In the order in which they are stored.
    pub(crate) fn all(&self) -> [&Octets; 6] {
        [&self.exponent, &self.prime1, &self.prime2, &self.exponent1, &self.exponent2, &self.coefficient]
    }
}

/// The octets of a private number or seed; `None` for RSA.
pub(crate) fn number_len(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::RsaSha256 | Algorithm::RsaSha512 => None,
        Algorithm::EcdsaP256Sha256 | Algorithm::Ed25519 => Some(32),
        Algorithm::EcdsaP384Sha384 => Some(48),
    }
}
