//! The mirror as the feed sees it: what a node has for others, and what it takes from another.

use std::collections::BTreeSet;
use std::sync::Arc;

use rokko_feed::SetId;
use rokko_feed::audit::View as AuditView;
use rokko_feed::follow::{Applied, Local, Position, Trouble};
use rokko_feed::message::{Partial, SnapshotStart, Verified};
use rokko_feed::serve::{self, History, Next};
use rokko_wire::Name;
use rokko_zone::{Revision, ShortDigest, Zone, ZoneMark};

use crate::audit::View;
use crate::error::MirrorError;
use crate::history::SnapshotSource;
use crate::install::{Announced, Installer};
use crate::mirror::{self, Mirror};

type Digests = Arc<dyn Fn(Revision) -> Option<ShortDigest> + Send + Sync>;

/// What a mirror has for those who follow it. Clones are the same.
#[derive(Clone)]
pub struct Source {
    mirror: Arc<Mirror>,
    digests: Option<Digests>,
}

/// The copy that a follower keeps in a mirror.
pub struct Copy {
    mirror: Arc<Mirror>,
    installer: Option<Installer>,
    now_ms: Box<dyn Fn() -> u64 + Send>,
}

struct Sent {
    mirror: Arc<Mirror>,
    source: SnapshotSource,
}

impl Source {
    /// What `mirror` has.
    pub fn new(mirror: Arc<Mirror>) -> Self {
        Self { mirror, digests: None }
    }

    /// All zones as they are now, to work out what a [`rokko_feed::audit::Job`] asks for.
    pub fn view(&self) -> View {
        self.mirror.view()
    }

    /// With a memory of digests that goes further back than the mirror's own, such as the control node's log.
    #[must_use]
    pub fn with_digests(mut self, digests: impl Fn(Revision) -> Option<ShortDigest> + Send + Sync + 'static) -> Self {
        self.digests = Some(Arc::new(digests));
        self
    }
}

impl Copy {
    /// The copy in `mirror`, with a clock that tells milliseconds since 1970.
    pub fn new(mirror: Arc<Mirror>, now_ms: impl Fn() -> u64 + Send + 'static) -> Self {
        Self { mirror, installer: None, now_ms: Box::new(now_ms) }
    }

    fn applied(&self, applied: mirror::Applied) -> Applied {
        let at_ms = (self.now_ms)();
        Applied { position: self.position(), at_ms, suspects: applied.suspects }
    }
}

impl History for Source {
    fn set(&self) -> Option<SetId> {
        self.mirror.set()
    }

    fn head(&self) -> Revision {
        self.mirror.revision()
    }

    fn is_whole(&self) -> bool {
        let (_, _, expected, digest) = self.mirror.position();
        expected == digest
    }

    fn digest_at(&self, revision: Revision) -> Option<ShortDigest> {
        let own = self.mirror.digest_at(revision);
        own.or_else(|| self.digests.as_ref().and_then(|digests| digests(revision)))
    }

    fn frame_after(&self, revision: Revision) -> Next {
        self.mirror.frame_after(revision)
    }

    fn snapshot(&self) -> Option<Box<dyn serve::Snapshot>> {
        Some(Sent::of(&self.mirror, self.mirror.snapshot()?))
    }

    fn snapshot_at(&self, revision: Revision) -> Option<Box<dyn serve::Snapshot>> {
        Some(Sent::of(&self.mirror, self.mirror.snapshot_at(revision)?))
    }

    fn zones(&self, names: &[Name]) -> (Revision, Vec<(Name, Option<Zone>)>) {
        let state = self.mirror.state();
        let zones = names.iter().map(|name| (name.clone(), self.mirror.catalog().zone(name))).collect();
        (state.position.revision, zones)
    }
}

impl Sent {
    fn of(mirror: &Arc<Mirror>, source: SnapshotSource) -> Box<dyn serve::Snapshot> {
        Box::new(Self { mirror: Arc::clone(mirror), source })
    }
}

impl serve::Snapshot for Sent {
    fn start(&self) -> SnapshotStart {
        let Announced { revision, at_ms, digest, zones, blocks, octets, .. } = Announced::of(self.source.header());
        SnapshotStart { revision, at_ms, digest, zones, blocks, octets, from_block: 0 }
    }

    fn block(&self, index: u64) -> Option<Vec<u8>> {
        self.source.block(&self.mirror, index).ok()
    }
}

impl Local for Copy {
    fn set(&self) -> Option<SetId> {
        self.mirror.set()
    }

    fn claim(&mut self, set: SetId) -> Result<(), Trouble> {
        self.mirror.claim(set).map_err(|error| trouble(&error))
    }

    fn position(&self) -> Position {
        let (revision, _, expected, digest) = self.mirror.position();
        Position { revision, expected, digest }
    }

    fn partial(&mut self) -> Option<Partial> {
        let partial = self.mirror.partial()?;
        Some(Partial { revision: partial.revision, digest: partial.digest, blocks: partial.blocks })
    }

    fn suspects(&self) -> Vec<Name> {
        self.mirror.suspects()
    }

    fn apply(&mut self, frames: &[Arc<[u8]>]) -> Result<Applied, Trouble> {
        self.mirror.apply(frames).map(|applied| self.applied(applied)).map_err(|error| trouble(&error))
    }

    fn repair(&mut self, revision: Revision, zones: Vec<(Name, Option<Zone>)>) -> Result<Applied, Trouble> {
        self.mirror.repair(revision, zones).map(|applied| self.applied(applied)).map_err(|error| trouble(&error))
    }

    fn begin(&mut self, set: SetId, start: &SnapshotStart) -> Result<u64, Trouble> {
        self.installer = None;
        let SnapshotStart { revision, at_ms, digest, zones, blocks, octets, .. } = *start;
        let announced = Announced { set, revision, at_ms, zones, blocks, octets, digest };
        let installer = self.mirror.install(&announced).map_err(|error| trouble(&error))?;
        let blocks = installer.blocks();
        self.installer = Some(installer);
        Ok(blocks)
    }

    fn block(&mut self, index: u64, bytes: &[u8]) -> Result<(), Trouble> {
        let installer = self.installer.as_mut().ok_or_else(no_transfer)?;
        installer.block(index, bytes).map_err(|error| trouble(&error))
    }

    fn finish(&mut self) -> Result<Applied, Trouble> {
        let installer = self.installer.take().ok_or_else(no_transfer)?;
        installer.finish().map_err(|error| trouble(&error))?;
        let at_ms = (self.now_ms)();
        Ok(Applied { position: self.position(), at_ms, suspects: Vec::new() })
    }

    fn give_up(&mut self) {
        self.installer = None;
    }
}

impl AuditView for View {
    fn revision(&self) -> Revision {
        View::revision(self)
    }

    fn sums(&self) -> Vec<u128> {
        View::sums(self)
    }

    fn marks(&self, buckets: &BTreeSet<u16>) -> Vec<ZoneMark> {
        View::marks(self, buckets)
    }

    fn names(&self, hashes: &BTreeSet<u64>) -> Vec<Name> {
        View::names(self, hashes)
    }

    fn verify(&self) -> Verified {
        let crate::Verified { revision, zones, octets, digest, .. } = View::verify(self);
        Verified { revision, at_ms: 0, zones, octets, digest }
    }
}

/// What an error means for the feed: the disk may take later what it does not take now.
fn trouble(error: &MirrorError) -> Trouble {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    match error {
        MirrorError::Disk { .. } | MirrorError::LogGap => Trouble::Later(text),
        _ => Trouble::Never(text),
    }
}

fn no_transfer() -> Trouble {
    Trouble::Never("no snapshot is being received".to_owned())
}
