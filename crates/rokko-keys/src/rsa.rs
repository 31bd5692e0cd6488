//! New RSA keys. `ring` signs with RSA, but makes no keys.

use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use zeroize::{Zeroize as _, Zeroizing};

use crate::KeyError;
use crate::private::{Octets, RsaNumbers};
use crate::random::SystemRandom;

/// The sizes of keys that sign, in bits of the modulus. Less is broken soon, more is refused by validators, and the library that signs
/// takes primes of a multiple of 512 bits.
pub(crate) const BITS: [usize; 3] = [2048, 3072, 4096];

/// A new key and its public octets (RFC 3110, section 2).
pub(crate) fn generate(bits: usize) -> Result<(RsaNumbers, Vec<u8>), KeyError> {
    if !BITS.contains(&bits) {
        return Err(KeyError::RsaSize(bits));
    }
    let key = rsa::PrivateKey::new(&mut SystemRandom, bits).map_err(|_| KeyError::Sign)?;
    let public = public_octets(&key.e_bytes(), &key.n_bytes());
    let (exponent1, exponent2) = (key.dp().ok_or(KeyError::Sign)?, key.dq().ok_or(KeyError::Sign)?);
    let coefficient = key.crt_coefficient().ok_or(KeyError::Sign)?;
    let [prime1, prime2] = key.primes() else { return Err(KeyError::Sign) };
    let numbers = RsaNumbers {
        exponent: trimmed(key.d().to_be_bytes()),
        prime1: trimmed(prime1.to_be_bytes()),
        prime2: trimmed(prime2.to_be_bytes()),
        exponent1: trimmed(exponent1.to_be_bytes()),
        exponent2: trimmed(exponent2.to_be_bytes()),
        coefficient: trimmed(coefficient.to_be_bytes()),
    };
    Ok((numbers, public))
}

/// A number without zero octets at its start; the octets that it came in are overwritten.
fn trimmed(mut octets: Box<[u8]>) -> Octets {
    let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
    let number = Zeroizing::new(octets[zeros..].to_vec());
    octets.zeroize();
    number
}

/// The public key octets of an exponent and a modulus without zero octets at their start (RFC 3110, section 2).
pub(crate) fn public_octets(exponent: &[u8], modulus: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 + exponent.len() + modulus.len());
    match u8::try_from(exponent.len()) {
        Ok(len) if len > 0 => out.push(len),
        _ => {
            out.push(0);
            let len = u16::try_from(exponent.len()).expect("an exponent is not longer than its modulus of 512 octets");
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
    out.extend_from_slice(exponent);
    out.extend_from_slice(modulus);
    out
}
