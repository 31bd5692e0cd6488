//! Reading a snapshot file: block by block, with several threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rokko_zone::{ImageReader, Revision, Zone};

use crate::disk::{Disk, DiskFile};
use crate::error::{Damages, Fault, MirrorError, failed};
use crate::sim::SimDisk;
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
        let len =
            usize::try_from(end.checked_sub(start)?).ok().filter(|&len| len <= BLOCK_HEADER_LEN + BLOCK_OCTETS_MAX)?;
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
            let mut pass =
                Pass { file: self, block: Vec::new(), more: Vec::new(), zones: 0, damages: Damages::default() };
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

/// Reads all zones of a snapshot's octets, as a start does: for tests of foreign octets.
pub fn read_snapshot(bytes: &[u8], revision: Revision) -> Result<(Vec<Zone>, Damages), MirrorError> {
    let (disk, mut damages) = (SimDisk::new(0), Damages::default());
    disk.put("snapshot", bytes);
    let mut zones = Vec::new();
    if let Some(file) = SnapshotFile::open(&disk, "snapshot", revision, &mut damages)? {
        damages.extend(file.read_all(&mut [|zone| zones.push(zone)]).damages);
    }
    Ok((zones, damages))
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
        let Some(block) = BlockHeader::decode(&bytes).filter(|block| block.number as usize == places.len() - 1) else {
            break;
        };
        at += BLOCK_HEADER_LEN as u64 + u64::from(block.len);
        places.push(at);
    }
    places
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rokko_feed::SetId;
    use rokko_wire::{Name, Rtype};
    use rokko_zone::image::image;
    use rokko_zone::{Digest, Rrset, Ttl};

    use super::*;
    use crate::snapshot::BLOCK_OCTETS;
    use crate::write::Writer;

    const NAME: &str = "snapshot";

    /// A zone with so many names of 250 octets.
    fn zone(number: usize, names: usize) -> Zone {
        let apex: Name = format!("z{number}.").parse().unwrap();
        let rrset = |name: usize| Rrset {
            owner: format!("n{name}.z{number}.").parse().unwrap(),
            rtype: Rtype::TXT,
            ttl: Ttl::from_wire(60),
            rdatas: vec![vec![7; 250].into()],
        };
        Zone::build(&apex, Revision(5), (0..names).map(rrset)).unwrap()
    }

    fn write(zones: &[Zone]) -> SimDisk {
        let disk = SimDisk::new(1);
        let mut digest = Digest::default();
        let mut writer = Writer::create(Arc::new(disk.clone()), "partial".to_owned()).unwrap();
        for zone in zones {
            digest.add_zone(zone.view());
            writer.zone(zone.view()).unwrap();
        }
        let (set, revision, expected) = (SetId([1; 16]), Revision(5), digest.short());
        let mut header = Header { set, revision, at_ms: 9, zones: 0, blocks: 0, octets: 0, expected, digest };
        writer.close_blocks(&mut header).unwrap();
        assert!(header.is_whole());
        writer.finish(&header, NAME).unwrap();
        disk
    }

    /// The images of all zones that can be read, and whether damage was reported.
    fn read(disk: &SimDisk, threads: usize) -> (HashMap<Name, Vec<u8>>, Damages) {
        let mut damages = Damages::default();
        let Some(file) = SnapshotFile::open(disk, NAME, Revision(5), &mut damages).unwrap() else {
            return (HashMap::new(), damages);
        };
        let mut sinks = vec![Vec::new(); threads];
        let mut closures: Vec<_> = sinks.iter_mut().map(|sink| |zone: Zone| sink.push(zone)).collect();
        let passed = file.read_all(&mut closures);
        drop(closures);
        damages.extend(passed.damages);
        let zones: Vec<Zone> = sinks.into_iter().flatten().collect();
        assert_eq!(zones.len() as u64, passed.zones);
        (zones.into_iter().map(|zone| (zone.apex(), image(zone.view()))).collect(), damages)
    }

    fn images(zones: &[Zone]) -> HashMap<Name, Vec<u8>> {
        zones.iter().map(|zone| (zone.apex(), image(zone.view()))).collect()
    }

    #[test]
    fn zones_of_all_sizes_come_back() {
        // Zones that fill blocks, that span several, and that end right with one.
        let sizes = [1, 3, 1500, 0, 2, 4000, 1, 900, 900, 1];
        let zones: Vec<Zone> = sizes.iter().enumerate().map(|(number, &size)| zone(number, size)).collect();
        let disk = write(&zones);
        assert!(disk.contents(NAME).unwrap().len() > 6 * BLOCK_OCTETS);
        for threads in [1, 3] {
            let (back, damages) = read(&disk, threads);
            assert!(damages.list.is_empty() && back == images(&zones));
        }
        assert_eq!(read(&write(&[]), 1), (HashMap::new(), Damages::default()));
    }

    #[test]
    fn a_damaged_block_costs_what_it_has_a_part_of() {
        let zones: Vec<Zone> = (0..40).map(|number| zone(number, 40 + number * 10)).collect();
        let disk = write(&zones);
        let len = disk.contents(NAME).unwrap().len();
        let good = images(&zones);
        for at in (HEADER_LEN..len - HEADER_LEN - 100).step_by(100_000) {
            disk.flip(NAME, at, 8);
            let (back, damages) = read(&disk, 2);
            assert!(damages.list.iter().all(|damage| damage.what == Fault::Block) && !damages.is_empty());
            assert!(back.len() < good.len() && back.len() > good.len() / 2, "{}", back.len());
            assert!(back.iter().all(|(name, image)| good[name] == *image));
            disk.flip(NAME, at, 8);
        }
        assert_eq!(read(&disk, 2).0, good);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let zones: Vec<Zone> = (0..4).map(|number| zone(number, number)).collect();
        let (disk, good) = (write(&zones), images(&zones));
        let bytes = disk.contents(NAME).unwrap();
        for at in 0..bytes.len() {
            disk.flip(NAME, at, 1 << (at % 8));
            let (back, damages) = read(&disk, 1);
            assert!(!damages.is_empty(), "octet {at}");
            assert!(back.iter().all(|(name, image)| good[name] == *image), "octet {at}");
            // There are two headers, and blocks are found without the list of their places.
            let is_block = (HEADER_LEN..bytes.len() - HEADER_LEN - 12).contains(&at);
            assert_eq!(back == good, !is_block, "octet {at}");
            disk.flip(NAME, at, 1 << (at % 8));
        }
        for len in 0..bytes.len() {
            disk.put(NAME, &bytes[..len]);
            let (back, damages) = read(&disk, 1);
            assert!(!damages.is_empty() && back.iter().all(|(name, image)| good[name] == *image), "{len} octets");
        }
    }
}
