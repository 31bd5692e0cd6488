//! The lock that keeps a second process away.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

use super::error::failed;
use crate::StoreError;

/// Held as long as it lives; the operating system lets go of it when the process dies.
///
/// It is an exclusive transaction on an empty database beside the store's: SQLite brings the file locks of
/// every platform, and also sees a second opening within the same process.
pub(super) struct Lock {
    _connection: std::sync::Mutex<Connection>,
}

impl Lock {
    pub(super) fn take(store: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(lock_path(store)).map_err(failed("opening the lock file"))?;
        connection.busy_timeout(std::time::Duration::ZERO).map_err(failed("locking the store"))?;
        match connection.execute_batch("BEGIN EXCLUSIVE") {
            Ok(()) => Ok(Self { _connection: std::sync::Mutex::new(connection) }),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                Err(StoreError::Busy(store.display().to_string()))
            }
            Err(error) => Err(failed("locking the store")(error)),
        }
    }
}

fn lock_path(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push("-lock");
    path.into()
}
