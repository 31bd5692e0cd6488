//! Change sets of one zone, and how far a change has come.

use std::time::{Duration, Instant};

use axum::Json as Answer;
use axum::extract::State;
use rokko_control::ChangeState;
use rokko_model::Request;
use rokko_zone::Revision;

use super::args::{IfMatch, Segments, Versioned, reason, zone_name};
use super::convert::{change_of, edits_of};
use super::dto::{self, Change, ChangeStatus, Edits, ProblemDocument, WaitQuery};
use crate::auth::Caller;
use crate::body::{Json, Params};
use crate::problem::Problem;
use crate::rrset::Parser;
use crate::state::ApiState;
use crate::{task, timestamp};

/// The longest wait for a revision in milliseconds.
pub const WAIT_MS_MAX: u64 = 60_000;
/// How often a wait looks.
const WAIT_STEP: Duration = Duration::from_millis(2);

/// Carry out edits of a zone, all or none.
#[utoipa::path(post, path = "/v1/zones/{zone}/changes", tag = "changes", request_body = Edits,
    params(("zone" = String, Path, description = "The zone's name"),
        ("If-Match" = Option<String>, Header, description = "The version that the zone must have")),
    responses((status = 200, body = Change), (status = 412, description = "The zone has changed", body = ProblemDocument),
        (status = "4XX", body = ProblemDocument)))]
pub(super) async fn create(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(zone): Segments<String>,
    IfMatch(expect): IfMatch,
    Json(asked, _room): Json<Edits>,
) -> Result<Versioned<Change>, Problem> {
    let zone = zone_name(&zone)?;
    let reason = reason(asked.reason)?;
    let apex = zone.clone();
    let edits = task::blocking(move || {
        let mut parser = Parser::relative_to(&apex);
        let edits = edits_of(&asked.edits, &mut parser);
        let items = parser.into_items();
        if items.is_empty() { Ok(edits) } else { Err(Problem::records(items)) }
    });
    let request = Request::Edit { zone, expect, edits: edits.await?, annotations: Vec::new() };
    let done = task::submit_one(&state.control, &who, &reason, request).await?;
    Ok(Versioned(done.revision.0, change_of(&done, Vec::new())))
}

/// Show how far a change has come, if wished after waiting for it.
#[utoipa::path(get, path = "/v1/changes/{revision}", tag = "changes",
    params(("revision" = u64, Path, description = "The change's revision"), WaitQuery),
    responses((status = 200, body = ChangeStatus), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn show(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(revision): Segments<u64>,
    Params(query): Params<WaitQuery>,
) -> Result<Answer<ChangeStatus>, Problem> {
    let wait_ms = query.wait_ms.unwrap_or(0);
    if wait_ms > WAIT_MS_MAX {
        let detail = format!("found the wait {wait_ms}, expected 0 to {WAIT_MS_MAX} milliseconds");
        return Err(Problem::bad_request("bad-wait", detail));
    }
    let revision = Revision(revision);
    let read = async || {
        let who = who.clone();
        task::read(&state.control, move |control| control.change(&who, revision)).await
    };
    let mut status = read().await?;
    if status.state != ChangeState::InSync && wait_ms > 0 {
        let end = Instant::now() + Duration::from_millis(wait_ms);
        while state.control.in_sync() < revision && Instant::now() < end {
            tokio::time::sleep(WAIT_STEP).await;
        }
        status = read().await?;
    }
    Ok(Answer(status_document(&status)))
}

/// How far a change has come, as it goes over the wire.
pub(super) fn status_document(status: &rokko_control::ChangeStatus) -> ChangeStatus {
    ChangeStatus {
        revision: status.entry.revision.0,
        zone: status.entry.zone.to_string(),
        state: match status.state {
            ChangeState::Committed => dto::State::Committed,
            ChangeState::Applied => dto::State::Applied,
            ChangeState::InSync => dto::State::Insync,
        },
        committed_at: timestamp::to_text(status.entry.at),
        applied_at: status.applied_at.map(timestamp::to_text),
        pops: status.pops.iter().map(Into::into).collect(),
    }
}
