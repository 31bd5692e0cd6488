//! Numbers for monitoring.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the control plane has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Change sets carried out.
    pub jobs_done: u64,
    /// Change sets refused for what they asked.
    pub jobs_refused: u64,
    /// Change sets turned away because the queue was full or the node was stopping.
    pub jobs_shed: u64,
    /// Revisions made.
    pub commits: u64,
    /// Appends to the store; each makes one or more revisions durable.
    pub appends: u64,
    /// Appends that the store refused.
    pub appends_failed: u64,
    /// Microseconds spent in appends.
    pub append_us: u64,
    /// Change sets that wait now.
    pub queue_depth: u64,
    /// Signatures made.
    pub signatures: u64,
    /// How often a zone could not be brought forward by the signer.
    pub signing_failures: u64,
    /// When the first signature of all zones expires, in Unix seconds, as the last sweep over them saw it.
    pub signatures_expire_first: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Counters {
    jobs_done: AtomicU64,
    jobs_refused: AtomicU64,
    jobs_shed: AtomicU64,
    commits: AtomicU64,
    appends: AtomicU64,
    appends_failed: AtomicU64,
    append_us: AtomicU64,
}

impl Counters {
    pub(crate) fn count_shed(&self) {
        self.jobs_shed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_job(&self, carried_out: bool) {
        if carried_out { &self.jobs_done } else { &self.jobs_refused }.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_append(&self, commits: usize, took: Duration, succeeded: bool) {
        self.appends.fetch_add(1, Ordering::Relaxed);
        self.append_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if succeeded {
            self.commits.fetch_add(commits as u64, Ordering::Relaxed);
        } else {
            self.appends_failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self, queue_depth: usize) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            jobs_done: read(&self.jobs_done),
            jobs_refused: read(&self.jobs_refused),
            jobs_shed: read(&self.jobs_shed),
            commits: read(&self.commits),
            appends: read(&self.appends),
            appends_failed: read(&self.appends_failed),
            append_us: read(&self.append_us),
            queue_depth: queue_depth as u64,
            ..Statistics::default()
        }
    }
}
