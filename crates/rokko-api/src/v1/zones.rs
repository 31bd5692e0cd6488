//! Zones.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use rokko_control::ControlError;
use rokko_control::dnssec::DEFAULT_POLICY;
use rokko_model::{Expect, Request, Signing};
use rokko_store::ZoneFilter;
use rokko_wire::{Name, Rtype};
use rokko_zone::{Rrset, Ttl};

use super::args::{IfMatch, Segments, Versioned, cursor_after, page_size, read_cursor, reason, zone_name};
use super::convert::{change_of, file_of, meta_of, rrsets_of, set_meta};
use super::dto::{Change, NewZone, ProblemDocument, ReasonQuery, Zone, ZonePage, ZonePatch, ZoneQuery};
use crate::auth::Caller;
use crate::body::{Json, Params};
use crate::problem::Problem;
use crate::rrset::Parser;
use crate::state::ApiState;
use crate::task;

/// The TTL in seconds of the NS records that a new zone gets by `nameservers`.
const NAMESERVER_TTL_S: u32 = 3600;
/// How often a change of metadata is tried again when the zone changes meanwhile and the client named no version.
const META_TRIES: usize = 32;

/// List the zones that the key reaches.
#[utoipa::path(get, path = "/v1/zones", tag = "zones", params(ZoneQuery),
    responses((status = 200, body = ZonePage), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn list(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Params(query): Params<ZoneQuery>,
) -> Result<Answer<ZonePage>, Problem> {
    let limit = page_size(query.limit)?;
    let after = query.cursor.as_deref().map(read_cursor).transpose()?.map(|(name, _)| name);
    let filter = ZoneFilter {
        account: query.account,
        name_contains: query.contains.map(|text| text.to_lowercase()),
        below: query.below.as_deref().map(zone_name).transpose()?,
    };
    let read = task::read(&state.control, move |control| control.zones(&who, after.as_ref(), limit + 1, &filter));
    let mut records = read.await?;
    let more = records.len() > limit;
    records.truncate(limit);
    let next_cursor = records.last().filter(|_| more).map(|last| cursor_after(&last.name, Rtype(0)));
    Ok(Answer(ZonePage { zones: records.iter().map(Zone::from).collect(), next_cursor }))
}

/// Make a zone.
#[utoipa::path(post, path = "/v1/zones", tag = "zones", request_body = NewZone,
    responses((status = 201, body = Zone), (status = 409, description = "The zone exists", body = ProblemDocument),
        (status = "4XX", body = ProblemDocument)))]
pub(super) async fn create(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Json(asked, _room): Json<NewZone>,
) -> Result<impl IntoResponse, Problem> {
    let zone = zone_name(&asked.name)?;
    let reason = reason(asked.reason)?;
    let meta = meta_of(asked.kind, asked.account, asked.soa_edit)?;
    let signing = match (asked.dnssec, asked.dnssec_policy) {
        (Some(false), Some(_)) => {
            let detail = "dnssec is false and dnssec_policy names a policy: give only one of them";
            return Err(Problem::unprocessable("useless-field", detail));
        }
        (Some(false), None) => Signing::Off,
        (_, Some(policy)) => Signing::Policy(policy),
        (Some(true), None) => Signing::Policy(DEFAULT_POLICY.to_owned()),
        (None, None) => Signing::Default,
    };
    let apex = zone.clone();
    let contents = task::blocking(move || {
        contents_of(&apex, asked.rrsets.as_deref(), asked.zone_file.as_deref(), asked.nameservers.as_deref())
    });
    let request = Request::Create { zone: zone.clone(), meta, contents: contents.await?, signing };
    task::submit_one(&state.control, &who, &reason, request).await?;
    let view = {
        let zone = zone.clone();
        task::read(&state.control, move |control| control.zone(&who, &zone)).await?
    };
    let location = format!("/v1/zones/{}", path_segment(&zone));
    let location = HeaderValue::try_from(location).expect("an escaped name is a header value");
    let body = Versioned(view.record.revision.0, Zone::from(&view.record));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], body))
}

/// A name as one segment of a path (RFC 3986 §2.3: what is not unreserved is escaped, but for the wildcard's asterisk).
fn path_segment(name: &Name) -> String {
    let escaped = |octet: u8| match octet {
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'*' => char::from(octet).to_string(),
        _ => format!("%{octet:02X}"),
    };
    name.to_string().bytes().map(escaped).collect()
}

/// A new zone's contents from JSON or from a zone file.
pub(super) fn contents_of(
    zone: &Name,
    rrsets: Option<&[super::dto::Rrset]>,
    zone_file: Option<&str>,
    nameservers: Option<&[String]>,
) -> Result<Vec<Rrset>, Problem> {
    let mut parser = Parser::relative_to(zone);
    let mut contents = match (rrsets, zone_file) {
        (Some(_), Some(_)) => {
            let detail = "a zone's contents come from rrsets or from zone_file: give only one of them";
            return Err(Problem::unprocessable("two-contents", detail));
        }
        (None, Some(text)) => file_of(zone, text.as_bytes(), true).map_err(Problem::records)?.0,
        (Some(rrsets), None) => rrsets_of(rrsets, &mut parser),
        (None, None) => Vec::new(),
    };
    if let Some(nameservers) = nameservers.filter(|names| !names.is_empty()) {
        let servers = nameservers_of(zone, nameservers, &mut parser);
        if contents.iter().any(|rrset| rrset.owner == *zone && rrset.rtype == Rtype::NS) {
            let detail = "the zone has NS records at its apex already: leave nameservers out";
            return Err(Problem::unprocessable("two-nameservers", detail));
        }
        contents.extend(servers);
    }
    let items = parser.into_items();
    if items.is_empty() { Ok(contents) } else { Err(Problem::records(items)) }
}

fn nameservers_of(zone: &Name, nameservers: &[String], parser: &mut Parser<'_>) -> Option<Rrset> {
    let mut rdatas: Vec<Box<[u8]>> = Vec::new();
    for text in nameservers {
        match text.parse::<Name>() {
            Ok(name) => rdatas.push(name.as_bytes().into()),
            Err(error) => {
                parser.report(&zone.to_string(), Some("NS"), Some(text), "bad-record", error.to_string());
                return None;
            }
        }
    }
    let ttl = Ttl::new(NAMESERVER_TTL_S)?;
    Some(Rrset { owner: zone.clone(), rtype: Rtype::NS, ttl, rdatas })
}

/// Show a zone.
#[utoipa::path(get, path = "/v1/zones/{zone}", tag = "zones", params(("zone" = String, Path, description = "The zone's name")),
    responses((status = 200, body = Zone), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn show(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(zone): Segments<String>,
) -> Result<Versioned<Zone>, Problem> {
    let zone = zone_name(&zone)?;
    let view = task::read(&state.control, move |control| control.zone(&who, &zone)).await?;
    Ok(Versioned(view.record.revision.0, Zone::from(&view.record)))
}

/// Change a zone's metadata.
#[utoipa::path(patch, path = "/v1/zones/{zone}", tag = "zones", request_body = ZonePatch,
    params(("zone" = String, Path, description = "The zone's name"),
        ("If-Match" = Option<String>, Header, description = "The version that the zone must have")),
    responses((status = 200, body = Zone), (status = 412, description = "The zone has changed", body = ProblemDocument),
        (status = "4XX", body = ProblemDocument)))]
pub(super) async fn patch(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(zone): Segments<String>,
    IfMatch(expect): IfMatch,
    Json(patch, _room): Json<ZonePatch>,
) -> Result<Versioned<Zone>, Problem> {
    let zone = zone_name(&zone)?;
    let reason = reason(patch.reason)?;
    let read = async || {
        let (who, zone) = (who.clone(), zone.clone());
        task::read(&state.control, move |control| control.zone(&who, &zone)).await
    };
    let _turn = if expect == Expect::Any { Some(state.turn(&zone).await) } else { None };
    let mut tries = 0;
    loop {
        let view = read().await?;
        let mut meta = view.record.meta;
        set_meta(&mut meta, patch.kind, patch.account.clone(), patch.soa_edit)?;
        let against = match expect {
            Expect::Any => Expect::Version(view.record.revision),
            given @ Expect::Version(_) => given,
        };
        let request = Request::SetMeta { zone: zone.clone(), expect: against, meta };
        tries += 1;
        match task::submit_one(&state.control, &who, &reason, request).await {
            Err(ControlError::Stale { .. }) if expect == Expect::Any && tries < META_TRIES => {}
            Err(error) => return Err(error.into()),
            Ok(_) => break,
        }
    }
    let view = read().await?;
    Ok(Versioned(view.record.revision.0, Zone::from(&view.record)))
}

/// Remove a zone. Its history stays, and it can be restored.
#[utoipa::path(delete, path = "/v1/zones/{zone}", tag = "zones",
    params(("zone" = String, Path, description = "The zone's name"), ReasonQuery,
        ("If-Match" = Option<String>, Header, description = "The version that the zone must have")),
    responses((status = 200, body = Change), (status = 412, description = "The zone has changed", body = ProblemDocument),
        (status = "4XX", body = ProblemDocument)))]
pub(super) async fn remove(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(zone): Segments<String>,
    IfMatch(expect): IfMatch,
    Params(query): Params<ReasonQuery>,
) -> Result<Answer<Change>, Problem> {
    let request = Request::Delete { zone: zone_name(&zone)?, expect };
    let done = task::submit_one(&state.control, &who, &reason(query.reason)?, request).await?;
    Ok(Answer(change_of(&done, Vec::new())))
}
