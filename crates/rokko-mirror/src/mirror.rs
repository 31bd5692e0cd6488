//! The mirror: what it holds, and how changes come into it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rokko_feed::SetId;
use rokko_feed::frame::{Frame, FrameHead};
use rokko_wire::Name;
use rokko_zone::image::pieces;
use rokko_zone::{Catalog, Digest, Revision, ShortDigest, Zone};

use crate::disk::Disk;
use crate::error::MirrorError;
use crate::history::{Held, Recent, Shown};
use crate::load::SnapshotFile;
use crate::log::{Batch, Log, Tip};
use crate::segment::Kind;
use crate::work::{Position, SUSPECTS_MAX, Work};

/// How many octets of images go into one record.
const IMAGES_OCTETS: usize = 1 << 20;

/// When a change counts as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk for sure before it is published.
    Synced,
    /// It is handed to the system: for a node that has the data elsewhere, durably.
    Lazy,
}

/// How a mirror works.
#[derive(Clone, Debug)]
pub struct Options {
    /// When a change counts as kept.
    pub durability: Durability,
    /// How many threads read a snapshot; with 1 none is started.
    pub threads: usize,
    /// Secret and random, other than the catalog's.
    pub seed: u64,
    /// How many octets of frames are kept in memory for followers.
    pub recent_octets_max: usize,
    /// A log segment is closed when it has so many octets.
    pub segment_octets_max: u64,
    /// There is no compaction before the log has so many octets, nor before it has a quarter of the snapshot's.
    pub compaction_octets_min: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Synced,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            seed: 0,
            recent_octets_max: 64 << 20,
            segment_octets_max: 64 << 20,
            compaction_octets_min: 64 << 20,
        }
    }
}

/// What applying came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The last revision that is served now.
    pub revision: Revision,
    /// The digest of what is served.
    pub digest: ShortDigest,
    /// Whether it is what the control plane has at this revision.
    pub matches: bool,
    /// Zones that turned out to be other than what a change was made against: they stay as they were until they are
    /// repaired.
    pub suspects: Vec<Name>,
}

/// What publishing came to.
#[derive(Debug)]
pub struct Published {
    /// The last revision that is served now.
    pub revision: Revision,
    /// Whether it is in the log, too. After an error the log has a gap until the next compaction.
    pub logged: Result<(), MirrorError>,
}

type Hook = Box<dyn Fn(Revision) + Send + Sync>;

/// The durable local copy of all zones. Shared by threads: one applies or publishes, others read history and compact.
pub struct Mirror {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) options: Options,
    pub(crate) log: Log,
    pub(crate) state: Mutex<State>,
    pub(crate) recent: Mutex<Recent>,
    revision: AtomicU64,
    hooks: RwLock<Vec<Hook>>,
}

/// How the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a segment to which records can be appended.
    Open,
    /// With one that is not written any more.
    Closed,
    /// Before the revision that is served: none can be appended.
    Gap,
}

/// What whoever changes the mirror holds the lock of.
pub(crate) struct State {
    pub(crate) set: Option<SetId>,
    pub(crate) position: Position,
    pub(crate) tip: Tip,
    /// Oldest first.
    pub(crate) snapshots: Vec<SnapshotFile>,
    /// Files that are of no use and go when there is a new snapshot.
    pub(crate) junk: Vec<String>,
    pub(crate) suspects: BTreeSet<Name>,
    /// A new snapshot is wanted, whatever the length of the log.
    pub(crate) is_stale: bool,
    pub(crate) end: End,
    pub(crate) is_compacting: bool,
}

impl Mirror {
    pub(crate) fn assemble(
        disk: Arc<dyn Disk>,
        catalog: Arc<Catalog>,
        options: Options,
        log: Log,
        state: State,
    ) -> Self {
        let Position { revision, at_ms, expected, digest } = &state.position;
        let shown =
            Shown { set: state.set, revision: *revision, at_ms: *at_ms, expected: *expected, digest: digest.short() };
        let recent = Recent::new(options.recent_octets_max, shown);
        let revision = AtomicU64::new(state.position.revision.0);
        let (state, recent, hooks) = (Mutex::new(state), Mutex::new(recent), RwLock::default());
        Self { disk, catalog, options, log, state, recent, revision, hooks }
    }

    /// The catalog that it publishes to.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The last revision that is served.
    pub fn revision(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }

    /// Whose data it has; `None` before the first.
    pub fn set(&self) -> Option<SetId> {
        self.recent().shown.set
    }

    /// The last revision, when it was committed (ms since 1970), the digest that all data have at it, and the digest of
    /// what is served. The first digest says which history the mirror belongs to, the second whether it is whole.
    pub fn position(&self) -> (Revision, u64, ShortDigest, ShortDigest) {
        let Shown { revision, at_ms, expected, digest, .. } = self.recent().shown;
        (revision, at_ms, expected, digest)
    }

    /// The digest of all zones that are served.
    pub fn digest(&self) -> Digest {
        self.state().position.digest.clone()
    }

    /// Zones that are known to be other than they should be.
    pub fn suspects(&self) -> Vec<Name> {
        self.state().suspects.iter().cloned().collect()
    }

    /// Has `hook` called with each new revision, after it was published, by the thread that did so.
    pub fn on_revision(&self, hook: impl Fn(Revision) + Send + Sync + 'static) {
        self.hooks.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
    }

    /// Says whose data the mirror is to have, before the first come.
    pub fn claim(&self, set: SetId) -> Result<(), MirrorError> {
        let mut state = self.state();
        state.check_set(set)?;
        state.set = Some(set);
        self.recent().shown.set = state.set;
        Ok(())
    }

    /// Applies frames that follow one another: writes them to the log with one write, makes them durable, and then publishes
    /// what they come to. After an error nothing of them is applied, and they can be tried again.
    pub fn apply(&self, frames: &[Arc<[u8]>]) -> Result<Applied, MirrorError> {
        let mut state = self.state();
        let mut work = Work::new(&self.catalog, state.position.clone());
        let mut fresh = Vec::with_capacity(frames.len());
        for bytes in frames {
            let head = Frame::peek(bytes)?;
            let applied = work.position.revision;
            if head.after > applied {
                return Err(MirrorError::Gap { after: head.after, applied });
            }
            state.check_set(head.set)?;
            if head.last > applied {
                work.frame(Frame::decode(bytes)?);
                fresh.push((head, Arc::clone(bytes)));
            } else if frames.len() == 1 {
                return Err(MirrorError::Old { last: head.last, applied });
            }
        }
        let Some(set) = fresh.first().map(|(head, _)| head.set).or(state.set) else {
            return Err(MirrorError::Old { last: Revision(0), applied: Revision(0) });
        };
        let mut batch = self.batch(&mut state, set)?;
        for (head, bytes) in &fresh {
            self.log.add_frame(&mut batch, &state.tip, (head.after, head.last), bytes);
        }
        self.log.append(&mut state.tip, &batch, self.options.durability == Durability::Synced)?;
        state.set = Some(set);
        self.remember(fresh);
        let applied = self.take_over(&mut state, work);
        drop(state);
        self.call_hooks(applied.revision);
        Ok(applied)
    }

    /// Publishes one frame whose zones the caller has already, with the digest of all zones after it. Nothing but another
    /// set, a gap or a repetition keeps it from being published; a full disk costs the log only.
    pub fn publish(
        &self,
        bytes: Arc<[u8]>,
        zones: impl IntoIterator<Item = (Name, Option<Zone>)>,
        digest: Digest,
    ) -> Result<Published, MirrorError> {
        let head = Frame::peek(&bytes)?;
        let FrameHead { set, after, last, at_ms, digest: expected } = head;
        let mut state = self.state();
        let applied = state.position.revision;
        state.check_set(set)?;
        if after > applied {
            return Err(MirrorError::Gap { after, applied });
        }
        if after < applied {
            return Err(MirrorError::Old { last, applied });
        }
        state.set = Some(set);
        let logged = self.append_frame(&mut state, &head, &bytes);
        if logged.is_err() {
            state.end = End::Gap;
        }
        self.catalog.publish(zones);
        state.position = Position { revision: last, at_ms, digest, expected };
        self.remember(vec![(head, bytes)]);
        self.show(&state);
        drop(state);
        self.call_hooks(last);
        Ok(Published { revision: last, logged })
    }

    /// Takes over a catalog that was filled from elsewhere and holds all data at a revision. What the folder has is
    /// superseded; the next compaction writes a snapshot.
    pub fn adopt(&self, set: SetId, revision: Revision, at_ms: u64, digest: Digest) -> Result<(), MirrorError> {
        let mut state = self.state();
        self.log.clear()?;
        let old = std::mem::take(&mut state.snapshots);
        state.junk.extend(old.into_iter().map(|snapshot| snapshot.name));
        state.set = Some(set);
        state.position = Position { revision, at_ms, expected: digest.short(), digest };
        state.suspects.clear();
        (state.is_stale, state.end) = (true, End::Open);
        self.log.chain_mut().floor = revision;
        self.recent().clear();
        self.show(&state);
        drop(state);
        self.call_hooks(revision);
        Ok(())
    }

    /// Puts zones right that differ from the control plane's at `revision`, which the mirror has: each as a whole, or
    /// `None` where there is no such zone. They are durable before they are published.
    pub fn repair(&self, revision: Revision, zones: Vec<(Name, Option<Zone>)>) -> Result<Applied, MirrorError> {
        let mut state = self.state();
        let applied = state.position.revision;
        let Some(set) = state.set.filter(|_| revision <= applied) else {
            return Err(MirrorError::Gap { after: revision, applied });
        };
        let mut batch = self.batch(&mut state, set)?;
        let mut images = Vec::new();
        for (name, zone) in &zones {
            let Some(zone) = zone else {
                self.log.add(&mut batch, &state.tip, Kind::Gone, name.as_bytes());
                continue;
            };
            for piece in pieces(zone.view()) {
                if images.len() >= IMAGES_OCTETS {
                    self.log.add(&mut batch, &state.tip, Kind::Images, &images);
                    images.clear();
                }
                piece.write(&mut images);
            }
            // Each zone is a run of its own, so that a name that is gone may follow.
            self.log.add(&mut batch, &state.tip, Kind::Images, &images);
            images.clear();
        }
        self.log.append(&mut state.tip, &batch, self.options.durability == Durability::Synced)?;
        let mut work = Work::new(&self.catalog, state.position.clone());
        for (name, zone) in zones {
            work.replace(name, zone);
        }
        Ok(self.take_over(&mut state, work))
    }

    /// Makes all that was published durable: a node that stops in order loses nothing of a lazy log.
    pub fn sync(&self) -> Result<(), MirrorError> {
        self.log.sync(&mut self.state().tip)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn call_hooks(&self, revision: Revision) {
        self.hooks.read().unwrap_or_else(PoisonError::into_inner).iter().for_each(|hook| hook(revision));
    }

    /// Lets others see where the mirror is now, once that is published.
    pub(crate) fn show(&self, state: &State) -> ShortDigest {
        let Position { revision, at_ms, expected, digest } = &state.position;
        let digest = digest.short();
        let mut recent = self.recent();
        if recent.digest_at(*revision).is_none() {
            recent.note(*revision, *expected);
        }
        recent.shown = Shown { set: state.set, revision: *revision, at_ms: *at_ms, expected: *expected, digest };
        self.revision.store(revision.0, Ordering::Release);
        digest
    }

    /// Records to be appended, to a segment that can be written.
    fn batch(&self, state: &mut State, set: SetId) -> Result<Batch, MirrorError> {
        let revision = state.position.revision;
        match state.end {
            End::Open => {}
            End::Closed => self.log.rotate(&mut state.tip, set, revision, false)?,
            End::Gap => return Err(MirrorError::LogGap),
        }
        state.end = End::Open;
        self.log.batch(&mut state.tip, set, revision)
    }

    fn append_frame(&self, state: &mut State, head: &FrameHead, bytes: &[u8]) -> Result<(), MirrorError> {
        let mut batch = self.batch(state, head.set)?;
        self.log.add_frame(&mut batch, &state.tip, (head.after, head.last), bytes);
        self.log.append(&mut state.tip, &batch, self.options.durability == Durability::Synced)
    }

    /// Publishes what was worked out.
    fn take_over(&self, state: &mut State, work: Work<'_>) -> Applied {
        let Work { position, zones, suspects, healed, .. } = work;
        self.catalog.publish(zones);
        if !state.suspects.is_empty() {
            state.suspects.retain(|name| !healed.contains(name));
        }
        let room = SUSPECTS_MAX.saturating_sub(state.suspects.len());
        state.suspects.extend(suspects.iter().take(room).cloned());
        state.position = position;
        let digest = self.show(state);
        let Position { revision, expected, .. } = &state.position;
        Applied { revision: *revision, matches: digest == *expected, digest, suspects: suspects.into_iter().collect() }
    }

    fn remember(&self, frames: Vec<(FrameHead, Arc<[u8]>)>) {
        let mut recent = self.recent();
        for (head, bytes) in frames {
            recent.note(head.last, head.digest);
            recent.push(Held { after: head.after, last: head.last, bytes });
        }
    }
}

impl State {
    pub(crate) fn check_set(&self, found: SetId) -> Result<(), MirrorError> {
        match self.set {
            Some(own) if own != found => Err(MirrorError::OtherSet { found, own }),
            _ => Ok(()),
        }
    }
}
