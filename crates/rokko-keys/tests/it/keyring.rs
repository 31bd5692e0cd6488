//! Making, wrapping, opening and using keys.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use rokko_dnssec::{Algorithm, PublicKey};
use rokko_keys::{KeyError, KeyId, KeyRing, KeyRingOptions, KeySpec, MasterKey, NewKey, StoredKey};
use rokko_wire::Name;

pub(crate) fn ring() -> KeyRing {
    KeyRing::new(MasterKey::generate().unwrap(), KeyRingOptions::default())
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn stored<'a>(key: &'a NewKey, zone: &'a Name) -> StoredKey<'a> {
    StoredKey { id: key.id, zone, public: &key.public, wrapped: &key.wrapped }
}

#[test]
fn a_key_of_each_algorithm_is_wrapped_and_signs() {
    let (ring, zone) = (ring(), name("example.com."));
    for algorithm in Algorithm::ALL {
        let key = ring.generate(&zone, &KeySpec::new(algorithm, PublicKey::ZONE | PublicKey::SEP)).unwrap();
        assert!(key.public.is_sep() && key.public.algorithm == algorithm);
        let signers = ring.signers(&[stored(&key, &zone)]).unwrap();
        let signatures = signers.sign_all(&[(0, b"one"), (0, b"two")]).unwrap();
        for (message, signature) in [&b"one"[..], b"two"].into_iter().zip(&signatures) {
            assert!(key.public.verify(message, signature), "{algorithm}");
        }
        assert!(matches!(signers.sign_all(&[(1, b"one")]), Err(KeyError::NoSigner(1))));
    }
}

#[test]
fn many_threads_sign_in_order() {
    let options = KeyRingOptions { threads: NonZeroUsize::new(5).unwrap(), ..KeyRingOptions::default() };
    let (ring, zone) = (KeyRing::new(MasterKey::generate().unwrap(), options), name("."));
    let keys: Vec<NewKey> = [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519]
        .map(|algorithm| ring.generate(&zone, &KeySpec::new(algorithm, PublicKey::ZONE)).unwrap())
        .into();
    let signers = ring.signers(&keys.iter().map(|key| stored(key, &zone)).collect::<Vec<_>>()).unwrap();
    for count in [0, 1, 79, 80, 81, 401] {
        let messages: Vec<String> = (0..count).map(|n| format!("message {n}")).collect();
        let inputs: Vec<(usize, &[u8])> =
            messages.iter().enumerate().map(|(n, message)| (n % 2, message.as_bytes())).collect();
        let signatures = signers.sign_all(&inputs).unwrap();
        assert_eq!(signatures.len(), count);
        for ((signer, message), signature) in inputs.iter().zip(&signatures) {
            assert!(keys[*signer].public.verify(message, signature));
        }
        let mut bad = inputs.clone();
        bad.push((2, b"nobody"));
        assert!(matches!(signers.sign_all(&bad), Err(KeyError::NoSigner(2))));
    }
}

#[test]
fn another_master_key_is_told_apart() {
    let (ring, other, zone) = (ring(), ring(), name("example."));
    let key = ring.generate(&zone, &KeySpec::new(Algorithm::Ed25519, PublicKey::ZONE)).unwrap();
    let error = other.signers(&[stored(&key, &zone)]).unwrap_err();
    assert!(matches!(error, KeyError::WrongMasterKey { .. }));
    let text = error.to_string();
    assert!(
        text.contains(&ring.master().id().to_string()) && text.contains(&other.master().id().to_string()),
        "{text}"
    );
    // Wrapped again, it opens there and no longer here.
    let wrapped = ring.rewrap(&stored(&key, &zone), other.master()).unwrap();
    let moved = NewKey { wrapped, ..key.clone() };
    assert!(other.signers(&[stored(&moved, &zone)]).is_ok());
    assert!(matches!(ring.signers(&[stored(&moved, &zone)]), Err(KeyError::WrongMasterKey { .. })));
    assert!(ring.signers(&[stored(&key, &zone)]).is_ok());
}

#[test]
fn wrapped_octets_open_only_for_what_they_belong_to() {
    let (ring, zone) = (ring(), name("example."));
    let spec = KeySpec::new(Algorithm::EcdsaP256Sha256, PublicKey::ZONE);
    let (key, other) = (ring.generate(&zone, &spec).unwrap(), ring.generate(&zone, &spec).unwrap());
    let damaged = |key: &NewKey, zone: &Name| matches!(ring.reveal(&stored(key, zone)), Err(KeyError::Damaged));
    assert!(ring.reveal(&stored(&key, &name("EXAMPLE."))).is_ok());
    assert!(damaged(&key, &name("example.com.")));
    assert!(damaged(&NewKey { id: other.id, ..key.clone() }, &zone));
    assert!(damaged(&NewKey { public: other.public.clone(), ..key.clone() }, &zone));
    assert!(damaged(&NewKey { wrapped: other.wrapped.clone(), ..key.clone() }, &zone));
    // The flags may change.
    let revoked = PublicKey { flags: key.public.flags | PublicKey::REVOKE, ..key.public.clone() };
    assert!(ring.reveal(&stored(&NewKey { public: revoked, ..key.clone() }, &zone)).is_ok());
    for at in 0..key.wrapped.len() {
        let mut wrapped = key.wrapped.clone();
        wrapped[at] ^= 1;
        assert!(ring.reveal(&stored(&NewKey { wrapped, ..key.clone() }, &zone)).is_err(), "octet {at}");
        let wrapped = key.wrapped[..at].to_vec();
        assert!(ring.reveal(&stored(&NewKey { wrapped, ..key.clone() }, &zone)).is_err(), "cut at {at}");
    }
}

#[test]
fn few_keys_stay_open() {
    let options = KeyRingOptions { open_max: 10, ..KeyRingOptions::default() };
    let (ring, zone) = (KeyRing::new(MasterKey::generate().unwrap(), options), name("example."));
    let spec = KeySpec::new(Algorithm::Ed25519, PublicKey::ZONE);
    let keys: Vec<NewKey> = (0..50).map(|_| ring.generate(&zone, &spec).unwrap()).collect();
    for key in &keys {
        for _ in 0..2 {
            let signers = ring.signers(&[stored(&keys[0], &zone), stored(key, &zone)]).unwrap();
            assert!(key.public.verify(b"text", &signers.sign_all(&[(1, b"text")]).unwrap()[0]));
            assert!(ring.open_count() <= 20);
        }
    }
    assert!(ring.open_count() >= 10);
    for key in &keys {
        ring.forget(key.id);
    }
    assert_eq!(ring.open_count(), 0);
}

/// A key that was opened is not taken for another one with its id.
#[test]
fn what_is_open_is_what_is_stored() {
    let (ring, zone) = (ring(), name("example."));
    let spec = KeySpec::new(Algorithm::Ed25519, PublicKey::ZONE);
    let key = ring.generate(&zone, &spec).unwrap();
    ring.signers(&[stored(&key, &zone)]).unwrap();
    let other = ring.generate(&zone, &spec).unwrap();
    let private = ring.reveal(&stored(&other, &zone)).unwrap();
    let other = ring.add_as(key.id, &zone, other.public, &private).unwrap();
    let signers = ring.signers(&[stored(&other, &zone)]).unwrap();
    assert!(other.public.verify(b"text", &signers.sign_all(&[(0, b"text")]).unwrap()[0]));
}

#[test]
fn nothing_shows_private_octets() {
    let (ring, zone) = (ring(), name("example."));
    let key = ring.generate(&zone, &KeySpec::new(Algorithm::Ed25519, PublicKey::ZONE)).unwrap();
    let private = ring.reveal(&stored(&key, &zone)).unwrap();
    assert_eq!(format!("{private:?}"), "PrivateKey(ed25519)");
    let signers = ring.signers(&[stored(&key, &zone)]).unwrap();
    assert_eq!(format!("{signers:?}"), "1 signers");
    let shown = format!("{ring:?}");
    assert!(shown.contains(&ring.master().id().to_string()) && shown.contains("1 open keys"), "{shown}");
}

proptest! {
    #[test]
    fn foreign_octets_never_open(octets in proptest::collection::vec(any::<u8>(), 0..200), with_header in any::<bool>()) {
        let (ring, zone) = (ring(), name("example."));
        let public = PublicKey { flags: 256, algorithm: Algorithm::Ed25519, key: [1; 32].into() };
        let header = [&[1][..], &ring.master().id().0].concat();
        let wrapped = if with_header { [header, octets].concat() } else { octets };
        let key = NewKey { id: KeyId([0; 16]), public, wrapped };
        prop_assert!(ring.reveal(&stored(&key, &zone)).is_err());
    }
}
