//! What the mirror has for those who follow it: frames, and snapshots.

use std::collections::VecDeque;
use std::sync::Arc;

use rokko_feed::SetId;
use rokko_feed::frame::Frame;
pub use rokko_feed::serve::Next;
use rokko_zone::{Revision, ShortDigest};

use crate::error::MirrorError;
use crate::load::SnapshotFile;
use crate::mirror::Mirror;
use crate::snapshot::Header;

/// How many octets of frames are read from the disk at once.
const CHUNK_OCTETS: usize = 256 << 10;
/// How many digests of past revisions are remembered.
const DIGESTS_MAX: usize = 1 << 16;
/// How many such chunks are kept, so that as many followers can catch up side by side.
const CHUNKS_MAX: usize = 16;

/// A frame in memory.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) after: Revision,
    pub(crate) last: Revision,
    pub(crate) bytes: Arc<[u8]>,
}

/// Where the mirror is, for those who do not wait for the disk.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) set: Option<SetId>,
    pub(crate) revision: Revision,
    pub(crate) at_ms: u64,
    pub(crate) expected: ShortDigest,
    pub(crate) digest: ShortDigest,
}

/// Frames in memory: the newest, and chunks that were read from the disk.
pub(crate) struct Recent {
    pub(crate) shown: Shown,
    /// What the digest was to be at past revisions.
    digests: VecDeque<(Revision, ShortDigest)>,
    frames: VecDeque<Held>,
    octets: usize,
    octets_max: usize,
    chunks: VecDeque<Vec<Held>>,
}

/// A snapshot to be sent.
#[derive(Clone)]
pub struct SnapshotSource(SnapshotFile);

impl Recent {
    pub(crate) fn new(octets_max: usize, shown: Shown) -> Self {
        let (digests, frames, chunks) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Self { shown, digests, frames, octets: 0, octets_max, chunks }
    }

    /// Forgets all frames, of a history that has been left behind.
    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.chunks.clear();
        self.digests.clear();
        self.octets = 0;
    }

    /// Remembers what the digest is to be at a revision; revisions rise.
    pub(crate) fn note(&mut self, revision: Revision, digest: ShortDigest) {
        if self.digests.len() == DIGESTS_MAX {
            self.digests.pop_front();
        }
        self.digests.push_back((revision, digest));
    }

    pub(crate) fn digest_at(&self, revision: Revision) -> Option<ShortDigest> {
        let place = self.digests.binary_search_by_key(&revision, |&(at, _)| at).ok()?;
        Some(self.digests[place].1)
    }

    pub(crate) fn push(&mut self, frame: Held) {
        self.octets += frame.bytes.len();
        self.frames.push_back(frame);
        while self.octets > self.octets_max
            && let Some(old) = self.frames.pop_front()
        {
            self.octets -= old.bytes.len();
        }
    }

    fn find(&self, revision: Revision) -> Option<&Held> {
        let in_order = |frames: &VecDeque<Held>| frames.partition_point(|frame| frame.last <= revision);
        let newest = self.frames.get(in_order(&self.frames));
        let chunks = self.chunks.iter().map(|chunk| chunk.get(chunk.partition_point(|frame| frame.last <= revision)));
        newest.into_iter().chain(chunks.flatten()).find(|frame| frame.after <= revision)
    }
}

impl Mirror {
    /// The frame that leads on from `revision`. Reads the disk if it is not one of the newest.
    pub fn frame_after(&self, revision: Revision) -> Next {
        if revision >= self.revision() {
            return Next::Nothing;
        }
        let next = |held: &Held| Next::Frame { last: held.last, bytes: Arc::clone(&held.bytes) };
        if let Some(held) = self.recent().find(revision) {
            return next(held);
        }
        let range = |bytes: &[u8]| Frame::peek(bytes).ok().map(|head| (head.after, head.last));
        let Some(chunk) = self.log.frames_after(revision, CHUNK_OCTETS, range) else { return Next::TooOld };
        let found = chunk.first().map_or(Next::TooOld, next);
        let mut recent = self.recent();
        recent.chunks.truncate(CHUNKS_MAX - 1);
        recent.chunks.push_front(chunk);
        found
    }

    /// What the digest of all data is at a revision; `None` if it is not remembered.
    pub fn digest_at(&self, revision: Revision) -> Option<ShortDigest> {
        self.recent().digest_at(revision)
    }

    /// The newest snapshot that is whole and undamaged; `None` if there is none, and then a compaction makes one.
    pub fn snapshot(&self) -> Option<SnapshotSource> {
        let state = self.state();
        state.snapshots.iter().rev().find(|file| file.is_good && file.header.is_whole()).cloned().map(SnapshotSource)
    }

    /// The snapshot of one revision, to go on with a transfer.
    pub fn snapshot_at(&self, revision: Revision) -> Option<SnapshotSource> {
        let state = self.state();
        let mut files = state.snapshots.iter().filter(|file| file.is_good && file.header.is_whole());
        files.find(|file| file.header.revision == revision).cloned().map(SnapshotSource)
    }

    /// Takes note that a snapshot is damaged: it is not sent any more, and the next compaction replaces it.
    pub(crate) fn distrust(&self, name: &str) {
        let mut state = self.state();
        state.is_stale = true;
        state.snapshots.iter_mut().filter(|file| file.name == name).for_each(|file| file.is_good = false);
    }
}

impl SnapshotSource {
    /// What the snapshot is.
    pub fn header(&self) -> &Header {
        &self.0.header
    }

    /// A block, header and all. If it is damaged, the mirror takes note.
    pub fn block(&self, mirror: &Mirror, number: u64) -> Result<Vec<u8>, MirrorError> {
        let mut buffer = Vec::new();
        let is_good = usize::try_from(number).is_ok_and(|index| self.0.block(index, &mut buffer).is_some());
        if is_good {
            return Ok(buffer);
        }
        mirror.distrust(&self.0.name);
        Err(MirrorError::Block { number })
    }
}
