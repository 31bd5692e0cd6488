//! The form of a log segment: a header, and records one after another.
//!
//! `docs/formats/mirror.md` has it octet by octet. A record begins with the segment's marker, a random number that nobody
//! outside knows. So after a damaged record the next good one can be found, and zone data that look like a record cannot
//! pass for one. A record also says how far the segment was durable when it was written. So the end of a write that a
//! crash tore is told from octets that were damaged later.

use rokko_feed::frame::Frame;
use rokko_zone::Revision;

use crate::{SetId, error::VersionError};

/// How a segment begins.
const MAGIC: &[u8; 8] = b"ROKKOLOG";
/// The format's version.
pub const VERSION: u32 = 1;
/// Octets of a segment's header.
pub const HEADER_LEN: usize = 48;
/// Octets before a record's body.
pub const RECORD_HEADER_LEN: usize = 28;

/// What a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose data.
    pub set: SetId,
    /// The revision that the segment's first frame follows.
    pub after: Revision,
    /// What each record of the segment begins with.
    pub marker: u64,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A frame.
    Frame,
    /// A part of a run of images of zones that take the place of what was there; see `rokko_zone::image`. Parts of a run
    /// stand side by side.
    Images,
    /// The name of a zone that is not there, in wire form.
    Gone,
}

/// What a walk through a segment comes upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A good record.
    Record {
        /// Where it starts.
        offset: usize,
        /// What it is.
        kind: Kind,
        /// Its contents.
        body: &'a [u8],
    },
    /// Octets that were a good record once; the walk goes on after them.
    Damage {
        /// Where they start.
        offset: usize,
        /// Where the next good record starts.
        next: usize,
    },
    /// Octets at the end that are no record: the rest of a write that was not finished, or damage of the last one.
    Tail {
        /// Where they start.
        offset: usize,
    },
}

/// Walks through a segment's records.
pub struct Records<'a> {
    bytes: &'a [u8],
    marker: u64,
    at: usize,
}

impl Header {
    /// The octets.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..28].copy_from_slice(&self.set.0);
        out[28..36].copy_from_slice(&self.after.0.to_le_bytes());
        out[36..44].copy_from_slice(&self.marker.to_le_bytes());
        let crc = crc32fast::hash(&out[..44]);
        out[44..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the octets that a segment begins with; `Ok(None)` if they are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, VersionError> {
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        if header[..8] != *MAGIC || crc32fast::hash(&header[..44]) != u32_at(header, 44) {
            return Ok(None);
        }
        VersionError::check(u32_at(header, 8), VERSION)?;
        let mut set = SetId([0; 16]);
        set.0.copy_from_slice(&header[12..28]);
        Ok(Some(Self { set, after: Revision(u64_at(header, 28)), marker: u64_at(header, 36) }))
    }

    /// What a damaged header most likely was: the first record has the marker, too, and frames have the set. `None` if no
    /// record confirms it.
    pub fn recover(bytes: &[u8], set: Option<SetId>, after: Revision) -> Option<Self> {
        let marker = u64::from_le_bytes(*bytes.get(HEADER_LEN..)?.first_chunk()?);
        record_at(bytes, marker, HEADER_LEN)?;
        let header = Self { set: SetId([0; 16]), after, marker };
        let set = set.or_else(|| {
            Records::new(bytes, &header).find_map(|item| match item {
                Item::Record { kind: Kind::Frame, body, .. } => Frame::peek(body).ok().map(|head| head.set),
                _ => None,
            })
        });
        Some(Self { set: set?, ..header })
    }

    /// Appends a record. `synced` is how many octets of the segment are durable by now.
    pub fn write(&self, synced: u64, kind: Kind, body: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.marker.to_le_bytes());
        out.extend_from_slice(&synced.to_le_bytes());
        out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&kind.number().to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(body);
        let crc = checksum(&out[start..]);
        out[start + 24..start + 28].copy_from_slice(&crc.to_le_bytes());
    }
}

impl Kind {
    fn number(self) -> u32 {
        match self {
            Kind::Frame => 1,
            Kind::Images => 2,
            Kind::Gone => 3,
        }
    }

    fn of(number: u32) -> Option<Self> {
        [Kind::Frame, Kind::Images, Kind::Gone].into_iter().find(|kind| kind.number() == number)
    }
}

impl<'a> Records<'a> {
    /// The records of a whole segment.
    pub fn new(bytes: &'a [u8], header: &Header) -> Self {
        Self { bytes, marker: header.marker, at: HEADER_LEN }
    }

    /// The records of a part of a segment that starts with one.
    pub fn of_part(bytes: &'a [u8], header: &Header) -> Self {
        Self { bytes, marker: header.marker, at: 0 }
    }

    /// The first good record after damage at `self.at`, if any of those that follow says that the damaged octets had been
    /// durable.
    fn resume(&self) -> Option<usize> {
        let (mut first, mut at) = (None, self.at + 1);
        loop {
            at += find(&self.bytes[at.min(self.bytes.len())..], self.marker.to_le_bytes())?;
            let Some(record) = record_at(self.bytes, self.marker, at) else {
                at += 1;
                continue;
            };
            let first = *first.get_or_insert(at);
            if record.synced > self.at as u64 {
                return Some(first);
            }
            at = record.end;
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let offset = self.at;
        if offset >= self.bytes.len() {
            return None;
        }
        if let Some(record) = record_at(self.bytes, self.marker, offset) {
            self.at = record.end;
            return Some(Item::Record { offset, kind: record.kind, body: record.body });
        }
        if let Some(next) = self.resume() {
            self.at = next;
            return Some(Item::Damage { offset, next });
        }
        self.at = self.bytes.len();
        Some(Item::Tail { offset })
    }
}

struct Record<'a> {
    synced: u64,
    kind: Kind,
    body: &'a [u8],
    end: usize,
}

fn record_at(bytes: &[u8], marker: u64, at: usize) -> Option<Record<'_>> {
    let rest = bytes.get(at..)?;
    let header = rest.first_chunk::<RECORD_HEADER_LEN>()?;
    if u64_at(header, 0) != marker {
        return None;
    }
    let len = RECORD_HEADER_LEN.checked_add(u32_at(header, 16) as usize)?;
    let record = rest.get(..len)?;
    if checksum(record) != u32_at(header, 24) {
        return None;
    }
    let kind = Kind::of(u32_at(header, 20))?;
    Some(Record { synced: u64_at(header, 8), kind, body: &record[RECORD_HEADER_LEN..], end: at + len })
}

/// The checksum of a record that begins with its header.
fn checksum(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[8..24]);
    hasher.update(&record[RECORD_HEADER_LEN..]);
    hasher.finalize()
}

fn find(bytes: &[u8], wanted: [u8; 8]) -> Option<usize> {
    bytes.windows(8).position(|window| window == wanted)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { set: SetId([3; 16]), after: Revision(7), marker: 0x1122_3344_5566_7788 };

    /// Three records: two durable one after the other, and the third written after both.
    fn segment() -> (Vec<u8>, Vec<usize>) {
        let mut out = HEADER.encode().to_vec();
        let mut starts = Vec::new();
        for (kind, body) in [(Kind::Frame, &b"first"[..]), (Kind::Images, b"second record"), (Kind::Gone, b"third")] {
            starts.push(out.len());
            let synced = out.len() as u64;
            HEADER.write(synced, kind, body, &mut out);
        }
        (out, starts)
    }

    fn bodies(bytes: &[u8]) -> Vec<&[u8]> {
        let body = |item| if let Item::Record { body, .. } = item { Some(body) } else { None };
        Records::new(bytes, &HEADER).filter_map(body).collect()
    }

    #[test]
    fn records_come_back() {
        let (bytes, starts) = segment();
        assert_eq!(Header::decode(&bytes), Ok(Some(HEADER)));
        assert_eq!(Header::recover(&bytes, Some(HEADER.set), HEADER.after), Some(HEADER));
        let kinds = [Kind::Frame, Kind::Images, Kind::Gone];
        for ((item, start), expected) in Records::new(&bytes, &HEADER).zip(starts).zip(kinds) {
            assert!(matches!(item, Item::Record { offset, kind, .. } if offset == start && kind == expected));
        }
        assert_eq!(bodies(&bytes), [&b"first"[..], b"second record", b"third"]);
    }

    #[test]
    fn any_flipped_bit_is_seen_and_the_rest_is_read() {
        let (good, starts) = segment();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            if at < HEADER_LEN {
                assert_eq!(Header::decode(&bytes), Ok(None));
                continue;
            }
            let hit = starts.iter().rposition(|&start| start <= at).unwrap();
            let items: Vec<_> = Records::new(&bytes, &HEADER).collect();
            assert_eq!(bodies(&bytes).len(), 2, "octet {at}");
            match hit {
                2 => assert_eq!(items[2], Item::Tail { offset: starts[2] }),
                _ => assert_eq!(items[hit], Item::Damage { offset: starts[hit], next: starts[hit + 1] }),
            }
        }
    }

    #[test]
    fn a_torn_end_is_no_damage() {
        let (good, starts) = segment();
        for len in HEADER_LEN..good.len() {
            let whole = starts.iter().filter(|&&start| start < len).count()
                - usize::from(!starts.contains(&len) && len > HEADER_LEN);
            assert_eq!(bodies(&good[..len]).len(), whole, "{len} octets");
            assert!(!Records::new(&good[..len], &HEADER).any(|item| matches!(item, Item::Damage { .. })));
        }
        // Of two records that were written at once, the first was lost and the second was not.
        let mut bytes = HEADER.encode().to_vec();
        for body in [b"one", b"two"] {
            HEADER.write(HEADER_LEN as u64, Kind::Frame, body, &mut bytes);
        }
        bytes[HEADER_LEN + 30] ^= 1;
        assert_eq!(Records::new(&bytes, &HEADER).collect::<Vec<_>>(), [Item::Tail { offset: HEADER_LEN }]);
    }

    #[test]
    fn data_that_look_like_a_record_are_none() {
        let forged = Header { marker: 1, ..HEADER };
        let mut inner = Vec::new();
        forged.write(1000, Kind::Frame, b"forged", &mut inner);
        let mut bytes = HEADER.encode().to_vec();
        HEADER.write(HEADER_LEN as u64, Kind::Frame, &inner, &mut bytes);
        let end = bytes.len() as u64;
        HEADER.write(end, Kind::Frame, b"good", &mut bytes);
        bytes[HEADER_LEN] ^= 1;
        assert_eq!(bodies(&bytes), [b"good"]);
    }

    #[test]
    fn a_later_version_is_not_taken_for_damage() {
        let mut bytes = HEADER.encode();
        bytes[8] = 2;
        let crc = crc32fast::hash(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        assert!(Header::decode(&bytes).is_err());
    }
}
