//! Parsing a query straight from the datagram (RFC 1035 §4.1), without allocation.

use crate::code::{Opcode, Rcode};
use crate::edns::Edns;
use crate::name::{self, NAME_LEN_MAX, NameError};
use crate::rtype::Rtype;

/// The octets of a message's header.
pub const HEADER_LEN: usize = 12;
/// The most octets of a message.
pub const MESSAGE_LEN_MAX: usize = 65_535;

/// Header flags (RFC 1035 §4.1.1, RFC 4035 §3) as masks over the header's second 16-bit word.
#[expect(missing_docs, reason = "the mnemonics are those of the header's figure")]
pub mod flag {
    pub const QR: u16 = 0x8000;
    pub const AA: u16 = 0x0400;
    pub const TC: u16 = 0x0200;
    pub const RD: u16 = 0x0100;
    pub const RA: u16 = 0x0080;
    pub const AD: u16 = 0x0020;
    pub const CD: u16 = 0x0010;
}

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message ID.
    pub id: u16,
    /// The second word: QR, opcode, flags and the lower four bits of the rcode.
    pub flags: u16,
    /// QDCOUNT, ANCOUNT, NSCOUNT, ARCOUNT.
    pub counts: [u16; 4],
}

impl Header {
    /// The header at the start of `message`; `None` if there are fewer than 12 octets.
    #[inline]
    pub fn parse(message: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN] = message.first_chunk()?;
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        Some(Self { id: word(0), flags: word(2), counts: [word(4), word(6), word(8), word(10)] })
    }

    /// Whether QR says that this is a response.
    #[inline]
    pub fn is_response(&self) -> bool {
        self.flags & flag::QR != 0
    }

    /// The operation code.
    #[inline]
    pub fn opcode(&self) -> Opcode {
        Opcode((self.flags >> 11 & 0x0f) as u8)
    }

    /// The rcode's four bits that the header carries.
    pub fn rcode(&self) -> Rcode {
        Rcode(self.flags & 0x0f)
    }
}

/// A name on the stack in uncompressed wire form, case folded, with the place of each label.
#[derive(Clone)]
pub struct FoldedName {
    wire: [u8; NAME_LEN_MAX],
    len: u8,
    starts: [u8; 128],
    labels: u8,
}

impl Default for FoldedName {
    /// The root.
    fn default() -> Self {
        Self { wire: [0; NAME_LEN_MAX], len: 1, starts: [0; 128], labels: 0 }
    }
}

impl FoldedName {
    /// Takes the uncompressed name at the start of `bytes`; returns its length. On an error this name is the root.
    #[inline]
    pub fn load(&mut self, bytes: &[u8]) -> Result<usize, NameError> {
        let loaded = self.load_starts(bytes);
        let (len, labels) = *loaded.as_ref().unwrap_or(&(1, 0));
        match bytes.get(..len) {
            // Length octets are at most 63 and so never look like an upper-case letter.
            Some(name) if loaded.is_ok() => copy_lower_case(&mut self.wire[..len], name),
            _ => self.wire[0] = 0,
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 255 octets and 127 labels")]
        {
            self.len = len as u8;
            self.labels = labels as u8;
        }
        loaded.map(|(len, _)| len)
    }

    /// Finds the labels of the name at the start of `bytes`; returns its length and how many labels there are.
    #[inline]
    fn load_starts(&mut self, bytes: &[u8]) -> Result<(usize, usize), NameError> {
        let (mut at, mut labels) = (0, 0);
        loop {
            let len = usize::from(*bytes.get(at).ok_or(NameError::Truncated)?);
            if len > name::LABEL_LEN_MAX {
                return Err(NameError::BadLabelType);
            }
            // At most 254 octets precede, so neither the start nor the count of labels leaves its range.
            #[expect(clippy::cast_possible_truncation, reason = "names have at most 255 octets")]
            {
                self.starts[labels & 127] = at as u8;
            }
            at += len + 1;
            if at > NAME_LEN_MAX {
                return Err(NameError::NameTooLong);
            }
            if len == 0 {
                // The last label may be cut off.
                return if at <= bytes.len() { Ok((at, labels)) } else { Err(NameError::Truncated) };
            }
            labels += 1;
        }
    }

    /// Puts the first `prefix_len` octets of `self`, which end at a label, in front of the name `suffix`.
    ///
    /// On an error (the result is too long, RFC 6672 §2.2, or no name) this name is left as it was.
    pub fn replace_suffix(&mut self, prefix_len: usize, suffix: &[u8]) -> Result<(), NameError> {
        let suffix_len = name::wire_len(suffix)?;
        let mut joined = [0; NAME_LEN_MAX];
        let len = prefix_len + suffix_len;
        let target = joined.get_mut(..len).ok_or(NameError::NameTooLong)?;
        target[..prefix_len].copy_from_slice(&self.wire[..prefix_len]);
        target[prefix_len..].copy_from_slice(&suffix[..suffix_len]);
        self.load(&joined).map(|_| ())
    }

    /// The wire form.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.wire[..usize::from(self.len)]
    }

    /// How many labels there are, the root label not counted.
    #[inline]
    pub fn label_count(&self) -> usize {
        usize::from(self.labels)
    }

    /// Where label `index`, counted from the left, starts with its length octet; the root label for an index that
    /// is the count of labels or above.
    #[inline]
    pub fn label_start(&self, index: usize) -> usize {
        if index < self.label_count() { usize::from(self.starts[index]) } else { usize::from(self.len) - 1 }
    }

    /// The octets of label `index`, counted from the left; empty for the root label.
    #[inline]
    pub fn label(&self, index: usize) -> &[u8] {
        let start = self.label_start(index);
        &self.wire[start + 1..=start + usize::from(self.wire[start])]
    }

    /// Label `index`, counted from the left, with its length octet; that of the root label is zero.
    #[inline]
    pub fn label_with_len(&self, index: usize) -> &[u8] {
        let start = self.label_start(index);
        &self.wire[start..=start + usize::from(self.wire[start])]
    }

    /// The name from label `index` on to the root.
    #[inline]
    pub fn suffix(&self, index: usize) -> &[u8] {
        &self.wire[self.label_start(index)..usize::from(self.len)]
    }
}

/// Copies octets into as much room with letters in lower case, in blocks that are one step each.
#[inline]
fn copy_lower_case(to: &mut [u8], from: &[u8]) {
    const BLOCK: usize = 16;
    let lower = |block: &[u8; BLOCK]| block.map(|octet| octet.to_ascii_lowercase());
    let (blocks, rest) = from.as_chunks::<BLOCK>();
    for (room, block) in to.as_chunks_mut::<BLOCK>().0.iter_mut().zip(blocks) {
        *room = lower(block);
    }
    match (to.last_chunk_mut::<BLOCK>(), from.last_chunk::<BLOCK>()) {
        // A part of what is there already is written once more.
        (Some(room), Some(block)) => *room = lower(block),
        _ => to.iter_mut().zip(rest).for_each(|(room, octet)| *room = octet.to_ascii_lowercase()),
    }
}

/// The question of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The type asked for.
    pub qtype: Rtype,
    /// The class asked for.
    pub qclass: u16,
    /// Where the question ends in the message.
    pub end: usize,
}

impl Question {
    /// Reads the one question that follows the header; its name goes to `qname`.
    ///
    /// A compression pointer is an error: before the first name of a message there is nothing to point to.
    #[inline]
    pub fn parse(message: &[u8], qname: &mut FoldedName) -> Result<Self, NameError> {
        let name_len = qname.load(message.get(HEADER_LEN..).ok_or(NameError::Truncated)?)?;
        let at = HEADER_LEN + name_len;
        let fixed: &[u8; 4] = message.get(at..).and_then(<[u8]>::first_chunk).ok_or(NameError::Truncated)?;
        Ok(Self {
            qtype: Rtype(u16::from_be_bytes([fixed[0], fixed[1]])),
            qclass: u16::from_be_bytes([fixed[2], fixed[3]]),
            end: at + 4,
        })
    }
}

/// What stands after the question of a query.
#[derive(Clone, Copy, Debug, Default)]
pub struct Additional<'q> {
    /// The OPT record, if there is one.
    pub edns: Option<Edns<'q>>,
    /// Whether the last record is a TSIG (RFC 8945 §5.1).
    pub tsig: bool,
}

/// Why the records after the question cannot be used: each of these is a FORMERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A record ends after the message does, or its owner is no name.
    #[error("a record is cut off or has no valid owner name")]
    Record,
    /// Octets follow the last record that the header counts.
    #[error("octets follow the last record")]
    TrailingOctets,
    /// More than one OPT record (RFC 6891 §6.1.1).
    #[error("there is more than one OPT record")]
    SecondOpt,
    /// The OPT record's owner is not the root, or it stands outside the additional section.
    #[error("the OPT record is not owned by the root in the additional section")]
    MisplacedOpt,
    /// A TSIG record that is not the last one.
    #[error("a TSIG record is not the last record")]
    MisplacedTsig,
}

impl<'q> Additional<'q> {
    /// Walks over the records from offset `at` to the message's end.
    pub fn parse(message: &'q [u8], header: &Header, mut at: usize) -> Result<Self, Malformed> {
        let before = u32::from(header.counts[1]) + u32::from(header.counts[2]);
        let total = before + u32::from(header.counts[3]);
        let mut found = Self::default();
        for index in 0..total {
            let is_root = message.get(at) == Some(&0);
            let record = RecordHead::parse(message, at).ok_or(Malformed::Record)?;
            if found.tsig {
                return Err(Malformed::MisplacedTsig);
            }
            match record.rtype {
                Rtype::OPT if found.edns.is_some() => return Err(Malformed::SecondOpt),
                Rtype::OPT if !is_root || index < before => return Err(Malformed::MisplacedOpt),
                Rtype::OPT => found.edns = Some(Edns::new(record.class, record.ttl, record.rdata)),
                Rtype::TSIG => found.tsig = true,
                _ => {}
            }
            at = record.end;
        }
        if at == message.len() { Ok(found) } else { Err(Malformed::TrailingOctets) }
    }
}

/// The fixed part of a record, and where its rdata lies.
struct RecordHead<'q> {
    rtype: Rtype,
    class: u16,
    ttl: u32,
    rdata: &'q [u8],
    end: usize,
}

impl<'q> RecordHead<'q> {
    fn parse(message: &'q [u8], at: usize) -> Option<Self> {
        let at = skip_name(message, at)?;
        let fixed: &[u8; 10] = message.get(at..)?.first_chunk()?;
        let rdata_len = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let end = at + 10 + rdata_len;
        Some(Self {
            rtype: Rtype(u16::from_be_bytes([fixed[0], fixed[1]])),
            class: u16::from_be_bytes([fixed[2], fixed[3]]),
            ttl: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            rdata: message.get(at + 10..end)?,
            end,
        })
    }
}

/// The offset after the possibly compressed name at `at`, whose pointer is not followed.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    loop {
        let len = usize::from(*message.get(at)?);
        match len {
            0 => return Some(at + 1),
            1..=63 => at += len + 1,
            0xc0.. => return (at + 2 <= message.len()).then_some(at + 2),
            _ => return None,
        }
        if at - start >= NAME_LEN_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_plain_query() {
        let message = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03WwW\x07exAmple\x00\x00\x1c\x00\x01";
        let header = Header::parse(message).unwrap();
        assert_eq!((header.id, header.flags, header.counts), (0x1234, flag::RD, [1, 0, 0, 0]));
        let mut qname = FoldedName::default();
        let question = Question::parse(message, &mut qname).unwrap();
        assert_eq!(question, Question { qtype: Rtype::AAAA, qclass: 1, end: message.len() });
        assert_eq!(qname.as_bytes(), b"\x03www\x07example\x00");
        assert_eq!(
            (qname.label_count(), qname.label(1), qname.suffix(1)),
            (2, &b"example"[..], &b"\x07example\x00"[..])
        );
        assert_eq!((qname.label(2), qname.suffix(2)), (&b""[..], &b"\x00"[..]));
        assert!(Additional::parse(message, &header, question.end).unwrap().edns.is_none());
    }

    #[test]
    fn records_after_the_question() {
        let opt = b"\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00".as_slice();
        let tsig = b"\x01k\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00".as_slice();
        let misplaced = b"\x01k\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00".as_slice();
        let parse = |records: &[&[u8]], counts: [u16; 4]| {
            let message = records.concat();
            let found = Additional::parse(&message, &Header { id: 0, flags: 0, counts }, 0);
            found.map(|found| (found.edns.is_some_and(|edns| edns.dnssec_ok), found.tsig))
        };
        assert_eq!(parse(&[opt], [1, 0, 0, 1]), Ok((true, false)));
        assert_eq!(parse(&[opt, tsig], [1, 0, 0, 2]), Ok((true, true)));
        assert_eq!(parse(&[tsig, opt], [1, 0, 0, 2]), Err(Malformed::MisplacedTsig));
        assert_eq!(parse(&[opt, opt], [1, 0, 0, 2]), Err(Malformed::SecondOpt));
        assert_eq!(parse(&[opt], [1, 1, 0, 0]), Err(Malformed::MisplacedOpt));
        assert_eq!(parse(&[misplaced], [1, 0, 0, 1]), Err(Malformed::MisplacedOpt));
        assert_eq!(parse(&[opt, b"x"], [1, 0, 0, 1]), Err(Malformed::TrailingOctets));
        assert_eq!(parse(&[&opt[..10]], [1, 0, 0, 1]), Err(Malformed::Record));
    }

    #[test]
    fn suffixes_are_replaced_up_to_255_octets() {
        let mut name = FoldedName::default();
        name.load(b"\x01a\x01b\x01c\x00").unwrap();
        name.replace_suffix(4, b"\x01X\x00").unwrap();
        assert_eq!(name.as_bytes(), b"\x01a\x01b\x01x\x00");
        let long = [b"\x3f".as_slice(), &[b'x'; 63]].concat().repeat(3);
        let target = [&long, b"\x3b".as_slice(), &[b'y'; 59], b"\x00"].concat();
        name.replace_suffix(2, &target[..]).unwrap();
        assert_eq!(name.as_bytes().len(), 255);
        assert_eq!(name.replace_suffix(4, &target), Err(NameError::NameTooLong));
        assert_eq!(name.label_count(), 5);
    }

    proptest! {
        #[test]
        fn folding_agrees_with_names(bytes in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..300)) {
            let mut folded = FoldedName::default();
            let loaded = folded.load(&bytes);
            match crate::Name::from_wire(&bytes) {
                Ok((name, len)) => {
                    prop_assert_eq!(loaded, Ok(len));
                    prop_assert_eq!(folded.as_bytes(), name.as_bytes());
                    let labels: Vec<&[u8]> = (0..folded.label_count()).map(|index| folded.label(index)).collect();
                    prop_assert_eq!(labels, name.labels().collect::<Vec<_>>());
                }
                Err(_) => prop_assert!(loaded.is_err()),
            }
        }

        #[test]
        fn any_octets_parse_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(header) = Header::parse(&bytes) {
                let mut qname = FoldedName::default();
                let end = Question::parse(&bytes, &mut qname).map_or(HEADER_LEN, |question| question.end);
                let _ = Additional::parse(&bytes, &header, end);
            }
        }
    }
}
