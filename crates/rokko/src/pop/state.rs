//! What a PoP knows of itself beside its data: when it last heard from the control plane, and what it was told to be.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::config::IsolationAction;

/// Where it is kept in the data folder.
const FILE: &str = "state.json";
/// How much older the kept contact may be than the last one, in milliseconds.
const KEEP_EVERY_MS: u64 = 1_000;

/// What is kept over restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    /// When the PoP last knew that nothing newer was there, in milliseconds since 1970.
    fresh_ms: u64,
    /// A revision that it answered with.
    revision: u64,
    /// Whether it is drained.
    drained: bool,
    /// What a relay or the control node calls it.
    name: String,
    /// Where the feed comes from.
    from: Vec<String>,
}

/// How the PoP stands to the rest of the fleet.
pub(crate) struct State {
    file: PathBuf,
    kept: Mutex<Kept>,
    fresh_ms: AtomicU64,
    /// A revision that the PoP answered with before it was started.
    had: u64,
    drained: AtomicBool,
    connected: AtomicBool,
    /// The last revision that the control plane has, as it was last told.
    head: AtomicU64,
    certificate_expires_s: AtomicU64,
    isolation: Option<(Duration, IsolationAction)>,
}

/// What the PoP may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// It is not alone, or may be.
    None,
    /// It has been alone for too long, and answers.
    Withdraw,
    /// It has been alone for too long, and answers SERVFAIL.
    Servfail,
}

impl State {
    /// The state in a data folder, or that of a new PoP.
    pub(crate) fn load(data_dir: &Path, isolation: Option<(Duration, IsolationAction)>) -> Self {
        let file = data_dir.join(FILE);
        let kept = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!("{} is damaged and made anew: {error}", file.display());
                Kept::default()
            }),
            Err(_) => Kept::default(),
        };
        Self {
            file,
            fresh_ms: AtomicU64::new(kept.fresh_ms),
            had: kept.revision,
            drained: AtomicBool::new(kept.drained),
            kept: Mutex::new(kept),
            connected: AtomicBool::new(false),
            head: AtomicU64::new(0),
            certificate_expires_s: AtomicU64::new(0),
            isolation,
        }
    }

    pub(crate) fn name(&self) -> String {
        self.lock().name.clone()
    }

    pub(crate) fn from(&self) -> Vec<String> {
        self.lock().from.clone()
    }

    /// Notes what the token said.
    pub(crate) fn joined(&self, name: &str, from: &[String]) {
        let mut kept = self.lock();
        (kept.name, kept.from) = (name.to_owned(), from.to_vec());
        self.save(&kept);
    }

    /// Notes how the feed stands.
    pub(crate) fn heard(&self, connected: bool, fresh_ms: u64, head: u64, revision: u64) {
        self.connected.store(connected, Ordering::Relaxed);
        self.head.fetch_max(head, Ordering::Relaxed);
        let fresh_ms = fresh_ms.max(self.fresh_ms.fetch_max(fresh_ms, Ordering::Relaxed));
        let mut kept = self.lock();
        if fresh_ms >= kept.fresh_ms + KEEP_EVERY_MS {
            (kept.fresh_ms, kept.revision) = (fresh_ms, kept.revision.max(revision));
            self.save(&kept);
        }
    }

    /// Notes whether the PoP is drained.
    pub(crate) fn set_drained(&self, drained: bool) {
        if self.drained.swap(drained, Ordering::Relaxed) != drained {
            tracing::info!("{}", if drained { "this PoP is drained" } else { "this PoP is in service again" });
            let mut kept = self.lock();
            kept.drained = drained;
            self.save(&kept);
        }
    }

    pub(crate) fn set_certificate_expires_s(&self, at_s: u64) {
        self.certificate_expires_s.store(at_s, Ordering::Relaxed);
    }

    pub(crate) fn certificate_expires_s(&self) -> u64 {
        self.certificate_expires_s.load(Ordering::Relaxed)
    }

    pub(crate) fn fresh_ms(&self) -> u64 {
        self.fresh_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// A revision that the PoP answered with before it was started: a copy that ends before it was cut.
    pub(crate) fn had(&self) -> u64 {
        self.had
    }

    /// For how many milliseconds nobody has said that the data is the newest.
    pub(crate) fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.fresh_ms())
    }

    /// What the PoP may do now.
    pub(crate) fn isolation(&self, now_ms: u64) -> Isolation {
        match self.isolation {
            // One that never heard of the control plane has nothing that could be too old.
            Some((limit, action)) if self.fresh_ms() > 0 && u128::from(self.age_ms(now_ms)) > limit.as_millis() => {
                match action {
                    IsolationAction::Servfail => Isolation::Servfail,
                    IsolationAction::Withdraw => Isolation::Withdraw,
                }
            }
            _ => Isolation::None,
        }
    }

    /// Writes what a restart needs.
    pub(crate) fn keep(&self) {
        let mut kept = self.lock();
        kept.fresh_ms = self.fresh_ms();
        self.save(&kept);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Writes a new file and puts it in place of the old one. That it cannot be written must not stop the PoP.
    fn save(&self, kept: &Kept) {
        let next = self.file.with_extension("new");
        let text = serde_json::to_vec(kept).unwrap_or_default();
        if let Err(error) = std::fs::write(&next, text).and_then(|()| std::fs::rename(&next, &self.file)) {
            tracing::warn!("{} cannot be written: {error}", self.file.display());
        }
    }
}

/// The time in milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_survives_and_ages() {
        let folder = tempfile::tempdir().unwrap();
        let limit = Some((Duration::from_secs(60), IsolationAction::Servfail));
        let state = State::load(folder.path(), limit);
        state.joined("fra-1", &["192.0.2.1:8054".to_owned()]);
        state.heard(true, 1_000_000, 7, 5);
        state.set_drained(true);
        assert_eq!((state.isolation(1_060_000), state.isolation(1_060_001)), (Isolation::None, Isolation::Servfail));
        let again = State::load(folder.path(), limit);
        assert_eq!((again.name(), again.fresh_ms(), again.is_drained()), ("fra-1".to_owned(), 1_000_000, true));
        assert!(!again.is_connected());
        assert_eq!(again.had(), 5);
        std::fs::write(folder.path().join(FILE), "x").unwrap();
        assert_eq!(State::load(folder.path(), None).isolation(u64::MAX), Isolation::None);
    }
}
