//! A zone's history, and the way back.

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use rokko_control::ControlError;
use rokko_model::Request;
use rokko_zone::{Revision, RrsetDelta};

use super::args::{IfMatch, Segments, Versioned, page_size, reason, zone_name};
use super::convert::change_of;
use super::dto::{Change, Entry, EntryDetail, HistoryPage, HistoryQuery, ProblemDocument, Restore, RrsetChange};
use crate::auth::Caller;
use crate::body::{Json, Params};
use crate::problem::Problem;
use crate::rrset::contents_to_dto;
use crate::state::ApiState;
use crate::stream::{Source, body_of, push_json};
use crate::task;

/// List a zone's revisions, the newest first; those of a deleted zone too.
#[utoipa::path(get, path = "/v1/zones/{zone}/history", tag = "history",
    params(("zone" = String, Path, description = "The zone's name"), HistoryQuery),
    responses((status = 200, body = HistoryPage), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn list(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(zone): Segments<String>,
    Params(query): Params<HistoryQuery>,
) -> Result<Answer<HistoryPage>, Problem> {
    let zone = zone_name(&zone)?;
    let limit = page_size(query.limit)?;
    let before = query.before.map(Revision);
    let read = task::read(&state.control, move |control| control.history(&who, &zone, before, limit + 1));
    let mut entries = read.await?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next_before = entries.last().filter(|_| more).map(|last| last.revision.0);
    Ok(Answer(HistoryPage { entries: entries.iter().map(Entry::from).collect(), next_before }))
}

/// Show one revision with what it changed.
#[utoipa::path(get, path = "/v1/zones/{zone}/history/{revision}", tag = "history",
    params(("zone" = String, Path, description = "The zone's name"), ("revision" = u64, Path, description = "The revision")),
    responses((status = 200, body = EntryDetail), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn show(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments((zone, revision)): Segments<(String, u64)>,
) -> Result<Response<Body>, Problem> {
    let zone = zone_name(&zone)?;
    let revision = Revision(revision);
    let (entry, delta) = task::read(&state.control, move |control| control.entry(&who, revision)).await?;
    if entry.zone != zone {
        return Err(ControlError::NoSuchRevision { revision }.into());
    }
    let source = Detail { entry: Some(Entry::from(&entry)), changes: delta.changes.into_iter(), first: true };
    let body = body_of(source).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// [`EntryDetail`] as JSON in parts, since a revision may change millions of RRsets.
struct Detail {
    entry: Option<Entry>,
    changes: std::vec::IntoIter<RrsetDelta>,
    first: bool,
}

impl Source for Detail {
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, ControlError> {
        if let Some(entry) = self.entry.take() {
            push_json(&entry, out);
            // The object goes on with one more member.
            out.pop();
            out.extend_from_slice(b",\"changes\":[");
        }
        let Some(change) = self.changes.next() else {
            out.extend_from_slice(b"]}");
            return Ok(false);
        };
        if !std::mem::take(&mut self.first) {
            out.push(b',');
        }
        let contents = |contents: Option<&_>| contents.map(|contents| contents_to_dto(change.rtype, contents));
        let change = RrsetChange {
            name: change.owner.to_string(),
            rtype: change.rtype.to_string(),
            before: contents(change.before.as_ref()),
            after: contents(change.after.as_ref()),
        };
        push_json(&change, out);
        Ok(true)
    }
}

/// Make a zone again what it was right after an earlier revision; a deleted zone too.
#[utoipa::path(post, path = "/v1/zones/{zone}/restore", tag = "history", request_body = Restore,
    params(("zone" = String, Path, description = "The zone's name"),
        ("If-Match" = Option<String>, Header, description = "The version that the zone must have")),
    responses((status = 200, body = Change), (status = 412, description = "The zone has changed", body = ProblemDocument),
        (status = "4XX", body = ProblemDocument)))]
pub(super) async fn restore(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(zone): Segments<String>,
    IfMatch(expect): IfMatch,
    Json(asked, _room): Json<Restore>,
) -> Result<Versioned<Change>, Problem> {
    let request = Request::Rollback { zone: zone_name(&zone)?, expect, to: Revision(asked.to) };
    let done = task::submit_one(&state.control, &who, &reason(asked.reason)?, request).await?;
    Ok(Versioned(done.revision.0, change_of(&done, Vec::new())))
}
