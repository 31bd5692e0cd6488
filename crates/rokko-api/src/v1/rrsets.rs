//! RRsets of a zone.

use axum::extract::State;
use rokko_control::ZoneView;
use rokko_control::dnssec::is_made;
use rokko_model::{Expect, Request};
use rokko_wire::{KeyBuf, Name, Rtype};
use rokko_zone::Edit;

use super::args::{
    IfMatch, Segments, Versioned, cursor_after, owner_name, page_size, read_cursor, reason, record_type, zone_name,
};
use super::convert::change_of;
use super::dto::{Change, ProblemDocument, ReasonQuery, Rrset, RrsetContents, RrsetPage, RrsetQuery};
use crate::auth::Caller;
use crate::body::{Json, Params};
use crate::problem::Problem;
use crate::rrset::{Parser, to_dto};
use crate::state::ApiState;
use crate::task;

/// How many RRsets a listing by type looks at for one page. A page may so have fewer items than asked for, or none, and
/// still a cursor.
const LOOKED_AT_MAX: usize = 100_000;

/// List a zone's RRsets.
#[utoipa::path(get, path = "/v1/zones/{zone}/rrsets", tag = "rrsets",
    params(("zone" = String, Path, description = "The zone's name"), RrsetQuery),
    responses((status = 200, body = RrsetPage), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn list(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(zone): Segments<String>,
    Params(query): Params<RrsetQuery>,
) -> Result<Versioned<RrsetPage>, Problem> {
    let zone = zone_name(&zone)?;
    let wanted = Wanted {
        limit: page_size(query.limit)?,
        after: query.cursor.as_deref().map(read_cursor).transpose()?,
        owner: query.name.as_deref().map(|text| owner_name(text, &zone)).transpose()?,
        rtype: query.rtype.as_deref().map(record_type).transpose()?,
    };
    let page = task::read(&state.control, move |control| control.zone(&who, &zone).map(|view| page_of(&view, &wanted)));
    let page = page.await?;
    Ok(Versioned(page.version, page))
}

struct Wanted {
    limit: usize,
    after: Option<(Name, Rtype)>,
    owner: Option<Name>,
    rtype: Option<Rtype>,
}

fn page_of(view: &ZoneView, wanted: &Wanted) -> RrsetPage {
    let (zone, version) = (&view.zone, view.record.revision.0);
    let is_signed = view.record.meta.dnssec.is_some();
    // Where the zone lost the cursor's name meanwhile, the next one in order follows.
    let start = match (&wanted.after, &wanted.owner) {
        (Some((after, _)), Some(owner)) => Some(after.max(owner)),
        (Some((after, _)), None) => Some(after),
        (None, owner) => owner.as_ref(),
    };
    let key = start.and_then(|name| KeyBuf::below(name, &zone.apex())).unwrap_or_default();
    let (mut rrsets, mut last) = (Vec::new(), None);
    for (looked_at, (owner, rrset)) in zone.rrsets_from(key.as_bytes()).enumerate() {
        let rtype = rrset.rtype();
        if wanted.after.as_ref().is_some_and(|(name, after)| (&owner, rtype) <= (name, *after)) {
            continue;
        }
        if wanted.owner.as_ref().is_some_and(|only| *only != owner) {
            break;
        }
        if rrsets.len() == wanted.limit || looked_at >= LOOKED_AT_MAX {
            let next_cursor = last.map(|(owner, rtype)| cursor_after(&owner, rtype));
            return RrsetPage { rrsets, next_cursor, version };
        }
        // What signing makes is shown to those who ask for its type.
        let hidden = is_signed && wanted.rtype.is_none() && is_made(&view.record.name, &owner, rtype);
        if !hidden && wanted.rtype.is_none_or(|only| only == rtype) {
            rrsets.push(to_dto(&owner, rrset));
        }
        last = Some((owner, rtype));
    }
    RrsetPage { rrsets, next_cursor: None, version }
}

/// Show one RRset.
#[utoipa::path(get, path = "/v1/zones/{zone}/rrsets/{name}/{type}", tag = "rrsets",
    params(("zone" = String, Path, description = "The zone's name"), ("name" = String, Path, description = "The owner name"),
        ("type" = String, Path, description = "The type")),
    responses((status = 200, body = Rrset), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn show(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments((zone, name, rtype)): Segments<(String, String, String)>,
) -> Result<Versioned<Rrset>, Problem> {
    let zone = zone_name(&zone)?;
    let (owner, rtype) = (owner_name(&name, &zone)?, record_type(&rtype)?);
    let view = task::read(&state.control, move |control| control.zone(&who, &zone)).await?;
    let Some(rrset) = view.zone.rrset(&owner, rtype) else {
        let detail = format!("the zone {} has no RRset {owner} {rtype}", view.record.name);
        return Err(Problem::not_found("no-such-rrset", detail));
    };
    Ok(Versioned(view.record.revision.0, to_dto(&owner, rrset)))
}

/// Set one RRset.
#[utoipa::path(put, path = "/v1/zones/{zone}/rrsets/{name}/{type}", tag = "rrsets", request_body = RrsetContents,
    params(("zone" = String, Path, description = "The zone's name"), ("name" = String, Path, description = "The owner name"),
        ("type" = String, Path, description = "The type"), ReasonQuery,
        ("If-Match" = Option<String>, Header, description = "The version that the zone must have")),
    responses((status = 200, body = Change), (status = 412, description = "The zone has changed", body = ProblemDocument),
        (status = "4XX", body = ProblemDocument)))]
pub(super) async fn put(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments((zone, name, rtype)): Segments<(String, String, String)>,
    IfMatch(expect): IfMatch,
    Params(query): Params<ReasonQuery>,
    Json(contents, _room): Json<RrsetContents>,
) -> Result<Versioned<Change>, Problem> {
    let zone = zone_name(&zone)?;
    let mut parser = Parser::relative_to(&zone);
    let rrset = parser.rrset(&name, &rtype, contents.ttl, contents.records.iter().map(String::as_str));
    let edit = rrset.map(Edit::Replace).ok_or_else(|| Problem::records(parser.into_items()))?;
    edit_one(&state, &who, &zone, expect, query.reason, edit).await
}

/// Remove one RRset; it is no error if it is absent already.
#[utoipa::path(delete, path = "/v1/zones/{zone}/rrsets/{name}/{type}", tag = "rrsets",
    params(("zone" = String, Path, description = "The zone's name"), ("name" = String, Path, description = "The owner name"),
        ("type" = String, Path, description = "The type"), ReasonQuery,
        ("If-Match" = Option<String>, Header, description = "The version that the zone must have")),
    responses((status = 200, body = Change), (status = 412, description = "The zone has changed", body = ProblemDocument),
        (status = "4XX", body = ProblemDocument)))]
pub(super) async fn remove(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments((zone, name, rtype)): Segments<(String, String, String)>,
    IfMatch(expect): IfMatch,
    Params(query): Params<ReasonQuery>,
) -> Result<Versioned<Change>, Problem> {
    let zone = zone_name(&zone)?;
    let edit = Edit::Delete { owner: owner_name(&name, &zone)?, rtype: record_type(&rtype)? };
    edit_one(&state, &who, &zone, expect, query.reason, edit).await
}

async fn edit_one(
    state: &ApiState,
    who: &rokko_control::Identity,
    zone: &Name,
    expect: Expect,
    why: Option<String>,
    edit: Edit,
) -> Result<Versioned<Change>, Problem> {
    let request = Request::Edit { zone: zone.clone(), expect, edits: vec![edit], annotations: Vec::new() };
    let done = task::submit_one(&state.control, who, &reason(why)?, request).await?;
    Ok(Versioned(done.revision.0, change_of(&done, Vec::new())))
}
