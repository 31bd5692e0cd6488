//! The use cases; the sole writer.
//!
//! ```text
//!  submit ──► queue (bounded) ──► writer thread: plan each job on what is current ──► one append ──► feed ──► done
//!                                 (validate, authorise, number)                   (durable)    (answered)
//! ```
//!
//! Jobs that wait together share one append, so that the cost of making them durable is shared as well.

mod contents;
mod error;
pub mod fleet;
mod identity;
mod keys;
mod options;
mod plan;
mod read;
mod rollback;
mod statistics;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};

use rokko_feed::Follower;
use rokko_model::{Request, UnixMillis};
use rokko_store::Store;
use rokko_wire::Name;
use rokko_zone::check::Finding;
use rokko_zone::{Catalog, Digest, Revision, Serial, Zone};

pub use error::ControlError;
pub use identity::Identity;
pub use options::{Limits, Options, ZoneDefaults};
pub use read::{ChangeState, ChangeStatus, ZoneView};
pub use statistics::Statistics;

use keys::KeyRing;
use read::AppliedTimes;
use statistics::Counters;
use writer::{Job, Queue};

/// How many zones are put into the catalog at once at the start, at least; and which part of those that are there, as each
/// time costs something for all of them.
const LOAD_CHUNK: usize = 50_000;
const LOAD_PART: usize = 4;

/// What came of one request.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The zone.
    pub zone: Name,
    /// The zone's version now.
    pub revision: Revision,
    /// Its serial; `None`: it was deleted.
    pub serial: Option<Serial>,
    /// Whether anything changed; if not, no revision was made.
    pub changed: bool,
    /// What is odd about the zone and did not keep the change out.
    pub warnings: Vec<Finding>,
}

/// The control plane of one node. Cloning shares it.
#[derive(Clone)]
pub struct Control(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    follower: Arc<Follower>,
    options: Options,
    keys: KeyRing,
    queue: Queue,
    counters: Counters,
    applied_times: Mutex<AppliedTimes>,
    /// The digest of all zones at the last revision.
    digest: Mutex<Digest>,
    /// Who belongs to the fleet. Locked before `live` where both are.
    registry: Mutex<fleet::Registry>,
    live: Mutex<fleet::Live>,
}

impl Control {
    /// Fills the catalog from the store and starts the writer.
    pub fn open(store: Arc<dyn Store>, catalog: Arc<Catalog>, options: Options) -> Result<Self, ControlError> {
        let (revision, digest) = load(&*store, &catalog)?;
        let keys = KeyRing::load(&*store)?;
        let registry = Mutex::new(fleet::Registry::load(&*store)?);
        let (queue, jobs) = Queue::new(options.limits.queue_max);
        let shared = Arc::new(Shared {
            follower: Arc::new(Follower::new(catalog, revision)),
            store,
            options,
            keys,
            queue,
            counters: Counters::default(),
            applied_times: Mutex::default(),
            digest: Mutex::new(digest),
            registry,
            live: Mutex::default(),
        });
        writer::start(&shared, jobs)?;
        Ok(Self(shared))
    }

    /// Finishes what is queued and refuses all that comes later. Returns when the writer has ended.
    pub fn stop(&self) {
        self.0.queue.stop();
    }

    /// Queues a change set, whose requests are carried out all or none, and returns at once.
    ///
    /// `done` gets what came of each request, in order, once it is durable and answered. It runs on the writer
    /// thread, so it must be short. A full queue gives [`ControlError::Overloaded`] at once.
    pub fn submit(
        &self,
        who: &Identity,
        reason: &str,
        requests: Vec<Request>,
        done: impl FnOnce(Result<Vec<Committed>, ControlError>) + Send + 'static,
    ) {
        let job = Job { who: who.clone(), reason: reason.to_owned(), requests, done: Box::new(done) };
        if !self.0.queue.push(job) {
            self.0.counters.count_shed();
        }
    }

    /// As [`Control::submit`], and waits for the outcome.
    pub fn submit_wait(
        &self,
        who: &Identity,
        reason: &str,
        requests: Vec<Request>,
    ) -> Result<Vec<Committed>, ControlError> {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        self.submit(who, reason, requests, move |outcome| {
            // The receiver waits below.
            let _ = send.send(outcome);
        });
        receive.recv().unwrap_or(Err(ControlError::Stopping))
    }

    /// The time by the control plane's clock.
    pub fn now(&self) -> UnixMillis {
        self.0.now()
    }

    /// Numbers for monitoring.
    pub fn statistics(&self) -> Statistics {
        self.0.counters.read(self.0.queue.len())
    }
}

impl Shared {
    fn now(&self) -> UnixMillis {
        (self.options.clock)()
    }

    fn current(&self, name: &Name) -> Option<Zone> {
        self.follower.catalog().zone(name)
    }

    fn digest(&self) -> std::sync::MutexGuard<'_, Digest> {
        self.digest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn applied_times(&self) -> std::sync::MutexGuard<'_, AppliedTimes> {
        self.applied_times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(store: &dyn Store, catalog: &Catalog) -> Result<(Revision, Digest), ControlError> {
    let mut digest = Digest::default();
    let mut chunk = Vec::with_capacity(LOAD_CHUNK);
    let revision = store.load_all(&mut |zone| {
        digest.add_zone(zone.view());
        chunk.push((zone.apex(), Some(zone)));
        if chunk.len() >= LOAD_CHUNK.max(catalog.len() / LOAD_PART) {
            catalog.publish(chunk.drain(..));
        }
    })?;
    catalog.publish(chunk);
    Ok((revision, digest))
}
