//! RRsets as clients write them.

use std::collections::HashSet;

use rokko_model::{Annotation, Comment, DisabledRecord};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Contents, Rrset, Ttl, rdata};
use serde::Deserialize;

use super::content;
use super::zone_id::canonical;

/// How many octets of a record an error repeats.
const SHOWN_MAX: usize = 200;
/// The most comments of one RRset.
const COMMENTS_MAX: usize = 100;

/// An RRset as clients write it; what a field is missing for is said by [`Reader`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an RRset as an object")]
pub(super) struct RrsetIn {
    name: Option<String>,
    #[serde(rename = "type")]
    rtype: Option<String>,
    ttl: Option<TtlIn>,
    changetype: Option<String>,
    records: Option<Vec<RecordIn>>,
    comments: Option<Vec<CommentIn>>,
}

/// A TTL; some clients send it as text.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "found a 'ttl' that is not an Integer")]
enum TtlIn {
    Number(i64),
    Text(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a record as an object")]
struct RecordIn {
    content: Option<String>,
    disabled: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a comment as an object")]
struct CommentIn {
    content: Option<String>,
    account: Option<String>,
    modified_at: Option<u64>,
}

/// What is to happen to an RRset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ChangeType {
    Replace,
    Delete,
    Extend,
    Prune,
}

/// An RRset that is understood.
#[derive(Clone, Debug)]
pub(super) struct RrsetChange {
    pub(super) owner: Name,
    pub(super) rtype: Rtype,
    pub(super) change: ChangeType,
    /// `None` where the client did not say and need not.
    pub(super) ttl: Option<Ttl>,
    /// `None`: the records are to stay as they are.
    pub(super) records: Option<RecordsIn>,
    /// `None`: the comments are to stay as they are.
    pub(super) comments: Option<Vec<Comment>>,
}

/// Records, those that are answered apart from those that are switched off.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordsIn {
    pub(super) enabled: Vec<Box<[u8]>>,
    pub(super) disabled: Vec<Box<[u8]>>,
}

impl RrsetChange {
    /// The key of its annotation.
    pub(super) fn key(&self) -> String {
        annotation_key(&self.owner, self.rtype)
    }

    /// Its records that are switched off, as they are kept.
    pub(super) fn disabled_records(&self, ttl: Ttl) -> Vec<DisabledRecord> {
        let disabled = self.records.iter().flat_map(|records| &records.disabled);
        disabled.map(|data| DisabledRecord { ttl: ttl.as_secs(), content: rdata::to_text(self.rtype, data) }).collect()
    }

    /// The RRset of a zone's full contents and its annotation, either of which may be empty.
    pub(super) fn into_contents(self) -> (Option<Rrset>, (String, Annotation)) {
        let key = self.key();
        let ttl = self.ttl.unwrap_or(Ttl::MAX);
        let annotation =
            Annotation { disabled: self.disabled_records(ttl), comments: self.comments.unwrap_or_default() };
        let enabled = self.records.map(|records| records.enabled).unwrap_or_default();
        let Contents { ttl, rdatas } = Contents::new(self.rtype, ttl, enabled);
        let rrset = (!rdatas.is_empty()).then_some(Rrset { owner: self.owner, rtype: self.rtype, ttl, rdatas });
        (rrset, (key, annotation))
    }
}

/// The key of an RRset's annotation in the zone's metadata.
pub(super) fn annotation_key(owner: &Name, rtype: Rtype) -> String {
    format!("{owner} {rtype}")
}

/// Reads RRsets of one zone and collects what is wrong with them.
pub(super) struct Reader<'a> {
    zone: &'a Name,
    /// The time of comments without one, in Unix seconds.
    now_s: u64,
    problems: Vec<String>,
    seen: HashSet<(Name, Rtype, ChangeType)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(zone: &'a Name, now_s: u64) -> Self {
        Self { zone, now_s, problems: Vec::new(), seen: HashSet::new() }
    }

    /// All that was wrong.
    pub(super) fn into_problems(self) -> Vec<String> {
        self.problems
    }

    /// An RRset with its `changetype`.
    pub(super) fn change(&mut self, given: RrsetIn) -> Option<RrsetChange> {
        let change = match given.changetype.as_deref().map(str::to_ascii_uppercase).as_deref() {
            Some("REPLACE") => ChangeType::Replace,
            Some("DELETE") => ChangeType::Delete,
            Some("EXTEND") => ChangeType::Extend,
            Some("PRUNE") => ChangeType::Prune,
            Some(other) => {
                return self
                    .wrong(format!("Changetype '{other}' not understood: use REPLACE, DELETE, EXTEND or PRUNE"));
            }
            None => return self.wrong("Key 'changetype' not present or not a String".to_owned()),
        };
        self.rrset(given, change)
    }

    /// An RRset of a zone's full contents.
    pub(super) fn rrset(&mut self, given: RrsetIn, change: ChangeType) -> Option<RrsetChange> {
        let (owner, rtype) = self.target(&given)?;
        let repeatable = matches!(change, ChangeType::Extend | ChangeType::Prune);
        if !self.seen.insert((owner.clone(), rtype, change)) && !repeatable {
            let message = format!("Duplicate RRset {owner} IN {rtype} with changetype: {}", change.text());
            return self.wrong(message);
        }
        if change == ChangeType::Delete {
            return Some(RrsetChange { owner, rtype, change, ttl: None, records: None, comments: None });
        }
        if given.records.is_none() && (repeatable || given.comments.is_none()) {
            return self.wrong(format!("No change for RRset {owner} IN {rtype}"));
        }
        let adds = change != ChangeType::Prune && given.records.as_ref().is_some_and(|records| !records.is_empty());
        let problems_before = self.problems.len();
        let ttl = match given.ttl {
            Some(ttl) if adds => self.ttl(&owner, rtype, &ttl),
            None if adds && change == ChangeType::Replace => {
                self.wrong(format!("RRset {owner} IN {rtype}: Key 'ttl' not an Integer or not present"))
            }
            _ => None,
        };
        let records = given.records.map(|records| self.records(&owner, rtype, &records, change));
        let comments = given.comments.and_then(|comments| self.comments(&owner, rtype, comments));
        if self.problems.len() > problems_before {
            return None;
        }
        Some(RrsetChange { owner, rtype, change, ttl, records, comments })
    }

    fn target(&mut self, given: &RrsetIn) -> Option<(Name, Rtype)> {
        let Some(name) = &given.name else {
            return self.wrong("Key 'name' not present or not a String".to_owned());
        };
        let Some(rtype) = &given.rtype else {
            return self.wrong(format!("RRset {}: Key 'type' not present or not a String", shown(name)));
        };
        let owner = match canonical(name) {
            Ok(owner) if owner.is_in(self.zone) => owner,
            Ok(owner) => return self.wrong(format!("RRset {owner} IN {}: Name is out of zone", shown(rtype))),
            Err(message) => return self.wrong(format!("RRset {} IN {}: {message}", shown(name), shown(rtype))),
        };
        match rtype.parse::<Rtype>() {
            Ok(known) if known.is_meta() => self
                .wrong(format!("RRset {owner} IN {known}: this type exists only in messages and can't be zone data")),
            Ok(known) => Some((owner, known)),
            Err(_) => {
                let rtype = shown(rtype);
                self.wrong(format!("RRset {owner} IN {rtype}: unknown type given{}", advice(&rtype)))
            }
        }
    }

    fn ttl(&mut self, owner: &Name, rtype: Rtype, given: &TtlIn) -> Option<Ttl> {
        let seconds = match given {
            TtlIn::Number(number) => u32::try_from(*number).ok(),
            TtlIn::Text(text) => text.parse().ok(),
        };
        let ttl = seconds.and_then(Ttl::new);
        if ttl.is_none() {
            self.problems.push(format!("RRset {owner} IN {rtype}: Key 'ttl' is not an Integer from 0 to {}", Ttl::MAX));
        }
        ttl
    }

    fn records(&mut self, owner: &Name, rtype: Rtype, given: &[RecordIn], change: ChangeType) -> RecordsIn {
        let mut records = RecordsIn::default();
        let mut seen = HashSet::new();
        for record in given {
            let Some(text) = &record.content else {
                self.problems.push(format!("RRset {owner} IN {rtype}: Key 'content' not present or not a String"));
                continue;
            };
            match content::from_text(rtype, text) {
                Ok(data) => {
                    let is_new = seen.insert(rdata::canonical(rtype, &data).into_owned());
                    if !is_new && change == ChangeType::Replace {
                        let text = shown(text);
                        self.problems
                            .push(format!("Duplicate record in RRset {owner} IN {rtype} with content \"{text}\""));
                    }
                    let disabled = record.disabled.unwrap_or(false);
                    if disabled { &mut records.disabled } else { &mut records.enabled }.push(data);
                }
                Err(error) => self.problems.push(format!("Record {owner}/{rtype} '{}': {error}", shown(text))),
            }
        }
        records
    }

    fn comments(&mut self, owner: &Name, rtype: Rtype, given: Vec<CommentIn>) -> Option<Vec<Comment>> {
        if given.len() > COMMENTS_MAX {
            return self.wrong(format!("RRset {owner} IN {rtype}: an RRset has at most {COMMENTS_MAX} comments"));
        }
        let mut comments = Vec::with_capacity(given.len());
        for comment in given {
            let Some(content) = comment.content else {
                return self.wrong(format!("Comment of {owner} IN {rtype}: Key 'content' not present or not a String"));
            };
            let modified_at = comment.modified_at.unwrap_or(self.now_s);
            comments.push(Comment { content, account: comment.account.unwrap_or_default(), modified_at });
        }
        Some(comments)
    }

    fn wrong<T>(&mut self, message: String) -> Option<T> {
        self.problems.push(message);
        None
    }
}

impl ChangeType {
    fn text(self) -> &'static str {
        match self {
            Self::Replace => "REPLACE",
            Self::Delete => "DELETE",
            Self::Extend => "EXTEND",
            Self::Prune => "PRUNE",
        }
    }
}

/// What to do instead of a type that only PowerDNS has.
fn advice(rtype: &str) -> &'static str {
    match rtype.to_ascii_uppercase().as_str() {
        "ALIAS" => ": ALIAS exists only inside PowerDNS; use CNAME below the apex, and A and AAAA at the apex",
        "LUA" => ": LUA exists only inside PowerDNS; use the records that the script would answer with",
        _ => "",
    }
}

/// The start of a text, for a message.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
