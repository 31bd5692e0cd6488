//! Opening, locking, and readers beside the writer.

use std::sync::Barrier;

use rokko_model::UnixMillis;
use rokko_store::contract::model::{Model, Step, check_whole, name, txt};
use rokko_store::{
    KeyChange, KeyStore, SigningKey, SigningKeyId, SqliteKeys, SqliteStore, Store, StoreError, ZoneFilter,
};
use rokko_zone::{Edit, Revision};
use tempfile::TempDir;

pub(crate) fn create(zone: &str) -> Step {
    let zone = name(zone);
    Step::Create(zone.clone(), rokko_model::ZoneMeta::default(), vec![txt(&zone, "text")])
}

pub(crate) fn edit(zone: &str, text: &str) -> Step {
    let zone = name(zone);
    Step::Edit(zone.clone(), vec![Edit::Replace(txt(&zone, text))])
}

#[test]
fn a_second_opening_is_refused_until_the_first_ends() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Busy(_))));
    // Another name of the same file changes nothing.
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(SqliteStore::open(&link), Err(StoreError::Busy(_))));
    store.append(&Model::default().plan(&[create("a.")])).unwrap();
    drop(store);
    let store = SqliteStore::open(&link).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Busy(_))));
    assert_eq!(store.head().unwrap(), Revision(1));
}

#[test]
fn closing_leaves_one_file_that_moves() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    let mut model = Model::default();
    let store = SqliteStore::open(&path).unwrap();
    model.append(&store, &[create("a."), create("b.")]);
    drop(store);
    let moved = folder.path().join("moved.db");
    std::fs::rename(&path, &moved).unwrap();
    model.check(&SqliteStore::open(&moved).unwrap());
    let mut left: Vec<_> = folder.path().read_dir().unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["moved.db", "moved.db-lock", "store.db-lock"]);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    drop(SqliteStore::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 4).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Version { found: 4, known: 3 })));
    assert!(std::fs::read(&path).unwrap() == before);
}

/// Takes away what format 3 has beside format 2.
pub(crate) const WITHOUT_KEYS: &str = "DROP TABLE signing_keys; DROP TABLE key_audit; PRAGMA user_version = 2";

#[test]
fn version_1_gets_digests() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    let (mut model, store) = (Model::default(), SqliteStore::open(&path).unwrap());
    model.append(&store, &[create("a.")]);
    drop(store);
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(WITHOUT_KEYS).unwrap();
    old.execute_batch("ALTER TABLE log DROP COLUMN digest; PRAGMA user_version = 1").unwrap();
    drop(old);
    let store = SqliteStore::open(&path).unwrap();
    model.append(&store, &[create("b.")]);
    let digests: Vec<bool> =
        store.entries(Revision(0), 9).unwrap().iter().map(|entry| entry.digest.is_some()).collect();
    assert_eq!(digests, [false, true]);
    assert_eq!(store.signing_keys(None, 9).unwrap(), []);
}

#[test]
fn version_2_gets_signing_keys() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    let (mut model, store) = (Model::default(), SqliteStore::open(&path).unwrap());
    model.append(&store, &[create("a.")]);
    drop(store);
    rusqlite::Connection::open(&path).unwrap().execute_batch(WITHOUT_KEYS).unwrap();
    let refused = SqliteKeys::open(&path).err();
    assert!(matches!(refused, Some(StoreError::OldVersion { found: 2, present: 3 })), "{refused:?}");
    let store = SqliteStore::open(&path).unwrap();
    let key = SigningKey {
        id: SigningKeyId([1; 16]),
        zone: name("a."),
        made_at: UnixMillis(1),
        public: vec![1],
        wrapped: vec![2],
    };
    let change = KeyChange { put: vec![key.clone()], ..KeyChange::default() };
    store.change_signing_keys(&change).unwrap();
    model.append(&store, &[create("b.")]);
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.signing_keys_of(&name("a.")).unwrap(), [key]);
    model.check(&store);
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let foreign = folder.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "This is no database. ".repeat(1000)).unwrap();
    for path in [foreign, text] {
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(SqliteStore::open(&path), Err(StoreError::Damaged { .. })), "{}", path.display());
        assert!(std::fs::read(&path).unwrap() == before);
    }
    let nowhere = folder.path().join("no/such/folder/store.db");
    assert!(matches!(SqliteStore::open(&nowhere), Err(StoreError::Backend { .. })));
}

#[test]
fn reads_go_on_while_the_writer_is_busy() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).unwrap();
    let mut model = Model::default();
    model.append(&store, &[create("a."), create("b.")]);
    let writer = rusqlite::Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; UPDATE zones SET serial = 77; DELETE FROM pages").unwrap();
    model.check(&store);
    writer.execute_batch("ROLLBACK").unwrap();
    model.append(&store, &[edit("a.", "after")]);
    model.check(&store);
}

#[test]
fn more_readers_than_connections_all_get_their_turn() {
    const THREADS: usize = 40;
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
    let mut model = Model::default();
    model.append(&store, &(0..50).map(|n| create(&format!("z{n}."))).collect::<Vec<_>>());
    let together = Barrier::new(THREADS);
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                together.wait();
                let mut count = 0;
                store.load_all(&mut |_| count += 1).unwrap();
                assert_eq!(count, 50);
                assert_eq!(store.zones(None, 100, &ZoneFilter::default()).unwrap().len(), 50);
            });
        }
    });
}

#[test]
fn the_write_ahead_log_stays_small() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).unwrap();
    let mut model = Model::default();
    let zone = name("big.");
    model.append(&store, &[create("big.")]);
    let mut largest = 0;
    for round in 0..60 {
        // About two mebibytes of pages and as much again in the log.
        let text = format!("{round:03}{}", "x".repeat(250));
        let owner = |n: u32| zone.child(format!("n{n}").as_bytes()).unwrap();
        let edits = (0..7000).map(|n| Edit::Replace(txt(&owner(n), &text))).collect();
        model.append(&store, &[Step::Edit(zone.clone(), edits)]);
        largest = largest.max(std::fs::metadata(folder.path().join("store.db-wal")).unwrap().len());
    }
    assert!(largest < 128 << 20, "the write-ahead log grew to {largest} octets");
    assert!(std::fs::metadata(&path).unwrap().len() > 128 << 20, "too little was written for this test to say much");
    check_whole(&store);
}
