//! New ECDSA keys.

use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, EcdsaSigningAlgorithm};
use zeroize::Zeroizing;

use crate::KeyError;

/// Where the private number stands in the documents of P-256 and of P-384 that `ring` makes (RFC 5958): behind the headers.
const NUMBER_START: [usize; 2] = [36, 35];

/// A new private number and its point, with the octet 4 that says that it is not compressed.
pub(crate) fn generate(
    algorithm: &'static EcdsaSigningAlgorithm,
    number_len: usize,
) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), KeyError> {
    let make = || EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).map_err(|_| KeyError::Sign);
    let mut document = make()?;
    let octets = document.as_ref();
    let start = NUMBER_START[usize::from(number_len > 32)];
    let parts = octets.get(start..start + number_len).zip(octets.last_chunk_of(1 + 2 * number_len));
    let (number, point) = parts.ok_or(KeyError::Sign)?;
    let key = (Zeroizing::new(number.to_vec()), point.to_vec());
    // The library does not overwrite its document; another key in its place does.
    document = make()?;
    std::hint::black_box(&document);
    Ok(key)
}

/// The end of a slice.
trait LastChunk {
    fn last_chunk_of(&self, len: usize) -> Option<&[u8]>;
}

impl LastChunk for [u8] {
    fn last_chunk_of(&self, len: usize) -> Option<&[u8]> {
        self.len().checked_sub(len).and_then(|start| self.get(start..))
    }
}
