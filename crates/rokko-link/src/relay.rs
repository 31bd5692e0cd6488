//! What joins the two halves of a relay: it hears of those behind it as a server, and says so as a follower.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rokko_feed::follow::Behind;
use rokko_feed::message::{News, Path};
use tokio::sync::Notify;

use crate::certificate::{Fingerprint, Identity};
use crate::fleet::{Admission, Fleet, JoinRefusal, RevokedList, SecretHash};

/// The most news that wait to be passed on. Above, all is said anew on a new connection.
const NEWS_MAX: usize = 65_536;

/// What a node knows of the fleet by the feed: who was revoked, how old its data are, and, if it is a relay, who is behind it.
#[derive(Debug, Default)]
pub struct Downstream {
    revoked: RevokedList,
    /// When the data were last known to be the newest, in milliseconds since 1970.
    fresh_ms: AtomicU64,
    behind: Mutex<Behind>,
    news: Mutex<Vec<(Path, News)>>,
    overflow: AtomicBool,
    wake: Notify,
}

impl Downstream {
    /// The certificates that are known to be revoked.
    pub fn revoked(&self) -> &RevokedList {
        &self.revoked
    }

    /// How old the data are, in milliseconds.
    pub fn age_ms(&self) -> u64 {
        crate::now_ms().saturating_sub(self.fresh_ms.load(Ordering::Relaxed))
    }

    /// When the data were last known to be the newest, in milliseconds since 1970.
    pub fn fresh_ms(&self) -> u64 {
        self.fresh_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set_fresh(&self, at_ms: u64) {
        self.fresh_ms.store(at_ms, Ordering::Relaxed);
    }

    /// Who is behind this node. What is new of them from here on waits to be taken.
    pub(crate) fn begin(&self) -> Behind {
        let behind = lock(&self.behind);
        lock(&self.news).clear();
        self.overflow.store(false, Ordering::Relaxed);
        behind.clone()
    }

    /// Waits until there is something to take.
    pub(crate) async fn waiting(&self) {
        self.wake.notified().await;
    }

    /// What is new; `None` if too much was, and all is to be said anew.
    pub(crate) fn take(&self) -> Option<Vec<(Path, News)>> {
        let news = std::mem::take(&mut *lock(&self.news));
        (!self.overflow.load(Ordering::Relaxed)).then_some(news)
    }
}

/// A relay's fleet is what it is told of it.
impl Fleet for Downstream {
    fn admit(&self, _: &SecretHash, _: &Fingerprint, _: u64) -> Result<Admission, JoinRefusal> {
        Err(JoinRefusal::Unavailable)
    }

    fn is_revoked(&self, identity: &Identity) -> bool {
        self.revoked.contains(&identity.fingerprint)
    }

    fn issued(&self, _: &Identity) {}

    fn revoked(&self) -> Vec<Fingerprint> {
        self.revoked.all()
    }

    fn news(&self, path: &Path, news: News) {
        let mut behind = lock(&self.behind);
        behind.note(path, &news);
        let mut waiting = lock(&self.news);
        if waiting.len() < NEWS_MAX {
            waiting.push((path.clone(), news));
        } else {
            self.overflow.store(true, Ordering::Relaxed);
        }
        drop((waiting, behind));
        self.wake.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
