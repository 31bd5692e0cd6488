//! Changes of several zones that are carried out all or none.

use axum::Json as Answer;
use axum::extract::State;
use rokko_model::{Expect, Request, Signing};
use rokko_wire::Name;
use rokko_zone::Revision;

use super::args::{reason, zone_name};
use super::convert::{change_of, edits_of, file_of, meta_of, rrsets_of};
use super::dto::{Batch, BatchChange, BatchDone, BatchOp, Finding, ProblemDocument, ProblemItem};
use crate::auth::Caller;
use crate::body::Json;
use crate::problem::Problem;
use crate::rrset::Parser;
use crate::state::ApiState;
use crate::task;

/// Carry out several changes, all or none.
#[utoipa::path(post, path = "/v1/batches", tag = "changes", request_body = Batch,
    responses((status = 200, body = BatchDone), (status = 412, description = "A zone has changed", body = ProblemDocument),
        (status = "4XX", body = ProblemDocument)))]
pub(super) async fn create(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Json(batch, _room): Json<Batch>,
) -> Result<Answer<BatchDone>, Problem> {
    let reason = reason(batch.reason)?;
    if batch.changes.is_empty() {
        return Err(Problem::unprocessable("no-changes", "the batch has no changes"));
    }
    let (requests, warnings) = task::blocking(move || requests_of(batch.changes)).await?;
    let done = task::submit(&state.control, &who, &reason, requests).await?;
    let changes = done.iter().zip(warnings).map(|(done, warnings)| change_of(done, warnings)).collect();
    Ok(Answer(BatchDone { changes }))
}

fn requests_of(changes: Vec<BatchChange>) -> Result<(Vec<Request>, Vec<Vec<Finding>>), Problem> {
    let (mut requests, mut warnings, mut items) = (Vec::new(), Vec::new(), Vec::new());
    for (index, change) in changes.into_iter().enumerate() {
        let (request, warned) = request_of(change, &mut items).map_err(|mut problem| {
            problem.detail = format!("changes[{index}]: {}", problem.detail);
            problem
        })?;
        requests.push(request);
        warnings.push(warned);
    }
    if items.is_empty() { Ok((requests, warnings)) } else { Err(Problem::records(items)) }
}

/// The request for one change. What is wrong with records goes to `items`, and the request is then not to be used.
fn request_of(change: BatchChange, items: &mut Vec<ProblemItem>) -> Result<(Request, Vec<Finding>), Problem> {
    check_fields(&change)?;
    let zone = zone_name(&change.zone)?;
    let expect = change.if_match.map_or(Expect::Any, |version| Expect::Version(Revision(version)));
    let mut warnings = Vec::new();
    let request = match change.op {
        BatchOp::Delete => Request::Delete { zone, expect },
        BatchOp::Edit => {
            let mut parser = Parser::relative_to(&zone);
            let edits = edits_of(change.edits.as_deref().unwrap_or_default(), &mut parser);
            items.extend(parser.into_items());
            Request::Edit { zone, expect, edits, annotations: Vec::new() }
        }
        BatchOp::Create => {
            let contents = contents_of(&zone, &change, true, &mut warnings, items);
            let meta = meta_of(change.kind, change.account, change.soa_edit)?;
            Request::Create { zone, meta, contents, signing: Signing::Default }
        }
        BatchOp::Import => {
            let contents = contents_of(&zone, &change, false, &mut warnings, items);
            Request::Import { zone, expect, contents }
        }
    };
    Ok((request, warnings))
}

fn contents_of(
    zone: &Name,
    change: &BatchChange,
    may_lack_apex: bool,
    warnings: &mut Vec<Finding>,
    items: &mut Vec<ProblemItem>,
) -> Vec<rokko_zone::Rrset> {
    if let Some(text) = &change.zone_file {
        return match file_of(zone, text.as_bytes(), may_lack_apex) {
            Ok((contents, found)) => {
                warnings.extend(found);
                contents
            }
            Err(found) => {
                items.extend(found);
                Vec::new()
            }
        };
    }
    let mut parser = Parser::relative_to(zone);
    let contents = rrsets_of(change.rrsets.as_deref().unwrap_or_default(), &mut parser);
    items.extend(parser.into_items());
    contents
}

/// Refuses fields that the operation has no use for, so that no wish is silently ignored.
fn check_fields(change: &BatchChange) -> Result<(), Problem> {
    use BatchOp::{Create, Delete, Edit, Import};
    let given: [(&str, bool, &[BatchOp]); 7] = [
        ("if_match", change.if_match.is_some(), &[Edit, Import, Delete]),
        ("edits", change.edits.is_some(), &[Edit]),
        ("zone_file", change.zone_file.is_some(), &[Create, Import]),
        ("rrsets", change.rrsets.is_some(), &[Create, Import]),
        ("account", change.account.is_some(), &[Create]),
        ("kind", change.kind.is_some(), &[Create]),
        ("soa_edit", change.soa_edit.is_some(), &[Create]),
    ];
    if let Some((field, ..)) = given.iter().find(|(_, given, ops)| *given && !ops.contains(&change.op)) {
        let detail = format!("the operation on {} has no use for the field {field}", change.zone);
        return Err(Problem::unprocessable("useless-field", detail));
    }
    let missing = match change.op {
        Edit if change.edits.is_none() => "edits",
        Import if change.rrsets.is_none() && change.zone_file.is_none() => "zone_file or rrsets",
        Create | Import if change.rrsets.is_some() && change.zone_file.is_some() => {
            let detail = format!("the contents of {} come from rrsets or from zone_file: give only one", change.zone);
            return Err(Problem::unprocessable("two-contents", detail));
        }
        _ => return Ok(()),
    };
    let detail = format!("the operation on {} needs the field {missing}", change.zone);
    Err(Problem::unprocessable("missing-field", detail))
}
