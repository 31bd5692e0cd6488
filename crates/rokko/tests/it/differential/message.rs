//! Responses, parsed strictly and brought into a form in which equal content is equal.

use std::fmt;

use domain::base::iana::{Class, Rtype};
use domain::base::name::ToName;
use domain::base::rdata::{ComposeRecordData, ParseAnyRecordData};
use domain::base::{Message, ParsedName, ParsedRecord, RecordSection};
use domain::dep::octseq::Parser;
use domain::rdata::AllRecordData;

use super::names::Name;
use super::queries::{CNAME, DNAME, NS, OPT, RRSIG};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// A record with its owner in lower case and its data in canonical form (RFC 4034 §6.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) owner: Name,
    pub(super) rtype: u16,
    pub(super) class: u16,
    pub(super) ttl: u32,
    pub(super) rdata: Vec<u8>,
}

impl Record {
    /// The record's type or, of a signature, the type that it covers.
    pub(super) fn about(&self) -> u16 {
        if self.rtype == RRSIG { self.covered() } else { self.rtype }
    }

    /// The type that a signature covers.
    pub(super) fn covered(&self) -> u16 {
        self.rdata.first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets))
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rtype = Rtype::from_int(self.rtype);
        write!(f, "{} {} {} {rtype} ", self.owner, self.ttl, Class::from_int(self.class))?;
        let mut parser = Parser::from_ref(&self.rdata[..]);
        match AllRecordData::<_, ParsedName<_>>::parse_any_rdata(rtype, &mut parser) {
            Ok(data) => write!(f, "{data}"),
            Err(_) => write!(f, "{:02x?}", self.rdata),
        }
    }
}

/// What an OPT record says that two servers must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opt {
    pub(super) version: u8,
    pub(super) dnssec_ok: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) len: usize,
    /// The header's second word without the rcode.
    pub(super) flags: u16,
    /// With the upper bits from the OPT record.
    pub(super) rcode: u16,
    pub(super) question: Vec<u8>,
    pub(super) opt: Option<Opt>,
    /// The octets that the OPT record takes.
    pub(super) opt_len: usize,
    /// Sorted, but for the additional section's OPT record.
    pub(super) sections: [Vec<Record>; 3],
    /// A record that stands twice in one section, and counts once.
    pub(super) repeated: Option<Record>,
    /// Owners of the CNAME and DNAME records in the answer, in the order of the message.
    pub(super) chain: Vec<(Name, u16)>,
    /// The end of each additional record in the message, in its order.
    pub(super) additional_ends: Vec<(Name, usize)>,
    /// Where the additional section starts.
    pub(super) additional_start: usize,
}

pub(super) const AA: u16 = 0x0400;
pub(super) const TC: u16 = 0x0200;

impl Response {
    pub(super) fn section(&self, section: Section) -> &[Record] {
        &self.sections[section as usize]
    }

    pub(super) fn is_truncated(&self) -> bool {
        self.flags & TC != 0
    }

    pub(super) fn is_authoritative(&self) -> bool {
        self.flags & AA != 0
    }

    /// The cut that a referral is for, be it at the end of a chain: whoever puts NS records beside answers as well must
    /// not be asked.
    pub(super) fn referral(&self) -> Option<&Name> {
        self.section(Section::Authority).iter().find(|record| record.rtype == NS).map(|record| &record.owner)
    }

    /// Whether a section has a record of this type.
    pub(super) fn has(&self, section: Section, rtype: u16) -> bool {
        self.section(section).iter().any(|record| record.rtype == rtype)
    }

    /// Parses a response; the error says what is wrong with it.
    pub(super) fn parse(octets: &[u8]) -> Result<Self, String> {
        let message = Message::from_slice(octets).map_err(|error| error.to_string())?;
        let header = u16::from_be_bytes([octets[2], octets[3]]);
        let questions_end = message.answer().map_err(|error| error.to_string())?.pos();
        let mut response = Self {
            len: octets.len(),
            flags: header & 0xfff0,
            rcode: header & 0x000f,
            question: octets[12..questions_end].to_vec(),
            opt: None,
            opt_len: 0,
            sections: [const { Vec::new() }; 3],
            repeated: None,
            chain: Vec::new(),
            additional_ends: Vec::new(),
            additional_start: 0,
        };
        let mut section = message.answer().map_err(|error| error.to_string())?;
        let mut end = questions_end;
        for kind in [Section::Answer, Section::Authority, Section::Additional] {
            if kind == Section::Additional {
                response.additional_start = end;
            }
            end = response.take(&mut section, kind)?;
            if let Some(next) = section.next_section().map_err(|error| error.to_string())? {
                section = next;
            } else {
                break;
            }
        }
        if end != octets.len() {
            return Err(format!("{} octets follow the last record", octets.len() - end));
        }
        response.sort();
        Ok(response)
    }

    /// Takes in the records of a section; returns where it ends.
    fn take(&mut self, section: &mut RecordSection<'_, [u8]>, kind: Section) -> Result<usize, String> {
        let mut end = section.pos();
        while let Some(record) = section.next() {
            let record = record.map_err(|error| error.to_string())?;
            let before = std::mem::replace(&mut end, section.pos());
            if record.rtype().to_int() == OPT {
                if self.opt.is_some() || kind != Section::Additional {
                    return Err("a second OPT record, or one outside the additional section".to_owned());
                }
                let ttl = record.ttl().as_secs();
                let [rcode_high, version, flags, _] = ttl.to_be_bytes();
                self.rcode |= u16::from(rcode_high) << 4;
                self.opt = Some(Opt { version, dnssec_ok: flags & 0x80 != 0 });
                self.opt_len = end - before;
                continue;
            }
            let record = canonical(&record)?;
            match kind {
                Section::Answer if matches!(record.rtype, CNAME | DNAME) => {
                    self.chain.push((record.owner.clone(), record.rtype));
                }
                Section::Additional => self.additional_ends.push((record.owner.clone(), end)),
                _ => {}
            }
            self.sections[kind as usize].push(record);
        }
        Ok(end)
    }

    fn sort(&mut self) {
        for section in &mut self.sections {
            section.sort();
            let repeated = section.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone());
            section.dedup();
            self.repeated = self.repeated.take().or(repeated);
        }
    }
}

fn canonical(record: &ParsedRecord<'_, [u8]>) -> Result<Record, String> {
    let mut owner = Vec::new();
    record.owner().compose_canonical(&mut owner).map_err(|error| error.to_string())?;
    let whole = record
        .to_any_record::<AllRecordData<_, _>>()
        .map_err(|error| format!("the data of a {} record: {error}", record.rtype()))?;
    let mut rdata = Vec::new();
    whole.data().compose_canonical_rdata(&mut rdata).map_err(|error| error.to_string())?;
    Ok(Record {
        owner: Name::from_wire(&owner).ok_or("an owner is no name")?,
        rtype: record.rtype().to_int(),
        class: record.class().to_int(),
        ttl: record.ttl().as_secs(),
        rdata,
    })
}
