//! Messages as octets on a connection.
//!
//! Length of what follows the flags (4 octets, network order) · flags (1 octet: bit 0 = compressed) · the message, or, if compressed, its
//! own length (4 octets, network order) and an LZ4 block.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rokko_feed::serve::Outgoing;

/// Length and flags.
const HEADER_LEN: usize = 5;
const FLAG_LZ4: u8 = 1;
/// The length of the message before a compressed one.
const PLAIN_LEN: usize = 4;
/// Shorter messages are not compressed: they fit into a packet or two anyway.
const COMPRESS_FROM: usize = 512;
/// How many frames are kept ready for others.
const FRAMED_MAX: usize = 32;
/// How much of the buffer may be behind the reader before the rest is moved to its front.
const COMPACT_FROM: usize = 64 << 10;

/// Why octets are no messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A message is longer than this side takes.
    #[error("a message of {len} octets came, and {max} are the most that is taken")]
    TooLong {
        /// Its length in octets.
        len: usize,
        /// The most that is taken.
        max: usize,
    },
    /// Flags that this version does not know.
    #[error("a message came with the unknown flags {0:#04x}")]
    Flags(u8),
    /// A compressed message does not come to what it says.
    #[error("a compressed message is damaged")]
    Damaged,
}

/// A message ready to be written, header and all. Clones share the octets, so it is made once for all that it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed(Arc<[u8]>);

impl Framed {
    /// Frames a message, compressed if that saves an eighth.
    ///
    /// # Panics
    /// If it is longer than 4 GiB; no limit for messages comes near.
    pub fn new(message: &[u8]) -> Self {
        if message.len() >= COMPRESS_FROM {
            let packed = lz4_flex::block::compress(message);
            if packed.len() + PLAIN_LEN <= message.len() - message.len() / 8 {
                return Self::put(FLAG_LZ4, &len_octets(message.len()), &packed);
            }
        }
        Self::plain(message)
    }

    /// Frames a message as it is.
    ///
    /// # Panics
    /// As [`Framed::new`].
    pub fn plain(message: &[u8]) -> Self {
        Self::put(0, &[], message)
    }

    fn put(flags: u8, before: &[u8], body: &[u8]) -> Self {
        let mut octets = Vec::with_capacity(HEADER_LEN + before.len() + body.len());
        octets.extend_from_slice(&len_octets(before.len() + body.len()));
        octets.push(flags);
        octets.extend_from_slice(before);
        octets.extend_from_slice(body);
        Self(octets.into())
    }

    /// What goes over the connection.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

fn len_octets(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("limits keep messages far below 4 GiB").to_be_bytes()
}

/// The last frames that went to somebody, so that what goes to many is encoded and compressed once. Each is of one message's
/// length at most.
#[derive(Default)]
pub(crate) struct FramedOnce(Mutex<VecDeque<(Arc<[u8]>, Framed)>>);

impl FramedOnce {
    /// A message ready to be written.
    pub(crate) fn message(&self, next: Outgoing) -> Framed {
        let Outgoing::Frame(bytes) = &next else { return Framed::new(&next.into_message().encode()) };
        let bytes = Arc::clone(bytes);
        // As long as a frame is in the list no other one has its place in memory.
        let is_it = |(held, _): &&(Arc<[u8]>, Framed)| Arc::ptr_eq(held, &bytes);
        if let Some((_, framed)) = self.list().iter().find(is_it) {
            return framed.clone();
        }
        let framed = Framed::new(&next.into_message().encode());
        let mut list = self.list();
        list.truncate(FRAMED_MAX - 1);
        list.push_front((bytes, framed.clone()));
        framed
    }

    fn list(&self) -> MutexGuard<'_, VecDeque<(Arc<[u8]>, Framed)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes octets as they come and gives the messages in them.
#[derive(Debug)]
pub struct FrameReader {
    octets: Vec<u8>,
    start: usize,
    message_octets_max: usize,
}

impl FrameReader {
    /// A reader that takes messages up to a length.
    pub fn new(message_octets_max: usize) -> Self {
        Self { octets: Vec::new(), start: 0, message_octets_max }
    }

    /// Takes octets. All messages should be taken out before more come; then no more than one message is held.
    pub fn push(&mut self, octets: &[u8]) {
        if self.start == self.octets.len() {
            self.octets.clear();
            self.start = 0;
        } else if self.start >= COMPACT_FROM {
            self.octets.drain(..self.start);
            self.start = 0;
        }
        self.octets.extend_from_slice(octets);
    }

    /// Whether part of a message is here.
    pub fn midway(&self) -> bool {
        self.start < self.octets.len()
    }

    /// The next message if it is here whole. After an error nothing that comes makes sense.
    pub fn message(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        let Some((header, rest)) = self.octets[self.start..].split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let [a, b, c, d, flags] = *header;
        let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if flags & !FLAG_LZ4 != 0 {
            return Err(FramingError::Flags(flags));
        }
        if len > self.message_octets_max {
            return Err(FramingError::TooLong { len, max: self.message_octets_max });
        }
        let Some(body) = rest.get(..len) else { return Ok(None) };
        let message = if flags == FLAG_LZ4 { unpack(body, self.message_octets_max)? } else { body.to_vec() };
        self.start += HEADER_LEN + len;
        Ok(Some(message))
    }
}

fn unpack(body: &[u8], max: usize) -> Result<Vec<u8>, FramingError> {
    let (len, packed) = body.split_first_chunk::<PLAIN_LEN>().ok_or(FramingError::Damaged)?;
    let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
    if len > max {
        return Err(FramingError::TooLong { len, max });
    }
    // LZ4 packs at most 255 octets into one, so a length that can't be is found before there is room for it.
    if len / 255 > packed.len() {
        return Err(FramingError::Damaged);
    }
    let mut message = vec![0; len];
    let found = lz4_flex::block::decompress_into(packed, &mut message).map_err(|_| FramingError::Damaged)?;
    if found == len { Ok(message) } else { Err(FramingError::Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 4096;

    fn read_all(octets: &[u8], step: usize) -> Result<Vec<Vec<u8>>, FramingError> {
        let mut reader = FrameReader::new(MAX);
        let mut messages = Vec::new();
        for piece in octets.chunks(step.max(1)) {
            reader.push(piece);
            while let Some(message) = reader.message()? {
                messages.push(message);
            }
        }
        assert!(!reader.midway());
        Ok(messages)
    }

    #[test]
    fn compressed_only_where_it_gains() {
        assert_eq!(Framed::new(&[7; COMPRESS_FROM - 1]).octets().len(), HEADER_LEN + COMPRESS_FROM - 1);
        assert!(Framed::new(&[7; COMPRESS_FROM]).octets().len() < 64);
        let mut noise = 1_u64;
        let mut octet = || {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (noise >> 56) as u8
        };
        let noise: Vec<u8> = (0..1000).map(|_| octet()).collect();
        assert_eq!(Framed::new(&noise).octets()[4], 0);
    }

    #[test]
    fn a_frame_is_made_into_octets_once() {
        let (once, frame): (_, Arc<[u8]>) = (FramedOnce::default(), vec![7; 3000].into());
        let first = once.message(Outgoing::Frame(Arc::clone(&frame)));
        let expected = Framed::new(&Outgoing::Frame(Arc::clone(&frame)).into_message().encode());
        assert_eq!(first, expected);
        assert!(Arc::ptr_eq(&first.0, &once.message(Outgoing::Frame(Arc::clone(&frame))).0));
        let other: Arc<[u8]> = vec![7; 3000].into();
        assert!(!Arc::ptr_eq(&first.0, &once.message(Outgoing::Frame(other)).0), "it may be of another history");
        for number in 0..100 {
            once.message(Outgoing::Frame(vec![number; 3000].into()));
        }
        assert_eq!(once.list().len(), FRAMED_MAX);
        assert!(!Arc::ptr_eq(&first.0, &once.message(Outgoing::Frame(frame)).0));
        let end = once.message(Outgoing::Message(rokko_feed::message::FromServer::SnapshotEnd));
        assert_eq!((end.octets()[HEADER_LEN], once.list().len()), (6, FRAMED_MAX));
    }

    #[test]
    fn what_is_too_long_or_unknown_is_refused_before_it_is_kept() {
        let refused = |octets: &[u8]| {
            let mut reader = FrameReader::new(MAX);
            reader.push(octets);
            reader.message().unwrap_err()
        };
        assert_eq!(refused(&[0, 0, 16, 1, 0]), FramingError::TooLong { len: 4097, max: MAX });
        assert_eq!(refused(&[0xFF, 0xFF, 0xFF, 0xFF, 1]), FramingError::TooLong { len: 0xFFFF_FFFF, max: MAX });
        assert_eq!(refused(&[0, 0, 0, 0, 2]), FramingError::Flags(2));
        assert_eq!(refused(&[0, 0, 0, 3, 1, 0, 0, 0]), FramingError::Damaged);
        assert_eq!(refused(&[0, 0, 0, 5, 1, 0, 0, 16, 1, 0]), FramingError::TooLong { len: 4097, max: MAX });
        assert_eq!(refused(&[0, 0, 0, 5, 1, 0, 0, 16, 0, 0]), FramingError::Damaged);
        let mut longer = Framed::new(&[7; 600]).octets().to_vec();
        longer[8] += 1;
        assert_eq!(refused(&longer), FramingError::Damaged);
        longer[8] -= 2;
        assert_eq!(refused(&longer), FramingError::Damaged);
        assert_eq!(refused(b"GET / HTTP/1.1\r\n\r\n"), FramingError::Flags(b'/'));
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in(
            messages in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 0_usize..100), 0..8),
            step in 1_usize..3000,
        ) {
            let messages: Vec<Vec<u8>> = messages.into_iter().map(|(piece, times)| piece.repeat(times)).collect();
            let messages: Vec<Vec<u8>> = messages.into_iter().map(|mut message| { message.truncate(MAX); message }).collect();
            let octets: Vec<u8> = messages.iter().flat_map(|message| Framed::new(message).octets().to_vec()).collect();
            prop_assert_eq!(read_all(&octets, step).unwrap(), messages);
        }
    }
}
