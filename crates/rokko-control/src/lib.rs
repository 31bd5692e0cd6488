//! The use cases; the sole writer.
//!
//! ```text
//!  submit ──► queue (bounded) ──► writer thread: plan each job on what is current ──► one append ──► mirror ──► done
//!                                 (validate, authorise, number, digest)           (durable)    (answered)
//! ```
//!
//! Jobs that wait together share one append, so that the cost of making them durable is shared as well.

mod contents;
pub mod dnssec;
mod error;
pub mod fleet;
mod identity;
mod keys;
mod options;
mod plan;
mod read;
mod road;
mod rollback;
mod statistics;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};

use rokko_feed::SetId;
use rokko_mirror::Mirror;
use rokko_model::{Request, UnixMillis};
use rokko_store::Store;
use rokko_wire::Name;
use rokko_zone::check::Finding;
use rokko_zone::{Revision, Serial, Zone};

pub use error::ControlError;
pub use identity::Identity;
pub use options::{Limits, Options, ZoneDefaults};
pub use read::{ChangeState, ChangeStatus, ZoneView};
pub use statistics::Statistics;

use keys::KeyRing;
use read::AppliedTimes;
use statistics::Counters;
use writer::{Job, Queue};

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
    /// Whose data this is.
    set: SetId,
    mirror: Arc<Mirror>,
    options: Options,
    keys: KeyRing,
    queue: Queue,
    counters: Counters,
    applied_times: Mutex<AppliedTimes>,
    /// Who belongs to the fleet.
    registry: fleet::Kept,
    live: Mutex<fleet::Live>,
    signer: dnssec::Signer,
}

impl Control {
    /// Brings the mirror, which this node answers from, to what the store has, and starts the writer.
    pub fn open(store: Arc<dyn Store>, mirror: Arc<Mirror>, options: Options) -> Result<Self, ControlError> {
        let (set, started) = (road::set_id(&*store)?, (options.clock)());
        road::prepare(&*store, &mirror, set)?;
        let keys = KeyRing::load(&*store)?;
        let registry = fleet::Kept::load(&*store)?;
        let (queue, jobs) = Queue::new(options.limits.queue_max);
        let shared = Arc::new(Shared {
            set,
            mirror,
            store,
            options,
            keys,
            queue,
            counters: Counters::default(),
            applied_times: Mutex::default(),
            registry,
            live: Mutex::new(fleet::Live::new(started)),
            signer: dnssec::Signer::new(),
        });
        writer::start(&shared, jobs)?;
        if let Some(options) = &shared.options.dnssec {
            dnssec::start(&shared, options)?;
        }
        Ok(Self(shared))
    }

    /// Finishes what is queued and refuses all that comes later. Returns when the writer has ended.
    pub fn stop(&self) {
        self.0.signer.stop();
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

    /// Whose data this is.
    pub fn set(&self) -> SetId {
        self.0.set
    }

    /// What this node answers from, and PoPs are served from.
    pub fn mirror(&self) -> &Arc<Mirror> {
        &self.0.mirror
    }

    /// The time by the control plane's clock.
    pub fn now(&self) -> UnixMillis {
        self.0.now()
    }

    /// Numbers for monitoring.
    pub fn statistics(&self) -> Statistics {
        self.0.signer.numbers(self.0.counters.read(self.0.queue.len()))
    }
}

impl Shared {
    fn now(&self) -> UnixMillis {
        (self.options.clock)()
    }

    fn current(&self, name: &Name) -> Option<Zone> {
        self.mirror.catalog().zone(name)
    }

    fn applied_times(&self) -> std::sync::MutexGuard<'_, AppliedTimes> {
        self.applied_times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
