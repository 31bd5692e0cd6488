//! The one thread that appends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rokko_model::Request;
use rokko_store::{Commit, StoreError};
use rokko_wire::Name;
use rokko_zone::{Digest, Revision, Zone};

use crate::error::describe;
use crate::plan::{Planned, Planner};
use crate::{Committed, ControlError, Identity, Shared, dnssec, road};

/// How many requests share one append at most.
const BATCH_REQUESTS_MAX: usize = 2000;
/// An append ends with the job that makes its changes have so many octets.
const BATCH_OCTETS_MAX: usize = 64 << 20;

type Done = Box<dyn FnOnce(Result<Vec<Committed>, ControlError>) + Send>;

/// A change set that waits.
pub(crate) struct Job {
    pub(crate) who: Identity,
    pub(crate) reason: String,
    pub(crate) requests: Vec<Request>,
    pub(crate) done: Done,
}

impl Job {
    /// Whether the job reads the log, and so must not share an append with changes that are not in it yet.
    fn reads_the_log(&self) -> bool {
        self.requests.iter().any(|request| matches!(request, Request::Rollback { .. }))
    }
}

/// The way to the writer. Its length is limited.
pub(crate) struct Queue {
    sender: Mutex<Option<SyncSender<Job>>>,
    waiting: AtomicUsize,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Queue {
    pub(crate) fn new(max: usize) -> (Self, Receiver<Job>) {
        let (sender, receiver) = sync_channel(max);
        let queue = Self { sender: Mutex::new(Some(sender)), waiting: AtomicUsize::new(0), writer: Mutex::new(None) };
        (queue, receiver)
    }

    /// Puts a job in; if that can't be, the job gets the reason at once and this returns false.
    pub(crate) fn push(&self, job: Job) -> bool {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(sender) = sender else {
            (job.done)(Err(ControlError::Stopping));
            return false;
        };
        // Counted first, since the writer may take the job out at once.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let (job, error) = match sender.try_send(job) {
            Ok(()) => return true,
            Err(TrySendError::Full(job)) => (job, ControlError::Overloaded),
            Err(TrySendError::Disconnected(job)) => (job, ControlError::Stopping),
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        (job.done)(Err(error));
        false
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer thread ended by a panic: look at the messages before this one");
        }
    }

    fn took(&self, jobs: usize) {
        self.waiting.fetch_sub(jobs, Ordering::Relaxed);
    }
}

/// Starts the writer. It ends when the queue is stopped and empty.
pub(crate) fn start(shared: &Arc<Shared>, jobs: Receiver<Job>) -> Result<(), ControlError> {
    // The thread holds what it needs until the queue is stopped; `Control::stop` breaks that circle.
    let mine = Arc::clone(shared);
    let run = move || {
        let mut waiting = None;
        while let Some(first) = waiting.take().or_else(|| jobs.recv().ok()) {
            let batch = gather(first, &jobs, &mut waiting);
            mine.queue.took(batch.len());
            carry_out(&mine, batch);
        }
    };
    let thread = std::thread::Builder::new().name("rokko-writer".to_owned()).spawn(run);
    let thread = thread.map_err(|source| ControlError::System { doing: "starting the writer thread", source })?;
    *shared.queue.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    Ok(())
}

/// The jobs that share an append: what waits already, within limits. One that must come later goes to `waiting`.
fn gather(first: Job, jobs: &Receiver<Job>, waiting: &mut Option<Job>) -> Vec<Job> {
    let mut requests = first.requests.len();
    let mut batch = vec![first];
    while requests < BATCH_REQUESTS_MAX {
        let Ok(job) = jobs.try_recv() else { break };
        if job.reads_the_log() {
            *waiting = Some(job);
            break;
        }
        requests += job.requests.len();
        batch.push(job);
    }
    batch
}

fn carry_out(shared: &Shared, batch: Vec<Job>) {
    let mut jobs = batch.into_iter().peekable();
    while jobs.peek().is_some() {
        let mut planner = match Planner::new(shared) {
            Ok(planner) => planner,
            Err(error) => return refuse_all(shared, jobs.map(|job| job.done), &error),
        };
        let mut planned = Vec::new();
        while planner.octets() < BATCH_OCTETS_MAX
            && let Some(job) = jobs.next()
        {
            match planner.job(&job.who, &job.reason, job.requests) {
                Ok(outcome) => planned.push((job.done, outcome)),
                Err(error) => {
                    shared.counters.count_job(false);
                    (job.done)(Err(error));
                }
            }
        }
        finish(shared, planner.finish(), planned);
    }
}

/// Makes what was planned durable, answers with it, and says so.
fn finish(shared: &Shared, plan: Planned, planned: Vec<(Done, Vec<Committed>)>) {
    match append(shared, plan) {
        Ok(()) => {
            for (done, outcome) in planned {
                shared.counters.count_job(true);
                done(Ok(outcome));
            }
        }
        Err(error) => refuse_all(shared, planned.into_iter().map(|(done, _)| done), &error),
    }
}

/// Makes commits durable and then answers with them.
fn append(shared: &Shared, planned: Planned) -> Result<(), StoreError> {
    let Planned { after, commits, zones, digest, keys } = planned;
    if commits.is_empty() {
        return Ok(());
    }
    dnssec::store_keys(shared, keys)?;
    let start = Instant::now();
    let appended = shared.store.append(&commits);
    shared.counters.count_append(commits.len(), start.elapsed(), appended.is_ok());
    let first = appended?;
    let last = Revision(after.0 + commits.len() as u64);
    if first != after.next() {
        let what = format!("revision {first} was given where {} had to follow", after.next());
        return Err(StoreError::Damaged { place: "the log".to_owned(), what });
    }
    publish(shared, after, &commits, zones, digest);
    let now = shared.now();
    shared.applied_times().push(first, last, now);
    dnssec::notice(shared, &commits, now);
    let mut live = shared.live();
    for (index, commit) in commits.iter().enumerate() {
        live.committed(Revision(first.0 + index as u64), commit.digest, now);
    }
    Ok(())
}

/// Answers with what was appended.
fn publish(shared: &Shared, after: Revision, commits: &[Commit], zones: HashMap<Name, Option<Zone>>, digest: Digest) {
    let stale = |error: &dyn std::fmt::Display| {
        tracing::error!("this node does not answer with the newest revision: restart it: {error}");
    };
    let frame = match road::frame(shared.set, after, commits) {
        Ok(frame) => frame,
        Err(error) => return stale(&error),
    };
    match shared.mirror.publish(frame, zones, digest) {
        Ok(published) => {
            if let Err(error) = published.logged {
                tracing::warn!("the mirror's log has a gap, which the next start fills from the store: {error}");
            }
        }
        Err(error) => stale(&error),
    }
}

fn refuse_all(shared: &Shared, jobs: impl Iterator<Item = Done>, error: &StoreError) {
    tracing::error!(error = %describe(error), "changes could not be stored");
    for done in jobs {
        shared.counters.count_job(false);
        done(Err(ControlError::Store(repeat(error))));
    }
}

/// The same error once more, for each of those who wait for one append.
fn repeat(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full => StoreError::Full,
        StoreError::Stale { zone, current } => StoreError::Stale { zone: zone.clone(), current: *current },
        other => StoreError::Backend { doing: "storing the change".to_owned(), source: describe(other).into() },
    }
}
