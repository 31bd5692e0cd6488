//! The embedded store: one SQLite file.
//!
//! The file is in WAL mode with a full synchronisation of each append. One connection appends, behind a mutex; a
//! pool of others reads, so that reads never wait for appends; a thread moves the write-ahead log into the file.
//! `docs/formats/store-sqlite.md` describes the tables.
//!
//! Limits: the encoded delta of one revision has less than 1,000,000,000 octets (SQLite's row limit; about 15
//! million records); a listing with `name_contains` looks at every name between its cursor and the last name that
//! it returns, at some millions of names a second.

mod append;
mod backup;
mod checkpoint;
mod error;
mod keys;
mod load;
mod lock;
mod pool;
mod read;
mod row;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rokko_model::ApiKey;
use rokko_wire::Name;
use rokko_zone::{Delta, Revision, Zone};
use rusqlite::Connection;

use crate::{
    Commit, KeyAudit, KeyChange, KeyStore, LogEntry, SigningKey, SigningKeyId, Store, StoreError, ZoneFilter,
    ZoneRecord,
};
use checkpoint::Checkpointer;
use error::{failed, io_failed};
use lock::Lock;
use pool::Pool;

pub use keys::SqliteKeys;

/// The tree of the names that answer, in column `pages.tree`.
const TREE_MAIN: i64 = 0;
/// The tree of the NSEC3 names.
const TREE_NSEC3: i64 = 1;

/// A [`Store`] in one SQLite file. Dropping it moves everything into the file and lets go of the lock.
pub struct SqliteStore {
    // The order matters: the last connection to close tidies up, and the lock is let go of after it.
    checkpointer: Checkpointer,
    readers: Pool,
    writer: Mutex<Connection>,
    path: PathBuf,
    _lock: Lock,
}

impl SqliteStore {
    /// Opens the store in a file, or makes one there. Beside the file lie `-wal` and `-shm`, which belong to it,
    /// and `-lock`, which is always empty.
    ///
    /// Refuses with [`StoreError::Busy`] while it is open elsewhere, in this process too, and with
    /// [`StoreError::Version`] if a newer program wrote it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let exists = path.try_exists().map_err(io_failed("opening the store"))?;
        // Two names of one file have to lead to one lock.
        let path = if exists { path.canonicalize().map_err(io_failed("opening the store"))? } else { path.to_owned() };
        let lock = Lock::take(&path)?;
        let writer = schema::open_writer(&path)?;
        if !exists {
            backup::sync_folder(&path)?;
        }
        let checkpointer = Checkpointer::start(&path)?;
        let readers = Pool::new(path.clone());
        Ok(Self { checkpointer, readers, writer: Mutex::new(writer), path, _lock: lock })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held has rolled its transaction back.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for SqliteStore {
    fn head(&self) -> Result<Revision, StoreError> {
        append::head(&*self.readers.take()?)
    }

    fn append(&self, commits: &[Commit]) -> Result<Revision, StoreError> {
        let mut writer = self.writer();
        let appended = append::append(&mut writer, commits)?;
        self.checkpointer.appended(appended.octets, &writer);
        Ok(appended.first)
    }

    fn zone(&self, name: &Name) -> Result<Option<ZoneRecord>, StoreError> {
        Ok(read::zone(&*self.readers.take()?, name)?.map(|(_, record)| record))
    }

    fn zones(&self, after: Option<&Name>, limit: usize, filter: &ZoneFilter) -> Result<Vec<ZoneRecord>, StoreError> {
        read::zones(&*self.readers.take()?, after, limit, filter)
    }

    fn zone_count(&self) -> Result<u64, StoreError> {
        read::zone_count(&*self.readers.take()?)
    }

    fn load_zone(&self, name: &Name) -> Result<Option<(ZoneRecord, Zone)>, StoreError> {
        load::load_zone(&*self.readers.take()?, name)
    }

    fn load_all(&self, each: &mut dyn FnMut(Zone)) -> Result<Revision, StoreError> {
        load::load_all(&*self.readers.take()?, each)
    }

    fn history(&self, zone: &Name, before: Option<Revision>, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        read::history(&*self.readers.take()?, zone, before, limit)
    }

    fn entries(&self, after: Revision, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        read::entries(&*self.readers.take()?, after, limit)
    }

    fn entry(&self, revision: Revision) -> Result<Option<(LogEntry, Delta)>, StoreError> {
        read::entry(&*self.readers.take()?, revision)
    }

    fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        read::keys(&*self.readers.take()?)
    }

    fn put_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        let text = serde_json::to_string(key)
            .map_err(|error| StoreError::Backend { doing: "writing a key".to_owned(), source: Box::new(error) })?;
        let sql = "INSERT INTO keys VALUES (?1, ?2) ON CONFLICT DO UPDATE SET key = excluded.key";
        self.writer().execute(sql, (&key.id.0, text)).map_err(failed("writing a key"))?;
        Ok(())
    }

    fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        read::setting(&*self.readers.take()?, name)
    }

    fn put_setting(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT INTO settings VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
        self.writer().execute(sql, (name, value)).map_err(failed("writing a setting"))?;
        Ok(())
    }

    fn backup(&self, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), StoreError> {
        backup::backup(&self.path, to, progress)
    }
}

impl KeyStore for SqliteStore {
    fn change_signing_keys(&self, change: &KeyChange) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let changed = keys::change_keys(&mut writer, change)?;
        self.checkpointer.appended(changed.octets, &writer);
        if changed.removed {
            self.checkpointer.empty();
        }
        Ok(())
    }

    fn signing_key(&self, id: &SigningKeyId) -> Result<Option<SigningKey>, StoreError> {
        keys::key(&*self.readers.take()?, id)
    }

    fn signing_keys_of(&self, zone: &Name) -> Result<Vec<SigningKey>, StoreError> {
        keys::keys_of(&*self.readers.take()?, zone)
    }

    fn signing_keys(&self, after: Option<&SigningKeyId>, limit: usize) -> Result<Vec<SigningKey>, StoreError> {
        keys::keys(&*self.readers.take()?, after, limit)
    }

    fn key_audit(&self, skip: u64, limit: usize) -> Result<Vec<KeyAudit>, StoreError> {
        keys::audit(&*self.readers.take()?, skip, limit)
    }
}
