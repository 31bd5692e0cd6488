//! Zones and RRsets as clients read them.

use rokko_control::dnssec::is_made;
use rokko_control::{ControlError, ZoneView};
use rokko_model::{Annotation, Comment, DisabledRecord};
use rokko_store::ZoneRecord;
use rokko_wire::{KeyBuf, Name, Rtype};
use rokko_zone::{Match, Page, RrsetRef, Zone};
use serde::Serialize;

use super::records::annotation_key;
use super::zone_id::id_of;
use super::zone_meta::{API_RECTIFY, MASTERS, kind_text};
use super::{SERVER_URL, content, soa_edit};
use crate::stream::Source;

/// Appends a value as JSON.
pub(super) fn push_json(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("plain structures of text and numbers can be written to memory");
}

/// A zone in a list.
#[derive(Serialize)]
pub(super) struct Listed<'a> {
    account: &'a str,
    catalog: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dnssec: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_serial: Option<u32>,
    id: String,
    kind: &'a str,
    last_check: u32,
    masters: &'a [String],
    name: String,
    notified_serial: u32,
    serial: u32,
    url: String,
}

impl<'a> Listed<'a> {
    /// `dnssec: false` leaves out what costs PowerDNS time.
    pub(super) fn of(record: &'a ZoneRecord, dnssec: bool) -> Self {
        let id = id_of(&record.name);
        Self {
            account: &record.meta.account,
            catalog: "",
            dnssec: dnssec.then_some(record.meta.dnssec.is_some()),
            edited_serial: dnssec.then_some(record.serial.0),
            url: format!("{SERVER_URL}/zones/{id}"),
            id,
            kind: kind_text(record.meta.kind),
            last_check: 0,
            masters: masters_of(record),
            name: record.name.to_string(),
            notified_serial: 0,
            serial: record.serial.0,
        }
    }
}

/// A zone on its own, without its RRsets.
#[derive(Serialize)]
struct Detailed<'a> {
    #[serde(flatten)]
    listed: Listed<'a>,
    api_rectify: bool,
    master_tsig_key_ids: [&'a str; 0],
    nsec3narrow: bool,
    nsec3param: &'a str,
    slave_tsig_key_ids: [&'a str; 0],
    soa_edit: &'a str,
    soa_edit_api: &'a str,
}

fn masters_of(record: &ZoneRecord) -> &[String] {
    record.meta.extra.get(MASTERS).map_or(&[], Vec::as_slice)
}

fn detailed(record: &ZoneRecord) -> Detailed<'_> {
    Detailed {
        listed: Listed::of(record, true),
        api_rectify: record.meta.extra.contains_key(API_RECTIFY),
        master_tsig_key_ids: [],
        nsec3narrow: false,
        nsec3param: "",
        slave_tsig_key_ids: [],
        soa_edit: soa_edit::soa_edit(&record.meta),
        soa_edit_api: soa_edit::shown(&record.meta),
    }
}

#[derive(Serialize)]
struct Described<'a> {
    comments: &'a [Comment],
    name: String,
    records: Vec<RecordOut>,
    ttl: u32,
    #[serde(rename = "type")]
    rtype: String,
}

#[derive(Serialize)]
struct RecordOut {
    content: String,
    disabled: bool,
}

/// Which RRsets of a zone are described.
#[derive(Clone, Debug)]
pub(super) enum Selection {
    /// None; the list is left out.
    Nothing,
    /// All.
    All,
    /// Those of a name, of one type if it is given.
    Of(Name, Option<Rtype>),
}

/// Writes a zone with its RRsets, a page of the zone at a time.
pub(super) struct ZoneSource {
    record: ZoneRecord,
    zone: Zone,
    selection: Selection,
    include_disabled: bool,
    state: Progress,
    wrote_rrset: bool,
}

enum Progress {
    Head,
    Pages(std::vec::IntoIter<Page>),
    Rest,
    Done,
}

impl ZoneSource {
    pub(super) fn new(view: ZoneView, selection: Selection, include_disabled: bool) -> Self {
        let ZoneView { record, zone } = view;
        Self { record, zone, selection, include_disabled, state: Progress::Head, wrote_rrset: false }
    }

    fn head(&mut self, out: &mut Vec<u8>) -> Progress {
        push_json(&detailed(&self.record), out);
        if matches!(self.selection, Selection::Nothing) {
            return Progress::Done;
        }
        // The object goes on with its longest field.
        out.pop();
        out.extend_from_slice(b",\"rrsets\":[");
        match self.selection.clone() {
            Selection::All => Progress::Pages(pages_of(&self.zone)),
            Selection::Of(owner, rtype) => {
                self.selected(&owner, rtype, out);
                out.extend_from_slice(b"]}");
                Progress::Done
            }
            Selection::Nothing => Progress::Done,
        }
    }

    fn selected(&mut self, owner: &Name, rtype: Option<Rtype>, out: &mut Vec<u8>) {
        let zone = self.zone.clone();
        for rrset in rrsets_of(&zone, owner).filter(|rrset| rtype.is_none_or(|wanted| rrset.rtype() == wanted)) {
            self.rrset(owner, rrset, out);
        }
        self.unanswered(|name, kind| name == owner && rtype.is_none_or(|wanted| kind == wanted), out);
    }

    fn page(&mut self, page: &Page, out: &mut Vec<u8>) {
        let zone = self.zone.clone();
        for node in page.view().nodes() {
            let owner = zone.view().name_of(node);
            for rrset in node.rrsets() {
                self.rrset(&owner, rrset, out);
            }
        }
    }

    fn rrset(&mut self, owner: &Name, rrset: RrsetRef<'_>, out: &mut Vec<u8>) {
        let rtype = rrset.rtype();
        if self.record.meta.dnssec.is_some() && is_made(&self.record.name, owner, rtype) {
            return;
        }
        let record = |data: &[u8]| RecordOut { content: content::to_text(rtype, data), disabled: false };
        let records = rrset.rdatas().map(record).collect();
        let kept = &self.record.meta.annotations;
        let annotation = if kept.is_empty() { None } else { kept.get(&annotation_key(owner, rtype)) };
        let annotation = annotation.cloned().unwrap_or_default();
        self.describe(owner, rtype, rrset.ttl().as_secs(), records, &annotation, out);
    }

    /// RRsets of which nothing is answered: all their records are switched off, or they have comments alone.
    fn unanswered(&mut self, wanted: impl Fn(&Name, Rtype) -> bool, out: &mut Vec<u8>) {
        for (key, annotation) in self.record.meta.annotations.clone() {
            let Some((owner, rtype)) = key.rsplit_once(' ') else { continue };
            let (Ok(owner), Ok(rtype)) = (owner.parse::<Name>(), rtype.parse::<Rtype>()) else { continue };
            if !wanted(&owner, rtype) || self.zone.rrset(&owner, rtype).is_some() {
                continue;
            }
            let hidden = !self.include_disabled && annotation.comments.is_empty();
            if !hidden {
                let ttl = annotation.disabled.first().filter(|_| self.include_disabled).map_or(0, |record| record.ttl);
                self.describe(&owner, rtype, ttl, Vec::new(), &annotation, out);
            }
        }
    }

    fn describe(
        &mut self,
        owner: &Name,
        rtype: Rtype,
        ttl: u32,
        mut records: Vec<RecordOut>,
        annotation: &Annotation,
        out: &mut Vec<u8>,
    ) {
        if self.include_disabled {
            records.extend(annotation.disabled.iter().map(|record| disabled_record(rtype, record)));
        }
        if self.wrote_rrset {
            out.push(b',');
        }
        self.wrote_rrset = true;
        let (name, rtype) = (owner.to_string(), rtype.to_string());
        push_json(&Described { comments: &annotation.comments, name, records, ttl, rtype }, out);
    }
}

impl Source for ZoneSource {
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, ControlError> {
        self.state = match std::mem::replace(&mut self.state, Progress::Done) {
            Progress::Head => self.head(out),
            Progress::Pages(mut pages) => match pages.next() {
                Some(page) => {
                    self.page(&page, out);
                    Progress::Pages(pages)
                }
                None => Progress::Rest,
            },
            Progress::Rest => {
                self.unanswered(|_, _| true, out);
                out.extend_from_slice(b"]}");
                Progress::Done
            }
            Progress::Done => Progress::Done,
        };
        Ok(!matches!(self.state, Progress::Done))
    }
}

fn disabled_record(rtype: Rtype, record: &DisabledRecord) -> RecordOut {
    let content = content::from_text(rtype, &record.content).map(|data| content::to_text(rtype, &data));
    RecordOut { content: content.unwrap_or_else(|_| record.content.clone()), disabled: true }
}

/// The RRsets of one name, wherever its node is kept.
fn rrsets_of<'z>(zone: &'z Zone, owner: &Name) -> impl Iterator<Item = RrsetRef<'z>> {
    let key = KeyBuf::below(owner, &zone.apex());
    let node =
        key.and_then(|key| match (zone.view().search(key.as_bytes()), zone.view().nsec3_search(key.as_bytes())) {
            (Match::Exact(node), _) | (_, Match::Exact(node)) => Some(node),
            _ => None,
        });
    node.into_iter().flat_map(rokko_zone::NodeRef::rrsets)
}

/// The pages of a zone. They are shared with it, and stay what they are while others are written.
pub(super) fn pages_of(zone: &Zone) -> std::vec::IntoIter<Page> {
    let (main, nsec3) = zone.pages();
    [main, nsec3].concat().into_iter()
}
