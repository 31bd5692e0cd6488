//! Taking over a snapshot that comes from another node, block by block.

use std::collections::HashSet;
use std::sync::Arc;

use rokko_feed::SetId;
use rokko_zone::{CatalogReader, Digest, Revision, ShortDigest, Zone, ZoneMark};

use crate::compact::snapshot_name;
use crate::disk::{DiskFile, read};
use crate::error::{MirrorError, failed};
use crate::load::Sink;
use crate::log::revision_in;
use crate::mirror::{End, Mirror};
use crate::snapshot::{BLOCK_HEADER_LEN, BlockHeader, HEADER_LEN, Header, open_block};
use crate::work::Position;
use crate::write::Writer;

/// So many zones are published at once.
const PUBLISH_ZONES: usize = 50_000;

/// What is known of a snapshot before its first block comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Whose data.
    pub set: SetId,
    /// Its revision.
    pub revision: Revision,
    /// When that was committed, in ms since 1970.
    pub at_ms: u64,
    /// How many zones it has.
    pub zones: u64,
    /// How many blocks.
    pub blocks: u64,
    /// How many octets of blocks, their headers counted.
    pub octets: u64,
    /// The digest of all zones.
    pub digest: ShortDigest,
}

/// A transfer that was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The snapshot's revision.
    pub revision: Revision,
    /// Its digest.
    pub digest: ShortDigest,
    /// How many blocks are here, from the first on.
    pub blocks: u64,
}

/// Receives a snapshot into a file and then puts it in the place of all that the mirror has. Dropped before its end, it can be
/// gone on with.
pub struct Installer {
    mirror: Arc<Mirror>,
    header: Header,
    writer: Writer,
    name: String,
}

impl Announced {
    /// What to announce of a snapshot.
    pub fn of(header: &Header) -> Self {
        let Header { set, revision, at_ms, zones, blocks, octets, expected, .. } = *header;
        Self { set, revision, at_ms, zones, blocks, octets, digest: expected }
    }
}

impl Mirror {
    /// The transfer that was not finished, if there is one.
    pub fn partial(&self) -> Option<Partial> {
        self.partials().into_iter().filter_map(|(revision, name)| self.read_partial(revision, &name)).next_back().map(
            |(header, _, places)| Partial {
                revision: header.revision,
                digest: header.expected,
                blocks: places.len() as u64 - 1,
            },
        )
    }

    /// Begins to receive a snapshot, or goes on: [`Installer::blocks`] says with which block. It must not be older than what
    /// the mirror has.
    pub fn install(self: &Arc<Self>, announced: &Announced) -> Result<Installer, MirrorError> {
        let Announced { set, revision, at_ms, zones, blocks, octets, digest } = *announced;
        {
            let state = self.state();
            state.check_set(set)?;
            let applied = state.position.revision;
            if revision < applied {
                return Err(MirrorError::Old { last: revision, applied });
            }
        }
        let header =
            Header { set, revision, at_ms, zones, blocks, octets, expected: digest, digest: Digest::default() };
        let name = partial_name(revision);
        let mut found = None;
        for (revision, other) in self.partials() {
            match self.read_partial(revision, &other) {
                Some((old, file, places)) if other == name && old == header => found = Some((file, places)),
                _ => self.disk.remove(&other).map_err(failed("removing", &other))?,
            }
        }
        let disk = Arc::clone(&self.disk);
        let writer = if let Some((file, mut places)) = found {
            let end = places.pop().unwrap_or(HEADER_LEN as u64);
            Writer::resume(disk, name.clone(), file, end, places)
        } else {
            let file: Arc<dyn DiskFile> = self.disk.create(&name).map_err(failed("creating", &name))?.into();
            file.write_at(&header.encode(), 0).map_err(failed("writing", &name))?;
            self.disk.sync_folder().map_err(failed("creating", &name))?;
            Writer::resume(disk, name.clone(), file, HEADER_LEN as u64, Vec::new())
        };
        Ok(Installer { mirror: Arc::clone(self), header, writer, name })
    }

    /// Files of transfers that were not finished, oldest first.
    fn partials(&self) -> Vec<(Revision, String)> {
        let names = self.disk.list().unwrap_or_default();
        let named = |name: String| revision_in(&name, "snapshot-", ".partial").map(|revision| (revision, name));
        let mut partials: Vec<_> = names.into_iter().filter_map(named).collect();
        partials.sort();
        partials
    }

    /// The header, and where the good blocks from the first on start, with the end of the last one.
    fn read_partial(&self, revision: Revision, name: &str) -> Option<(Header, Arc<dyn DiskFile>, Vec<u64>)> {
        let file: Arc<dyn DiskFile> = self.disk.open(name).ok()?.into();
        let header = Header::decode(&read(&*file, 0, HEADER_LEN).ok()?).ok()??;
        if header.revision != revision || header.digest != Digest::default() {
            return None;
        }
        let mut places = vec![HEADER_LEN as u64];
        let mut at = HEADER_LEN as u64;
        while (places.len() as u64) <= header.blocks {
            let Some(block) = BlockHeader::decode(&read(&*file, at, BLOCK_HEADER_LEN).ok()?) else { break };
            let bytes = read(&*file, at, BLOCK_HEADER_LEN + block.len as usize).ok()?;
            if open_block(&bytes, u32::try_from(places.len() - 1).ok()?).is_none() {
                break;
            }
            at += bytes.len() as u64;
            places.push(at);
        }
        Some((header, file, places))
    }
}

impl Installer {
    /// How many blocks are here: the number of the one that comes next.
    pub fn blocks(&self) -> u64 {
        self.writer.blocks()
    }

    /// Takes the next block, header and all.
    pub fn block(&mut self, number: u64, bytes: &[u8]) -> Result<(), MirrorError> {
        let is_next = number == self.blocks() && number < self.header.blocks;
        let is_good = u32::try_from(number).is_ok_and(|number| open_block(bytes, number).is_some());
        if !is_next || !is_good {
            return Err(MirrorError::Block { number });
        }
        self.writer.block(bytes)
    }

    /// Checks all zones against the announced digest, makes the snapshot durable and publishes it zone by zone: a zone that
    /// is the same already stays untouched. If it is not what was announced, nothing changes and the transfer is given up.
    pub fn finish(self) -> Result<Revision, MirrorError> {
        let Self { mirror, mut header, writer, name } = self;
        let (file, threads) = (writer.readable(&header), mirror.options.threads.max(1));
        let mut checks: Vec<Check> = (0..threads).map(|_| Check::default()).collect();
        let passed = file.read_all(&mut checks);
        for check in &checks {
            header.digest.add(&check.digest);
        }
        let is_right = passed.damages.is_empty()
            && (passed.zones, writer.blocks()) == (header.zones, header.blocks)
            && header.is_whole();
        if !is_right {
            mirror.disk.remove(&name).map_err(failed("removing", &name))?;
            return Err(MirrorError::Snapshot { revision: header.revision });
        }
        let names: HashSet<u64> = checks.into_iter().flat_map(|check| check.names).collect();
        let mut state = mirror.state();
        let applied = state.position.revision;
        if header.revision < applied {
            return Err(MirrorError::Old { last: header.revision, applied });
        }
        let file = writer.finish(&header, &snapshot_name(header.revision))?;
        publish(&mirror, &file, &names);
        let Header { set, revision, at_ms, expected, digest, .. } = header;
        state.set = Some(set);
        state.position = Position { revision, at_ms, digest, expected };
        state.suspects.clear();
        (state.is_stale, state.end) = (false, End::Closed);
        let old: Vec<String> = state.snapshots.drain(..).map(|old| old.name).filter(|old| *old != file.name).collect();
        state.junk.extend(old);
        state.snapshots.push(file);
        mirror.recent().clear();
        mirror.show(&state);
        // What is left over goes with the next compaction; the log must not lead to older frames.
        let cleared = mirror.log.clear();
        mirror.log.chain_mut().floor = revision;
        cleared?;
        state.tidy(&mirror)?;
        drop(state);
        mirror.call_hooks(revision);
        Ok(revision)
    }
}

/// Puts a snapshot's zones in the place of those that differ, and takes away those that it does not have.
fn publish(mirror: &Mirror, file: &crate::load::SnapshotFile, names: &HashSet<u64>) {
    let catalog = &mirror.catalog;
    if catalog.is_empty() {
        let mut fill = catalog.start_fill();
        file.read_all(&mut [|zone: Zone| fill.push(zone)]);
        catalog.fill(vec![fill]);
        return;
    }
    let mut changes = Vec::new();
    file.read_all(&mut [|zone: Zone| {
        let name = zone.apex();
        let is_same = catalog.zone(&name).is_some_and(|old| ZoneMark::of(old.view()) == ZoneMark::of(zone.view()));
        if !is_same {
            changes.push((name, Some(zone)));
        }
        if changes.len() >= PUBLISH_ZONES {
            catalog.publish(changes.drain(..));
        }
    }]);
    let mut reader = CatalogReader::new(Arc::clone(catalog));
    for part in 0..CatalogReader::PARTS {
        let gone = reader.zones_in(part).filter(|zone| !names.contains(&ZoneMark::name_of(zone.apex_bytes())));
        changes.extend(gone.map(|zone| (zone.apex(), None)));
        reader.let_go(part);
        if changes.len() >= PUBLISH_ZONES {
            catalog.publish(changes.drain(..));
        }
    }
    catalog.publish(changes);
}

/// What one thread finds in a snapshot.
#[derive(Default)]
struct Check {
    digest: Digest,
    names: Vec<u64>,
}

impl Sink for Check {
    fn zone(&mut self, zone: Zone) {
        self.digest.add_zone(zone.view());
        self.names.push(ZoneMark::name_of(zone.view().apex_bytes()));
    }
}

/// The name of a snapshot that is being received.
fn partial_name(revision: Revision) -> String {
    format!("snapshot-{:020}.partial", revision.0)
}
