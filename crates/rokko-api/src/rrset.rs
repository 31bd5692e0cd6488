//! RRsets between JSON and the zone's own form, with an item for each bad record.

use rokko_wire::{Name, Rtype};
use rokko_zone::edit::Contents;
use rokko_zone::rdata;
use rokko_zone::{Rrset, RrsetRef, Ttl};

use crate::v1::dto::{self, ProblemItem};

/// How many octets of a record an error repeats.
const SHOWN_MAX: usize = 200;

/// Turns what a client wrote about one zone into names, types and record data, and collects what is wrong.
///
/// Each method returns `None` after it has added at least one item.
pub struct Parser<'a> {
    zone: &'a Name,
    /// Completes relative names; `None` takes a name without trailing dot as absolute in owner names and refuses
    /// it in record data.
    origin: Option<&'a Name>,
    items: Vec<ProblemItem>,
}

impl<'a> Parser<'a> {
    /// Relative names are completed with the zone's, as in a zone file.
    pub fn relative_to(zone: &'a Name) -> Self {
        Self { zone, origin: Some(zone), items: Vec::new() }
    }

    /// Owner names are absolute with or without trailing dot; names in record data must have it.
    pub fn absolute(zone: &'a Name) -> Self {
        Self { zone, origin: None, items: Vec::new() }
    }

    /// What was wrong so far.
    pub fn into_items(self) -> Vec<ProblemItem> {
        self.items
    }

    /// Adds an item of one's own.
    pub fn report(&mut self, name: &str, rtype: Option<&str>, record: Option<&str>, code: &str, message: String) {
        self.items.push(ProblemItem {
            zone: self.zone.to_string(),
            name: shown(name),
            rtype: rtype.map(shown),
            record: record.map(shown),
            code: code.to_owned(),
            message,
            ..ProblemItem::default()
        });
    }

    /// An owner name and a type; the name must lie in the zone and the type must be one of zone data.
    pub fn target(&mut self, name: &str, rtype: &str) -> Option<(Name, Rtype)> {
        let root = Name::root();
        let owner = match Name::from_text(name, Some(self.origin.unwrap_or(&root))) {
            Ok(owner) if owner.is_in(self.zone) => Some(owner),
            Ok(owner) => {
                let message = format!("the name {owner} is not in the zone {}", self.zone);
                self.report(name, Some(rtype), None, "out-of-zone", message);
                None
            }
            Err(error) => {
                self.report(name, Some(rtype), None, "bad-name", error.to_string());
                None
            }
        };
        let known = match rtype.parse::<Rtype>() {
            Ok(known) if known.is_meta() => {
                let message = "this type exists only in messages and can't be zone data".to_owned();
                self.report(name, Some(rtype), None, "meta-type", message);
                None
            }
            Ok(known) => Some(known),
            Err(error) => {
                self.report(name, Some(rtype), None, "unknown-type", error.to_string());
                None
            }
        };
        owner.zip(known)
    }

    /// A TTL in seconds.
    pub fn ttl(&mut self, owner: &Name, rtype: Rtype, seconds: u32) -> Option<Ttl> {
        let ttl = Ttl::new(seconds);
        if ttl.is_none() {
            let message = format!("found the TTL {seconds}, expected 0 to {}", Ttl::MAX);
            self.report(&owner.to_string(), Some(&rtype.to_string()), None, "bad-ttl", message);
        }
        ttl
    }

    /// The data of records; every bad one gets its item.
    pub fn rdatas<'t>(
        &mut self,
        owner: &Name,
        rtype: Rtype,
        records: impl IntoIterator<Item = &'t str>,
    ) -> Option<Vec<Box<[u8]>>> {
        let mut rdatas = Vec::new();
        let mut good = true;
        for record in records {
            match rdata::from_text(rtype, record, self.origin) {
                Ok(rdata) => rdatas.push(rdata),
                Err(error) => {
                    good = false;
                    let (name, rtype) = (owner.to_string(), rtype.to_string());
                    self.report(&name, Some(&rtype), Some(record), "bad-record", error.to_string());
                }
            }
        }
        if good && rdatas.is_empty() {
            let message = "the RRset has no records: delete it instead".to_owned();
            self.report(&owner.to_string(), Some(&rtype.to_string()), None, "no-records", message);
            return None;
        }
        good.then_some(rdatas)
    }

    /// A whole RRset.
    pub fn rrset<'t>(
        &mut self,
        name: &str,
        rtype: &str,
        ttl: u32,
        records: impl IntoIterator<Item = &'t str>,
    ) -> Option<Rrset> {
        let (owner, rtype) = self.target(name, rtype)?;
        let ttl = self.ttl(&owner, rtype, ttl);
        let rdatas = self.rdatas(&owner, rtype, records);
        let Contents { ttl, rdatas } = Contents::new(rtype, ttl?, rdatas?);
        Some(Rrset { owner, rtype, ttl, rdatas })
    }
}

/// The start of a text, for a message.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An RRset of a zone as JSON gives it.
pub fn to_dto(owner: &Name, rrset: RrsetRef<'_>) -> dto::Rrset {
    let rtype = rrset.rtype();
    dto::Rrset {
        name: owner.to_string(),
        rtype: rtype.to_string(),
        ttl: rrset.ttl().as_secs(),
        records: rrset.rdatas().map(|data| rdata::to_text(rtype, data)).collect(),
    }
}

/// TTL and records of an RRset as JSON gives them.
pub fn contents_to_dto(rtype: Rtype, contents: &Contents) -> dto::RrsetContents {
    dto::RrsetContents {
        ttl: contents.ttl.as_secs(),
        records: contents.rdatas.iter().map(|data| rdata::to_text(rtype, data)).collect(),
    }
}
