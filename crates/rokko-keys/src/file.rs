//! Files that hold secrets.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// The longest secret that is read from a file.
const SECRET_MAX: u64 = 4096;

/// Reads a secret of at most 4096 octets from a file.
///
/// # Errors
///
/// If others than the owner may read it, or it is not text.
pub fn read_secret(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may read the file: chmod 600 it"));
    }
    // Growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(SECRET_MAX).unwrap_or_default()));
    file.take(SECRET_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a secret into a new file that only its owner may read, and makes it durable.
///
/// # Errors
///
/// If there is such a file already: it is never replaced.
pub fn write_secret(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(octets).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a secret is of no use, and would be in the way of the next try.
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all())
}
