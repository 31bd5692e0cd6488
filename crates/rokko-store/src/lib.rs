//! The log contract and its adapters.
//!
//! A store keeps the log (every change of every zone, in order) and what follows from it (each zone's current
//! pages and metadata), and moves both in one step. The log is the truth.

pub mod contract;
pub mod keys;
pub mod log;
pub mod sqlite;

pub use keys::{KeyAction, KeyAudit, KeyChange, KeyStore, SigningKey, SigningKeyId, SigningKeyIdError};
pub use log::{Commit, LogEntry, NewState, Store, StoreError, VersionBefore, ZoneFilter, ZoneRecord};
pub use sqlite::{SqliteKeys, SqliteStore};
