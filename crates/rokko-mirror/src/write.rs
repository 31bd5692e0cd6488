//! Writing a snapshot file.

use std::sync::Arc;

use rokko_zone::ZoneRef;
use rokko_zone::image::pieces;

use crate::disk::{Disk, DiskFile};
use crate::error::{MirrorError, failed};
use crate::load::SnapshotFile;
use crate::snapshot::{BLOCK_HEADER_LEN, BLOCK_OCTETS, HEADER_LEN, Header, close_block, encode_places};

/// After so many octets what was written is made durable, so that a sync of the log never waits for much more.
const SYNC_OCTETS: u64 = 8 << 20;

/// A snapshot that is being written under another name.
pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    name: String,
    file: Arc<dyn DiskFile>,
    /// Where the next block goes.
    at: u64,
    synced: u64,
    places: Vec<u64>,
    block: Vec<u8>,
    /// Where in the block the first image begins.
    first: Option<usize>,
    zones: u64,
}

impl Writer {
    /// Creates the file `name`.
    pub(crate) fn create(disk: Arc<dyn Disk>, name: String) -> Result<Self, MirrorError> {
        let file = disk.create(&name).map_err(failed("creating", &name))?.into();
        Ok(Self::resume(disk, name, file, HEADER_LEN as u64, Vec::new()))
    }

    /// Goes on with a file that has blocks at `places`, and the next one is to be at `at`.
    pub(crate) fn resume(
        disk: Arc<dyn Disk>,
        name: String,
        file: Arc<dyn DiskFile>,
        at: u64,
        places: Vec<u64>,
    ) -> Self {
        let block = vec![0; BLOCK_HEADER_LEN];
        Self { disk, name, file, at, synced: at, places, block, first: None, zones: 0 }
    }

    /// Appends a zone. Returns how many octets went to the disk.
    pub(crate) fn zone(&mut self, zone: ZoneRef<'_>) -> Result<u64, MirrorError> {
        let before = self.at;
        for piece in pieces(zone) {
            if self.block.len() >= BLOCK_HEADER_LEN + BLOCK_OCTETS {
                self.close()?;
            }
            if piece.is_head() {
                self.first.get_or_insert(self.block.len() - BLOCK_HEADER_LEN);
            }
            piece.write(&mut self.block);
        }
        self.zones += 1;
        Ok(self.at - before)
    }

    /// How many blocks there are so far.
    pub(crate) fn blocks(&self) -> u64 {
        self.places.len() as u64
    }

    /// Appends a whole block, header and all.
    pub(crate) fn block(&mut self, block: &[u8]) -> Result<(), MirrorError> {
        self.file.write_at(block, self.at).map_err(failed("writing", &self.name))?;
        self.places.push(self.at);
        self.at += block.len() as u64;
        if self.at - self.synced >= SYNC_OCTETS {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&mut self) -> Result<(), MirrorError> {
        self.file.sync().map_err(failed("writing", &self.name))?;
        self.synced = self.at;
        Ok(())
    }

    /// Ends the blocks; `header` gets their numbers.
    pub(crate) fn close_blocks(&mut self, header: &mut Header) -> Result<(), MirrorError> {
        if self.block.len() > BLOCK_HEADER_LEN {
            self.close()?;
        }
        header.zones = self.zones;
        header.blocks = self.blocks();
        header.octets = self.at - HEADER_LEN as u64;
        Ok(())
    }

    /// The file with all its blocks, to be read before it gets its name.
    pub(crate) fn readable(&self, header: &Header) -> SnapshotFile {
        let mut places = self.places.clone();
        places.push(self.at);
        SnapshotFile::written(self.name.clone(), header.clone(), Arc::clone(&self.file), places)
    }

    /// Writes what goes before and after the blocks, and gives the file its name. It is durable afterwards.
    pub(crate) fn finish(self, header: &Header, name: &str) -> Result<SnapshotFile, MirrorError> {
        let mut end = encode_places(&self.places);
        let head = header.encode();
        end.extend_from_slice(&head);
        let written = self.file.set_len(self.at);
        let written =
            written.and_then(|()| self.file.write_at(&end, self.at)).and_then(|()| self.file.write_at(&head, 0));
        written.and_then(|()| self.file.sync()).map_err(failed("writing", &self.name))?;
        self.disk.rename(&self.name, name).map_err(failed("renaming", &self.name))?;
        self.disk.sync_folder().map_err(failed("renaming", &self.name))?;
        let mut file = self.readable(header);
        name.clone_into(&mut file.name);
        Ok(file)
    }

    fn close(&mut self) -> Result<(), MirrorError> {
        let number = u32::try_from(self.places.len())
            .map_err(|error| failed("writing", &self.name)(std::io::Error::other(error)))?;
        let len = self.block.len() - BLOCK_HEADER_LEN;
        let first = self.first.take().unwrap_or(len);
        close_block(&mut self.block, number, u32::try_from(first).unwrap_or(u32::MAX));
        let block = std::mem::take(&mut self.block);
        self.block(&block)?;
        self.block = block;
        self.block.truncate(BLOCK_HEADER_LEN);
        Ok(())
    }
}
