//! Reading a snapshot file: block by block, with several threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rokko_zone::{ImageReader, Revision, Zone};

use crate::disk::{Disk, DiskFile};
use crate::error::{Damages, Fault, MirrorError, failed};
use crate::snapshot::{BLOCK_HEADER_LEN, BLOCK_OCTETS_MAX, BlockHeader, HEADER_LEN, Header, decode_places, open_block};

/// A snapshot file that can be read.
#[derive(Clone)]
pub(crate) struct SnapshotFile {
    pub(crate) name: String,
    pub(crate) header: Arc<Header>,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Where each block starts, and where the last one ends.
    places: Arc<[u64]>,
    /// Whether nothing of it is known to be damaged.
    pub(crate) is_good: bool,
}

/// What reads zones; each thread has one.
pub(crate) trait Sink: Send {
    fn zone(&mut self, zone: Zone);
}

impl<F: FnMut(Zone) + Send> Sink for F {
    fn zone(&mut self, zone: Zone) {
        self(zone);
    }
}

/// What a pass over all blocks came upon.
#[derive(Default)]
pub(crate) struct Passed {
    pub(crate) zones: u64,
    pub(crate) damages: Damages,
}

impl SnapshotFile {
    /// Opens a snapshot by its headers. `Ok(None)`: it is of no use, and `damages` says why.
    pub(crate) fn open(
        disk: &dyn Disk,
        name: &str,
        revision: Revision,
        damages: &mut Damages,
    ) -> Result<Option<Self>, MirrorError> {
        let file: Arc<dyn DiskFile> = disk.open(name).map_err(failed("opening", name))?.into();
        let size = file.size().map_err(failed("reading", name))?;
        let header_at = |offset| {
            let bytes = crate::disk::read(&*file, offset, HEADER_LEN).unwrap_or_default();
            Header::decode(&bytes).map_err(|source| MirrorError::Version { file: name.to_owned(), source })
        };
        let is_right = |header: &Header| header.revision == revision && header.octets <= size && header.blocks <= size;
        let first = header_at(0)?.filter(is_right);
        let second = header_at(size.saturating_sub(HEADER_LEN as u64))?.filter(is_right);
        let mut is_good = true;
        if first.is_none() || second.is_none() {
            is_good = false;
            let offset = if first.is_none() { 0 } else { size.saturating_sub(HEADER_LEN as u64) };
            damages.push(name, offset, if first.is_none() && second.is_none() { Fault::File } else { Fault::Header });
        }
        let Some(header) = first.or(second) else { return Ok(None) };
        if header.file_len() != size {
            damages.push(name, size, Fault::Length);
            is_good = false;
        }
        let listed = read_places(&*file, &header);
        if listed.is_none() {
            damages.push(name, HEADER_LEN as u64 + header.octets, Fault::Places);
            is_good = false;
        }
        let places = listed.unwrap_or_else(|| walk(&*file, &header));
        Ok(Some(Self { name: name.to_owned(), header: Arc::new(header), file, places: places.into(), is_good }))
    }

    /// A snapshot that was just written.
    pub(crate) fn written(name: String, header: Header, file: Arc<dyn DiskFile>, places: Vec<u64>) -> Self {
        Self { name, header: Arc::new(header), file, places: places.into(), is_good: true }
    }

    /// How many blocks can be read.
    fn blocks(&self) -> usize {
        self.places.len().saturating_sub(1)
    }

    /// Reads a block into `buffer`, header and all, and checks it. `None`: it is damaged.
    pub(crate) fn block<'b>(&self, number: usize, buffer: &'b mut Vec<u8>) -> Option<(usize, &'b [u8])> {
        let (start, end) = (*self.places.get(number)?, *self.places.get(number + 1)?);
        let len = usize::try_from(end.checked_sub(start)?).ok().filter(|&len| len <= BLOCK_HEADER_LEN + BLOCK_OCTETS_MAX)?;
        buffer.resize(len, 0);
        let count = self.file.read_at(buffer, start).ok()?;
        if count < len {
            return None;
        }
        open_block(buffer, u32::try_from(number).ok()?)
    }

    /// Reads all blocks and hands each zone to a sink, with as many threads as there are sinks.
    pub(crate) fn read_all<S: Sink>(&self, sinks: &mut [S]) -> Passed {
        let (next, zones) = (AtomicUsize::new(0), AtomicU64::new(0));
        let work = |sink: &mut S| {
            let mut pass = Pass { file: self, block: Vec::new(), more: Vec::new(), zones: 0, damages: Damages::default() };
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.blocks() {
                    break;
                }
                pass.block(number, sink);
            }
            zones.fetch_add(pass.zones, Ordering::Relaxed);
            pass.damages
        };
        let mut damages = Damages::default();
        match sinks {
            // A simulation has no threads.
            [sink] => damages = work(sink),
            _ => std::thread::scope(|scope| {
                let threads: Vec<_> = sinks.iter_mut().map(|sink| scope.spawn(|| work(sink))).collect();
                for thread in threads {
                    match thread.join() {
                        Ok(found) => damages.extend(found),
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
            }),
        }
        damages.list.sort_by_key(|damage| damage.offset);
        let zones = zones.into_inner();
        if damages.is_empty() && self.blocks() as u64 != self.header.blocks {
            damages.push(&self.name, self.places.last().copied().unwrap_or(0), Fault::Block);
        } else if damages.is_empty() && zones != self.header.zones {
            damages.push(&self.name, HEADER_LEN as u64, Fault::Block);
        }
        Passed { zones, damages }
    }
}

struct Pass<'f> {
    file: &'f SnapshotFile,
    block: Vec<u8>,
    more: Vec<u8>,
    zones: u64,
    damages: Damages,
}

impl Pass<'_> {
    /// Reads the zones whose images begin in a block.
    fn block(&mut self, number: usize, sink: &mut impl Sink) {
        let Some((first, contents)) = self.file.block(number, &mut self.block) else {
            return self.damages.push(&self.file.name, self.file.places[number], Fault::Block);
        };
        let (mut reader, zones) = (ImageReader::default(), &mut self.zones);
        let mut each = |zone| {
            *zones += 1;
            sink.zone(zone);
        };
        let mut is_good = reader.read(&contents[first..], &mut each).is_ok();
        let mut number = number + 1;
        while is_good && !reader.is_between_images() {
            // What is damaged there is named when that block has its turn.
            let Some((first, contents)) = self.file.block(number, &mut self.more) else { return };
            is_good = reader.read(&contents[..first], &mut each).is_ok();
            if first < contents.len() {
                is_good &= reader.is_between_images();
                break;
            }
            number += 1;
        }
        if !is_good {
            self.damages.push(&self.file.name, self.file.places[number - 1], Fault::Block);
        }
    }
}

fn read_places(file: &dyn DiskFile, header: &Header) -> Option<Vec<u64>> {
    let end = (HEADER_LEN as u64).checked_add(header.octets)?;
    let len = usize::try_from(header.blocks).ok()?.checked_mul(8)?.checked_add(4)?;
    let bytes = crate::disk::read(file, end, len).ok()?;
    let mut places = decode_places(&bytes).filter(|places| places.len() as u64 == header.blocks)?;
    places.push(end);
    (places[0] == HEADER_LEN as u64 && places.is_sorted()).then_some(places)
}

/// Finds the blocks one after the other, as far as that goes.
fn walk(file: &dyn DiskFile, header: &Header) -> Vec<u64> {
    let end = (HEADER_LEN as u64).saturating_add(header.octets);
    let mut places = vec![HEADER_LEN as u64];
    let mut at = HEADER_LEN as u64;
    while at < end {
        let bytes = crate::disk::read(file, at, BLOCK_HEADER_LEN).unwrap_or_default();
        let Some(block) = BlockHeader::decode(&bytes).filter(|block| block.number as usize == places.len() - 1) else { break };
        at += BLOCK_HEADER_LEN as u64 + u64::from(block.len);
        places.push(at);
    }
    places
}

