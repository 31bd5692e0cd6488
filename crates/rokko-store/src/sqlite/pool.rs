//! Connections that only read, so that reads never wait for appends.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};

use rusqlite::Connection;

use super::schema::{self, Role};
use crate::StoreError;

/// The most reads at once; more wait for their turn.
pub(super) const READERS_MAX: usize = 16;

/// Reading connections, opened when first needed.
pub(super) struct Pool {
    path: PathBuf,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    open: usize,
}

/// A connection that goes back to the pool when dropped.
pub(super) struct Reader<'p> {
    pool: &'p Pool,
    connection: Option<Connection>,
}

impl Pool {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, state: Mutex::default(), returned: Condvar::new() }
    }

    /// Takes a connection, and waits while all are in use.
    pub(super) fn take(&self) -> Result<Reader<'_>, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(Reader { pool: self, connection: Some(connection) });
            }
            if state.open < READERS_MAX {
                break;
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.open += 1;
        drop(state);
        match schema::open_another(&self.path, Role::Reader) {
            Ok(connection) => Ok(Reader { pool: self, connection: Some(connection) }),
            Err(error) => {
                self.give_back(None);
                Err(error)
            }
        }
    }

    fn give_back(&self, connection: Option<Connection>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match connection {
            Some(connection) => state.idle.push(connection),
            None => state.open -= 1,
        }
        drop(state);
        self.returned.notify_one();
    }
}

impl Deref for Reader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("the connection is taken out only on drop")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // A connection that is stuck in a transaction would show old data to the next reader.
        let connection = self.connection.take().filter(Connection::is_autocommit);
        self.pool.give_back(connection);
    }
}
