//! Signing keys on the data folder of a node.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Node, Ran, rokko};

/// A data folder with a store and a master key, without a node.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Node::start(folder.path()).stop();
        let site = Self(folder);
        if !site.path("master.key").exists() {
            site.run(&["init"]).ok();
        }
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = rokko();
        command
            .arg("keys")
            .args(arguments)
            .arg("--data-dir")
            .arg(self.0.path())
            .env("USER", "somebody")
            .env_remove("SUDO_USER");
        Ran::of(command.output().unwrap())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--output", "json"]].concat()).json()
    }

    /// What happened, as `action recipient`.
    fn movements(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all = self.json(&["audit"]);
        all.as_array().unwrap().iter().map(|entry| (text(&entry["action"]), text(&entry["recipient"]))).collect()
    }

    /// Zones and tags of all keys.
    fn keys(&self) -> Vec<(String, u64)> {
        let all = self.json(&["list"]);
        let key = |key: &Value| (key["zone"].as_str().unwrap().to_owned(), key["tag"].as_u64().unwrap());
        let mut keys: Vec<_> = all.as_array().unwrap().iter().map(key).collect();
        keys.sort();
        keys
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Makes a key with BIND's program; gives its name without an end.
fn keygen(folder: &Path, zone: &str, algorithm: &str) -> PathBuf {
    let made =
        Command::new("dnssec-keygen").args(["-q", "-a", algorithm, "-K"]).arg(folder).arg(zone).output().unwrap();
    assert!(made.status.success());
    folder.join(String::from_utf8(made.stdout).unwrap().trim())
}

fn with_end(stem: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}.{end}", stem.display()))
}

#[test]
fn keys_come_and_go_in_bind_s_format() {
    let (site, files) = (Site::new(), TempDir::new().unwrap());
    let stems = ["ecdsap256sha256", "ed25519"].map(|algorithm| keygen(files.path(), "example.com", algorithm));
    let private: Vec<String> =
        stems.iter().map(|stem| std::fs::read_to_string(with_end(stem, "private")).unwrap()).collect();
    // Either name will do, and a pair that is named twice comes in once.
    let (key, private_file) = (with_end(&stems[0], "key"), with_end(&stems[1], "private"));
    site.run(&["import", text(&key), text(&private_file), text(&stems[0])]).ok();
    assert_eq!(site.keys().len(), 2);
    assert!(site.run(&["import", text(&key)]).fails(1).contains("there already"));
    let listed = site.run(&["list", "--zone", "example.com"]).ok();
    assert!(listed.contains("ed25519") && listed.contains("ecdsap256sha256"), "{listed}");
    assert_eq!(site.run(&["list", "--zone", "example.net"]).ok(), "No signing keys.\n");
    let out = TempDir::new().unwrap();
    site.run(&["export", "--zone", "example.com", "--to", text(out.path())]).ok();
    let number = |text: &str| text.lines().find(|line| line.starts_with("PrivateKey")).unwrap().to_owned();
    for (stem, private) in stems.iter().zip(&private) {
        let exported = with_end(&out.path().join(stem.file_name().unwrap()), "private");
        assert_eq!(number(&std::fs::read_to_string(exported).unwrap()), number(private));
    }
    // Nothing is replaced.
    site.run(&["export", "--zone", "example.com", "--to", text(out.path())]).fails(1);
    site.run(&["export", "00112233445566778899aabbccddeeff", "--to", text(out.path())]).fails(5);
    site.run(&["export", "key", "--to", text(out.path())]).fails(2);
    let movements = site.movements();
    assert_eq!(movements.iter().filter(|(action, _)| action == "import").count(), 2);
    assert!(movements.iter().filter(|(action, _)| action == "export").count() >= 2, "{movements:?}");
    assert!(site.run(&["audit"]).ok().contains("local (somebody)"));
    nothing_private(&site, &private);
}

/// Looks for the private numbers in every file of the data folder, as octets, as base64 and as hexadecimal digits.
fn nothing_private(site: &Site, private: &[String]) {
    let mut files = vec![site.0.path().to_owned()];
    let mut contents = Vec::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else {
            contents.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    assert!(contents.iter().any(|(path, _)| path.ends_with("rokko.db")));
    let has = |octets: &[u8], needle: &[u8]| octets.windows(needle.len()).any(|window| window == needle);
    for text in private {
        let base64 = text.lines().find_map(|line| line.strip_prefix("PrivateKey: ")).unwrap();
        let octets = data_encoding::BASE64.decode(base64.as_bytes()).unwrap();
        let digits = data_encoding::HEXLOWER.encode(&octets);
        for (path, content) in &contents {
            for needle in [&octets[..], base64.trim_end_matches('=').as_bytes(), digits.as_bytes()] {
                assert!(!has(content, needle), "a private number stands in {}", path.display());
            }
        }
    }
}

#[test]
fn keys_travel_sealed_to_another_site_while_nodes_run() {
    let (site, other, files) = (Site::new(), Site::new(), TempDir::new().unwrap());
    for zone in ["example.com", "example.net"] {
        let stem = keygen(files.path(), zone, "ecdsap384sha384");
        site.run(&["import", text(&stem)]).ok();
    }
    let identity = files.path().join("identity");
    let made = Command::new("age-keygen").arg("-o").arg(&identity).output().unwrap();
    assert!(made.status.success());
    let made = std::fs::read_to_string(&identity).unwrap();
    let recipient = made.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
    let node = Node::start(site.0.path());
    let sealed = files.path().join("sealed");
    site.run(&["seal", "--to", &recipient, text(&sealed)]).ok();
    site.run(&["seal", "--to", &recipient, text(&sealed)]).fails(1);
    site.run(&["seal", "--to", "nobody", text(&files.path().join("x"))]).fails(2);
    site.run(&["seal", "--to", &recipient, "--zone", "example.org", text(&files.path().join("x"))]).fails(5);
    assert!(!files.path().join("x").exists());
    node.stop();
    let opened = other.run(&["open", text(&sealed), "--identity", text(&identity)]).ok();
    assert!(opened.starts_with("Took 2 keys"), "{opened}");
    assert_eq!(other.keys(), site.keys());
    let again = other.run(&["open", text(&sealed), "--identity", text(&identity)]).ok();
    assert!(again.contains("Took 0 keys") && again.contains("2 others were there"), "{again}");
    let ids = |site: &Site| {
        site.json(&["list"]).as_array().unwrap().iter().map(|key| key["id"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&site), ids(&other), "keys keep their ids");
    let wrong = files.path().join("wrong");
    assert!(Command::new("age-keygen").arg("-o").arg(&wrong).output().unwrap().status.success());
    other.run(&["open", text(&sealed), "--identity", text(&wrong)]).fails(1);
    let seals: Vec<_> = site.movements().into_iter().filter(|(action, _)| action == "seal").collect();
    assert_eq!(seals, vec![("seal".to_owned(), recipient); 2]);
    assert_eq!(other.movements().iter().filter(|(action, _)| action == "open").count(), 2);
}

#[test]
fn the_master_key_comes_back_from_shares() {
    let (site, files) = (Site::new(), TempDir::new().unwrap());
    site.run(&["import", text(&keygen(files.path(), "example.com", "ed25519"))]).ok();
    let shares = site.json(&["split", "--shares", "5", "--threshold", "3"]);
    let shares: Vec<&str> = shares["shares"].as_array().unwrap().iter().map(|share| share.as_str().unwrap()).collect();
    site.run(&["split", "--shares", "2", "--threshold", "3"]).fails(2);
    let (kept, lost) = (std::fs::read(site.path("master.key")).unwrap(), site.path("master.key"));
    std::fs::remove_file(&lost).unwrap();
    assert!(
        site.run(&["export", "--zone", "example.com", "--to", text(files.path())]).fails(1).contains("no master key")
    );
    // A new one would not open what is there.
    assert!(site.run(&["init"]).fails(1).contains("need the master key"));
    let file = files.path().join("shares");
    std::fs::write(&file, shares[..2].join("\n")).unwrap();
    assert!(site.run(&["combine", text(&file)]).fails(1).contains("3 different shares"));
    std::fs::write(&file, [shares[4], shares[0], shares[2]].join("\n")).unwrap();
    site.run(&["combine", text(&file)]).ok();
    assert_eq!(std::fs::read(&lost).unwrap(), kept);
    // It is never replaced.
    site.run(&["combine", text(&file)]).fails(1);
    let out = TempDir::new().unwrap();
    site.run(&["export", "--zone", "example.com", "--to", text(out.path())]).ok();
    let movements = site.movements();
    assert!(
        movements.iter().any(|(action, what)| action == "split" && what.starts_with("3 of 5 shares")),
        "{movements:?}"
    );
    assert!(movements.iter().any(|(action, _)| action == "combine"));
    // As files, each for its owner alone.
    let folder = TempDir::new().unwrap();
    site.run(&["split", "--shares", "3", "--threshold", "2", "--to", text(folder.path())]).ok();
    let mut made: Vec<PathBuf> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    made.sort();
    assert_eq!(made.len(), 3);
    std::fs::remove_file(&lost).unwrap();
    site.run(&["combine", text(&made[0]), text(&made[2])]).ok();
    assert_eq!(std::fs::read(&lost).unwrap(), kept);
}

#[test]
fn all_keys_can_be_wrapped_under_another_master_key() {
    let (site, files) = (Site::new(), TempDir::new().unwrap());
    for zone in ["example.com", "example.net", "example.org"] {
        site.run(&["import", text(&keygen(files.path(), zone, "ed25519"))]).ok();
    }
    let export = |site: &Site| {
        let out = TempDir::new().unwrap();
        site.run(&["export", "--zone", "example.net", "--to", text(out.path())]).ok();
        let mut files: Vec<_> = out.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect::<Vec<_>>()
    };
    let before = export(&site);
    let node = Node::start(site.0.path());
    assert!(site.run(&["rewrap"]).fails(1).contains("in use"));
    node.stop();
    let first = site.json(&["list"])[0]["master_key"].clone();
    let report = site.json(&["rewrap"]);
    assert_eq!((&report["from"], report["keys"].as_u64()), (&first, Some(3)));
    assert_eq!(export(&site), before);
    let former = report["former_file"].as_str().unwrap();
    let wrong = site
        .run(&["export", "--zone", "example.net", "--to", text(files.path()), "--master-key-file", former])
        .fails(1);
    assert!(wrong.contains(first.as_str().unwrap()) && wrong.contains(report["to"].as_str().unwrap()), "{wrong}");
    // Into a file elsewhere, and from an environment variable.
    let elsewhere = files.path().join("other.key");
    site.run(&["rewrap", "--to", text(&elsewhere)]).ok();
    let key = std::fs::read_to_string(&elsewhere).unwrap();
    let out = TempDir::new().unwrap();
    let mut command = rokko();
    command
        .args(["keys", "export", "--zone", "example.net", "--to", text(out.path()), "--data-dir"])
        .arg(site.0.path());
    command.args(["--master-key-variable", "THE_KEY"]).env("THE_KEY", key);
    Ran::of(command.output().unwrap()).ok();
    // What was cut off between is made again: nothing is left to do.
    let again = site.json(&["rewrap", "--to", text(&elsewhere)]);
    assert_eq!(again["keys"], 0);
    // A node that is given the wrong one says so, and one with the right one starts.
    let refused = rokko().args(["up", "--data-dir"]).arg(site.0.path()).output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && told.contains("need"), "{told}");
    let config = files.path().join("rokko.toml");
    std::fs::write(&config, format!("dnssec.master_key_file = '{}'\n", elsewhere.display())).unwrap();
    Node::start_with(site.0.path(), &["--config", text(&config)], Some("a-key-that-only-tests-know")).stop();
    let out = TempDir::new().unwrap();
    site.run(&["export", "--zone", "example.org", "--to", text(out.path()), "--config", text(&config)]).ok();
}

#[test]
fn a_folder_without_a_store_is_told() {
    let folder = TempDir::new().unwrap();
    let site = Site(folder);
    assert!(site.run(&["list"]).fails(5).contains("no store"));
    site.run(&["init"]).ok();
    assert!(site.run(&["init"]).fails(1).contains("master.key"));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(site.path("master.key")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}
