//! Sealed transport: keys in a file that only chosen recipients open, in the `age` format with X25519.
//!
//! In the clear it is text, so that `age --decrypt` alone brings keys back: `rokko-keys 1`, then for each key `rokko-key`, its id and
//! when it was made (milliseconds since 1970), then its files in BIND's format, public before private, then an empty line. The
//! last line is `rokko-end` and the number of keys.
//!
//! Whoever knows a recipient can make a seal: it keeps keys secret, and says nothing about who made it.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::str::FromStr;

use age::secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use crate::bind::{BIND_FILE_MAX, BindError, BindKey};
use crate::private::KeyId;

const FIRST_LINE: &str = "rokko-keys 1";
const LAST_WORD: &str = "rokko-end";
const KEY_WORD: &str = "rokko-key";
/// The most recipients of one seal.
pub const RECIPIENTS_MAX: usize = 64;

/// Who opens a seal: `age1…`.
#[derive(Clone)]
pub struct Recipient(age::x25519::Recipient);

impl FromStr for Recipient {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        text.parse().map(Self).map_err(|_| SealError::Recipient(text.to_owned()))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

/// What opens seals: `AGE-SECRET-KEY-1…`.
pub struct Identity(age::x25519::Identity);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

impl Identity {
    /// A new one at random.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// Who it is for others.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }

    /// Its text, in one line.
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string().expose_secret().to_owned())
    }

    /// All identities of a file as `age-keygen` writes it: one in each line, and comments behind `#`.
    ///
    /// # Errors
    ///
    /// If a line is something else, or there is none.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, SealError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let all: Vec<Self> =
            lines.map(|line| line.parse().map(Self).map_err(|_| SealError::Identity)).collect::<Result<_, _>>()?;
        if all.is_empty() { Err(SealError::Identity) } else { Ok(all) }
    }
}

/// A key on its way.
#[derive(Debug)]
pub struct MovedKey {
    /// Its id, which it keeps.
    pub id: KeyId,
    /// When it was made, in milliseconds since 1970.
    pub made_at_ms: u64,
    /// The key.
    pub key: BindKey,
}

/// Why keys could not be sealed or a seal not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A text is no recipient.
    #[error("`{0}` is no recipient: expected one that begins with age1")]
    Recipient(String),
    /// There are no recipients, or too many.
    #[error("a seal has 1 to {RECIPIENTS_MAX} recipients, not {0}")]
    Recipients(usize),
    /// A file holds no identities.
    #[error("the file holds no identity of age: expected lines that begin with AGE-SECRET-KEY-1")]
    Identity,
    /// The seal is for others.
    #[error("the seal is for other recipients")]
    NotForUs,
    /// It is not sealed by `age`, or was changed.
    #[error("this is no file sealed by age, or it is damaged")]
    Damaged,
    /// What was sealed is not what `rokko keys seal` writes.
    #[error("the seal does not hold keys as expected: {0}")]
    Contents(&'static str),
    /// A key in it cannot be used.
    #[error("a key in the seal cannot be used")]
    Key(#[from] BindError),
    /// The file cannot be read or written.
    #[error("the sealed file cannot be read or written")]
    Io(#[source] io::Error),
}

/// Writes keys into a seal.
pub struct Sealer<W: Write> {
    out: age::stream::StreamWriter<W>,
    keys: u64,
}

impl<W: Write> Sealer<W> {
    /// Begins a seal for some recipients, each of whom opens it alone.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be written.
    pub fn new(recipients: &[Recipient], out: W) -> Result<Self, SealError> {
        if recipients.is_empty() || recipients.len() > RECIPIENTS_MAX {
            return Err(SealError::Recipients(recipients.len()));
        }
        let all = recipients.iter().map(|recipient| &recipient.0 as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(all).map_err(|_| SealError::Recipients(recipients.len()))?;
        let mut out = encryptor.wrap_output(out).map_err(SealError::Io)?;
        writeln!(out, "{FIRST_LINE}").map_err(SealError::Io)?;
        Ok(Self { out, keys: 0 })
    }

    /// Adds a key.
    ///
    /// # Errors
    ///
    /// If a token keeps it, or the seal cannot be written.
    pub fn put(&mut self, moved: &MovedKey) -> Result<(), SealError> {
        let private = moved.key.private_text()?;
        self.keys += 1;
        write!(self.out, "{KEY_WORD} {} {}\n{}{}\n", moved.id, moved.made_at_ms, moved.key.key_text(), *private)
            .map_err(SealError::Io)
    }

    /// Ends the seal. Without this it does not open.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn finish(mut self) -> Result<W, SealError> {
        writeln!(self.out, "{LAST_WORD} {}", self.keys).map_err(SealError::Io)?;
        self.out.finish().map_err(SealError::Io)
    }
}

/// Opens a seal and gives each key to `each`, as far as that goes well. Returns how many there were.
///
/// An error can come after some keys: those are whole and as they were sealed, and others are missing.
///
/// # Errors
///
/// If it is for others, damaged or cut off, holds something else, or `each` refuses.
pub fn open_seal<E: From<SealError>>(
    identities: &[Identity],
    input: impl Read,
    mut each: impl FnMut(MovedKey) -> Result<(), E>,
) -> Result<u64, E> {
    let identities = identities.iter().map(|identity| &identity.0 as &dyn age::Identity);
    let decryptor = age::Decryptor::new_buffered(BufReader::new(input)).map_err(refused)?;
    let plain = decryptor.decrypt(identities).map_err(refused)?;
    let mut lines = Lines { plain: BufReader::new(plain), line: Zeroizing::new(Vec::with_capacity(LINE_MAX)) };
    if lines.next()? != Some(FIRST_LINE) {
        return Err(SealError::Contents("it does not begin with `rokko-keys 1`").into());
    }
    let mut keys = 0;
    loop {
        let line = lines.next()?.ok_or(SealError::Contents("it ends too early"))?;
        if let Some(count) = line.strip_prefix(LAST_WORD) {
            if count.trim().parse() != Ok(keys) {
                return Err(SealError::Contents("keys are missing").into());
            }
            return match lines.next()? {
                None => Ok(keys),
                Some(_) => Err(SealError::Contents("something follows its end").into()),
            };
        }
        let (id, made_at_ms) = heading(line).ok_or(SealError::Contents("expected the heading of a key"))?;
        let (public, private) = lines.files()?;
        let key = BindKey::parse(&public, &private).map_err(SealError::Key)?;
        each(MovedKey { id, made_at_ms, key })?;
        keys += 1;
    }
}

fn refused(error: age::DecryptError) -> SealError {
    match error {
        age::DecryptError::NoMatchingKeys => SealError::NotForUs,
        age::DecryptError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => SealError::Io(error),
        _ => SealError::Damaged,
    }
}

fn heading(line: &str) -> Option<(KeyId, u64)> {
    let mut words = line.strip_prefix(KEY_WORD)?.split_ascii_whitespace();
    let (id, made_at_ms) = (words.next()?, words.next()?.parse().ok()?);
    let mut octets = [0; 16];
    let len = data_encoding::HEXLOWER.decode_len(id.len()).ok()?;
    if len != octets.len() || data_encoding::HEXLOWER.decode_mut(id.as_bytes(), &mut octets).is_err() {
        return None;
    }
    words.next().is_none().then_some((KeyId(octets), made_at_ms))
}

/// The longest line: a key of 4096 bits in base64 is shorter.
const LINE_MAX: usize = 4096;

/// Lines of limited length.
struct Lines<R> {
    plain: BufReader<R>,
    line: Zeroizing<Vec<u8>>,
}

impl<R: Read> Lines<R> {
    fn next(&mut self) -> Result<Option<&str>, SealError> {
        self.line.clear();
        let max = LINE_MAX as u64;
        // The stream checks each part of the file as it goes, and an end that came too early is an error of its own.
        let read = self.plain.by_ref().take(max).read_until(b'\n', &mut self.line).map_err(|_| SealError::Damaged)?;
        if read == 0 {
            return Ok(None);
        }
        let line = self.line.strip_suffix(b"\n").ok_or(SealError::Contents("a line is too long or not ended"))?;
        str::from_utf8(line).map(Some).map_err(|_| SealError::Contents("it is not text"))
    }

    /// Both files of a key: the private one begins with its format.
    fn files(&mut self) -> Result<(String, Zeroizing<String>), SealError> {
        let (mut public, mut private) = (String::new(), Zeroizing::new(String::with_capacity(BIND_FILE_MAX / 8)));
        loop {
            let line = self.next()?.ok_or(SealError::Contents("it ends within a key"))?;
            if line.is_empty() {
                return Ok((public, private));
            }
            let is_private = !private.is_empty() || line.starts_with("Private-key-format");
            let file = if is_private { &mut *private } else { &mut public };
            if file.len() + line.len() >= BIND_FILE_MAX / 8 {
                return Err(SealError::Contents("a key is too long"));
            }
            file.push_str(line);
            file.push('\n');
        }
    }
}
