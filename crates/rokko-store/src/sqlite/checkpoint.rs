//! Moves the write-ahead log into the database file, beside the appends.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::schema::{self, Role};
use crate::StoreError;

/// So many octets appended since the last checkpoint start the next one.
const CHECKPOINT_OCTETS: u64 = 4 << 20;

/// So many octets appended since the last complete checkpoint make the append itself carry one out: the log
/// grows beyond this only while a read that began earlier is still under way.
const WAL_OCTETS_MAX: u64 = 64 << 20;

/// How soon emptying the write-ahead log is tried again while a read is in its way.
const EMPTY_STEP: Duration = Duration::from_secs(1);

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
    /// Until the write-ahead log was emptied.
    empty: bool,
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

    /// Has the write-ahead log emptied as soon as no read needs it, because octets that are gone still stand there.
    pub(super) fn empty(&self) {
        self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner).empty = true;
        self.shared.wake.notify_one();
    }
}

/// Moves all of the write-ahead log into the file and cuts it off. Returns whether no read or append was in the way.
pub(super) fn empty(connection: &Connection) -> bool {
    let result = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    matches!(result, Ok(0))
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
        let mut tried_to_empty = false;
        loop {
            let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = |wanted: &mut Wanted| !wanted.stop && !wanted.checkpoint && (tried_to_empty || !wanted.empty);
            let step = if wanted.empty { EMPTY_STEP } else { Duration::MAX };
            let (mut wanted, _) =
                self.wake.wait_timeout_while(wanted, step, idle).unwrap_or_else(PoisonError::into_inner);
            if wanted.stop {
                return;
            }
            let (checkpoint, empty_it) = (wanted.checkpoint, wanted.empty);
            wanted.checkpoint = false;
            drop(wanted);
            if checkpoint {
                self.checkpoint(connection);
            }
            if empty_it {
                tried_to_empty = !self.empty(connection);
            }
        }
    }

    /// Empties the log, and returns whether that worked. A change that comes meanwhile asks again.
    fn empty(&self, connection: &Connection) -> bool {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).empty = false;
        // Appends wait for as long as this does, so it waits for nobody.
        let done = connection.busy_timeout(Duration::ZERO).is_ok() && empty(connection);
        // Fails for no connection that worked before.
        let _ = connection.busy_timeout(Duration::from_millis(schema::LOCK_WAIT_MS));
        if !done {
            self.wanted.lock().unwrap_or_else(PoisonError::into_inner).empty = true;
        }
        done
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
