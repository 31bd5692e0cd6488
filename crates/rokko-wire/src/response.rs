//! Questions to other servers, and their responses (RFC 1035 §4).

use crate::name::{LABEL_LEN_MAX, NAME_LEN_MAX};
use crate::{Name, Rtype};

/// The most records of a response that are read; the rest of a larger one is left.
pub const RECORDS_MAX: usize = 256;
const HEADER_LEN: usize = 12;
const CLASS_IN: u16 = 1;
const FLAG_QR: u8 = 0x80;
const FLAG_AA: u8 = 0x04;
const FLAG_TC: u8 = 0x02;
const FLAG_RD: u8 = 0x01;
const OPCODE_MASK: u8 = 0x78;
const RCODE_MASK: u8 = 0x0f;
const POINTER: usize = 0xc0;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name.
    pub name: Name,
    /// The type.
    pub rtype: Rtype,
}

impl Question {
    /// The query without EDNS, so that each server understands it; what does not fit comes over TCP.
    pub fn query(&self, id: u16, recursion: bool) -> Vec<u8> {
        let mut query = Vec::with_capacity(HEADER_LEN + self.name.as_bytes().len() + 4);
        query.extend_from_slice(&id.to_be_bytes());
        query.extend_from_slice(&[if recursion { FLAG_RD } else { 0 }, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        query.extend_from_slice(self.name.as_bytes());
        query.extend_from_slice(&self.rtype.0.to_be_bytes());
        query.extend_from_slice(&CLASS_IN.to_be_bytes());
        query
    }
}

/// Where in a response a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// It answers the question.
    Answer,
    /// It says who is responsible.
    Authority,
}

/// A record of a response. Names in its data are not expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub section: Section,
    /// The owner name.
    pub owner: Name,
    /// The type.
    pub rtype: Rtype,
    /// The TTL in seconds.
    pub ttl_s: u32,
    /// The data.
    pub rdata: Box<[u8]>,
    /// The name that the data consists of, for NS.
    pub target: Option<Name>,
}

/// A response to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The RCODE (RFC 1035 §4.1.1).
    pub rcode: u8,
    /// Whether the server is responsible for the zone.
    pub authoritative: bool,
    /// Whether it did not fit.
    pub truncated: bool,
    /// The records of the answer and the authority section.
    pub records: Vec<Record>,
}

impl Response {
    /// Reads a message; none if it is not a response to this question under this id, or is malformed.
    pub fn read(message: &[u8], id: u16, question: &Question) -> Option<Self> {
        let header = message.get(..HEADER_LEN)?;
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let is_ours = header.starts_with(&id.to_be_bytes()) && header[2] & FLAG_QR != 0 && header[2] & OPCODE_MASK == 0;
        if !is_ours || count(4) != 1 {
            return None;
        }
        let mut reader = Reader { message, at: HEADER_LEN };
        let asked = Question { name: reader.name()?, rtype: Rtype(reader.u16()?) };
        if asked != *question || reader.u16()? != CLASS_IN {
            return None;
        }
        let truncated = header[2] & FLAG_TC != 0;
        let sections = [(Section::Answer, count(6)), (Section::Authority, count(8))];
        let mut records = Vec::new();
        for (section, count) in sections.into_iter().filter(|_| !truncated) {
            for _ in 0..count {
                if records.len() == RECORDS_MAX {
                    break;
                }
                records.push(reader.record(section)?);
            }
        }
        let authoritative = header[2] & FLAG_AA != 0;
        Some(Self { rcode: header[3] & RCODE_MASK, authoritative, truncated, records })
    }

    /// The records of the answer that have this owner and type.
    pub fn answers<'a>(&'a self, owner: &'a Name, rtype: Rtype) -> impl Iterator<Item = &'a Record> {
        let of = move |record: &&Record| record.rtype == rtype && record.owner == *owner;
        self.records.iter().filter(|record| record.section == Section::Answer).filter(of)
    }
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let octets = self.message.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*octets)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// Reads a name that may be compressed (RFC 1035 §4.1.4).
    fn name(&mut self) -> Option<Name> {
        let (mut wire, mut at, mut end) = (Vec::new(), self.at, None);
        // Each pointer has to lead before all that was read, so this ends.
        let mut least = at;
        loop {
            let len = usize::from(*self.message.get(at)?);
            if len >= POINTER {
                let low = usize::from(*self.message.get(at + 1)?);
                end.get_or_insert(at + 2);
                at = (len - POINTER) << 8 | low;
                if at >= least {
                    return None;
                }
                least = at;
                continue;
            }
            if len > LABEL_LEN_MAX || wire.len() + len + 1 > NAME_LEN_MAX {
                return None;
            }
            wire.extend_from_slice(self.message.get(at..=at + len)?);
            at += len + 1;
            if len == 0 {
                self.at = end.unwrap_or(at);
                return Name::from_wire(&wire).ok().map(|(name, _)| name);
            }
        }
    }

    /// Reads a record. A response to a question of class IN has no records of another class in the sections that are read.
    fn record(&mut self, section: Section) -> Option<Record> {
        let (owner, rtype, class) = (self.name()?, Rtype(self.u16()?), self.u16()?);
        // A TTL with the top bit set counts as 0 (RFC 2181 §8).
        let ttl_s = Some(self.u32()?).filter(|&ttl| ttl >> 31 == 0).unwrap_or(0);
        let len = usize::from(self.u16()?);
        let end = self.at + len;
        let rdata = self.message.get(self.at..end)?.into();
        let target = if rtype == Rtype::NS { Some(self.name()?) } else { None };
        if target.is_some() && self.at != end {
            return None;
        }
        self.at = end;
        (class == CLASS_IN).then_some(Record { section, owner, rtype, ttl_s, rdata, target })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(name: &str, rtype: Rtype) -> Question {
        Question { name: name.parse().unwrap(), rtype }
    }

    /// A response to `example. NS` with a compressed owner and a compressed target.
    fn response() -> Vec<u8> {
        let mut message = question("example", Rtype::NS).query(7, true);
        message[2] |= FLAG_QR | FLAG_AA;
        message[7] = 1;
        message.extend_from_slice(&[0xc0, 12, 0, 2, 0, 1, 0, 0, 14, 16, 0, 5, 2, b'N', b's', 0xc0, 12]);
        message
    }

    #[test]
    fn a_response_with_compressed_names() {
        let asked = question("example", Rtype::NS);
        let read = Response::read(&response(), 7, &asked).unwrap();
        assert!(read.authoritative && !read.truncated && read.rcode == 0);
        let [record] = &read.answers(&asked.name, Rtype::NS).collect::<Vec<_>>()[..] else { panic!("{read:?}") };
        assert_eq!((record.ttl_s, record.target.clone()), (3_600, Some("ns.example".parse().unwrap())));
    }

    #[test]
    fn what_is_no_response_to_the_question_is_not_read() {
        let asked = question("example", Rtype::NS);
        assert_eq!(Response::read(&response(), 8, &asked), None, "another id");
        assert_eq!(Response::read(&response(), 7, &question("example", Rtype::DS)), None, "another type");
        assert_eq!(Response::read(&response(), 7, &question("example.org", Rtype::NS)), None, "another name");
        assert_eq!(Response::read(&asked.query(7, true), 7, &asked), None, "a query");
        for len in 0..response().len() {
            assert_eq!(Response::read(&response()[..len], 7, &asked), None, "cut after {len} octets");
        }
    }

    #[test]
    fn names_that_point_forward_or_at_themselves_are_refused() {
        for pointer in [27, 29, 40, 0x3fff_u16] {
            let mut message = response();
            let at = message.len() - 17;
            message[at..at + 2].copy_from_slice(&(0xc000 | pointer).to_be_bytes());
            assert_eq!(Response::read(&message, 7, &question("example", Rtype::NS)), None, "{pointer}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_never_a_panic(at in 2..40_usize, octet: u8) {
            let mut message = response();
            if let Some(place) = message.get_mut(at) {
                *place = octet;
            }
            let _ = Response::read(&message, 7, &question("example", Rtype::NS));
        }
    }
}
