//! Reading and checking many zone files on several threads.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use rokko_wire::Name;
use rokko_zone::file::Loaded;

use crate::failure::Failure;
use crate::zone::file;

/// How many read zones may wait for being imported.
const WAITING_MAX: usize = 2048;
/// The most threads; more than that wait for the disk.
const THREADS_MAX: usize = 16;

/// What came of reading one file.
pub(super) struct Parsed {
    pub(super) file: PathBuf,
    pub(super) loaded: Result<Loaded, Failure>,
}

/// Reads all files; they come out in no particular order.
pub(super) fn start(files: Vec<PathBuf>, origin: Option<&Name>) -> Receiver<Parsed> {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(THREADS_MAX).min(files.len());
    let (files, next) = (Arc::new(files), Arc::new(AtomicUsize::new(0)));
    for _ in 0..threads {
        let (sender, files, next, origin) = (sender.clone(), Arc::clone(&files), Arc::clone(&next), origin.cloned());
        std::thread::spawn(move || {
            while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let parsed = Parsed { file: path.clone(), loaded: file::load(path, origin.as_ref()) };
                if sender.send(parsed).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}
