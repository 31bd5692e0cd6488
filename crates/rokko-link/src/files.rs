//! Small files with secrets: written whole or not at all, for their owner only.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The largest file that is read.
const OCTETS_MAX: u64 = 64 << 10;

/// Writes a file that only its owner can read, under another name first, so that a crash leaves the old file or the new one.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

/// Makes a folder that only its owner can enter, and those above it; one that is there stays as it is.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads a file; `None` if there is none. Others who can read it are named in the log.
pub(crate) fn read_private(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{mode:o}"), "a private key can be read by others; chmod 600 mends it");
    }
    let mut text = Vec::new();
    file.take(OCTETS_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > OCTETS_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {OCTETS_MAX} octets")));
    }
    Ok(Some(text))
}
