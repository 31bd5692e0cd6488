//! The thread that brings zones forward when they are due, and sweeps over all of them so that none is forgotten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rokko_dnssec::life::{Clock, ClockGuard, ParentView};
use rokko_store::ZoneFilter;
use rokko_wire::Name;

use super::agenda::Agenda;
use super::vault::Remembered;
use super::{DnssecOptions, tend};
use crate::{ControlError, Shared, Statistics};

/// How many zones the sweep looks at at once.
const SWEEP_CHUNK: usize = 500;
/// How long the sweep rests between: all of ten million zones are looked at in less than three hours.
const SWEEP_REST: Duration = Duration::from_millis(500);
/// How long it rests after it has seen all.
const SWEEP_PAUSE: Duration = Duration::from_secs(60);
/// How many zones' parents are remembered.
const VIEWS_MAX: usize = 100_000;
/// How many zones wait for a look at their parents at most. Others come again with the sweep.
const LOOKS_MAX: usize = 100_000;
/// How many parents are looked at at once.
const LOOKERS: usize = 4;
/// How often failures are logged, in seconds.
const FAILURE_LOG_EVERY_S: u64 = 10;
/// Where the time that the clock showed last is kept.
const CLOCK_SETTING: &str = "dnssec-clock";
/// How often it is kept.
const CLOCK_KEPT_EVERY_S: u64 = 600;
/// A node that was down for longer than this has its clock checked by a person.
const DOWN_MAX_S: u64 = 60 * 86_400;

/// What the threads of signing share.
pub(crate) struct Signer {
    desk: Mutex<Desk>,
    wake: Condvar,
    stopping: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
    started: Instant,
    signatures: AtomicU64,
    failures: AtomicU64,
    /// The first expiration that this sweep has seen so far, and the one that the last sweep saw; `u64::MAX`: none.
    expires: AtomicU64,
    expires_before: AtomicU64,
    /// When a failure was logged last, in seconds of the counter, and how many were not since.
    failure_logged: Mutex<(u64, u64)>,
    pub(super) remembered: Remembered,
}

struct Desk {
    agenda: Agenda,
    /// Zones whose parents are to be looked at.
    looks: Agenda,
    views: HashMap<Name, Arc<ParentView>>,
    clock: Option<ClockGuard>,
    clock_kept_s: u64,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let (agenda, looks, views) = (Agenda::default(), Agenda::default(), HashMap::new());
        Self {
            desk: Mutex::new(Desk { agenda, looks, views, clock: None, clock_kept_s: 0 }),
            wake: Condvar::new(),
            stopping: AtomicBool::new(false),
            threads: Mutex::default(),
            started: Instant::now(),
            signatures: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            expires: AtomicU64::new(u64::MAX),
            expires_before: AtomicU64::new(u64::MAX),
            failure_logged: Mutex::default(),
            remembered: Remembered::default(),
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a zone looked after at a time, in Unix seconds.
    pub(crate) fn note(&self, zone: &Name, at: u64) {
        self.desk().agenda.note(zone.clone(), at);
        self.wake.notify_all();
    }

    /// Has the parent of a zone looked at, at a time in Unix seconds.
    pub(super) fn look(&self, zone: &Name, at: u64) {
        let mut desk = self.desk();
        if desk.looks.len() < LOOKS_MAX {
            desk.looks.note(zone.clone(), at);
            self.wake.notify_all();
        }
    }

    /// What the parent's servers showed last.
    pub(super) fn view(&self, zone: &Name) -> Option<Arc<ParentView>> {
        self.desk().views.get(zone).cloned()
    }

    /// Whether the wall clock is to be believed.
    pub(super) fn clock(&self, wall_s: u64) -> Clock {
        let counter_s = self.started.elapsed().as_secs();
        let mut desk = self.desk();
        desk.clock.get_or_insert_with(|| ClockGuard::new(wall_s, counter_s)).judge(wall_s, counter_s)
    }

    /// A person says that the clock is right.
    pub(crate) fn accept_clock(&self, wall_s: u64) {
        self.clock(wall_s);
        if let Some(clock) = &mut self.desk().clock {
            clock.accept();
        }
        self.wake.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the signer ended by a panic: look at the messages before this one");
            }
        }
    }

    /// Counts signatures that were made.
    pub(super) fn count(&self, signatures: usize) {
        self.signatures.fetch_add(signatures as u64, Ordering::Relaxed);
    }

    /// Notes when the first signature of a zone expires, in Unix seconds.
    pub(super) fn saw_expiration(&self, at: u64) {
        self.expires.fetch_min(at, Ordering::Relaxed);
    }

    /// Counts and logs that a zone could not be brought forward. If many cannot, such as when a token is gone, the log has a
    /// line each few seconds and not one for each.
    pub(super) fn failed(&self, zone: &Name, why: &dyn std::fmt::Display) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let now_s = self.started.elapsed().as_secs();
        let mut logged = self.failure_logged.lock().unwrap_or_else(PoisonError::into_inner);
        let (last_s, held_back) = *logged;
        if last_s > 0 && now_s < last_s + FAILURE_LOG_EVERY_S {
            *logged = (last_s, held_back + 1);
            return;
        }
        *logged = (now_s.max(1), 0);
        drop(logged);
        tracing::error!(%zone, also = held_back, "signing does not go on: {why}");
    }

    pub(crate) fn numbers(&self, others: Statistics) -> Statistics {
        let expires = self.expires_before.load(Ordering::Relaxed).min(self.expires.load(Ordering::Relaxed));
        Statistics {
            signatures: self.signatures.load(Ordering::Relaxed),
            signing_failures: self.failures.load(Ordering::Relaxed),
            signatures_expire_first: (expires < u64::MAX).then_some(expires),
            ..others
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits until there may be something to do.
    fn rest(&self, longest: Duration) {
        let desk = self.desk();
        if !self.is_stopping() {
            // Woken too early does no harm.
            drop(self.wake.wait_timeout(desk, longest).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// Starts the threads of signing. They end when the signer is stopped.
pub(crate) fn start(shared: &Arc<Shared>, options: &DnssecOptions) -> Result<(), ControlError> {
    let now = shared.now().0 / 1000;
    let kept = shared.store.setting(CLOCK_SETTING)?.and_then(|octets| octets.try_into().ok()).map(u64::from_be_bytes);
    shared.signer.desk().clock = kept.map(|kept| ClockGuard::after_restart(kept, now, 0, DOWN_MAX_S));
    let (mine, with) = (Arc::clone(shared), options.clone());
    spawn(shared, "rokko-signer".to_owned(), move || run(&mine, &with))?;
    for number in 0..LOOKERS {
        let (mine, with) = (Arc::clone(shared), options.clone());
        spawn(shared, format!("rokko-parent-{number}"), move || look(&mine, &with))?;
    }
    Ok(())
}

fn spawn(shared: &Shared, name: String, work: impl FnOnce() + Send + 'static) -> Result<(), ControlError> {
    let thread = std::thread::Builder::new().name(name).spawn(work);
    let thread = thread.map_err(|source| ControlError::System { doing: "starting a thread of the signer", source })?;
    shared.signer.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    Ok(())
}

fn run(shared: &Arc<Shared>, options: &DnssecOptions) {
    let signer = &shared.signer;
    let (mut sweep, mut sweep_at) = (None, Instant::now());
    while !signer.is_stopping() {
        let now_s = shared.now().0 / 1000;
        keep_clock(shared, now_s);
        let due = signer.desk().agenda.take(now_s);
        if let Some(zone) = due {
            tend::tend(shared, options, &zone);
            continue;
        }
        if Instant::now() >= sweep_at {
            sweep = sweep_on(shared, sweep.as_ref());
            if sweep.is_none() {
                let seen = signer.expires.swap(u64::MAX, Ordering::Relaxed);
                signer.expires_before.store(seen, Ordering::Relaxed);
            }
            sweep_at = Instant::now() + if sweep.is_some() { SWEEP_REST } else { SWEEP_PAUSE };
            continue;
        }
        let until = signer.desk().agenda.next().map_or(SWEEP_PAUSE, |at| Duration::from_secs(at.saturating_sub(now_s)));
        let until = until.min(sweep_at.saturating_duration_since(Instant::now()));
        signer.rest(until.max(Duration::from_millis(20)));
    }
}

/// Has the signed ones of the zones after `after` looked after; returns the last one that was seen.
fn sweep_on(shared: &Shared, after: Option<&Name>) -> Option<Name> {
    let records = match shared.store.zones(after, SWEEP_CHUNK, &ZoneFilter::default()) {
        Ok(records) => records,
        Err(error) => {
            tracing::warn!("the signer cannot list the zones; it tries again in a minute: {error}");
            return None;
        }
    };
    let now_s = shared.now().0 / 1000;
    let mut desk = shared.signer.desk();
    for record in records.iter().filter(|record| record.meta.dnssec.is_some()) {
        desk.agenda.note(record.name.clone(), now_s);
    }
    drop(desk);
    records.into_iter().last().map(|record| record.name)
}

/// Keeps the time, so that a clock that was set back while the node was down is noticed.
fn keep_clock(shared: &Shared, now_s: u64) {
    if shared.signer.clock(now_s) != Clock::Steady {
        return;
    }
    let mut desk = shared.signer.desk();
    if now_s.saturating_sub(desk.clock_kept_s) < CLOCK_KEPT_EVERY_S {
        return;
    }
    desk.clock_kept_s = now_s;
    drop(desk);
    if let Err(error) = shared.store.put_setting(CLOCK_SETTING, &now_s.to_be_bytes()) {
        tracing::warn!("the signer cannot keep the time in the store: {error}");
    }
}

/// Looks at parents.
fn look(shared: &Arc<Shared>, options: &DnssecOptions) {
    let signer = &shared.signer;
    while !signer.is_stopping() {
        let now_s = shared.now().0 / 1000;
        let due = signer.desk().looks.take(now_s);
        let Some(zone) = due else {
            signer.rest(Duration::from_secs(1));
            continue;
        };
        match options.parents.look(&zone) {
            Ok(view) => {
                let mut desk = signer.desk();
                if desk.views.len() >= VIEWS_MAX {
                    desk.views.clear();
                }
                desk.views.insert(zone.clone(), Arc::new(view));
                desk.agenda.note(zone, now_s);
                signer.wake.notify_all();
            }
            Err(error) => tracing::debug!(%zone, "the parent could not be asked for the DS: {error}"),
        }
    }
}
