//! What SQLite keeps of signing keys, and what it does not keep of those that are gone.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rokko_model::UnixMillis;
use rokko_store::contract::model::{Model, Random, name};
use rokko_store::{KeyAction, KeyAudit, KeyChange, KeyStore, SigningKey, SigningKeyId, SqliteKeys, SqliteStore, Store};
use rokko_zone::Revision;
use tempfile::TempDir;

const KILLED: &str = "ROKKO_STORE_TEST_KEY_KILLED";

/// A key whose wrapped octets are found nowhere else.
fn key(random: &mut Random, zone: &str) -> SigningKey {
    let mut octets = |count: u64| (0..count).map(|_| u8::try_from(random.below(256)).unwrap()).collect::<Vec<u8>>();
    let id = SigningKeyId(octets(16).try_into().unwrap());
    let (public, wrapped) = (octets(68), octets(90));
    let wrapped = if id.0[0] < 50 { wrapped.repeat(30) } else { wrapped };
    SigningKey { id, zone: name(zone), made_at: UnixMillis(1), public, wrapped }
}

fn put(keys: &[SigningKey]) -> KeyChange {
    KeyChange { put: keys.to_vec(), ..KeyChange::default() }
}

/// How many of these keys have left a trace in a folder.
fn traces(folder: &Path, keys: &[SigningKey]) -> usize {
    let files: Vec<Vec<u8>> =
        folder.read_dir().unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    let found = |key: &&SigningKey| {
        let needle = &key.wrapped[key.wrapped.len() / 2..][..16];
        let first = memchr_all(&files, needle[0]);
        first.into_iter().any(|rest| rest.starts_with(needle))
    };
    keys.iter().filter(found).count()
}

/// Every place where an octet stands.
fn memchr_all(files: &[Vec<u8>], octet: u8) -> Vec<&[u8]> {
    let of_file = |file: &'_ Vec<u8>| (0..file.len()).filter(|&at| file[at] == octet).collect::<Vec<_>>();
    files.iter().flat_map(|file| of_file(file).into_iter().map(move |at| &file[at..])).collect()
}

#[test]
fn a_deleted_key_leaves_no_octet() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
    let mut random = Random(3);
    let keys: Vec<SigningKey> = (0..300).map(|n| key(&mut random, &format!("z{n}."))).collect();
    for part in keys.chunks(7) {
        store.change_signing_keys(&put(part)).unwrap();
    }
    assert_eq!(traces(folder.path(), &keys), keys.len(), "the search finds what is there");
    let (mut gone, mut kept) = (Vec::new(), Vec::new());
    for key in keys {
        if random.below(4) == 0 { kept.push(key) } else { gone.push(key) }
    }
    for part in gone.chunks(11) {
        let delete = part.iter().map(|key| key.id).collect();
        store.change_signing_keys(&KeyChange { delete, ..KeyChange::default() }).unwrap();
    }
    // One that takes the place of another wipes it, too.
    let before = kept.clone();
    for key in &mut kept {
        key.wrapped.iter_mut().for_each(|octet| *octet ^= 0x5a);
    }
    store.change_signing_keys(&put(&kept)).unwrap();
    drop(store);
    assert_eq!(traces(folder.path(), &gone), 0);
    assert_eq!(traces(folder.path(), &before), 0);
    assert_eq!(traces(folder.path(), &kept), kept.len());
}

#[test]
fn the_write_ahead_log_of_a_running_store_forgets_too() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
    let gone = [key(&mut Random(4), "a."), key(&mut Random(5), "b.")];
    store.change_signing_keys(&put(&gone)).unwrap();
    let delete = gone.iter().map(|key| key.id).collect();
    store.change_signing_keys(&KeyChange { delete, ..KeyChange::default() }).unwrap();
    // A thread empties it, as soon as nothing is in its way.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while traces(folder.path(), &gone) > 0 {
        assert!(std::time::Instant::now() < end, "the octets are still there");
        std::thread::yield_now();
    }
}

#[test]
fn another_process_may_bring_keys_while_a_node_runs() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    assert!(SqliteKeys::open(&path).is_err(), "there is no store");
    assert!(!path.exists());
    let store = SqliteStore::open(&path).unwrap();
    let beside = SqliteKeys::open(&path).unwrap();
    let mut random = Random(6);
    let mut model = Model::default();
    let mut all = Vec::new();
    for round in 0..20 {
        let (one, two) = (key(&mut random, "a."), key(&mut random, "b."));
        beside.change_signing_keys(&put(std::slice::from_ref(&one))).unwrap();
        model.append(&store, &[super::open::create(&format!("z{round}."))]);
        store.change_signing_keys(&put(std::slice::from_ref(&two))).unwrap();
        let drop_one = KeyChange { delete: vec![one.id], ..KeyChange::default() };
        if round % 2 == 0 {
            beside.change_signing_keys(&drop_one).unwrap();
        } else {
            all.push(one);
        }
        all.push(two);
    }
    all.sort_by_key(|key| key.id);
    assert_eq!(store.signing_keys(None, 99).unwrap(), all);
    assert_eq!(beside.signing_keys(None, 99).unwrap(), all);
    drop(beside);
    model.check(&store);
    drop(store);
    assert_eq!(SqliteKeys::open(&path).unwrap().signing_keys(None, 99).unwrap(), all);
}

#[test]
fn the_record_of_movements_only_grows() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).unwrap();
    let entry = KeyAudit {
        at: UnixMillis(1),
        actor: "somebody".to_owned(),
        action: KeyAction::Export,
        zone: None,
        key: None,
        recipient: String::new(),
    };
    store.change_signing_keys(&KeyChange { audit: vec![entry.clone()], ..KeyChange::default() }).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    for sql in ["DELETE FROM key_audit", "UPDATE key_audit SET actor = 'nobody'"] {
        let error = other.execute_batch(sql).unwrap_err().to_string();
        assert!(error.contains("only ever added"), "{error}");
    }
    assert_eq!(store.key_audit(0, 9).unwrap(), [entry]);
}

#[test]
fn a_kill_between_the_key_and_its_commit_leaves_the_key_alone() {
    if let Some(path) = std::env::var_os(KILLED) {
        let store = SqliteStore::open(&PathBuf::from(path)).unwrap();
        store.change_signing_keys(&put(&[key(&mut Random(8), "a.")])).unwrap();
        println!("ack .");
        loop {
            std::thread::park();
        }
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "keys::a_kill_between_the_key_and_its_commit_leaves_the_key_alone", "--nocapture"])
        .env(KILLED, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ack ."));
    child.kill().unwrap();
    child.wait().unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.signing_keys_of(&name("a.")).unwrap(), [key(&mut Random(8), "a.")]);
    assert_eq!(store.head().unwrap(), Revision(0));
    Model::default().check(&store);
}
