//! Keys in a token: made, found, used, deleted.

use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use ring::digest::{SHA256, SHA384, SHA512, digest};
use rokko_dnssec::Algorithm;
use rokko_wire::Name;

use super::TokenError;
use super::session::{InUse, Token};
use crate::KeyError;
use crate::private::{KeyId, TokenKey};
use crate::rsa::{BITS, public_octets};

/// Curves as `CKA_EC_PARAMS`: object identifiers (RFC 5480), and the name that PKCS#11 3.0 gives to Ed25519.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = b"\x13\x0cedwards25519";
/// What stands before a digest that RSA signs (RFC 8017, section 9.2, note 1).
const SHA256_INFO: &[u8] =
    &[0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];
const SHA512_INFO: &[u8] =
    &[0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40];
const EXPONENT: [u8; 3] = [1, 0, 1];

impl Token {
    /// Makes a key in the token; gives where it is and its public octets as in a DNSKEY record.
    pub(crate) fn generate(
        &self,
        id: KeyId,
        zone: &Name,
        algorithm: Algorithm,
        rsa_bits: usize,
    ) -> Result<(TokenKey, Vec<u8>), KeyError> {
        if algorithm.signature_len().is_none() && !BITS.contains(&rsa_bits) {
            return Err(KeyError::RsaSize(rsa_bits));
        }
        let serial = self.serial()?;
        let public = self.with(|in_use| self.generate_in(in_use, id, zone, algorithm, rsa_bits))?;
        Ok((TokenKey { serial, id: id.0.to_vec() }, public))
    }

    fn generate_in(
        &self,
        in_use: &InUse,
        id: KeyId,
        zone: &Name,
        algorithm: Algorithm,
        rsa_bits: usize,
    ) -> Result<Vec<u8>, TokenError> {
        let label = format!("rokko {zone} {algorithm}");
        let common = [Attribute::Token(true), Attribute::Id(id.0.to_vec()), Attribute::Label(label.into_bytes())];
        let mut public = common.to_vec();
        public.extend([Attribute::Private(false), Attribute::Verify(true)]);
        let mut private = common.to_vec();
        private.extend([Attribute::Private(true), Attribute::Sensitive(true), Attribute::Extractable(false)]);
        private.push(Attribute::Sign(true));
        let mechanism = match algorithm {
            Algorithm::RsaSha256 | Algorithm::RsaSha512 => {
                let bits = u32::try_from(rsa_bits).unwrap_or(u32::MAX);
                public.push(Attribute::ModulusBits(cryptoki::types::Ulong::from(u64::from(bits))));
                public.push(Attribute::PublicExponent(EXPONENT.to_vec()));
                Mechanism::RsaPkcsKeyPairGen
            }
            Algorithm::EcdsaP256Sha256 => {
                public.push(Attribute::EcParams(P256.to_vec()));
                Mechanism::EccKeyPairGen
            }
            Algorithm::EcdsaP384Sha384 => {
                public.push(Attribute::EcParams(P384.to_vec()));
                Mechanism::EccKeyPairGen
            }
            Algorithm::Ed25519 => {
                public.push(Attribute::EcParams(ED25519.to_vec()));
                Mechanism::EccEdwardsKeyPairGen
            }
        };
        let made = in_use.session.generate_key_pair(&mechanism, &public, &private);
        let (public, _) = made.map_err(self.refused("making a key"))?;
        self.public_octets(in_use, public, algorithm)
    }

    fn public_octets(&self, in_use: &InUse, object: ObjectHandle, algorithm: Algorithm) -> Result<Vec<u8>, TokenError> {
        let malformed = || TokenError::Malformed(self.name());
        let read = |wanted: &[AttributeType]| {
            in_use.session.get_attributes(object, wanted).map_err(self.refused("reading a public key"))
        };
        let len = match algorithm {
            Algorithm::RsaSha256 | Algorithm::RsaSha512 => {
                let (mut modulus, mut exponent) = (None, None);
                for attribute in read(&[AttributeType::Modulus, AttributeType::PublicExponent])? {
                    match attribute {
                        Attribute::Modulus(octets) => modulus = Some(trimmed(&octets)),
                        Attribute::PublicExponent(octets) => exponent = Some(trimmed(&octets)),
                        _ => {}
                    }
                }
                let (modulus, exponent) = modulus.zip(exponent).ok_or_else(malformed)?;
                return Ok(public_octets(&exponent, &modulus));
            }
            Algorithm::EcdsaP256Sha256 => 64,
            Algorithm::EcdsaP384Sha384 => 96,
            Algorithm::Ed25519 => 32,
        };
        let point = read(&[AttributeType::EcPoint])?.into_iter().find_map(|attribute| match attribute {
            Attribute::EcPoint(point) => Some(point),
            _ => None,
        });
        let point = point.ok_or_else(malformed)?;
        let headed = if algorithm == Algorithm::Ed25519 { len } else { len + 1 };
        // An octet string in DER, as the standard says, or the octets alone, as some tokens have it.
        let octets = point.get(point.len().checked_sub(headed).ok_or_else(malformed)?..).ok_or_else(malformed)?;
        if point.len() > headed + 3 || (headed > len && octets.first() != Some(&4)) {
            return Err(malformed());
        }
        Ok(octets[headed - len..].to_vec())
    }

    /// Deletes a key from the token. One that is not there is no error.
    pub(crate) fn delete(&self, key: &TokenKey) -> Result<(), TokenError> {
        self.with(|in_use| {
            let template = [Attribute::Id(key.id.clone()), Attribute::Token(true)];
            let objects = in_use.session.find_objects(&template).map_err(self.refused("looking for a key"))?;
            objects
                .into_iter()
                .try_for_each(|object| in_use.session.destroy_object(object))
                .map_err(self.refused("deleting a key"))
        })
    }
}

fn trimmed(octets: &[u8]) -> Vec<u8> {
    octets.iter().copied().skip_while(|&octet| octet == 0).collect()
}

/// A key in a token that signs.
pub(crate) struct TokenSigner {
    token: Arc<Token>,
    key: TokenKey,
    algorithm: Algorithm,
    /// The private object, and the generation of sessions for which it is that.
    object: Mutex<Option<(u64, ObjectHandle)>>,
}

impl TokenSigner {
    pub(crate) fn new(token: &Arc<Token>, key: &TokenKey, algorithm: Algorithm) -> Result<Self, TokenError> {
        let here = token.serial()?;
        if here != key.serial {
            return Err(TokenError::OtherToken { needed: key.serial.clone(), here });
        }
        Ok(Self { token: Arc::clone(token), key: key.clone(), algorithm, object: Mutex::new(None) })
    }

    /// The signature of a message as it stands in an RRSIG record.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Box<[u8]>, TokenError> {
        let hashed = |algorithm, info: &[u8]| [info, digest(algorithm, message).as_ref()].concat();
        let (mechanism, input) = match self.algorithm {
            Algorithm::EcdsaP256Sha256 => (Mechanism::Ecdsa, hashed(&SHA256, &[])),
            Algorithm::EcdsaP384Sha384 => (Mechanism::Ecdsa, hashed(&SHA384, &[])),
            Algorithm::RsaSha256 => (Mechanism::RsaPkcs, hashed(&SHA256, SHA256_INFO)),
            Algorithm::RsaSha512 => (Mechanism::RsaPkcs, hashed(&SHA512, SHA512_INFO)),
            Algorithm::Ed25519 => (Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)), message.to_vec()),
        };
        self.token.with(|in_use| {
            let object = self.object(in_use)?;
            let signature = in_use.session.sign(&mechanism, object, &input);
            signature.map(Vec::into_boxed_slice).map_err(self.token.refused("signing"))
        })
    }

    fn object(&self, in_use: &InUse) -> Result<ObjectHandle, TokenError> {
        let known = *self.object.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((generation, object)) = known
            && generation == in_use.generation
        {
            return Ok(object);
        }
        let template = [Attribute::Id(self.key.id.clone()), Attribute::Class(ObjectClass::PRIVATE_KEY)];
        let found: Result<Vec<ObjectHandle>, Error> = in_use.session.find_objects(&template);
        let object = found.map_err(self.token.refused("looking for a key"))?.first().copied();
        let no_key =
            || TokenError::NoKey { token: self.token.name(), id: data_encoding::HEXLOWER.encode(&self.key.id) };
        let object = object.ok_or_else(no_key)?;
        *self.object.lock().unwrap_or_else(PoisonError::into_inner) = Some((in_use.generation, object));
        Ok(object)
    }
}
