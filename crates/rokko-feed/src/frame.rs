//! Frames: some consecutive revisions as bytes, as they are kept in a mirror's log and sent to PoPs.
//!
//! ```text
//! frame = version:u8 (1)  set:16 octets  after:u64  last:u64  at_ms:u64  digest:32 octets  entry × (last - after)
//! entry = flags:u8 (1: existed before, 2: exists afterwards)  zone (wire form)
//!         [before:u64]                      where it existed before
//!         [length:u32  delta]               where it exists afterwards
//! ```
//!
//! All numbers are little-endian. Entry i, counted from 0, is revision after + 1 + i.

use std::fmt;
use std::str::FromStr;

use rokko_wire::Name;
use rokko_zone::{Delta, Revision, ShortDigest};

use crate::codec::{DecodeError, Reader, len32};

/// The most octets of a frame: as many as the largest single change may have.
pub const FRAME_OCTETS_MAX: usize = 1 << 30;
/// The most revisions in a frame.
pub const FRAME_REVISIONS_MAX: u64 = 1 << 20;

const VERSION: u8 = 1;
const EXISTED: u8 = 1;
const EXISTS: u8 = 2;
/// Octets before the first entry.
const HEAD_LEN: usize = 1 + 16 + 3 * 8 + 32;

/// Names the data of one control plane: 16 random octets, made when it first started.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetId(pub [u8; 16]);

/// Some consecutive revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whose revisions.
    pub set: SetId,
    /// The revision that the frame follows.
    pub after: Revision,
    /// The last revision in it.
    pub last: Revision,
    /// When the last revision was committed, in milliseconds since 1970 by the control node's clock.
    pub at_ms: u64,
    /// The digest of all data at `last`.
    pub digest: ShortDigest,
    /// What each revision changes, from the one that follows `after` on.
    pub entries: Vec<Entry>,
}

/// What one revision changes: one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The zone.
    pub zone: Name,
    /// The revision of the version that the change was made on; `None`: there was no such zone.
    pub before: Option<Revision>,
    /// Whether there is such a zone afterwards.
    pub exists: bool,
    /// How the zone's records change; it is left out, and so is empty once read, where the zone is deleted.
    pub delta: Delta,
}

/// All of a frame but its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Whose revisions.
    pub set: SetId,
    /// The revision that the frame follows.
    pub after: Revision,
    /// The last revision in it.
    pub last: Revision,
    /// When the last revision was committed, in milliseconds since 1970 by the control node's clock.
    pub at_ms: u64,
    /// The digest of all data at `last`.
    pub digest: ShortDigest,
}

/// Writes a frame entry by entry, from deltas that are borrowed.
pub struct FrameWriter {
    after: Revision,
    last: Revision,
    bytes: Vec<u8>,
}

/// A frame has no room for another entry: it is finished, and the entry goes into the next one. If the frame is empty,
/// the change is larger than any may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame has at most {FRAME_REVISIONS_MAX} revisions and {FRAME_OCTETS_MAX} octets")]
pub struct FrameFull;

impl Frame {
    /// The bytes of the frame.
    pub fn encode(&self) -> Result<Vec<u8>, FrameFull> {
        let mut writer = FrameWriter::new(self.set, self.after);
        for entry in &self.entries {
            writer.push(&entry.zone, entry.before, entry.exists.then_some(&entry.delta))?;
        }
        Ok(writer.finish(self.at_ms, self.digest))
    }

    /// Reads a frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let FrameHead { set, after, last, at_ms, digest } = Self::peek(bytes)?;
        let mut reader = Reader(&bytes[HEAD_LEN..]);
        let count = usize::try_from(last.0 - after.0).map_err(|_| DecodeError::TooMany("revisions"))?;
        // An entry has two octets at least.
        let mut entries = Vec::with_capacity(count.min(reader.0.len() / 2));
        for revision in after.0 + 1..=last.0 {
            entries.push(Entry::read(Revision(revision), &mut reader)?);
        }
        reader.end()?;
        Ok(Self { set, after, last, at_ms, digest, entries })
    }

    /// Reads all but the entries.
    pub fn peek(bytes: &[u8]) -> Result<FrameHead, DecodeError> {
        if bytes.len() > FRAME_OCTETS_MAX {
            return Err(DecodeError::TooMany("octets in a frame"));
        }
        let mut reader = Reader(bytes);
        match reader.u8()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let set = SetId(reader.array()?);
        let (after, last) = (Revision(reader.u64()?), Revision(reader.u64()?));
        let (at_ms, digest) = (reader.u64()?, ShortDigest(reader.array()?));
        match last.0.checked_sub(after.0) {
            None | Some(0) => return Err(DecodeError::Invalid("range of revisions")),
            Some(count) if count > FRAME_REVISIONS_MAX => return Err(DecodeError::TooMany("revisions")),
            Some(_) => {}
        }
        Ok(FrameHead { set, after, last, at_ms, digest })
    }
}

impl Entry {
    fn read(revision: Revision, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.u8()?;
        if flags & !(EXISTED | EXISTS) != 0 {
            return Err(DecodeError::Invalid("entry of a frame"));
        }
        let zone = reader.name()?;
        let before = match flags & EXISTED {
            0 => None,
            _ => Some(Revision(reader.u64()?)),
        };
        if before.is_some_and(|before| before >= revision) {
            return Err(DecodeError::Invalid("entry of a frame"));
        }
        let exists = flags & EXISTS != 0;
        let delta = match exists {
            true => Delta::decode(reader.octets(FRAME_OCTETS_MAX, "octets in a delta")?)
                .map_err(|_| DecodeError::Invalid("delta"))?,
            false => Delta::default(),
        };
        Ok(Self { zone, before, exists, delta })
    }
}

impl FrameWriter {
    /// An empty frame that follows `after`.
    pub fn new(set: SetId, after: Revision) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.push(VERSION);
        bytes.extend_from_slice(&set.0);
        bytes.extend_from_slice(&after.0.to_le_bytes());
        bytes.resize(HEAD_LEN, 0);
        Self { after, last: after, bytes }
    }

    /// The last revision in it so far.
    pub fn last(&self) -> Revision {
        self.last
    }

    /// Its octets so far.
    pub fn octets(&self) -> usize {
        self.bytes.len()
    }

    /// Adds the next revision: `zone`, the revision of its version before (`None`: there was no such zone), and how it
    /// changes (`None`: it is deleted). If the frame is full, nothing is added.
    pub fn push(&mut self, zone: &Name, before: Option<Revision>, delta: Option<&Delta>) -> Result<(), FrameFull> {
        if self.last.0 - self.after.0 >= FRAME_REVISIONS_MAX {
            return Err(FrameFull);
        }
        let end = self.bytes.len();
        self.bytes.push(if before.is_some() { EXISTED } else { 0 } | if delta.is_some() { EXISTS } else { 0 });
        self.bytes.extend_from_slice(zone.as_bytes());
        if let Some(before) = before {
            self.bytes.extend_from_slice(&before.0.to_le_bytes());
        }
        let delta = delta.map(Delta::encode);
        let len = delta.as_ref().map_or(0, |delta| delta.len() + 4);
        if self.bytes.len() + len > FRAME_OCTETS_MAX {
            self.bytes.truncate(end);
            return Err(FrameFull);
        }
        if let Some(delta) = delta {
            self.bytes.extend_from_slice(&len32(delta.len()));
            self.bytes.extend_from_slice(&delta);
        }
        self.last = self.last.next();
        Ok(())
    }

    /// The bytes of the frame, which must not be empty: when its last revision was committed, in milliseconds since 1970,
    /// and the digest of all data at that revision.
    pub fn finish(mut self, at_ms: u64, digest: ShortDigest) -> Vec<u8> {
        let mut head = Vec::with_capacity(HEAD_LEN);
        head.extend_from_slice(&self.bytes[..HEAD_LEN - 48]);
        head.extend_from_slice(&self.last.0.to_le_bytes());
        head.extend_from_slice(&at_ms.to_le_bytes());
        head.extend_from_slice(&digest.0);
        self.bytes[..HEAD_LEN].copy_from_slice(&head);
        self.bytes
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetId({self})")
    }
}

impl FromStr for SetId {
    type Err = DecodeError;

    /// Reads 32 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        let error = DecodeError::Invalid("id of a data set: 32 hexadecimal digits");
        if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(error);
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rokko_wire::Rtype;
    use rokko_zone::{Contents, RrsetDelta, Ttl};

    const SET: SetId = SetId(*b"0123456789abcdef");

    fn delta(owner: &str) -> Delta {
        let contents = Contents { ttl: Ttl::from_wire(60), rdatas: vec![Box::from([192, 0, 2, 1])] };
        let owner = owner.parse().unwrap();
        Delta { changes: vec![RrsetDelta { owner, rtype: Rtype::A, before: None, after: Some(contents) }] }
    }

    fn frame() -> Frame {
        let entry = |zone: &str, before: Option<u64>, exists, delta| {
            let (zone, before) = (zone.parse().unwrap(), before.map(Revision));
            Entry { zone, before, exists, delta }
        };
        let entries = vec![
            entry("a.", None, true, delta("www.a.")),
            entry("b.", Some(4), false, Delta::default()),
            entry("a.", Some(8), true, Delta::default()),
        ];
        Frame { set: SET, after: Revision(7), last: Revision(10), at_ms: 99, digest: ShortDigest([7; 32]), entries }
    }

    #[test]
    fn a_frame_reads_as_it_was_written() {
        let frame = frame();
        let bytes = frame.encode().unwrap();
        assert_eq!(Frame::decode(&bytes), Ok(frame.clone()));
        let head = Frame::peek(&bytes[..HEAD_LEN]).unwrap();
        assert_eq!((head.set, head.after, head.last), (frame.set, frame.after, frame.last));
        assert_eq!((head.at_ms, head.digest), (99, frame.digest));
        for len in 0..bytes.len() {
            assert!(Frame::decode(&bytes[..len]).is_err(), "{len}");
        }
        assert_eq!(Frame::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Trailing));
    }

    #[test]
    fn what_a_frame_must_not_hold_is_refused() {
        let good = frame().encode().unwrap();
        let with = |at: usize, octet: u8| {
            let mut bytes = good.clone();
            bytes[at] = octet;
            Frame::decode(&bytes)
        };
        assert_eq!(with(0, 2), Err(DecodeError::Version(2)));
        assert_eq!(with(25, 7), Err(DecodeError::Invalid("range of revisions")));
        assert_eq!(with(28, 1), Err(DecodeError::TooMany("revisions")));
        assert_eq!(with(HEAD_LEN, 4), Err(DecodeError::Invalid("entry of a frame")));
        assert_eq!(with(HEAD_LEN + 2, b'A'), Err(DecodeError::Invalid("name")));
        assert_eq!(with(HEAD_LEN + 8, 9), Err(DecodeError::Invalid("delta")));
        let future = Frame { entries: vec![Entry { before: Some(Revision(8)), ..frame().entries[0].clone() }], ..frame() };
        let future = Frame { last: Revision(8), ..future }.encode().unwrap();
        assert_eq!(Frame::decode(&future), Err(DecodeError::Invalid("entry of a frame")));
    }

    #[test]
    fn a_full_frame_takes_no_more() {
        let zone = Name::root();
        let mut writer = FrameWriter::new(SET, Revision(0));
        for _ in 0..FRAME_REVISIONS_MAX {
            writer.push(&zone, None, None).unwrap();
        }
        let octets = writer.octets();
        assert_eq!(writer.push(&zone, None, None), Err(FrameFull));
        assert_eq!((writer.octets(), writer.last()), (octets, Revision(FRAME_REVISIONS_MAX)));
        assert!(Frame::decode(&writer.finish(1, ShortDigest([0; 32]))).is_ok());
    }

    #[test]
    fn set_ids_are_hexadecimal() {
        assert_eq!(SET.to_string().parse(), Ok(SET));
        assert!("0123".parse::<SetId>().is_err());
        assert!("+1230123012301230123012301230123".parse::<SetId>().is_err());
    }
}
