//! The list of zones, and new ones.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rokko_control::{Control, ControlError, Identity};
use rokko_model::{Request, ZoneMeta};
use rokko_store::ZoneFilter;
use rokko_wire::{Name, Rtype};
use rokko_zone::file::{self, Severity};
use rokko_zone::{Contents, Rrset, Ttl};

use super::describe::{Listed, Selection, ZoneSource, push_json};
use super::failure::Failure;
use super::records::{ChangeType, Reader, RrsetIn};
use super::request::{Body, Caller, Params};
use super::zone_id::canonical;
use super::zone_meta::ZoneIn;
use super::{soa_edit, zone};
use crate::problem::PROBLEM_ITEMS_MAX;
use crate::state::ApiState;
use crate::stream::{Source, body_of};
use crate::task::{blocking, read, submit_one};

/// How many zones are read from the store at once.
const LIST_CHUNK: usize = 1_000;
/// The TTL in seconds of the NS records that `nameservers` makes.
const NAMESERVERS_TTL_S: u32 = 3_600;

/// A response with a JSON body that may be long.
pub(super) async fn json_of(status: StatusCode, source: impl Source) -> Result<Response, Failure> {
    let body = body_of(source).await?;
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok((status, [content_type], body).into_response())
}

pub(super) async fn list(
    State(state): State<ApiState>,
    Caller(who): Caller,
    params: Params,
) -> Result<Response, Failure> {
    let dnssec = params.flag("dnssec", true)?;
    let only = params.text("zone").map(canonical).transpose().map_err(Failure::unprocessable)?;
    let control = state.control.clone();
    json_of(StatusCode::OK, ListSource { control, who, dnssec, only, after: None, started: false }).await
}

/// Writes the list a chunk of zones at a time.
struct ListSource {
    control: Control,
    who: Identity,
    dnssec: bool,
    /// Only this zone.
    only: Option<Name>,
    after: Option<Name>,
    started: bool,
}

impl Source for ListSource {
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, ControlError> {
        let (limit, filter) = match &self.only {
            // A name comes before all that lie below it.
            Some(name) => (1, ZoneFilter { below: Some(name.clone()), ..ZoneFilter::default() }),
            None => (LIST_CHUNK, ZoneFilter::default()),
        };
        let mut records = self.control.zones(&self.who, self.after.as_ref(), limit, &filter)?;
        let more = self.only.is_none() && records.len() == limit;
        if let Some(only) = &self.only {
            records.retain(|record| record.name == *only);
        }
        for (index, record) in records.iter().enumerate() {
            out.push(if self.started || index > 0 { b',' } else { b'[' });
            push_json(&Listed::of(record, self.dnssec), out);
        }
        if !self.started && records.is_empty() {
            out.push(b'[');
        }
        self.started = true;
        self.after = records.pop().map(|record| record.name);
        if !more {
            out.push(b']');
        }
        Ok(more)
    }
}

pub(super) async fn create(
    State(state): State<ApiState>,
    Caller(who): Caller,
    params: Params,
    body: Body<ZoneIn>,
) -> Result<Response, Failure> {
    let with_rrsets = params.flag("rrsets", true)?;
    let given = body.value;
    let missing = |field: &str| Failure::unprocessable(format!("Key '{field}' not present or not a String"));
    let name = canonical(given.name.as_deref().ok_or_else(|| missing("name"))?).map_err(Failure::unprocessable)?;
    if given.kind.is_none() {
        return Err(missing("kind"));
    }
    let mut meta = ZoneMeta::default();
    soa_edit::set(&mut meta, Some(soa_edit::DEFAULT), None)?;
    given.apply(&mut meta)?;
    let signing = given.signing();
    let now_s = state.control.now().0 / 1000;
    let zone = name.clone();
    let (contents, annotations) = blocking(move || contents_of(&zone, given, now_s)).await?;
    meta.annotations = annotations;
    submit_one(&state.control, &who, "", Request::Create { zone: name.clone(), meta, contents, signing }).await?;
    let view = read(&state.control, move |control| control.zone(&who, &name)).await?;
    let selection = if with_rrsets { Selection::All } else { Selection::Nothing };
    json_of(StatusCode::CREATED, ZoneSource::new(view, selection, true)).await
}

/// What a new zone is to hold: RRsets, and annotations by their keys.
fn contents_of(zone: &Name, given: ZoneIn, now_s: u64) -> Result<zone::Whole, Failure> {
    let rrsets = given.rrsets.unwrap_or_default();
    let text = given.zone.unwrap_or_default();
    if !rrsets.is_empty() && !text.is_empty() {
        return Err(Failure::unprocessable("You cannot give rrsets AND zone data as text"));
    }
    let (mut contents, annotations) = if text.is_empty() {
        read_rrsets(zone, rrsets, now_s)?
    } else {
        (read_file(zone, &text)?, zone::Annotations::default())
    };
    let nameservers = given.nameservers.unwrap_or_default();
    if nameservers.is_empty() {
        return Ok((contents, annotations));
    }
    if contents.iter().any(|rrset| rrset.owner == *zone && rrset.rtype == Rtype::NS) {
        return Err(Failure::unprocessable("Nameservers list MUST NOT be mixed with zone-level NS in rrsets"));
    }
    contents.push(nameserver_rrset(zone, &nameservers)?);
    Ok((contents, annotations))
}

/// RRsets of a zone's full contents.
pub(super) fn read_rrsets(zone: &Name, given: Vec<RrsetIn>, now_s: u64) -> Result<zone::Whole, Failure> {
    let mut reader = Reader::new(zone, now_s);
    let read: Vec<_> = given.into_iter().filter_map(|rrset| reader.rrset(rrset, ChangeType::Replace)).collect();
    let problems = reader.into_problems();
    if !problems.is_empty() {
        return Err(Failure::all(problems));
    }
    let mut contents = Vec::with_capacity(read.len());
    let mut annotations = zone::Annotations::new();
    for change in read {
        let (rrset, (key, annotation)) = change.into_contents();
        contents.extend(rrset);
        if !annotation.is_empty() {
            annotations.insert(key, annotation);
        }
    }
    Ok((contents, annotations))
}

/// The records of a zone file; SOA and NS may be missing, as they are added.
fn read_file(zone: &Name, text: &str) -> Result<Vec<Rrset>, Failure> {
    let options =
        file::Options { file: "zone", origin: Some(zone.clone()), errors_max: PROBLEM_ITEMS_MAX, ..Default::default() };
    let loaded = file::load(text.as_bytes(), options);
    let is_added = |code: &str| matches!(code, "no-soa" | "no-ns");
    let errors: Vec<String> = loaded
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error && !is_added(diagnostic.code))
        .map(ToString::to_string)
        .collect();
    if errors.is_empty() { Ok(loaded.rrsets) } else { Err(Failure::all(errors)) }
}

fn nameserver_rrset(zone: &Name, nameservers: &[String]) -> Result<Rrset, Failure> {
    let mut rdatas: Vec<Box<[u8]>> = Vec::with_capacity(nameservers.len());
    for text in nameservers {
        canonical(text)
            .map_err(|error| Failure::unprocessable(format!("Nameserver is not canonical: '{text}' ({error})")))?;
        rdatas.push(super::content::from_text(Rtype::NS, text).map_err(Failure::unprocessable)?);
    }
    let Contents { ttl, rdatas } = Contents::new(Rtype::NS, Ttl::from_wire(NAMESERVERS_TTL_S), rdatas);
    Ok(Rrset { owner: zone.clone(), rtype: Rtype::NS, ttl, rdatas })
}
