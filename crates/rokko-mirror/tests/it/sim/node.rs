//! A node: its disk, its mirror, and its sessions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rokko_feed::follow::{Behind, Following};
use rokko_feed::serve::Serving;
use rokko_mirror::feed::{Copy, Source};
use rokko_mirror::sim::SimDisk;
use rokko_mirror::{Compaction, Durability, Mirror, OpenReport, Options};
use rokko_wire::Name;
use rokko_zone::{Catalog, Revision, ZoneMark};

use super::Random;
use crate::origin::{Origin, SET};

#[expect(clippy::struct_excessive_bools, reason = "each says something else of a node")]
pub(super) struct Node {
    pub(super) number: usize,
    /// The node that it follows; `None`: it is the control node.
    pub(super) upstream: Option<usize>,
    pub(super) is_relay: bool,
    /// By how much its clock is ahead, in milliseconds, and what it shows.
    pub(super) ahead_ms: u64,
    pub(super) clock: Arc<AtomicU64>,
    pub(super) disk: SimDisk,
    pub(super) running: Option<Running>,
    /// Counts the starts.
    pub(super) life: u64,
    /// Its disk dies once it has done so many steps.
    pub(super) dies_at: Option<u64>,
    pub(super) is_reachable: bool,
    /// Its copy was damaged on purpose and may be older or less than it was, until its digest is right again.
    pub(super) was_damaged: bool,
    /// Its files were damaged on purpose, which may show at any later start.
    pub(super) has_rotted: bool,
    /// What it was seen to answer with.
    revision: Revision,
    zones: BTreeMap<Name, Revision>,
}

/// What a node has in memory.
pub(super) struct Running {
    pub(super) mirror: Arc<Mirror>,
    pub(super) source: Source,
    pub(super) following: Option<(u64, Following, Copy)>,
    pub(super) serving: BTreeMap<u64, Serving>,
    pub(super) behind: Behind,
    pub(super) compaction: Option<Compaction>,
    pub(super) fresh_ms: u64,
}

impl Node {
    pub(super) fn new(number: usize, upstream: Option<usize>, is_relay: bool, random: &mut Random) -> Self {
        Self {
            number,
            upstream,
            is_relay,
            ahead_ms: 1_000_000 + random.below(20_000),
            clock: Arc::default(),
            disk: SimDisk::new(random.below(u64::MAX)),
            running: None,
            life: 0,
            dies_at: None,
            is_reachable: true,
            was_damaged: false,
            has_rotted: false,
            revision: Revision(0),
            zones: BTreeMap::new(),
        }
    }

    pub(super) fn is_control(&self) -> bool {
        self.upstream.is_none()
    }

    pub(super) fn name(&self) -> Box<str> {
        format!("pop{}", self.number).into()
    }

    /// What its clock shows.
    pub(super) fn set_clock(&self, now: u64) -> u64 {
        self.clock.store(now + self.ahead_ms, Ordering::Relaxed);
        now + self.ahead_ms
    }

    /// Starts it from its disk.
    pub(super) fn start(&mut self, origin: &Origin) {
        self.life += 1;
        self.dies_at = None;
        self.was_damaged |= self.has_rotted;
        let mirror = if self.is_control() { self.open_control(origin) } else { self.open() };
        let source = Source::new(Arc::clone(&mirror));
        self.running = Some(Running {
            mirror,
            source,
            following: None,
            serving: BTreeMap::new(),
            behind: Behind::default(),
            compaction: None,
            fresh_ms: 0,
        });
    }

    fn open(&mut self) -> Arc<Mirror> {
        if let Some((mirror, report)) = open(&self.disk, Durability::Synced) {
            // A node whose disk refuses a sync at the start answers with what it read, and may lose that with the power.
            self.has_rotted |= !report.damages.is_empty();
            return mirror;
        }
        // What a person would do who is told that a file is of a later version.
        assert!(self.was_damaged, "an undamaged mirror could not be opened");
        self.disk = SimDisk::new(self.life);
        open(&self.disk, Durability::Synced).unwrap().0
    }

    /// The control node's mirror is derived from the log: it catches up, or is made anew.
    fn open_control(&mut self, origin: &Origin) -> Arc<Mirror> {
        let head = origin.revision();
        if let Some((mirror, _)) = open(&self.disk, Durability::Lazy)
            && mirror.revision() <= head
        {
            for bytes in &origin.frames {
                if rokko_feed::frame::Frame::peek(bytes).unwrap().last > mirror.revision()
                    && mirror.apply(&[Arc::clone(bytes)]).is_err()
                {
                    break;
                }
            }
            let (revision, _, expected, digest) = mirror.position();
            if revision == head && expected == digest && expected == origin.digest.short() {
                return mirror;
            }
        }
        self.disk = SimDisk::new(self.life);
        let catalog = Arc::new(Catalog::new(3));
        let (mirror, _) =
            Mirror::open(Arc::new(self.disk.clone()), Arc::clone(&catalog), options(Durability::Lazy)).unwrap();
        catalog.publish(origin.zones.iter().map(|(name, zone)| (name.clone(), Some(zone.clone()))));
        mirror.adopt(SET, head, 0, origin.digest.clone()).unwrap();
        Arc::new(mirror)
    }

    /// Holds what it answers with against what there was.
    pub(super) fn check(&mut self, origin: &Origin, names: &[Name]) {
        let Some(running) = &self.running else { return };
        let mirror = &running.mirror;
        let (revision, _, expected, digest) = mirror.position();
        let state = &origin.states[usize::try_from(revision.0).unwrap()];
        assert_eq!(expected, state.1, "node {} expects another digest at {revision}", self.number);
        let is_right = digest == state.1;
        assert!(is_right || self.was_damaged, "node {} is not whole at {revision}", self.number);
        assert!(revision >= self.revision || self.was_damaged, "node {} went back to {revision}", self.number);
        let mut zones = BTreeMap::new();
        for name in names {
            let found = mirror.catalog().zone(name);
            if is_right {
                let same = found.as_ref().map(|zone| ZoneMark::of(zone.view()))
                    == state.0.get(name).map(|zone| ZoneMark::of(zone.view()));
                assert!(same, "node {} has another {name} at {revision}", self.number);
            }
            let Some(zone) = found else { continue };
            let at = zone.revision();
            let was = origin.states[usize::try_from(at.0).unwrap()].0.get(name);
            let was = was.map(|zone| ZoneMark::of(zone.view()));
            assert_eq!(Some(ZoneMark::of(zone.view())), was, "node {}: {name} was never so", self.number);
            let before = self.zones.get(name).copied().unwrap_or_default();
            assert!(at >= before || self.was_damaged, "node {}: {name} went back to {at}", self.number);
            zones.insert(name.clone(), at);
        }
        (self.revision, self.zones) = (revision, zones);
        if is_right && mirror.suspects().is_empty() {
            self.was_damaged = false;
        }
    }

    /// Whether it has all that the log has.
    pub(super) fn is_in_sync(&self, origin: &Origin) -> bool {
        let Some(running) = &self.running else { return false };
        let (revision, _, _, digest) = running.mirror.position();
        revision == origin.revision() && digest == origin.digest.short()
    }
}

fn open(disk: &SimDisk, durability: Durability) -> Option<(Arc<Mirror>, OpenReport)> {
    let catalog = Arc::new(Catalog::new(3));
    Mirror::open(Arc::new(disk.clone()), catalog, options(durability))
        .ok()
        .map(|(mirror, report)| (Arc::new(mirror), report))
}

/// Small enough that segments, chunks and snapshots change often.
fn options(durability: Durability) -> Options {
    Options {
        durability,
        threads: 1,
        seed: 5,
        recent_octets_max: 2_000,
        segment_octets_max: 3_000,
        compaction_octets_min: 6_000,
    }
}
