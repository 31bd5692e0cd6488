//! Whether the node works.

use axum::Json as Answer;
use axum::extract::State;

use super::dto::{Health, ProblemDocument};
use crate::problem::Problem;
use crate::state::ApiState;
use crate::task;

/// Show whether the node works. Needs no key.
#[utoipa::path(get, path = "/v1/health", tag = "node", security(()),
    responses((status = 200, body = Health), (status = "5XX", body = ProblemDocument)))]
pub(super) async fn show(State(state): State<ApiState>) -> Result<Answer<Health>, Problem> {
    let read = task::read(&state.control, |control| Ok((control.head()?, control.zone_count()?)));
    let (revision, zones) = read.await?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Answer(Health { status: "ok".to_owned(), version, revision: revision.0, zones }))
}
