//! Compaction: a new snapshot from the catalog, and then without the log before it.

use std::sync::Arc;

use rokko_zone::{CatalogReader, Revision};

use crate::error::{MirrorError, failed};
use crate::load::SnapshotFile;
use crate::mirror::{End, Mirror, State};
use crate::snapshot::Header;
use crate::write::Writer;

/// How many whole snapshots are kept: the older one so that a transfer of it can end, and in case the newer one is damaged.
const SNAPSHOTS: usize = 2;

/// A snapshot that is being written, step by step, while changes go on. Dropped before its end, it leaves nothing behind.
pub struct Compaction {
    mirror: Arc<Mirror>,
    reader: CatalogReader,
    part: usize,
    header: Header,
    writer: Option<Writer>,
    name: String,
}

impl Mirror {
    /// Whether it is time for a compaction.
    pub fn wants_compaction(&self) -> bool {
        let state = self.state();
        if state.set.is_none() || state.position.revision.0 == 0 || state.is_compacting {
            return false;
        }
        let octets = state.snapshots.last().map_or(0, |file| file.header.octets);
        let log = self.log_octets_in(&state);
        // Made while zones were missing, it can't be sent; now it could be better.
        let is_mended = state.snapshots.last().is_some_and(|file| !file.header.is_whole()) && state.position.matches();
        is_mended || state.is_stale || state.end == End::Gap || log > self.options.compaction_octets_min.max(octets / 4)
    }

    /// How many octets of log a start has to apply.
    pub fn log_octets(&self) -> u64 {
        self.log_octets_in(&self.state())
    }

    fn log_octets_in(&self, state: &State) -> u64 {
        self.log.octets_after(state.snapshots.last().map_or(Revision(0), |file| file.header.revision))
    }

    /// Begins a compaction at the revision that is served now, and a new log segment with it. `None` while there is one
    /// already, or nothing to write.
    pub fn start_compaction(self: &Arc<Self>) -> Result<Option<Compaction>, MirrorError> {
        let mut state = self.state();
        let Some(set) = state.set.filter(|_| !state.is_compacting && state.position.revision.0 > 0) else {
            return Ok(None);
        };
        let revision = state.position.revision;
        let is_open = state.end == End::Open;
        self.log.rotate(&mut state.tip, set, revision, is_open)?;
        state.end = End::Open;
        let name = format!("compaction-{:020}.partial", revision.0);
        let writer = Writer::create(Arc::clone(&self.disk), name.clone())?;
        state.is_compacting = true;
        let reader = CatalogReader::new(Arc::clone(&self.catalog));
        let (at_ms, expected) = (state.position.at_ms, state.position.expected);
        let digest = state.position.digest.clone();
        let header = Header { set, revision, at_ms, zones: 0, blocks: 0, octets: 0, expected, digest };
        drop(state);
        Ok(Some(Compaction { mirror: Arc::clone(self), reader, part: 0, header, writer: Some(writer), name }))
    }
}

impl Compaction {
    /// The revision that the snapshot will have.
    pub fn revision(&self) -> Revision {
        self.header.revision
    }

    /// Writes about so many octets more. Returns whether the compaction is at its end, and the new snapshot in its place.
    pub fn step(&mut self, octets: u64) -> Result<bool, MirrorError> {
        let Some(writer) = &mut self.writer else { return Ok(true) };
        let mut written = 0;
        while self.part < CatalogReader::PARTS {
            for zone in self.reader.zones_in(self.part) {
                written += writer.zone(zone)?;
            }
            self.reader.let_go(self.part);
            self.part += 1;
            if written >= octets {
                return Ok(false);
            }
        }
        if let Some(mut writer) = self.writer.take() {
            writer.close_blocks(&mut self.header)?;
            let file = writer.finish(&self.header, &snapshot_name(self.header.revision))?;
            self.mirror.state().take_snapshot(&self.mirror, file)?;
        }
        Ok(true)
    }
}

impl Drop for Compaction {
    fn drop(&mut self) {
        self.mirror.state().is_compacting = false;
        // After the end there is no such file.
        let _ = self.mirror.disk.remove(&self.name);
    }
}

impl State {
    /// Takes a new snapshot and lets go of what it makes superfluous.
    fn take_snapshot(&mut self, mirror: &Mirror, file: SnapshotFile) -> Result<(), MirrorError> {
        let revision = file.header.revision;
        self.snapshots.retain(|old| old.header.revision != revision);
        self.snapshots.push(file);
        self.is_stale = false;
        self.tidy(mirror)
    }

    /// Keeps the newest snapshots that are good, and the log from the older of them on.
    pub(crate) fn tidy(&mut self, mirror: &Mirror) -> Result<(), MirrorError> {
        let oldest = {
            let mut good = self.snapshots.iter().rev().filter(|file| file.is_good);
            let newest = good.next().map(|file| file.header.revision);
            good.nth(SNAPSHOTS - 2).map(|file| file.header.revision).or(newest)
        };
        let Some(oldest) = oldest else { return Ok(()) };
        let (kept, old) = std::mem::take(&mut self.snapshots)
            .into_iter()
            .partition(|file| file.is_good && file.header.revision >= oldest);
        self.snapshots = kept;
        self.junk.extend(Vec::into_iter(old).map(|file: SnapshotFile| file.name));
        while let Some(name) = self.junk.last() {
            match mirror.disk.remove(name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed("removing", name)(error));
                }
                _ => self.junk.pop(),
            };
        }
        mirror.log.remove_before(oldest)
    }
}

/// The name of a snapshot.
pub(crate) fn snapshot_name(revision: Revision) -> String {
    format!("snapshot-{:020}.rks", revision.0)
}
