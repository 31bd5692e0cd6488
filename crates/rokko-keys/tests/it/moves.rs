//! Seals and shares.

use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use rokko_dnssec::{Algorithm, PublicKey};
use rokko_keys::{
    BindKey, BindTimes, Identity, KeyRing, KeySpec, MasterKey, MovedKey, Recipient, SealError, Sealer, Share,
    ShareError, combine, open_seal, split,
};
use tempfile::TempDir;

use crate::keyring::{name, ring, stored};

fn moved(ring: &KeyRing, algorithm: Algorithm) -> MovedKey {
    let zone = name("example.com.");
    let key = ring.generate(&zone, &KeySpec::new(algorithm, PublicKey::ZONE)).unwrap();
    let private = ring.reveal(&stored(&key, &zone)).unwrap();
    let times = BindTimes { created: Some(1_700_000_000), ..BindTimes::default() };
    MovedKey { id: key.id, made_at_ms: 1_700_000_000_123, key: BindKey { zone, public: key.public, private, times } }
}

fn seal(keys: &[MovedKey], recipients: &[Recipient]) -> Vec<u8> {
    let mut sealer = Sealer::new(recipients, Vec::new()).unwrap();
    for key in keys {
        sealer.put(key).unwrap();
    }
    sealer.finish().unwrap()
}

fn open(sealed: &[u8], identity: &Identity) -> Result<Vec<MovedKey>, SealError> {
    let mut keys = Vec::new();
    let one = Identity::parse_file(&identity.text()).unwrap();
    let count = open_seal(&one, sealed, |key| {
        keys.push(key);
        Ok::<(), SealError>(())
    })?;
    assert_eq!(count, keys.len() as u64);
    Ok(keys)
}

fn same(a: &MovedKey, b: &MovedKey) -> bool {
    (a.id, a.made_at_ms, &a.key.zone, &a.key.public, a.key.times)
        == (b.id, b.made_at_ms, &b.key.zone, &b.key.public, b.key.times)
        && a.key.private_text().unwrap() == b.key.private_text().unwrap()
}

#[test]
fn each_recipient_opens_a_seal_and_nobody_else() {
    let ring = ring();
    let keys: Vec<MovedKey> = Algorithm::ALL.into_iter().map(|algorithm| moved(&ring, algorithm)).collect();
    let (one, two, other) = (Identity::generate(), Identity::generate(), Identity::generate());
    let sealed = seal(&keys, &[one.recipient(), two.recipient()]);
    for identity in [&one, &two] {
        let opened = open(&sealed, identity).unwrap();
        assert!(opened.len() == keys.len() && opened.iter().zip(&keys).all(|(a, b)| same(a, b)));
    }
    assert!(matches!(open(&sealed, &other), Err(SealError::NotForUs)));
    assert!(open(&seal(&[], &[one.recipient()]), &one).unwrap().is_empty());
    assert!(matches!(Sealer::new(&[], Vec::new()), Err(SealError::Recipients(0))));
    assert!("age1nonsense".parse::<Recipient>().is_err());
    assert!(Identity::parse_file("# nobody\n").is_err());
    assert_eq!(one.recipient().to_string().parse::<Recipient>().unwrap().to_string(), one.recipient().to_string());
    assert!(!format!("{one:?}").contains("SECRET"));
}

#[test]
fn a_damaged_seal_does_not_open() {
    let (ring, identity) = (ring(), Identity::generate());
    let keys = [moved(&ring, Algorithm::Ed25519), moved(&ring, Algorithm::EcdsaP256Sha256)];
    let sealed = seal(&keys, &[identity.recipient()]);
    for at in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        assert!(open(&damaged, &identity).is_err(), "octet {at}");
        assert!(open(&sealed[..at], &identity).is_err(), "cut at {at}");
    }
    // Sealed by the same recipient, but not keys.
    let recipient: age::x25519::Recipient = identity.recipient().to_string().parse().unwrap();
    let valid = open_text(&sealed, &identity);
    for text in
        ["", "rokko-keys 2\n", "rokko-keys 1\n", "rokko-keys 1\nrokko-end 1\n", "rokko-keys 1\nrokko-end 0\nx\n"]
    {
        let sealed = age::encrypt(&recipient, text.as_bytes()).unwrap();
        assert!(matches!(open(&sealed, &identity), Err(SealError::Contents(_))), "{text}");
    }
    let without_one = valid.replacen("rokko-end 2", "rokko-end 3", 1);
    let sealed = age::encrypt(&recipient, without_one.as_bytes()).unwrap();
    assert!(matches!(open(&sealed, &identity), Err(SealError::Contents("keys are missing"))));
}

fn open_text(sealed: &[u8], identity: &Identity) -> String {
    let identity: age::x25519::Identity = identity.text().parse().unwrap();
    String::from_utf8(age::decrypt(&identity, sealed).unwrap()).unwrap()
}

/// The program of the format's author, in Go, opens what is sealed here, and seals what is opened here.
#[test]
fn the_program_age_agrees() {
    let (ring, folder) = (ring(), TempDir::new().unwrap());
    let identity = Identity::generate();
    let file = folder.path().join("identity");
    std::fs::write(&file, identity.text().as_bytes()).unwrap();
    let keys = [moved(&ring, Algorithm::EcdsaP384Sha384), moved(&ring, Algorithm::RsaSha256)];
    let run = |arguments: &[&str], input: &[u8]| {
        let mut child =
            Command::new("age").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    let path = file.display().to_string();
    let plain = run(&["--decrypt", "--identity", &path], &seal(&keys, &[identity.recipient()]));
    assert!(plain.starts_with(b"rokko-keys 1\n"));
    let sealed = run(&["--encrypt", "--recipient", &identity.recipient().to_string()], &plain);
    let opened = open(&sealed, &identity).unwrap();
    assert!(opened.iter().zip(&keys).all(|(a, b)| same(a, b)) && opened.len() == 2);
}

fn again(shares: &[&Share]) -> Vec<Share> {
    shares.iter().map(|share| Share::parse(&share.text()).unwrap()).collect()
}

#[test]
fn any_shares_that_are_enough_give_the_master_key() {
    let master = MasterKey::generate().unwrap();
    let shares = split(&master, 5, 3).unwrap();
    for chosen in 1_u32..1 << 5 {
        let some: Vec<&Share> =
            shares.iter().enumerate().filter(|(n, _)| chosen >> n & 1 == 1).map(|(_, s)| s).collect();
        match combine(&again(&some)) {
            Ok(combined) => assert!(some.len() >= 3 && combined.text() == master.text()),
            Err(error) => assert_eq!(error, ShareError::TooFew { needed: 3, found: some.len() }),
        }
    }
    // The same share twice is one.
    let twice = again(&[&shares[0], &shares[0], &shares[1]]);
    assert_eq!(combine(&twice).unwrap_err(), ShareError::TooFew { needed: 3, found: 2 });
    let extra = again(&[&shares[0], &shares[0], &shares[1], &shares[4]]);
    assert_eq!(combine(&extra).unwrap().text(), master.text());
    assert_eq!(combine(&[]).unwrap_err(), ShareError::TooFew { needed: 2, found: 0 });
    // Those of another split of the same key do not fit.
    let other = split(&master, 5, 3).unwrap();
    let mixed = again(&[&shares[0], &shares[1], &other[2]]);
    assert!(matches!(combine(&mixed), Err(ShareError::Mixed(..))));
    for (shares, threshold) in [(5, 1), (5, 0), (5, 6), (1, 1), (0, 0)] {
        assert_eq!(split(&master, shares, threshold).unwrap_err(), ShareError::Threshold { shares, threshold });
    }
    let many = split(&master, 255, 255).unwrap();
    assert_eq!(combine(&again(&many.iter().collect::<Vec<_>>())).unwrap().text(), master.text());
}

#[test]
fn a_share_that_was_copied_wrongly_is_found() {
    let shares = split(&MasterKey::generate().unwrap(), 2, 2).unwrap();
    let text = shares[0].text();
    assert_eq!(shares[0].set(), shares[1].set());
    assert_eq!(Share::parse(&format!(" {}\n", *text)).unwrap().number(), 1);
    for at in 0..text.len() {
        let mut changed = text.as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(Share::parse(&String::from_utf8(changed).unwrap()).is_err(), "{at}");
        assert!(Share::parse(&text[..at]).is_err(), "{at}");
    }
    assert!(!format!("{:?}", shares[0]).contains(&text[40..]));
}

proptest! {
    #[test]
    fn foreign_text_is_no_share(text in "rokko-share:[A-Za-z0-9_-]{0,90}") {
        prop_assert!(Share::parse(&text).is_err());
    }
}
