//! The mirror of a node: opening it, and keeping its log short.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rokko_mirror::{Durability, Folder, Mirror, OpenReport, Options};
use rokko_zone::Catalog;

use super::node::random_seed;
use crate::failure::Failure;

/// The mirror's folder in the data folder.
const FOLDER: &str = "mirror";
/// A log of so many octets is applied in well under a second at a start.
const COMPACTION_OCTETS_MIN: u64 = 16 << 20;
/// A log of so many octets takes seconds to apply at a start. It is made short when there is little to do, also beside a snapshot
/// that is many times larger.
const QUIET_OCTETS: u64 = 64 << 20;
/// There is little to do while the log grows by less than this in [`QUIET_TIME`].
const QUIET_GROWTH_OCTETS: u64 = 16 << 20;
/// Over how long the growth is measured.
const QUIET_TIME: Duration = Duration::from_secs(60);
/// How often it is looked whether the log has become long.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How many octets of a new snapshot are written before the thread looks whether it has to stop.
const STEP_OCTETS: u64 = 4 << 20;
/// How long the next try waits after one that failed, such as for a full disk.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Opens the mirror in a data folder and fills a new catalog from it. Damage is reported in the log, and mended by whoever
/// feeds the mirror.
pub(crate) fn open(data_dir: &Path, durability: Durability) -> Result<(Arc<Mirror>, OpenReport), Failure> {
    let path = data_dir.join(FOLDER);
    let failed = |error: &dyn std::error::Error| {
        Failure::failed(format!("cannot open the mirror in {}: {}", path.display(), super::chain(error)))
    };
    let folder = Folder::open(&path).map_err(|error| failed(&error))?;
    let catalog = Arc::new(Catalog::new(random_seed()?));
    let options = Options {
        durability,
        seed: random_seed()?,
        compaction_octets_min: COMPACTION_OCTETS_MIN,
        ..Options::default()
    };
    let (mirror, report) = Mirror::open(Arc::new(folder), catalog, options).map_err(|error| failed(&error))?;
    if !report.damages.is_empty() {
        for damage in &report.damages.list {
            tracing::error!("the mirror in {} is damaged: {damage}", path.display());
        }
        if report.damages.more > 0 {
            tracing::error!("the mirror in {} has {} more damages", path.display(), report.damages.more);
        }
    }
    Ok((Arc::new(mirror), report))
}

/// A thread that writes a new snapshot when the mirror's log has become long.
pub(crate) struct Compactor {
    stop: Sender<()>,
    thread: JoinHandle<()>,
    wanted: Wanted,
}

/// Through which a new snapshot is asked for before the log is long: somebody needs one that is newer than what there is.
#[derive(Clone, Default)]
pub(crate) struct Wanted(Arc<AtomicBool>);

impl Wanted {
    /// A function that asks.
    pub(crate) fn asker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let wanted = Arc::clone(&self.0);
        Arc::new(move || wanted.store(true, Ordering::Relaxed))
    }
}

impl Compactor {
    pub(crate) fn start(mirror: Arc<Mirror>) -> Result<Self, Failure> {
        let (stop, stopped) = channel();
        let wanted = Wanted::default();
        let asked = wanted.clone();
        let work = move || {
            let (mut wait, mut growth) = (LOOK_EVERY, Growth::new());
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = LOOK_EVERY;
                let is_wanted = asked.0.swap(false, Ordering::Relaxed) || mirror.wants_compaction();
                if !is_wanted && !growth.is_quiet(&mirror) {
                    continue;
                }
                if let Err(error) = compact(&mirror, || stopped.try_recv().is_ok()) {
                    tracing::warn!("a new snapshot of the mirror could not be written: {error}");
                    wait = RETRY_AFTER;
                }
            }
        };
        let thread = std::thread::Builder::new().name("rokko-compact".to_owned()).spawn(work);
        let thread = thread.map_err(|error| Failure::io("start the thread of the mirror", &error))?;
        Ok(Self { stop, thread, wanted })
    }

    /// Through which a new snapshot is asked for.
    pub(crate) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    pub(crate) fn stop(self) {
        // The thread is gone only if it panicked, and that was reported.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// How fast the log grows.
struct Growth {
    since: Instant,
    octets: u64,
}

impl Growth {
    fn new() -> Self {
        Self { since: Instant::now(), octets: u64::MAX }
    }

    /// Whether the log is long, and has hardly grown of late. Looked at once in a while.
    fn is_quiet(&mut self, mirror: &Mirror) -> bool {
        if self.since.elapsed() < QUIET_TIME {
            return false;
        }
        let (before, now) = (self.octets, mirror.log_octets());
        *self = Self { since: Instant::now(), octets: now };
        now > QUIET_OCTETS && before != u64::MAX && now.saturating_sub(before) < QUIET_GROWTH_OCTETS
    }
}

fn compact(mirror: &Arc<Mirror>, must_stop: impl Fn() -> bool) -> Result<(), rokko_mirror::MirrorError> {
    let Some(mut compaction) = mirror.start_compaction()? else { return Ok(()) };
    while !compaction.step(STEP_OCTETS)? {
        if must_stop() {
            return Ok(());
        }
    }
    tracing::info!(revision = %compaction.revision(), "the mirror has a new snapshot");
    Ok(())
}
