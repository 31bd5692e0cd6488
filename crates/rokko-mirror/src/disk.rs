//! The folder that a mirror lives in, as the mirror sees it: a flat set of files by name.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// The file that is locked while a process has the folder.
const LOCK: &str = "lock";

/// A folder of files. What was written may be lost or torn by a loss of power until [`DiskFile::sync`]; names that came, went or
/// changed may do so until [`Disk::sync_folder`].
pub trait Disk: Send + Sync {
    /// The names of all files, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A new, empty file; one of that name is emptied.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// An existing file, to read and to write.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name in one step, in place of a file that had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Those who have it open read on.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the names durable.
    fn sync_folder(&self) -> io::Result<()>;
}

/// An open file. Several threads may read while one writes.
pub trait DiskFile: Send + Sync {
    /// Its length in octets.
    fn size(&self) -> io::Result<u64>;
    /// Reads from `offset` on until `buffer` is full or the file ends; returns how many octets were read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` from `offset` on. After an error any part of it may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes what was written durable. After an error none of what was written since the last success counts as written.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the operating system, locked for this process.
pub struct Folder {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Folder {
    /// Opens a folder, and makes it if it is not there. Fails with [`ErrorKind::ResourceBusy`] when another process, or another
    /// value of this one, has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path.join(LOCK))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            nix::errno::Errno::EWOULDBLOCK => {
                io::Error::new(ErrorKind::ResourceBusy, format!("{}: another process uses it", path.display()))
            }
            errno => errno.into(),
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
                && name != LOCK
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path.join(name))?;
        Ok(Box::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(self.path.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match FileExt::read_at(self, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Reads `len` octets from `offset` on, fewer if the file ends before.
pub(crate) fn read(file: &dyn DiskFile, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let count = file.read_at(&mut bytes, offset)?;
    bytes.truncate(count);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::open(folder.path()).unwrap();
        assert_eq!(Folder::open(folder.path()).err().unwrap().kind(), ErrorKind::ResourceBusy);
        drop(first);
        Folder::open(folder.path()).unwrap();
    }

    #[test]
    fn files_are_written_read_renamed_and_removed() {
        let path = tempfile::tempdir().unwrap();
        let folder = Folder::open(path.path()).unwrap();
        let file = folder.create("a").unwrap();
        file.write_at(b"abcdef", 2).unwrap();
        file.sync().unwrap();
        folder.rename("a", "b").unwrap();
        folder.sync_folder().unwrap();
        assert_eq!(folder.list().unwrap(), ["b"]);
        let again = folder.open("b").unwrap();
        assert_eq!(read(&*again, 0, 100).unwrap(), b"\0\0abcdef");
        again.set_len(4).unwrap();
        assert_eq!((file.size().unwrap(), read(&*file, 2, 100).unwrap()), (4, b"ab".to_vec()));
        folder.remove("b").unwrap();
        assert!(folder.list().unwrap().is_empty() && folder.open("b").is_err());
    }
}
