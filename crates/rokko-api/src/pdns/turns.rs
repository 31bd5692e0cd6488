//! Turns at changes that depend on what a zone's metadata was before, so that clients do not overtake each other forever.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rokko_wire::Name;
use tokio::sync::{Mutex, MutexGuard};

/// How many zones can have a turn at once; zones share them by hash.
const TURNS: u64 = 64;

/// The turns of one API. The version that each change expects keeps it right; a turn only keeps it from being stale.
#[derive(Clone)]
pub(super) struct Turns(Arc<[Mutex<()>]>);

impl Turns {
    pub(super) fn new() -> Self {
        Self((0..TURNS).map(|_| Mutex::default()).collect())
    }

    /// Waits until nobody else has the zone's turn.
    pub(super) async fn of(&self, zone: &Name) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        zone.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % TURNS).unwrap_or_default();
        self.0[index].lock().await
    }
}
