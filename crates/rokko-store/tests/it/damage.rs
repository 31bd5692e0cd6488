//! Damaged bytes are found, and the zone that they belong to is named.

use std::path::{Path, PathBuf};

use rokko_store::contract::model::{Model, Random, Step, check_whole, name, txt};
use rokko_store::{SqliteStore, Store, StoreError};
use rokko_zone::Revision;
use rusqlite::Connection;
use tempfile::TempDir;

const VICTIM: &str = "victim.example.";

/// A closed store with three zones, of which the middle one has several pages.
fn store() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    let zone = name(VICTIM);
    let texts = (0..200).map(|n| txt(&zone.child(format!("n{n:03}").as_bytes()).unwrap(), &"text".repeat(20)));
    let victim = Step::Create(zone.clone(), rokko_model::ZoneMeta::default(), texts.collect());
    let store = SqliteStore::open(&path).unwrap();
    Model::default().append(&store, &[super::open::create("first."), victim, super::open::create("last.")]);
    check_whole(&store);
    drop(store);
    (folder, path)
}

fn sql(path: &Path, sql: &str) {
    let changed = Connection::open(path).unwrap().execute(sql, []).unwrap();
    assert!(changed > 0, "{sql} changed nothing");
}

/// Both ways to load have to name the victim, and the other zones stay readable.
fn assert_found(path: &Path, how: &str) {
    let store = SqliteStore::open(path).unwrap();
    let place = |error| match error {
        StoreError::Damaged { place, .. } => place,
        other => panic!("{how}: {other:?}"),
    };
    let Err(error) = store.load_all(&mut |_| {}) else { panic!("{how}: load_all found nothing") };
    assert_eq!(place(error), format!("zone {VICTIM}"), "{how}");
    let Err(error) = store.load_zone(&name(VICTIM)) else { panic!("{how}: load_zone found nothing") };
    assert_eq!(place(error), format!("zone {VICTIM}"), "{how}");
    for other in ["first.", "last."] {
        assert!(store.load_zone(&name(other)).unwrap().is_some(), "{how}: {other}");
    }
}

const OF_VICTIM: &str = "zone_id = (SELECT zone_id FROM zones WHERE name = 'victim.example.')";

#[test]
fn any_flipped_bit_of_a_page_is_found() {
    let (_folder, path) = store();
    let mut random = Random(1);
    for _ in 0..60 {
        let connection = Connection::open(&path).unwrap();
        let sql = format!("SELECT first_key, bytes FROM pages WHERE {OF_VICTIM} ORDER BY random() LIMIT 1");
        let (key, whole): (Vec<u8>, Vec<u8>) =
            connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let at = usize::try_from(random.below(whole.len() as u64)).unwrap();
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << random.below(8);
        let put = format!("UPDATE pages SET bytes = ?1 WHERE first_key = ?2 AND {OF_VICTIM}");
        assert_eq!(connection.execute(&put, (&flipped, &key)).unwrap(), 1);
        assert_found(&path, &format!("octet {at} of {} flipped", whole.len()));
        assert_eq!(connection.execute(&put, (&whole, &key)).unwrap(), 1);
    }
    check_whole(&SqliteStore::open(&path).unwrap());
}

#[test]
fn torn_missing_and_misplaced_pages_are_found() {
    let second =
        format!("{OF_VICTIM} AND first_key = (SELECT first_key FROM pages WHERE {OF_VICTIM} LIMIT 1 OFFSET 1)");
    for damage in [
        format!("UPDATE pages SET bytes = substr(bytes, 1, 512) WHERE {second}"),
        format!(
            "UPDATE pages SET bytes = CAST(substr(bytes, 1, 512) || zeroblob(length(bytes) - 512) AS BLOB) WHERE {second}"
        ),
        format!("UPDATE pages SET bytes = x'' WHERE {second}"),
        format!("DELETE FROM pages WHERE {second}"),
        format!("DELETE FROM pages WHERE {OF_VICTIM}"),
        format!("UPDATE pages SET first_key = x'6100' WHERE {second}"),
        format!("UPDATE pages SET tree = 2 WHERE {second}"),
        format!("UPDATE pages SET bytes = (SELECT bytes FROM pages WHERE {OF_VICTIM} LIMIT 1) WHERE {second}"),
        "UPDATE zones SET records = records + 1 WHERE name = 'victim.example.'".to_owned(),
    ] {
        let (_folder, path) = store();
        sql(&path, &damage);
        assert_found(&path, &damage);
    }
}

#[test]
fn pages_without_a_zone_are_found() {
    for zone_id in [-1, 2, 99] {
        let (_folder, path) = store();
        sql(&path, "DELETE FROM zones WHERE zone_id = 2");
        sql(&path, &format!("UPDATE pages SET zone_id = {zone_id} WHERE zone_id = 2"));
        let store = SqliteStore::open(&path).unwrap();
        let Err(StoreError::Damaged { place, .. }) = store.load_all(&mut |_| {}) else { panic!("not found") };
        assert_eq!(place, format!("zone number {zone_id}"));
    }
}

/// Octets change in the file itself, below SQLite.
#[test]
fn flipped_octets_of_the_file_are_found() {
    let (_folder, path) = store();
    let bytes = std::fs::read(&path).unwrap();
    let page: Vec<u8> = Connection::open(&path)
        .unwrap()
        .query_row(&format!("SELECT bytes FROM pages WHERE {OF_VICTIM} LIMIT 1"), [], |row| row.get(0))
        .unwrap();
    // The end of a page's octets lies on an overflow page, in one piece.
    let tail = &page[page.len() - 600..];
    let at = bytes.windows(tail.len()).position(|window| window == tail).unwrap();
    for offset in [0, 123, 599] {
        let mut flipped = bytes.clone();
        flipped[at + offset] ^= 0x20;
        std::fs::write(&path, &flipped).unwrap();
        assert_found(&path, &format!("octet {offset} from the page's end"));
    }
    std::fs::write(&path, &bytes).unwrap();
    check_whole(&SqliteStore::open(&path).unwrap());
}

#[test]
fn a_damaged_revision_is_found() {
    let damages = [
        "UPDATE log SET delta = CAST(substr(delta, 1, 40) || x'41' || substr(delta, 42) AS BLOB) WHERE revision = 2",
        "UPDATE log SET delta = substr(delta, 1, 100) WHERE revision = 2",
        "UPDATE log SET kind = 'unheard-of' WHERE revision = 2",
        "UPDATE log SET serial = -1 WHERE revision = 2",
        "UPDATE log SET meta = '{' WHERE revision = 2",
    ];
    for damage in damages {
        let (_folder, path) = store();
        sql(&path, damage);
        let store = SqliteStore::open(&path).unwrap();
        let Err(StoreError::Damaged { place, .. }) = store.entry(Revision(2)) else { panic!("{damage}: not found") };
        assert_eq!(place, "revision 2", "{damage}");
        assert!(store.entry(Revision(1)).unwrap().is_some());
    }
}

#[test]
fn a_change_of_pages_that_are_not_there_is_refused() {
    let (_folder, path) = store();
    let store = SqliteStore::open(&path).unwrap();
    let (record, zone) = store.load_zone(&name(VICTIM)).unwrap().unwrap();
    let mut model = Model::default();
    model.zones.insert(name(VICTIM), (record, zone));
    drop(store);
    sql(&path, &format!("DELETE FROM pages WHERE {OF_VICTIM}"));
    let store = SqliteStore::open(&path).unwrap();
    let commits = model.plan(&[super::open::create("new."), super::open::edit(VICTIM, "changed")]);
    let Err(StoreError::Damaged { place, .. }) = store.append(&commits) else { panic!("not found") };
    assert_eq!(place, format!("zone {VICTIM}"));
    assert_eq!((store.head().unwrap(), store.zone(&name("new.")).unwrap()), (Revision(3), None));
}
