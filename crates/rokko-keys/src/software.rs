//! Keys that sign in this process.

use std::hint::black_box;

use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use rokko_dnssec::{Algorithm, PublicKey};
use zeroize::Zeroizing;

use crate::private::{Material, Octets, RsaNumbers};
use crate::{KeyError, PrivateKey, pkcs8, random, rsa};

/// A private key that is ready to sign. Its octets are overwritten when it is dropped, but for those of RSA, which the library
/// keeps out of reach.
pub(crate) struct SoftwareKey {
    pair: Pair,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
}

/// A new key of an algorithm: its private part and its public octets as in a DNSKEY record.
pub(crate) fn generate(algorithm: Algorithm, rsa_bits: usize) -> Result<(PrivateKey, Box<[u8]>), KeyError> {
    let (material, public) = match algorithm {
        Algorithm::EcdsaP256Sha256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, 32)?,
        Algorithm::EcdsaP384Sha384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, 48)?,
        Algorithm::Ed25519 => {
            let mut seed = Zeroizing::new(vec![0; 32]);
            seed.copy_from_slice(Zeroizing::new(random::octets::<32>()?).as_slice());
            let public = ed25519_public(&seed)?;
            (Material::Number(seed), public)
        }
        Algorithm::RsaSha256 | Algorithm::RsaSha512 => {
            let (numbers, public) = rsa::generate(rsa_bits)?;
            (Material::Rsa(numbers), public)
        }
    };
    Ok((PrivateKey { algorithm, material }, public.into()))
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, len: usize) -> Result<(Material, Vec<u8>), KeyError> {
    let (number, point) = pkcs8::generate(algorithm, len)?;
    Ok((Material::Number(number), point[1..].to_vec()))
}

/// The public octets of an Ed25519 seed.
pub(crate) fn ed25519_public(seed: &Octets) -> Result<Vec<u8>, KeyError> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Mismatch(Algorithm::Ed25519))?;
    let public = pair.public_key().as_ref().to_vec();
    drop(SoftwareKey { pair: Pair::Ed25519(pair) });
    Ok(public)
}

impl SoftwareKey {
    /// Makes a key ready, if private and public part belong together.
    pub(crate) fn new(key: &PrivateKey, public: &PublicKey) -> Result<Self, KeyError> {
        let mismatch = |_| KeyError::Mismatch(public.algorithm);
        let pair = match (&key.material, public.algorithm) {
            (Material::Number(number), Algorithm::EcdsaP256Sha256) => {
                Pair::P256(ecdsa_pair(&ECDSA_P256_SHA256_FIXED_SIGNING, number, &public.key).map_err(mismatch)?)
            }
            (Material::Number(number), Algorithm::EcdsaP384Sha384) => {
                Pair::P384(ecdsa_pair(&ECDSA_P384_SHA384_FIXED_SIGNING, number, &public.key).map_err(mismatch)?)
            }
            (Material::Number(seed), Algorithm::Ed25519) => {
                Pair::Ed25519(Ed25519KeyPair::from_seed_and_public_key(seed, &public.key).map_err(mismatch)?)
            }
            (Material::Rsa(numbers), Algorithm::RsaSha256) => Pair::Rsa(rsa_pair(numbers, public)?, &RSA_PKCS1_SHA256),
            (Material::Rsa(numbers), Algorithm::RsaSha512) => Pair::Rsa(rsa_pair(numbers, public)?, &RSA_PKCS1_SHA512),
            (Material::Token(_), _) => return Err(KeyError::InToken),
            _ => return Err(KeyError::Mismatch(public.algorithm)),
        };
        Ok(Self { pair })
    }

    /// The signature of a message as it stands in an RRSIG record.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Box<[u8]>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&random, message).map(|signature| signature.as_ref().into()).map_err(|_| KeyError::Sign)
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().into()),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).map_err(|_| KeyError::Sign)?;
                Ok(signature.into())
            }
        }
    }

    /// About how long one signature takes, in microseconds.
    pub(crate) fn cost_us(&self) -> usize {
        match &self.pair {
            Pair::P256(_) | Pair::Ed25519(_) => 25,
            Pair::P384(_) => 400,
            Pair::Rsa(..) => 1000,
        }
    }
}

impl Drop for SoftwareKey {
    /// The library does not overwrite its keys, which lie within this structure: one that everybody knows, in the same place, does.
    fn drop(&mut self) {
        let seed = &[7; 32];
        let known = Ed25519KeyPair::from_seed_unchecked(seed).map(Pair::Ed25519);
        let known = match &self.pair {
            Pair::Ed25519(_) => known.ok(),
            Pair::P256(_) => {
                ecdsa_pair(&ECDSA_P256_SHA256_FIXED_SIGNING, &P256_ONE, &P256_GENERATOR).ok().map(Pair::P256)
            }
            Pair::P384(_) => {
                ecdsa_pair(&ECDSA_P384_SHA384_FIXED_SIGNING, &P384_ONE, &P384_GENERATOR).ok().map(Pair::P384)
            }
            Pair::Rsa(..) => None,
        };
        if let Some(known) = known {
            self.pair = known;
            // Otherwise the compiler sees that nobody reads what was written.
            black_box(&mut self.pair);
        }
    }
}

fn ecdsa_pair(
    algorithm: &'static EcdsaSigningAlgorithm,
    number: &[u8],
    public: &[u8],
) -> Result<EcdsaKeyPair, ring::error::KeyRejected> {
    let point = [&[4], public].concat();
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, number, &point, &SystemRandom::new())
}

#[expect(clippy::many_single_char_names, reason = "the names of RFC 8017")]
fn rsa_pair(numbers: &RsaNumbers, public: &PublicKey) -> Result<RsaKeyPair, KeyError> {
    let mismatch = KeyError::Mismatch(public.algorithm);
    let Some((e, n)) = public.rsa_parts() else { return Err(mismatch) };
    let bits = n.len() * 8 - n.first().map_or(0, |octet| octet.leading_zeros() as usize);
    if !rsa::BITS.contains(&bits) {
        return Err(KeyError::RsaSize(bits));
    }
    let [d, p, q, d_p, d_q, q_inv] = numbers.all().map(|number| number.as_slice());
    let components =
        KeyPairComponents { public_key: PublicKeyComponents { n, e }, d, p, q, dP: d_p, dQ: d_q, qInv: q_inv };
    RsaKeyPair::from_components(&components).map_err(|_| mismatch)
}

/// The private number 1 and its point, the generator of the curve (FIPS 186-4, appendix D).
const P256_ONE: [u8; 32] = one();
const P384_ONE: [u8; 48] = one();

const fn one<const N: usize>() -> [u8; N] {
    let mut number = [0; N];
    number[N - 1] = 1;
    number
}

const P256_GENERATOR: [u8; 64] = [
    0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d,
    0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a,
    0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb,
    0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];
const P384_GENERATOR: [u8; 96] = [
    0xaa, 0x87, 0xca, 0x22, 0xbe, 0x8b, 0x05, 0x37, 0x8e, 0xb1, 0xc7, 0x1e, 0xf3, 0x20, 0xad, 0x74, 0x6e, 0x1d, 0x3b,
    0x62, 0x8b, 0xa7, 0x9b, 0x98, 0x59, 0xf7, 0x41, 0xe0, 0x82, 0x54, 0x2a, 0x38, 0x55, 0x02, 0xf2, 0x5d, 0xbf, 0x55,
    0x29, 0x6c, 0x3a, 0x54, 0x5e, 0x38, 0x72, 0x76, 0x0a, 0xb7, 0x36, 0x17, 0xde, 0x4a, 0x96, 0x26, 0x2c, 0x6f, 0x5d,
    0x9e, 0x98, 0xbf, 0x92, 0x92, 0xdc, 0x29, 0xf8, 0xf4, 0x1d, 0xbd, 0x28, 0x9a, 0x14, 0x7c, 0xe9, 0xda, 0x31, 0x13,
    0xb5, 0xf0, 0xb8, 0xc0, 0x0a, 0x60, 0xb1, 0xce, 0x1d, 0x7e, 0x81, 0x9d, 0x7a, 0x43, 0x1d, 0x7c, 0x90, 0xea, 0x0e,
    0x5f,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_are_valid() {
        assert!(ecdsa_pair(&ECDSA_P256_SHA256_FIXED_SIGNING, &P256_ONE, &P256_GENERATOR).is_ok());
        assert!(ecdsa_pair(&ECDSA_P384_SHA384_FIXED_SIGNING, &P384_ONE, &P384_GENERATOR).is_ok());
    }

    #[test]
    fn a_key_of_each_algorithm_signs() {
        for algorithm in Algorithm::ALL {
            let (private, key) = generate(algorithm, 2048).unwrap();
            let public = PublicKey { flags: PublicKey::ZONE, algorithm, key };
            let again = PrivateKey::decode(algorithm, &private.encode()).unwrap();
            let signature = SoftwareKey::new(&again, &public).unwrap().sign(b"message").unwrap();
            assert!(public.verify(b"message", &signature), "{algorithm}");
            assert!(!public.verify(b"massage", &signature), "{algorithm}");
            assert!(algorithm.signature_len().is_none_or(|len| len == signature.len()));
            // Another key's private part does not fit.
            let (other, _) = generate(algorithm, 2048).unwrap();
            assert!(matches!(SoftwareKey::new(&other, &public), Err(KeyError::Mismatch(_))), "{algorithm}");
        }
    }

    #[test]
    fn rsa_keys_have_sound_sizes() {
        for bits in [0, 1024, 2047, 2050, 4104, 8192] {
            assert!(matches!(generate(Algorithm::RsaSha256, bits), Err(KeyError::RsaSize(_))), "{bits}");
        }
    }
}
