//! A folder in memory that does to files what hardware does: it loses what was not synced, tears writes, fills up, refuses a
//! sync, rots, and stops at any step. All of it follows from one seed.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

/// What a disk writes whole or not at all, in octets.
const SECTOR: usize = 512;

/// A simulated folder. Clones are the same folder.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

struct State {
    random: u64,
    /// Counts the crashes: files that were opened before the last one are dead.
    epoch: u64,
    files: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    /// How many more operations work.
    steps_left: Option<u64>,
    steps: u64,
    capacity: Option<u64>,
    failing_syncs: u32,
}

#[derive(Default)]
struct Inode {
    data: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Len(usize),
}

#[derive(Clone)]
enum NameChange {
    Set(String, usize),
    Rename(String, String),
    Remove(String),
}

struct SimFile {
    disk: SimDisk,
    epoch: u64,
    inode: usize,
}

impl SimDisk {
    /// An empty folder.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: seed,
            epoch: 0,
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            steps_left: None,
            steps: 0,
            capacity: None,
            failing_syncs: 0,
        })))
    }

    /// The power fails: of what was not synced, any part may be there afterwards. The folder works again at once; files that
    /// were open before do not.
    pub fn crash(&self) {
        let mut state = self.state();
        let state = &mut *state;
        let names = std::mem::take(&mut state.pending_names);
        let kept = below(&mut state.random, names.len() as u64 + 1);
        for change in names.into_iter().take(usize::try_from(kept).unwrap_or(0)) {
            change_names(&mut state.durable_names, change);
        }
        state.names = state.durable_names.clone();
        for inode in &mut state.files {
            // All, none, or some of it.
            let mode = below(&mut state.random, 3);
            for change in std::mem::take(&mut inode.pending) {
                match change {
                    Change::Len(len) if mode == 0 || below(&mut state.random, 2) == 0 => inode.durable.resize(len, 0),
                    Change::Len(_) => {}
                    Change::Write { offset, bytes } => {
                        for (at, sector) in sectors(offset, &bytes) {
                            if mode == 0 || mode == 1 && below(&mut state.random, 2) == 0 {
                                put(&mut inode.durable, at, sector);
                            }
                        }
                    }
                }
            }
            inode.data = inode.durable.clone();
        }
        state.restart();
    }

    /// The process dies and nothing else: all that was written is there.
    pub fn kill(&self) {
        self.state().restart();
    }

    /// After so many more operations each one fails, the first of them half done, until [`SimDisk::crash`] or
    /// [`SimDisk::kill`].
    pub fn stop_after(&self, steps: u64) {
        self.state().steps_left = Some(steps);
    }

    /// How many operations there were that change something.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// How many octets the files may have together; `None`: no limit.
    pub fn set_capacity(&self, octets: Option<u64>) {
        self.state().capacity = octets;
    }

    /// The next `count` syncs of files fail, and what they were for is not durable.
    pub fn fail_syncs(&self, count: u32) {
        self.state().failing_syncs = count;
    }

    /// All files and their lengths.
    pub fn files(&self) -> BTreeMap<String, u64> {
        let state = self.state();
        state.names.iter().map(|(name, &inode)| (name.clone(), state.files[inode].data.len() as u64)).collect()
    }

    /// What a file has.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).map(|&inode| state.files[inode].data.clone())
    }

    /// Puts a file there, durably.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        state.files.push(Inode { data: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() });
        let inode = state.files.len() - 1;
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// Takes a file away, durably.
    pub fn take(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    /// Flips the bits of `mask` in one octet of a file, as rot does. Whether there is such an octet.
    pub fn flip(&self, name: &str, offset: usize, mask: u8) -> bool {
        let mut state = self.state();
        let Some(&inode) = state.names.get(name) else { return false };
        let inode = &mut state.files[inode];
        let mut found = false;
        for bytes in [&mut inode.data, &mut inode.durable] {
            if let Some(octet) = bytes.get_mut(offset) {
                *octet ^= mask;
                found = true;
            }
        }
        found
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, state: &State, inode: usize) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), epoch: state.epoch, inode })
    }
}

impl State {
    fn restart(&mut self) {
        self.epoch += 1;
        self.steps_left = None;
        self.failing_syncs = 0;
    }

    /// Whether one more operation works; what changes something counts.
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        match &mut self.steps_left {
            Some(0) => Err(io::Error::other("the simulated machine stopped")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change_names(&mut self.names, change.clone());
        self.pending_names.push(change);
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        if self.steps_left == Some(0) {
            return Err(io::Error::other("the simulated machine stopped"));
        }
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn room(&self) -> u64 {
        let used: u64 = self.names.values().map(|&inode| self.files[inode].data.len() as u64).sum();
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(used))
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.step()?;
        let inode = if let Some(&inode) = state.names.get(name) {
            state.files[inode].change(Change::Len(0));
            inode
        } else {
            state.files.push(Inode::default());
            let inode = state.files.len() - 1;
            state.change_name(NameChange::Set(name.to_owned(), inode));
            inode
        };
        Ok(self.file(&state, inode))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        let inode = state.find(name)?;
        Ok(self.file(&state, inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.find(from)?;
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.find(name)?;
        state.change_name(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        for change in std::mem::take(&mut state.pending_names) {
            change_names(&mut state.durable_names, change);
        }
        Ok(())
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change_file(&mut self.data, &change);
        self.pending.push(change);
    }
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.epoch == self.epoch {
            Ok(state)
        } else {
            Err(io::Error::other("the file was opened before the simulated machine stopped"))
        }
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.state()?.files[self.inode].data.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state()?;
        let data = &state.files[self.inode].data;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
        let count = buffer.len().min(data.len() - from);
        buffer[..count].copy_from_slice(&data[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let stopped = state.step();
        let (end, len) = (offset + bytes.len(), state.files[self.inode].data.len());
        let room = usize::try_from(state.room()).unwrap_or(usize::MAX);
        let mut count = if end.saturating_sub(len) > room { (len + room).saturating_sub(offset) } else { bytes.len() };
        let result = match stopped {
            Err(error) => {
                count = usize::try_from(below(&mut state.random, count as u64 + 1)).unwrap_or(0);
                Err(error)
            }
            Ok(()) if count < bytes.len() => Err(ErrorKind::StorageFull.into()),
            Ok(()) => Ok(()),
        };
        if count > 0 {
            state.files[self.inode].change(Change::Write { offset, bytes: bytes[..count].to_vec() });
        }
        result
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.step()?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        state.files[self.inode].change(Change::Len(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        state.step()?;
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            // What was to be written counts as written for readers, and nobody tries again.
            state.files[self.inode].pending.clear();
            return Err(io::Error::other("the simulated disk failed"));
        }
        let inode = &mut state.files[self.inode];
        for change in std::mem::take(&mut inode.pending) {
            change_file(&mut inode.durable, &change);
        }
        Ok(())
    }
}

fn change_names(names: &mut BTreeMap<String, usize>, change: NameChange) {
    match change {
        NameChange::Set(name, inode) => {
            names.insert(name, inode);
        }
        NameChange::Rename(from, to) => {
            if let Some(inode) = names.remove(&from) {
                names.insert(to, inode);
            }
        }
        NameChange::Remove(name) => {
            names.remove(&name);
        }
    }
}

fn change_file(data: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Len(len) => data.resize(*len, 0),
        Change::Write { offset, bytes } => put(data, *offset, bytes),
    }
}

fn put(data: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if data.len() < end {
        data.resize(end, 0);
    }
    data[offset..end].copy_from_slice(bytes);
}

/// A write as the sectors that it comes to.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let end = ((offset + start) / SECTOR + 1) * SECTOR - offset;
        at = end.min(bytes.len());
        (start < bytes.len()).then(|| (offset + start, &bytes[start..at]))
    })
}

/// A number below `limit`, from `SplitMix64`.
fn below(random: &mut u64, limit: u64) -> u64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *random;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % limit.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_synced_is_sure_to_stay() {
        let (mut lost, mut torn) = (0, 0);
        for seed in 0..200 {
            let disk = SimDisk::new(seed);
            let file = disk.create("a").unwrap();
            file.write_at(&[1; 700], 0).unwrap();
            file.sync().unwrap();
            disk.sync_folder().unwrap();
            file.write_at(&[2; 2000], 700).unwrap();
            disk.create("b").unwrap();
            disk.crash();
            assert!(file.size().is_err());
            let contents = disk.contents("a").unwrap();
            assert_eq!(contents[..700], [1; 700]);
            lost += u32::from(!disk.files().contains_key("b"));
            torn += u32::from(contents[700..].contains(&2) && contents[700..] != [2; 2000]);
        }
        assert!(lost > 20 && torn > 20, "{lost} {torn}");
    }

    #[test]
    fn it_fills_up_stops_and_refuses_a_sync() {
        let disk = SimDisk::new(1);
        let file = disk.create("a").unwrap();
        disk.set_capacity(Some(10));
        assert_eq!(file.write_at(&[1; 11], 0).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(file.size().unwrap(), 10);
        disk.fail_syncs(1);
        assert!(file.sync().is_err());
        file.sync().unwrap();
        disk.stop_after(1);
        file.set_len(5).unwrap();
        assert!(file.set_len(6).is_err() && disk.open("a").is_err());
        disk.kill();
        assert_eq!(disk.open("a").unwrap().size().unwrap(), 5);
    }
}
