//! The log on the disk: segments that follow one another, of which the last is written.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rokko_zone::Revision;

use crate::SetId;
use crate::disk::{Disk, DiskFile, read};
use crate::error::{MirrorError, failed};
use crate::history::Held;
use crate::segment::{HEADER_LEN, Header, Item, Kind, Records};

/// So many octets apart are the places of a segment that are remembered.
const INDEX_STEP: u64 = 64 << 10;

/// A segment as it is on the disk.
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) header: Header,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Its last frame's last revision; that which it follows if it has no frame.
    pub(crate) last: Revision,
    /// Octets of it that count.
    pub(crate) len: u64,
    /// Places of frames: the revision that the frame follows, and where its record starts.
    index: Vec<(Revision, u64)>,
}

/// All segments, the last one open for writing. One thread writes, any may read.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    /// Secret and random; markers come from it.
    seed: u64,
    octets_max: u64,
    chain: RwLock<Chain>,
}

#[derive(Default)]
pub(crate) struct Chain {
    pub(crate) segments: Vec<Segment>,
    /// From this revision on no frame is missing.
    pub(crate) floor: Revision,
}

/// What only the writer of the log needs to know.
#[derive(Default)]
pub(crate) struct Tip {
    /// How many octets of the last segment are durable.
    synced: u64,
    /// The last segment has octets at its end that do not count.
    has_rest: bool,
}

/// Records that are to be appended at once.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    frames: Vec<(Revision, Revision, u64)>,
}

impl Segment {
    pub(crate) fn new(name: String, header: Header, file: Arc<dyn DiskFile>) -> Self {
        Self { name, header, file, last: header.after, len: HEADER_LEN as u64, index: Vec::new() }
    }

    /// Remembers a frame of the segment.
    pub(crate) fn note(&mut self, after: Revision, last: Revision, offset: u64) {
        if self.index.last().is_none_or(|&(_, place)| place + INDEX_STEP <= offset) {
            self.index.push((after, offset));
        }
        self.last = last;
    }

    /// Takes note of a segment that was not read: it leads up to `last`.
    pub(crate) fn leave_out(&mut self, last: Revision, len: u64) {
        (self.last, self.len) = (last, len);
    }

    /// Whether it has no record.
    fn is_empty(&self) -> bool {
        self.len <= HEADER_LEN as u64
    }
}

impl Tip {
    /// All of a segment of `len` octets is durable.
    pub(crate) fn at(len: u64) -> Self {
        Self { synced: len, has_rest: false }
    }

    /// There are octets at the end that do not count.
    pub(crate) fn mark_rest(&mut self) {
        self.has_rest = true;
    }
}

impl Log {
    pub(crate) fn new(disk: Arc<dyn Disk>, seed: u64, octets_max: u64, chain: Chain) -> Self {
        Self { disk, seed, octets_max, chain: RwLock::new(chain) }
    }

    pub(crate) fn chain(&self) -> RwLockReadGuard<'_, Chain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn chain_mut(&self) -> RwLockWriteGuard<'_, Chain> {
        self.chain.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many octets all segments after `revision` have.
    pub(crate) fn octets_after(&self, revision: Revision) -> u64 {
        self.chain().segments.iter().filter(|segment| segment.last > revision).map(|segment| segment.len).sum()
    }

    /// Begins a segment that follows `after`, unless the last one does and is open and without a frame: repairs that are in it
    /// stay, since one in its place would have its name.
    pub(crate) fn rotate(&self, tip: &mut Tip, set: SetId, after: Revision, is_open: bool) -> Result<(), MirrorError> {
        if let Some(last) = self.chain().segments.last()
            && (last.is_empty() || is_open && last.last == after)
            && (last.header.after, last.header.set) == (after, set)
        {
            return Ok(());
        }
        let name = segment_name(after);
        let header = Header { set, after, marker: self.marker(after) };
        let file = self.disk.create(&name).map_err(failed("creating", &name))?;
        file.write_at(&header.encode(), 0).map_err(failed("writing", &name))?;
        file.sync().map_err(failed("writing", &name))?;
        self.disk.sync_folder().map_err(failed("creating", &name))?;
        let mut chain = self.chain_mut();
        // What is created in the place of an empty segment has its name.
        chain.segments.retain(|segment| segment.name != name);
        if chain.segments.last().is_none_or(|last| last.last != after) {
            chain.floor = after;
        }
        chain.segments.push(Segment::new(name, header, file.into()));
        *tip = Tip::at(HEADER_LEN as u64);
        Ok(())
    }

    /// Starts records for the last segment; a full one is followed by a new one first.
    pub(crate) fn batch(&self, tip: &mut Tip, set: SetId, after: Revision) -> Result<Batch, MirrorError> {
        let is_full = self.chain().segments.last().is_none_or(|last| last.len >= self.octets_max);
        if is_full {
            self.rotate(tip, set, after, true)?;
        }
        Ok(Batch::default())
    }

    /// Adds a record to a batch.
    pub(crate) fn add(&self, batch: &mut Batch, tip: &Tip, kind: Kind, body: &[u8]) {
        if let Some(last) = self.chain().segments.last() {
            last.header.write(tip.synced, kind, body, &mut batch.bytes);
        }
    }

    /// Adds a frame to a batch.
    pub(crate) fn add_frame(&self, batch: &mut Batch, tip: &Tip, frame: (Revision, Revision), bytes: &[u8]) {
        batch.frames.push((frame.0, frame.1, batch.bytes.len() as u64));
        self.add(batch, tip, Kind::Frame, bytes);
    }

    /// Appends a batch with one write; after an error nothing of it counts.
    pub(crate) fn append(&self, tip: &mut Tip, batch: &Batch, durably: bool) -> Result<(), MirrorError> {
        let Some((name, file, len)) =
            self.chain().segments.last().map(|last| (last.name.clone(), Arc::clone(&last.file), last.len))
        else {
            return Err(MirrorError::LogGap);
        };
        if tip.has_rest {
            file.set_len(len).map_err(failed("cutting", &name))?;
            tip.has_rest = false;
        }
        let end = len + batch.bytes.len() as u64;
        let written = file.write_at(&batch.bytes, len).and_then(|()| if durably { file.sync() } else { Ok(()) });
        if let Err(error) = written {
            // An attempt now; should it fail, the next append or the next start cuts it.
            tip.has_rest = file.set_len(len).is_err();
            return Err(failed("writing", &name)(error));
        }
        if durably {
            tip.synced = end;
        }
        let mut chain = self.chain_mut();
        if let Some(last) = chain.segments.last_mut() {
            last.len = end;
            for &(after, revision, offset) in &batch.frames {
                last.note(after, revision, len + offset);
            }
        }
        Ok(())
    }

    /// Makes all that was appended durable.
    pub(crate) fn sync(&self, tip: &mut Tip) -> Result<(), MirrorError> {
        let Some((name, file, len)) =
            self.chain().segments.last().map(|last| (last.name.clone(), Arc::clone(&last.file), last.len))
        else {
            return Ok(());
        };
        if tip.synced < len {
            file.sync().map_err(failed("writing", &name))?;
            tip.synced = len;
        }
        Ok(())
    }

    /// Removes the segments that a snapshot of `revision` makes superfluous; the last one stays.
    pub(crate) fn remove_before(&self, revision: Revision) -> Result<(), MirrorError> {
        let mut chain = self.chain_mut();
        while let [first, second, ..] = &chain.segments[..]
            && second.header.after <= revision
        {
            self.disk.remove(&first.name).map_err(failed("removing", &first.name))?;
            chain.floor = chain.floor.max(second.header.after);
            chain.segments.remove(0);
        }
        Ok(())
    }

    /// Removes all segments.
    pub(crate) fn clear(&self) -> Result<(), MirrorError> {
        let mut chain = self.chain_mut();
        while let Some(segment) = chain.segments.pop() {
            self.disk.remove(&segment.name).map_err(failed("removing", &segment.name))?;
        }
        Ok(())
    }

    /// Some frames in order, from the one that has the revision after `revision`, of at most about `octets_max` octets but at least
    /// one. `None` if that one is not there.
    pub(crate) fn frames_after(
        &self,
        revision: Revision,
        octets_max: usize,
        range: impl Fn(&[u8]) -> Option<(Revision, Revision)>,
    ) -> Option<Vec<Held>> {
        self.index(revision, &range)?;
        let (file, header, start, end) = {
            let chain = self.chain();
            if revision < chain.floor {
                return None;
            }
            let segment = chain.segments.iter().find(|segment| segment.last > revision)?;
            let place = segment.index.partition_point(|&(after, _)| after <= revision).checked_sub(1)?;
            (Arc::clone(&segment.file), segment.header, segment.index[place].1, segment.len)
        };
        let mut want = (INDEX_STEP * 2).max(octets_max as u64);
        loop {
            let len = usize::try_from((end - start).min(want)).ok()?;
            let bytes = read(&*file, start, len).ok()?;
            let (mut found, mut octets) = (Vec::new(), 0);
            for item in Records::of_part(&bytes, &header) {
                // What is cut here is whole further on.
                let Item::Record { kind, body, .. } = item else { break };
                let Some((after, last)) = (kind == Kind::Frame).then(|| range(body)).flatten() else { continue };
                if last <= revision {
                    continue;
                }
                if octets > 0 && octets + body.len() > octets_max {
                    return Some(found);
                }
                octets += body.len();
                found.push(Held { after, last, bytes: Arc::from(body) });
            }
            match found.first() {
                Some(first) if first.after <= revision => return Some(found),
                None if want < end - start => want = want.saturating_mul(4),
                _ => return None,
            }
        }
    }

    /// Finds the frames of the segment that has the revision after `revision`, unless that was done before: at a start,
    /// segments that the newest snapshot has are not read.
    fn index(&self, revision: Revision, range: &impl Fn(&[u8]) -> Option<(Revision, Revision)>) -> Option<()> {
        let (name, file, header, len) = {
            let chain = self.chain();
            let segment = chain.segments.iter().find(|segment| segment.last > revision)?;
            if !segment.index.is_empty() {
                return Some(());
            }
            (segment.name.clone(), Arc::clone(&segment.file), segment.header, segment.len)
        };
        let bytes = read(&*file, 0, usize::try_from(len).ok()?).ok()?;
        let mut found = Segment::new(name, header, file);
        let mut is_whole = true;
        for item in Records::new(&bytes, &header) {
            match item {
                Item::Record { offset, kind: Kind::Frame, body } => {
                    let (after, last) = range(body)?;
                    is_whole &= after <= found.last;
                    found.note(after, last, offset as u64);
                }
                Item::Record { .. } => {}
                Item::Damage { .. } | Item::Tail { .. } => is_whole = false,
            }
        }
        let mut chain = self.chain_mut();
        let segment = chain.segments.iter_mut().find(|segment| segment.name == found.name)?;
        is_whole &= found.last == segment.last;
        segment.index = found.index;
        if !is_whole {
            chain.floor = chain.floor.max(segment_end(&chain, revision)?);
            return None;
        }
        Some(())
    }

    fn marker(&self, after: Revision) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"marker of a log segment").update(&self.seed.to_le_bytes()).update(&after.0.to_le_bytes());
        let hash = hasher.finalize();
        hash.as_bytes().first_chunk().map_or(0, |octets| u64::from_le_bytes(*octets))
    }
}

/// The last revision of the segment that has the revision after `revision`.
fn segment_end(chain: &Chain, revision: Revision) -> Option<Revision> {
    chain.segments.iter().find(|segment| segment.last > revision).map(|segment| segment.last)
}

/// The name of a segment.
pub(crate) fn segment_name(after: Revision) -> String {
    format!("log-{:020}.rkl", after.0)
}

/// The revision that a file's name has between `prefix` and `suffix`.
pub(crate) fn revision_in(name: &str, prefix: &str, suffix: &str) -> Option<Revision> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let is_plain = digits.len() == 20 && digits.bytes().all(|octet| octet.is_ascii_digit());
    is_plain.then(|| digits.parse().ok().map(Revision)).flatten()
}
