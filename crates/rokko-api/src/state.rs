//! What handlers share.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use rokko_control::Control;
use rokko_model::UnixMillis;
use rokko_wire::Name;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

use crate::auth::Failures;
use crate::metrics::Metrics;

/// How many bodies above [`crate::body::SMALL_BODY_MAX`] are in memory at once; further ones wait.
pub const LARGE_BODIES_MAX: usize = 4;

/// How many zones can have their turn at once (see [`ApiState::turn`]).
const TURNS: u64 = 256;

/// Appends Prometheus text of the rest of the program, such as the DNS counters, without the closing `# EOF`.
pub type ExtraMetrics = Arc<dyn Fn(&mut String) + Send + Sync>;

/// A token that was made.
pub struct MadeToken {
    /// Its text.
    pub text: String,
    /// The hash of its secret, which is kept.
    pub hash: String,
}

/// What serves the PoPs of this node.
pub trait FleetLink: Send + Sync {
    /// Makes a token. `address` is where the PoP reaches this node if not where it listens. An error says what is wrong with
    /// the name or the address.
    fn token(
        &self,
        name: &str,
        relay: bool,
        expires_at: UnixMillis,
        address: Option<&str>,
    ) -> Result<MadeToken, String>;

    /// Has every PoP verify all that it serves from.
    fn verify(&self);

    /// A PoP was drained, or not any more, or put out of the fleet.
    fn changed(&self, name: &str);
}

/// What handlers share; cloning shares it.
#[derive(Clone)]
pub struct ApiState {
    /// The use cases.
    pub control: Control,
    /// The folder that backups go to; made when the first one is.
    pub backups: Arc<PathBuf>,
    /// Counts requests.
    pub metrics: Arc<Metrics>,
    /// Metrics of the rest of the program.
    pub extra: ExtraMetrics,
    /// What serves the PoPs; none if this node serves none.
    pub fleet: Option<Arc<dyn FleetLink>>,
    pub(crate) failures: Arc<Failures>,
    pub(crate) large_bodies: Arc<Semaphore>,
    pub(crate) backup_turn: Arc<Semaphore>,
    turns: Arc<[Arc<Mutex<()>>]>,
}

impl ApiState {
    /// The state over a control plane; backups go to the folder `backups`.
    pub fn new(control: Control, backups: PathBuf, extra: ExtraMetrics) -> Self {
        Self {
            control,
            backups: Arc::new(backups),
            metrics: Arc::new(Metrics::default()),
            extra,
            fleet: None,
            failures: Arc::new(Failures::default()),
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES_MAX)),
            backup_turn: Arc::new(Semaphore::new(1)),
            turns: (0..TURNS).map(|_| Arc::default()).collect(),
        }
    }

    /// Waits for the turn to read a zone and change it depending on what was read.
    ///
    /// The version in the change is what keeps it right; taking turns only spares clients of this process that change
    /// the same zone at once from being stale again and again.
    pub(crate) async fn turn(&self, zone: &Name) -> OwnedMutexGuard<()> {
        let mut hasher = DefaultHasher::new();
        zone.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % TURNS).unwrap_or(0);
        self.turns[index].clone().lock_owned().await
    }
}
