//! What SQLite reports, in the words of the contract.

use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::StoreError;

/// Turns an error of SQLite into the store's, saying what was being done.
pub(super) fn failed(doing: &str) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
    move |error| convert(doing, error)
}

/// Turns an error of the operating system into the store's, saying what was being done.
pub(super) fn io_failed(doing: &str) -> impl Fn(std::io::Error) -> StoreError + '_ {
    move |error| match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Backend { doing: doing.to_owned(), source: Box::new(error) },
    }
}

/// Stored bytes that contradict themselves.
pub(super) fn damaged(place: impl Into<String>, what: &(impl ToString + ?Sized)) -> StoreError {
    StoreError::Damaged { place: place.into(), what: what.to_string() }
}

/// Whether SQLite itself found the file to be broken.
pub(super) fn is_corruption(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn convert(doing: &str, error: rusqlite::Error) -> StoreError {
    // SQLite reports a shared-memory file that can't grow as an I/O error of its own.
    let shm_full = error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE);
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        _ if shm_full => StoreError::Full,
        _ if is_corruption(&error) => damaged("the database file", &error),
        _ => StoreError::Backend { doing: doing.to_owned(), source: Box::new(error) },
    }
}
