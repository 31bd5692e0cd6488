//! The master key: wraps all signing keys of an installation.
//!
//! As text it is `rokko-master:` and base64url (RFC 4648, section 5, no padding) of: version (1 octet, 1) · key (32 octets) · the first
//! 4 octets of SHA-256 over all before, against mistakes in copying. Lines that begin with `#` and empty ones may stand around it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use ring::{digest, hkdf};
use zeroize::{Zeroize, Zeroizing};

use crate::{file, random};

const PREFIX: &str = "rokko-master:";
const VERSION: u8 = 1;
pub(crate) const MASTER_LEN: usize = 32;
const CHECK_LEN: usize = 4;
/// The longest text that is looked at.
const TEXT_MAX: u64 = 4096;
const ID_LEN: usize = 8;

/// Names a master key without saying anything about it: 8 octets that follow from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MasterKeyId(pub [u8; ID_LEN]);

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKeyId({self})")
    }
}

/// The key that wraps all signing keys of an installation. Overwritten when dropped.
pub struct MasterKey {
    octets: Zeroizing<[u8; MASTER_LEN]>,
    id: MasterKeyId,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

/// Where a master key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKeySource {
    /// A file with its text.
    File(PathBuf),
    /// An environment variable with its text.
    Environment(String),
    /// A credential of this name that systemd gives to the service, in the folder that `CREDENTIALS_DIRECTORY` names.
    Credential(String),
}

impl fmt::Display for MasterKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Environment(name) => write!(f, "the environment variable {name}"),
            Self::Credential(name) => write!(f, "the systemd credential {name}"),
        }
    }
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The place does not exist.
    #[error("there is no master key in {0}")]
    Missing(MasterKeySource),
    /// It cannot be read.
    #[error("the master key in {from} cannot be read")]
    Read {
        /// Where.
        from: MasterKeySource,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner may read the file.
    #[error("others may read the master key in {}: make that `chmod 600 {}`", .0.display(), .0.display())]
    Open(PathBuf),
    /// The text is not that of a master key.
    #[error("{from} holds no master key: {what}")]
    Text {
        /// Where.
        from: MasterKeySource,
        /// What is wrong.
        what: &'static str,
    },
    /// It cannot be written.
    #[error("the master key cannot be written to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system gives no random octets.
    #[error("the system has no randomness")]
    Random(#[from] getrandom::Error),
}

impl MasterKey {
    /// A new one at random.
    ///
    /// # Errors
    ///
    /// If the system gives no random octets.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self::new(Zeroizing::new(random::octets()?)))
    }

    pub(crate) fn new(octets: Zeroizing<[u8; MASTER_LEN]>) -> Self {
        let mut id = [0; ID_LEN];
        expand(octets.as_slice(), &[], &[b"rokko master key id"], &mut id);
        Self { octets, id: MasterKeyId(id) }
    }

    pub(crate) fn octets(&self) -> &[u8] {
        self.octets.as_slice()
    }

    /// What names it.
    pub fn id(&self) -> MasterKeyId {
        self.id
    }

    /// The key with which one signing key is wrapped, so that no two of them share nonces.
    pub(crate) fn wrapping_key(&self, key: &[u8; 16], out: &mut [u8; 32]) {
        expand(self.octets.as_slice(), key, &[b"rokko wrapped key"], out);
    }

    /// Reads it from where it is.
    ///
    /// # Errors
    ///
    /// If it is not there, others may read its file, or it is not a master key.
    pub fn load(from: &MasterKeySource) -> Result<Self, MasterKeyError> {
        let text = match from {
            MasterKeySource::File(path) => read(path, from, true)?,
            MasterKeySource::Environment(name) => {
                Zeroizing::new(std::env::var(name).map_err(|_| MasterKeyError::Missing(from.clone()))?)
            }
            MasterKeySource::Credential(name) => {
                let folder =
                    std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| MasterKeyError::Missing(from.clone()))?;
                read(&Path::new(&folder).join(name), from, false)?
            }
        };
        Self::parse(&text).map_err(|what| MasterKeyError::Text { from: from.clone(), what })
    }

    /// Makes one in a new file that only its owner may read.
    ///
    /// # Errors
    ///
    /// If there is such a file already.
    pub fn create(path: &Path) -> Result<Self, MasterKeyError> {
        let made = Self::generate()?;
        made.write(path)?;
        Ok(made)
    }

    /// Writes it into a new file that only its owner may read.
    ///
    /// # Errors
    ///
    /// If there is such a file already.
    pub fn write(&self, path: &Path) -> Result<(), MasterKeyError> {
        let text = Zeroizing::new(format!(
            "# Rokko's master key {}. Without it no signing key can be read: keep a copy in a safe place.\n{}\n",
            self.id,
            *self.text()
        ));
        file::write_secret(path, text.as_bytes())
            .map_err(|source| MasterKeyError::Write { path: path.to_owned(), source })
    }

    /// It as text, in one line.
    pub fn text(&self) -> Zeroizing<String> {
        let mut octets = Zeroizing::new([0; 1 + MASTER_LEN + CHECK_LEN]);
        octets[0] = VERSION;
        octets[1..=MASTER_LEN].copy_from_slice(&*self.octets);
        let check = digest::digest(&digest::SHA256, &octets[..=MASTER_LEN]);
        octets[1 + MASTER_LEN..].copy_from_slice(&check.as_ref()[..CHECK_LEN]);
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * octets.len()));
        text.push_str(PREFIX);
        BASE64URL_NOPAD.encode_append(&*octets, &mut text);
        text
    }

    /// Reads its text; else says what is wrong with that.
    ///
    /// # Errors
    ///
    /// If the text is not that of a master key.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let line = lines.next().ok_or("it is empty")?;
        if lines.next().is_some() {
            return Err("there is more than one line");
        }
        let digits = line.strip_prefix(PREFIX).ok_or("one begins with rokko-master:")?;
        let damaged = "it is damaged: copy all of it again";
        let mut octets = Zeroizing::new([0; 1 + MASTER_LEN + CHECK_LEN]);
        if BASE64URL_NOPAD.decode_len(digits.len()) != Ok(octets.len()) {
            return Err(damaged);
        }
        BASE64URL_NOPAD.decode_mut(digits.as_bytes(), &mut *octets).map_err(|_| damaged)?;
        let (body, check) = octets.split_at(1 + MASTER_LEN);
        if digest::digest(&digest::SHA256, body).as_ref()[..CHECK_LEN] != *check {
            return Err(damaged);
        }
        if body[0] != VERSION {
            return Err("its form is newer than this program");
        }
        let mut key = Zeroizing::new([0; MASTER_LEN]);
        key.copy_from_slice(&body[1..]);
        Ok(Self::new(key))
    }
}

fn read(path: &Path, from: &MasterKeySource, private: bool) -> Result<Zeroizing<String>, MasterKeyError> {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => MasterKeyError::Missing(from.clone()),
        _ => MasterKeyError::Read { from: from.clone(), source },
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if private && metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        return Err(MasterKeyError::Open(path.to_owned()));
    }
    let mut octets = Zeroizing::new(Vec::with_capacity(usize::try_from(TEXT_MAX).unwrap_or(0)));
    file.take(TEXT_MAX).read_to_end(&mut octets).map_err(failed)?;
    let text = std::str::from_utf8(&octets)
        .map_err(|_| MasterKeyError::Text { from: from.clone(), what: "it is not text" })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// How many octets HKDF is to give.
struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF with SHA-256 (RFC 5869).
fn expand(secret: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8]) {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let filled = prk.expand(info, Len(out.len())).and_then(|okm| okm.fill(out));
    if filled.is_err() {
        out.zeroize();
        unreachable!("SHA-256 gives up to 8160 octets, and at most 32 are asked for");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn text_leads_back() {
        let key = MasterKey::generate().unwrap();
        let again = MasterKey::parse(&key.text()).unwrap();
        assert_eq!((again.text(), again.id()), (key.text(), key.id()));
        assert!(MasterKey::parse(&format!("# note\n\n  {}\r\n", *key.text())).is_ok());
        assert_ne!(MasterKey::generate().unwrap().id(), key.id());
        assert!(!format!("{key:?}").contains(&key.text()[13..]));
    }

    #[test]
    fn every_changed_character_is_found() {
        let text = MasterKey::generate().unwrap().text();
        for at in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(MasterKey::parse(&changed).is_err(), "{at}");
            assert!(MasterKey::parse(&text[..at]).is_err(), "{at}");
        }
        assert_eq!(MasterKey::parse("# nothing\n").unwrap_err(), "it is empty");
        assert!(MasterKey::parse(&format!("{0}\n{0}", *text)).is_err());
    }

    #[test]
    fn a_file_is_private_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let from = MasterKeySource::File(path.clone());
        assert!(matches!(MasterKey::load(&from), Err(MasterKeyError::Missing(_))));
        let made = MasterKey::create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(MasterKey::load(&from).unwrap().id(), made.id());
        assert!(matches!(MasterKey::create(&path), Err(MasterKeyError::Write { .. })));
        assert_eq!(MasterKey::load(&from).unwrap().id(), made.id());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(MasterKey::load(&from), Err(MasterKeyError::Open(_))));
    }
}
