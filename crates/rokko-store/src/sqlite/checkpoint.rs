//! Moves the write-ahead log into the database file, beside the appends.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::schema::{self, Role};
use crate::StoreError;

/// So many octets appended since the last checkpoint start the next one.
const CHECKPOINT_OCTETS: u64 = 4 << 20;

/// So many octets appended since the last complete checkpoint make the append itself carry one out: the log
/// grows beyond this only while a read that began earlier is still under way.
const WAL_OCTETS_MAX: u64 = 64 << 20;

/// The thread that makes checkpoints.
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Octets appended since the store was opened; an estimate.
    written: AtomicU64,
    /// How many of them are in the database file.
    moved: AtomicU64,
    wanted: Mutex<Wanted>,
    wake: Condvar,
}

#[derive(Default)]
struct Wanted {
    checkpoint: bool,
    stop: bool,
}

impl Checkpointer {
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_another(path, Role::Checkpointer)?;
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || for_thread.run(&connection))
            .map_err(super::error::io_failed("starting the checkpoint thread"))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Notes an append; `writer` made it and is still locked.
    pub(super) fn appended(&self, octets: u64, writer: &Connection) {
        let written = self.shared.written.fetch_add(octets, Ordering::Relaxed) + octets;
        let waiting = written - self.shared.moved.load(Ordering::Relaxed);
        if waiting > WAL_OCTETS_MAX {
            self.shared.checkpoint(writer);
        } else if waiting > CHECKPOINT_OCTETS {
            self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner).checkpoint = true;
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported already, and there is nothing left to clean up.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, connection: &Connection) {
        loop {
            let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = |wanted: &mut Wanted| !wanted.stop && !wanted.checkpoint;
            let mut wanted = self.wake.wait_while(wanted, idle).unwrap_or_else(PoisonError::into_inner);
            if wanted.stop {
                return;
            }
            wanted.checkpoint = false;
            drop(wanted);
            self.checkpoint(connection);
        }
    }

    /// Moves what can be moved without waiting for anyone.
    fn checkpoint(&self, connection: &Connection) {
        let before = self.written.load(Ordering::Relaxed);
        let result = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        // What fails here is safe in the write-ahead log, and the next checkpoint tries again.
        if matches!(result, Ok((0, frames, moved)) if frames == moved) {
            self.moved.fetch_max(before, Ordering::Relaxed);
        }
    }
}
