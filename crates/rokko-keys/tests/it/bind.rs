//! Keys in BIND's format, judged by BIND and Knot.

use std::path::{Path, PathBuf};
use std::process::Command;

use rokko_dnssec::{Algorithm, PublicKey};
use rokko_keys::{BindError, BindKey, BindTimes, KeySpec};
use tempfile::TempDir;

use crate::keyring::{name, ring, stored};

fn run(program: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

fn read(folder: &Path, stem: &str) -> (String, String) {
    let read = |end: &str| std::fs::read_to_string(folder.join(format!("{stem}.{end}"))).unwrap();
    (read("key"), read("private"))
}

/// The lines of a file that say something.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with(';')).collect()
}

#[test]
fn keys_of_dnssec_keygen_come_in_and_out_unchanged() {
    let folder = TempDir::new().unwrap();
    let (ring, zone) = (ring(), name("example.com."));
    for algorithm in Algorithm::ALL {
        for bits in if algorithm.signature_len().is_some() { vec![""] } else { vec!["2048", "3072"] } {
            let mnemonic = algorithm.mnemonic();
            let mut arguments = vec!["-q", "-a", mnemonic, "-I", "+30d", "-D", "+60d"];
            arguments.extend(if bits.is_empty() { vec![] } else { vec!["-b", bits] });
            arguments.extend(["-f", "KSK", "Example.COM"]);
            let stem = run("dnssec-keygen", folder.path(), &arguments).trim().to_owned();
            let (key, private) = read(folder.path(), &stem);
            let read = BindKey::parse(&key, &private).unwrap();
            assert_eq!((&read.zone, read.public.algorithm, read.public.flags), (&zone, algorithm, 257));
            assert_eq!(read.file_stem().to_lowercase(), stem.to_lowercase());
            let times = read.times;
            assert_eq!(times.inactive.unwrap() - times.activate.unwrap(), 30 * 86_400);
            assert_eq!(times.delete.unwrap() - times.activate.unwrap(), 60 * 86_400);
            assert_eq!(lines(&read.private_text().unwrap()), lines(&private));
            // It signs, and leaves as it came.
            let taken = ring.add(&read.zone, read.public.clone(), &read.private).unwrap();
            let signers = ring.signers(&[stored(&taken, &zone)]).unwrap();
            assert!(read.public.verify(b"text", &signers.sign_all(&[(0, b"text")]).unwrap()[0]));
            let private_again = ring.reveal(&stored(&taken, &zone)).unwrap();
            let out = BindKey { zone: zone.clone(), public: taken.public, private: private_again, times };
            assert_eq!(lines(&out.private_text().unwrap()), lines(&private));
            assert_eq!(BindKey::parse(&out.key_text(), &private).unwrap().public, read.public);
        }
    }
}

#[test]
fn an_rsa_key_of_another_size_is_refused() {
    let folder = TempDir::new().unwrap();
    for bits in ["1024", "2056"] {
        let stem = run("dnssec-keygen", folder.path(), &["-q", "-a", "rsasha256", "-b", bits, "example.com"]);
        let (key, private) = read(folder.path(), stem.trim());
        let key = BindKey::parse(&key, &private).unwrap();
        let error = ring().add(&key.zone, key.public, &key.private).unwrap_err();
        assert!(error.to_string().contains(bits), "{error}");
    }
}

const ZONE: &str = "@ 3600 SOA ns hostmaster 1 7200 3600 1209600 3600\n@ 3600 NS ns\nns 3600 A 192.0.2.1\n";

/// Writes a key's files and gives their name.
fn export(folder: &Path, algorithm: Algorithm, flags: u16) -> String {
    let (ring, zone) = (ring(), name("example.com."));
    let key = ring.generate(&zone, &KeySpec::new(algorithm, flags)).unwrap();
    let private = ring.reveal(&stored(&key, &zone)).unwrap();
    let times = BindTimes {
        created: Some(1_700_000_000),
        publish: Some(1_700_000_000),
        activate: Some(1_700_000_000),
        ..BindTimes::default()
    };
    let key = BindKey { zone, public: key.public, private, times };
    let stem = key.file_stem();
    std::fs::write(folder.join(format!("{stem}.key")), key.key_text()).unwrap();
    std::fs::write(folder.join(format!("{stem}.private")), key.private_text().unwrap().as_bytes()).unwrap();
    stem
}

#[test]
fn bind_signs_with_keys_from_here() {
    for algorithm in Algorithm::ALL {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("zone"), ZONE).unwrap();
        for flags in [PublicKey::ZONE | PublicKey::SEP, PublicKey::ZONE] {
            export(folder.path(), algorithm, flags);
        }
        run("dnssec-signzone", folder.path(), &["-S", "-o", "example.com", "-f", "signed", "zone"]);
        let verified = run("dnssec-verify", folder.path(), &["-o", "example.com", "signed"]);
        assert!(verified.to_uppercase().contains(&algorithm.mnemonic().to_uppercase()), "{verified}");
    }
}

#[test]
fn knot_takes_keys_from_here() {
    for algorithm in Algorithm::ALL {
        let folder = TempDir::new().unwrap();
        let stem = export(folder.path(), algorithm, PublicKey::ZONE | PublicKey::SEP);
        let store: PathBuf = folder.path().join("kasp");
        std::fs::create_dir(&store).unwrap();
        let store = store.display().to_string();
        let file = format!("{stem}.key");
        run("keymgr", folder.path(), &["-D", &store, "example.com.", "import-bind", &file]);
        let listed = run("keymgr", folder.path(), &["-D", &store, "example.com.", "list"]);
        // File names have five digits, and Knot shows no zeros in front.
        let tag = stem.rsplit('+').next().unwrap().trim_start_matches('0');
        assert!(listed.contains(tag), "{listed}");
        let record = run("keymgr", folder.path(), &["-D", &store, "example.com.", "dnskey", tag]);
        let key_file = std::fs::read_to_string(folder.path().join(file)).unwrap();
        let key = lines(&key_file)[0].rsplit(' ').next().unwrap().to_owned();
        assert!(record.replace(' ', "").contains(&key), "{record}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let folder = TempDir::new().unwrap();
    let (key, private) = read(folder.path(), &export(folder.path(), Algorithm::Ed25519, 256));
    let (other, other_private) = read(folder.path(), &export(folder.path(), Algorithm::EcdsaP256Sha256, 256));
    let error = |key: &str, private: &str| BindKey::parse(key, private).unwrap_err();
    assert_eq!(error(&other, &private), BindError::Algorithm { key: 13, private: 15 });
    assert_eq!(error("", &private), BindError::Key("there is no record"));
    assert_eq!(
        error(&key.replace("DNSKEY", "CDNSKEY"), &private),
        BindError::Key("its record is not of the type DNSKEY")
    );
    assert_eq!(error(&key.replace(" 256 ", " 0 "), &private), BindError::Key("its key is not that of a zone"));
    assert_eq!(error(&key, ""), BindError::Missing("Private-key-format"));
    assert_eq!(error(&key, "Private-key-format: v1.3\n"), BindError::Missing("Algorithm"));
    assert_eq!(error(&key, "Private-key-format: v1.3\nAlgorithm: 15\n"), BindError::Missing("PrivateKey"));
    assert!(matches!(error(&key, "Algorithm: 15\n"), BindError::Line { line: 1, .. }));
    assert!(matches!(error(&key, &private.replace("Created: 2", "Created: x")), BindError::Line { line: 4, .. }));
    assert_eq!(error(&key, &format!("{private}Label: pkcs11:object=k\n")), BindError::Token);
    // Longer than its key: the private number of another one shows only when the parts are put together.
    let swapped = BindKey::parse(&other, &other_private.replace("PrivateKey: ", "PrivateKey: AAAA")).unwrap_err();
    assert!(matches!(swapped, BindError::Missing(_)));
    let (again, _) = read(folder.path(), &export(folder.path(), Algorithm::Ed25519, 256));
    let mixed = BindKey::parse(&again, &private).unwrap();
    assert!(ring().add(&mixed.zone, mixed.public, &mixed.private).is_err());
}
