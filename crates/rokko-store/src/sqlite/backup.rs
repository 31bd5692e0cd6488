//! Online backup.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::{failed, io_failed};
use super::schema::{self, Role};
use crate::StoreError;

/// How many database pages are copied between two reports of progress: 4 MiB.
const PAGES_PER_STEP: i32 = 1024;

/// How often a step is tried again after a tenth of a second because of a lock.
const RETRIES_MAX: u32 = 100;

/// Copies the store at `from` to the new file `to`.
///
/// The copy is written under another name, made durable, and only then gets its own, so that a file with that
/// name is always a whole backup.
pub(super) fn backup(from: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), StoreError> {
    let refuse = io_failed("making the backup file");
    if to.try_exists().map_err(&refuse)? {
        return Err(refuse(std::io::Error::new(
            std::io::ErrorKind::AlreadyExists,
            format!("{} exists already: choose a new name", to.display()),
        )));
    }
    let partial = partial_path(to);
    File::create_new(&partial).map_err(&refuse)?;
    let done = copy(from, &partial, progress).and_then(|()| publish(&partial, to));
    if done.is_err() {
        // The first error is what matters; a file left over says by its name what it is.
        let _ = fs::remove_file(&partial);
    }
    done
}

fn partial_path(to: &Path) -> PathBuf {
    let mut path = to.as_os_str().to_owned();
    path.push(format!(".partial-{}", std::process::id()));
    path.into()
}

fn copy(from: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), StoreError> {
    let copying = failed("copying the store");
    let source = schema::open_another(from, Role::Reader)?;
    let mut target = Connection::open(to).map_err(failed("opening the backup file"))?;
    // The file has another name until it is whole, so a journal would be of no use.
    target.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;").map_err(&copying)?;
    // A read transaction holds one state; without it each append would make the copy start again.
    let one_state = source.unchecked_transaction().map_err(&copying)?;
    super::append::head(&one_state)?;
    let backup = Backup::new(&one_state, &mut target).map_err(&copying)?;
    let mut retries = 0;
    loop {
        let step = backup.step(PAGES_PER_STEP).map_err(&copying)?;
        let now = backup.progress();
        let count = |pages| u64::try_from(pages).unwrap_or(0);
        progress(count(now.pagecount - now.remaining), count(now.pagecount));
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => retries = 0,
            _ if retries < RETRIES_MAX => {
                retries += 1;
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            _ => return Err(StoreError::Busy(from.display().to_string())),
        }
    }
}

fn publish(partial: &Path, to: &Path) -> Result<(), StoreError> {
    let finish = io_failed("making the backup durable");
    File::open(partial).and_then(|file| file.sync_all()).map_err(&finish)?;
    // Unlike a rename, a link never replaces a file that has come into being meanwhile.
    match fs::hard_link(partial, to) {
        Ok(()) => fs::remove_file(partial).map_err(&finish)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(finish(error)),
        Err(_) => fs::rename(partial, to).map_err(&finish)?,
    }
    sync_folder(to)
}

/// Makes the name of a new file durable.
pub(super) fn sync_folder(of: &Path) -> Result<(), StoreError> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_failed("making a new file durable"))
}
