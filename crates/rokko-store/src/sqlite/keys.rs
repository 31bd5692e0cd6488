//! Signing keys and the record of their movements.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rokko_model::UnixMillis;
use rokko_wire::Name;
use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::error::{damaged, failed};
use super::read::all;
use super::{checkpoint, row, schema};
use crate::{KeyAction, KeyAudit, KeyChange, KeyStore, SigningKey, SigningKeyId, StoreError};

const KEY_COLUMNS: &str = "key_id, zone_key, made_at, public, wrapped";

/// The signing keys of a store that may be in use by a node at the same time.
///
/// It does without the store's lock: a node keeps nothing of these tables in memory that a key more or less would
/// contradict, and `SQLite` keeps the writes of two processes apart.
pub struct SqliteKeys {
    connection: Mutex<Connection>,
}

impl SqliteKeys {
    /// Opens the keys of a store that is there and has the present format.
    ///
    /// # Errors
    ///
    /// If there is no store, or another program wrote it, or an older version that has to open it once as a whole.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: Mutex::new(schema::open_present(path)?) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held has rolled its transaction back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for SqliteKeys {
    fn change_signing_keys(&self, change: &KeyChange) -> Result<(), StoreError> {
        let mut connection = self.connection();
        if change_keys(&mut connection, change)?.removed {
            checkpoint::empty(&connection);
        }
        Ok(())
    }

    fn signing_key(&self, id: &SigningKeyId) -> Result<Option<SigningKey>, StoreError> {
        key(&self.connection(), id)
    }

    fn signing_keys_of(&self, zone: &Name) -> Result<Vec<SigningKey>, StoreError> {
        keys_of(&self.connection(), zone)
    }

    fn signing_keys(&self, after: Option<&SigningKeyId>, limit: usize) -> Result<Vec<SigningKey>, StoreError> {
        keys(&self.connection(), after, limit)
    }

    fn key_audit(&self, skip: u64, limit: usize) -> Result<Vec<KeyAudit>, StoreError> {
        audit(&self.connection(), skip, limit)
    }
}

/// What a change of keys came to.
pub(super) struct Changed {
    /// About how many octets went into the write-ahead log.
    pub(super) octets: u64,
    /// Whether octets of keys are gone that still stand in the write-ahead log.
    pub(super) removed: bool,
}

pub(super) fn change_keys(connection: &mut Connection, change: &KeyChange) -> Result<Changed, StoreError> {
    let set_up = failed("setting up a change of keys");
    // Costs writes that pages of zones are not worth, so it is on only here.
    connection.pragma_update(None, "secure_delete", true).map_err(&set_up)?;
    let changed = change_within(connection, change);
    connection.pragma_update(None, "secure_delete", false).map_err(&set_up)?;
    changed
}

fn change_within(connection: &mut Connection, change: &KeyChange) -> Result<Changed, StoreError> {
    let write = failed("writing signing keys");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&write)?;
    let (mut octets, mut removed) = (0, !change.delete.is_empty());
    for key in &change.put {
        removed = removed || is_there(&transaction, &key.id)?;
        let sql = "INSERT INTO signing_keys (key_id, zone_key, made_at, public, wrapped) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (key_id) DO UPDATE SET zone_key = excluded.zone_key, made_at = excluded.made_at,
                   public = excluded.public, wrapped = excluded.wrapped";
        let mut put = transaction.prepare_cached(sql).map_err(&write)?;
        let zone = row::sort_key(&key.zone);
        let made_at = row::to_column(key.made_at.0);
        put.execute(params![key.id.0, zone.as_bytes(), made_at, key.public, key.wrapped]).map_err(&write)?;
        octets += key.wrapped.len() + key.public.len() + KEY_OCTETS;
    }
    for id in &change.delete {
        let mut delete = transaction.prepare_cached("DELETE FROM signing_keys WHERE key_id = ?1").map_err(&write)?;
        delete.execute([id.0]).map_err(&write)?;
        octets += KEY_OCTETS;
    }
    for entry in &change.audit {
        let sql =
            "INSERT INTO key_audit (at, actor, action, zone_key, key_id, recipient) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let mut put = transaction.prepare_cached(sql).map_err(&write)?;
        let zone = entry.zone.as_ref().map(|zone| row::sort_key(zone).as_bytes().to_vec());
        let (at, key) = (row::to_column(entry.at.0), entry.key.map(|key| key.0));
        put.execute(params![at, entry.actor, entry.action.as_str(), zone, key, entry.recipient]).map_err(&write)?;
        octets += entry.actor.len() + entry.recipient.len();
    }
    transaction.commit().map_err(failed("committing a change of keys"))?;
    Ok(Changed { octets: octets as u64, removed })
}

fn is_there(connection: &Connection, id: &SigningKeyId) -> Result<bool, StoreError> {
    let read = failed("looking a signing key up");
    let mut find = connection.prepare_cached("SELECT 1 FROM signing_keys WHERE key_id = ?1").map_err(&read)?;
    find.exists([id.0]).map_err(&read)
}

/// What a key costs in the write-ahead log beside its own octets: the database pages that it touches.
const KEY_OCTETS: usize = 12 << 10;

pub(super) fn key(connection: &Connection, id: &SigningKeyId) -> Result<Option<SigningKey>, StoreError> {
    let sql = format!("SELECT {KEY_COLUMNS} FROM signing_keys WHERE key_id = ?1");
    Ok(all(connection, &sql, [id.0], key_of)?.pop())
}

pub(super) fn keys_of(connection: &Connection, zone: &Name) -> Result<Vec<SigningKey>, StoreError> {
    let sql = format!("SELECT {KEY_COLUMNS} FROM signing_keys WHERE zone_key = ?1 ORDER BY key_id");
    all(connection, &sql, [row::sort_key(zone).as_bytes()], key_of)
}

pub(super) fn keys(
    connection: &Connection,
    after: Option<&SigningKeyId>,
    limit: usize,
) -> Result<Vec<SigningKey>, StoreError> {
    let sql = format!("SELECT {KEY_COLUMNS} FROM signing_keys WHERE key_id > ?1 ORDER BY key_id LIMIT ?2");
    let after: &[u8] = after.map_or(&[], |id| &id.0);
    all(connection, &sql, params![after, i64::try_from(limit).unwrap_or(i64::MAX)], key_of)
}

pub(super) fn audit(connection: &Connection, skip: u64, limit: usize) -> Result<Vec<KeyAudit>, StoreError> {
    let sql = "SELECT at, actor, action, zone_key, key_id, recipient FROM key_audit WHERE number > ?1
               ORDER BY number LIMIT ?2";
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    all(connection, sql, (number(skip), i64::try_from(limit).unwrap_or(i64::MAX)), audit_of)
}

fn key_of(row: &Row<'_>) -> Result<SigningKey, StoreError> {
    let read = failed("reading signing keys");
    Ok(SigningKey {
        id: SigningKeyId(row.get(0).map_err(&read)?),
        zone: row::name_of(row::blob(row, 1)?)?,
        made_at: UnixMillis(row.get::<_, i64>(2).map_err(&read)?.cast_unsigned()),
        public: row.get(3).map_err(&read)?,
        wrapped: row.get(4).map_err(&read)?,
    })
}

fn audit_of(row: &Row<'_>) -> Result<KeyAudit, StoreError> {
    let read = failed("reading the movements of keys");
    let action: String = row.get(2).map_err(&read)?;
    let zone: Option<Vec<u8>> = row.get(3).map_err(&read)?;
    Ok(KeyAudit {
        at: UnixMillis(row.get::<_, i64>(0).map_err(&read)?.cast_unsigned()),
        actor: row.get(1).map_err(&read)?,
        action: KeyAction::from_name(&action)
            .ok_or_else(|| damaged("the movements of keys", &format!("the action {action} is unknown")))?,
        zone: zone.map(|zone| row::name_of(&zone)).transpose()?,
        key: row.get::<_, Option<[u8; 16]>>(4).map_err(&read)?.map(SigningKeyId),
        recipient: row.get(5).map_err(&read)?,
    })
}
