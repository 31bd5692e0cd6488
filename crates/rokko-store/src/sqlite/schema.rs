//! The tables, and how a connection is set up. `docs/formats/store-sqlite.md` says what they mean.

use rusqlite::{Connection, OpenFlags};

use super::error::{damaged, failed};
use crate::StoreError;

use std::path::Path;

/// The format version that this program writes (`PRAGMA user_version`).
pub(super) const VERSION: u32 = 3;

/// Marks the file as a store of this program (`PRAGMA application_id`): "RKKO".
const APPLICATION_ID: i64 = 0x524b_4b4f;

/// How long SQLite waits for its short internal locks, in milliseconds.
pub(super) const LOCK_WAIT_MS: u64 = 10_000;

const TABLES: &str = "
CREATE TABLE zones (
  zone_id    INTEGER PRIMARY KEY,
  sort_key   BLOB NOT NULL UNIQUE,
  name       TEXT NOT NULL,
  revision   INTEGER NOT NULL,
  serial     INTEGER NOT NULL,
  records    INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  account    TEXT NOT NULL,
  meta       TEXT NOT NULL
) STRICT;
CREATE INDEX zones_by_account ON zones (account, sort_key) WHERE account <> '';
CREATE TABLE pages (
  zone_id   INTEGER NOT NULL,
  tree      INTEGER NOT NULL,
  first_key BLOB NOT NULL,
  bytes     BLOB NOT NULL,
  PRIMARY KEY (zone_id, tree, first_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE log (
  revision       INTEGER PRIMARY KEY,
  zone_key       BLOB NOT NULL,
  before         INTEGER,
  at             INTEGER NOT NULL,
  actor          TEXT NOT NULL,
  address        TEXT NOT NULL,
  reason         TEXT NOT NULL,
  kind           TEXT NOT NULL,
  serial         INTEGER,
  rrsets_changed INTEGER NOT NULL,
  meta           TEXT,
  digest         BLOB,
  delta_crc      INTEGER NOT NULL,
  delta          BLOB NOT NULL
) STRICT;
CREATE INDEX log_by_zone ON log (zone_key);
CREATE TABLE keys (
  key_id TEXT PRIMARY KEY,
  key    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE settings (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE totals (
  one   INTEGER PRIMARY KEY CHECK (one = 1),
  zones INTEGER NOT NULL
) STRICT;
INSERT INTO totals VALUES (1, 0);
";

/// What format 3 has beside format 2.
const KEY_TABLES: &str = "
CREATE TABLE signing_keys (
  number   INTEGER PRIMARY KEY,
  key_id   BLOB NOT NULL UNIQUE,
  zone_key BLOB NOT NULL,
  made_at  INTEGER NOT NULL,
  public   BLOB NOT NULL,
  wrapped  BLOB NOT NULL
) STRICT;
CREATE INDEX signing_keys_by_zone ON signing_keys (zone_key, key_id);
CREATE TABLE key_audit (
  number    INTEGER PRIMARY KEY AUTOINCREMENT,
  at        INTEGER NOT NULL,
  actor     TEXT NOT NULL,
  action    TEXT NOT NULL,
  zone_key  BLOB,
  key_id    BLOB,
  recipient TEXT NOT NULL
) STRICT;
CREATE TRIGGER key_audit_is_not_changed BEFORE UPDATE ON key_audit
BEGIN SELECT raise(ABORT, 'movements of keys are only ever added'); END;
CREATE TRIGGER key_audit_is_not_deleted BEFORE DELETE ON key_audit
BEGIN SELECT raise(ABORT, 'movements of keys are only ever added'); END;
";

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Appends.
    Writer,
    /// Only reads.
    Reader,
    /// Moves the write-ahead log into the database file.
    Checkpointer,
}

/// Opens the database and makes it durable; creates the tables in a new file.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path).map_err(failed("opening the store"))?;
    check_version(&connection, path)?;
    set_up(&connection, Role::Writer).map_err(failed("setting up the store"))?;
    create_tables(&mut connection).map_err(failed("creating the tables of the store"))?;
    upgrade(&mut connection).map_err(failed("bringing the store to the present format"))?;
    Ok(connection)
}

/// One more connection to a database that [`open_writer`] has opened.
pub(super) fn open_another(path: &Path, role: Role) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed("opening the store"))?;
    set_up(&connection, role).map_err(failed("setting up the store"))?;
    Ok(connection)
}

/// A connection that reads and writes beside a process that has the store open, or alone.
pub(super) fn open_present(path: &Path) -> Result<Connection, StoreError> {
    let connection = open_another(path, Role::Checkpointer)?;
    check_version(&connection, path)?;
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed("reading the format of the store"))?;
    if found < VERSION {
        return Err(StoreError::OldVersion { found, present: VERSION });
    }
    Ok(connection)
}

/// Refuses a newer format and files that are something else, before anything is written.
fn check_version(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = pragma("application_id").map_err(failed("reading the format of the store"))?;
    let found = pragma("user_version").map_err(failed("reading the format of the store"))?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed("reading the format of the store"))?;
    if tables == 0 {
        return Ok(());
    }
    if application != APPLICATION_ID {
        return Err(damaged(path.display().to_string(), "this is a database of another program"));
    }
    let found = u32::try_from(found).map_err(|_| damaged(path.display().to_string(), "negative format version"))?;
    if found > VERSION {
        return Err(StoreError::Version { found, known: VERSION });
    }
    Ok(())
}

fn set_up(connection: &Connection, role: Role) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_millis(LOCK_WAIT_MS))?;
    connection.set_prepared_statement_cache_capacity(32);
    // Checkpoints run on a thread of their own, so no append pays for one.
    let common = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;
                  PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;
                  PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864;";
    match role {
        Role::Writer => {
            connection.execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL;")?;
            connection.execute_batch(common)?;
            connection.execute_batch("PRAGMA cache_size = -65536;")
        }
        Role::Reader => {
            connection.execute_batch(common)?;
            connection.execute_batch("PRAGMA cache_size = -8192; PRAGMA query_only = ON;")
        }
        Role::Checkpointer => {
            connection.execute_batch(common)?;
            connection.execute_batch("PRAGMA cache_size = -256;")
        }
    }
}

fn create_tables(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.execute_batch(KEY_TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

/// Version 1 had no digests; version 2 had no signing keys.
fn upgrade(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == 1 {
        transaction.execute_batch("ALTER TABLE log ADD COLUMN digest BLOB")?;
    }
    if (1..VERSION).contains(&found) {
        transaction.execute_batch(KEY_TABLES)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}
