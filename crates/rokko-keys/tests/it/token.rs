//! Keys in a token: `SoftHSM` 2, which is one in software.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cryptoki::context::Pkcs11;
use rokko_dnssec::{Algorithm, PublicKey, Sign, ToSign};
use rokko_keys::{
    BindError, BindKey, BindTimes, KeyError, KeyRing, KeyRingOptions, KeySpec, MasterKey, NewKey, Token, TokenError,
    TokenOptions,
};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::keyring::{name, ring, stored};

const PIN: &str = "1234567";
const FOLDER: &str = "ROKKO_KEYS_TEST_TOKEN";

/// The folder of the tokens of `SoftHSM`, in which there is one called `rokko`.
struct Hsm {
    folder: PathBuf,
}

/// Runs a test in a process of its own: the library has one state for a process, and learns from its environment where the tokens
/// are.
fn in_process(test: &str, body: impl FnOnce(&Hsm)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return body(&Hsm { folder: folder.into() });
    }
    let folder = TempDir::new().unwrap();
    let (tokens, config) = (folder.path().join("tokens"), folder.path().join("softhsm2.conf"));
    std::fs::create_dir(&tokens).unwrap();
    std::fs::write(
        &config,
        format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display()),
    )
    .unwrap();
    let run = |command: &mut Command| {
        let output = command.env("SOFTHSM2_CONF", &config).env(FOLDER, folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        text
    };
    for label in ["rokko", "other"] {
        run(Command::new("softhsm2-util").args([
            "--init-token",
            "--free",
            "--label",
            label,
            "--so-pin",
            "12345678",
            "--pin",
            PIN,
        ]));
    }
    let told =
        run(Command::new(std::env::current_exe().unwrap()).args(["--exact", &format!("token::{test}"), "--nocapture"]));
    assert!(told.contains("1 passed"), "{told}");
}

impl Hsm {
    fn library() -> PathBuf {
        let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"];
        let library = places.iter().map(PathBuf::from).find(|path| path.exists());
        library.unwrap_or_else(|| panic!("SoftHSM 2 is not in {places:?}"))
    }

    fn options(&self) -> TokenOptions {
        assert!(self.folder.exists());
        TokenOptions {
            library: Self::library(),
            token: "rokko".to_owned(),
            pin: Zeroizing::new(PIN.to_owned()),
            sessions_max: 3,
        }
    }

    fn ring(&self) -> KeyRing {
        ring().with_token(Arc::new(Token::open(self.options()).unwrap()))
    }

    /// Ends the library for the whole process, behind the keyring's back: every session is gone.
    fn pull_out(&self) {
        assert!(self.folder.exists());
        Pkcs11::new(Self::library()).unwrap().finalize().unwrap();
    }

    /// The folder where the tokens are, or are not.
    fn tokens(&self, there: bool) -> PathBuf {
        self.folder.join(if there { "tokens" } else { "elsewhere" })
    }
}

fn signs(ring: &KeyRing, key: &NewKey) -> Result<(), KeyError> {
    let zone = name("example.com.");
    let signatures = ring.signers(&[stored(key, &zone)])?.sign_all(&[(0, b"text")])?;
    assert!(key.public.verify(b"text", &signatures[0]));
    Ok(())
}

#[test]
fn keys_are_made_in_the_token_and_stay_there() {
    in_process("keys_are_made_in_the_token_and_stay_there", |hsm| {
        let (ring, zone) = (hsm.ring(), name("example.com."));
        for algorithm in Algorithm::ALL {
            let key = ring.generate_in_token(&zone, &KeySpec::new(algorithm, PublicKey::ZONE)).unwrap();
            signs(&ring, &key).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
            let private = ring.reveal(&stored(&key, &zone)).unwrap();
            assert!(private.is_in_token());
            let bind = BindKey { zone: zone.clone(), public: key.public.clone(), private, times: BindTimes::default() };
            assert_eq!(bind.private_text().unwrap_err(), BindError::InToken);
            // What the store has of it says where it is, and is of no use without the token.
            let moved = NewKey { wrapped: ring.rewrap(&stored(&key, &zone), ring.master()).unwrap(), ..key.clone() };
            signs(&ring, &moved).unwrap();
            ring.delete_from_token(&stored(&key, &zone)).unwrap();
            let gone = signs(&ring, &key).unwrap_err();
            assert!(matches!(gone, KeyError::Token(TokenError::NoKey { .. })), "{gone}");
        }
        let small = KeySpec { rsa_bits: 1024, ..KeySpec::new(Algorithm::RsaSha256, PublicKey::ZONE) };
        assert!(matches!(ring.generate_in_token(&zone, &small), Err(KeyError::RsaSize(1024))));
    });
}

#[test]
fn many_threads_share_few_sessions() {
    in_process("many_threads_share_few_sessions", |hsm| {
        let (ring, zone) = (hsm.ring(), name("example.com."));
        let spec = KeySpec::new(Algorithm::EcdsaP256Sha256, PublicKey::ZONE);
        let (inside, here) = (ring.generate_in_token(&zone, &spec).unwrap(), ring.generate(&zone, &spec).unwrap());
        let signers = ring.signers(&[stored(&inside, &zone), stored(&here, &zone)]).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (signers, inside, here) = (&signers, &inside, &here);
                scope.spawn(move || {
                    let inputs: Vec<ToSign> = (0..40)
                        .map(|n| ToSign { signer: n % 2, octets: format!("{thread} {n}").into_bytes() })
                        .collect();
                    let signatures = signers.sign(&inputs).unwrap();
                    for (input, signature) in inputs.iter().zip(&signatures) {
                        assert!([inside, here][input.signer].public.verify(&input.octets, signature));
                    }
                });
            }
        });
    });
}

#[test]
fn a_token_that_was_gone_is_logged_in_to_again() {
    in_process("a_token_that_was_gone_is_logged_in_to_again", |hsm| {
        let (ring, zone) = (hsm.ring(), name("example.com."));
        let spec = KeySpec::new(Algorithm::EcdsaP256Sha256, PublicKey::ZONE);
        let (inside, here) = (ring.generate_in_token(&zone, &spec).unwrap(), ring.generate(&zone, &spec).unwrap());
        let signers = ring.signers(&[stored(&inside, &zone)]).unwrap();
        for _ in 0..3 {
            hsm.pull_out();
            signs(&ring, &inside).unwrap();
            hsm.pull_out();
            std::fs::rename(hsm.tokens(true), hsm.tokens(false)).unwrap();
            std::fs::create_dir(hsm.tokens(true)).unwrap();
            for _ in 0..3 {
                let error = signers.sign_all(&[(0, b"text")]).unwrap_err();
                assert!(matches!(error, KeyError::Token(TokenError::Absent(_))), "{error:?}");
                assert!(error.to_string().contains("there is no token `rokko`"), "{error}");
            }
            // Keys that are not in it go on.
            signs(&ring, &here).unwrap();
            assert!(ring.generate_in_token(&zone, &spec).is_err());
            hsm.pull_out();
            std::fs::remove_dir(hsm.tokens(true)).unwrap();
            std::fs::rename(hsm.tokens(false), hsm.tokens(true)).unwrap();
            let signatures = signers.sign_all(&[(0, b"text")]).unwrap();
            assert!(inside.public.verify(b"text", &signatures[0]));
        }
    });
}

#[test]
fn what_is_wrong_with_a_token_is_told() {
    in_process("what_is_wrong_with_a_token_is_told", |hsm| {
        let open = |options: TokenOptions| Token::open(options).unwrap_err();
        let library = Path::new("/no/library.so").to_owned();
        assert!(matches!(open(TokenOptions { library, ..hsm.options() }), TokenError::Library { .. }));
        let absent = open(TokenOptions { token: "nowhere".to_owned(), ..hsm.options() });
        assert!(matches!(absent, TokenError::Absent(_)), "{absent}");
        let options = TokenOptions { pin: Zeroizing::new("7654321".to_owned()), ..hsm.options() };
        assert!(!format!("{options:?}").contains("7654321"));
        assert!(matches!(open(options), TokenError::Login { .. }));
        // Found by its serial number, too; and a key of one token is not looked for in another.
        let token = Token::open(hsm.options()).unwrap();
        let serial = token.serial().unwrap();
        let master = MasterKey::generate().unwrap();
        let text = master.text();
        let again = |token: &str| {
            let token = Token::open(TokenOptions { token: token.to_owned(), ..hsm.options() }).unwrap();
            let master = MasterKey::parse(&text).unwrap();
            KeyRing::new(master, KeyRingOptions::default()).with_token(Arc::new(token))
        };
        let (zone, spec) = (name("example.com."), KeySpec::new(Algorithm::EcdsaP384Sha384, PublicKey::ZONE));
        let key = again(&serial).generate_in_token(&zone, &spec).unwrap();
        signs(&again("rokko"), &key).unwrap();
        let other = signs(&again("other"), &key).unwrap_err();
        assert!(
            matches!(&other, KeyError::Token(TokenError::OtherToken { needed, .. }) if *needed == serial),
            "{other}"
        );
        let without = KeyRing::new(MasterKey::parse(&text).unwrap(), KeyRingOptions::default());
        let none = signs(&without, &key).unwrap_err();
        assert!(matches!(none, KeyError::Token(TokenError::NotConfigured(_))), "{none}");
        assert!(matches!(without.generate_in_token(&zone, &spec), Err(KeyError::NoToken)));
    });
}
