//! Hashed owner names (RFC 5155 §5).

use ring::digest::{Context, Digest, SHA1_FOR_LEGACY_USE_ONLY};

use crate::record::HASH_LEN;

/// A hashed owner name.
pub(crate) type Hash = [u8; HASH_LEN];

/// The octets of a hash in base32hex, and the zero octet that ends a label in a key.
pub(crate) const HASH_KEY_LEN: usize = 33;
/// The octets of a hash in base32hex.
const TEXT_LEN: usize = 32;
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// The hash of a name in lower-case wire form.
pub(crate) fn hash(name: &[u8], salt: &[u8], iterations: u16) -> Hash {
    let round = |octets: &[u8]| -> Digest {
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(octets);
        context.update(salt);
        context.finish()
    };
    let digest = (0..iterations).fold(round(name), |digest, _| round(digest.as_ref()));
    let mut hash = [0; HASH_LEN];
    hash.copy_from_slice(&digest.as_ref()[..HASH_LEN]);
    hash
}

/// The key of the NSEC3 owner: lower-case base32hex (RFC 4648 §7) as the one label below the apex.
pub(crate) fn key_of(hash: &Hash) -> [u8; HASH_KEY_LEN] {
    let mut key = [0; HASH_KEY_LEN];
    for (group, digits) in hash.chunks_exact(5).zip(key.chunks_exact_mut(8)) {
        let bits = group.iter().fold(0_u64, |bits, &octet| bits << 8 | u64::from(octet));
        for (index, digit) in digits.iter_mut().enumerate() {
            *digit = DIGITS[(bits >> (35 - 5 * index) & 31) as usize];
        }
    }
    key
}

/// The hash in the key of an NSEC3 owner; `None` if the key is not one.
pub(crate) fn hash_of_key(key: &[u8]) -> Option<Hash> {
    let (&0, digits) = key.split_last()? else { return None };
    if digits.len() != TEXT_LEN {
        return None;
    }
    let mut hash = [0; HASH_LEN];
    for (digits, group) in digits.chunks_exact(8).zip(hash.chunks_exact_mut(5)) {
        let mut bits = 0_u64;
        for digit in digits {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'v' => digit - b'a' + 10,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        group.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use rokko_wire::Name;

    use super::*;

    /// RFC 5155 appendix A: salt aabbccdd, 12 iterations.
    #[test]
    fn the_names_of_rfc_5155() {
        for (name, expected) in [
            ("example", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            ("a.example", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            ("ns1.example", "2t7b4g4vsa5smi47k61mv5bv1a22bojr"),
            ("*.w.example", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
        ] {
            let name: Name = name.parse().unwrap();
            let hash = hash(name.as_bytes(), &[0xaa, 0xbb, 0xcc, 0xdd], 12);
            let key = key_of(&hash);
            assert_eq!(key.split_last(), Some((&0, expected.as_bytes())));
            assert_eq!(hash_of_key(&key), Some(hash));
        }
        assert_eq!(hash_of_key(b"0p9mhaveqvm6t7vbl5lop2u3t2rp3tow\0"), None);
        assert_eq!(hash_of_key(b"short\0"), None);
    }
}
