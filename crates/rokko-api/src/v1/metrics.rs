//! Metrics for Prometheus.

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::IntoResponse;

use super::dto::ProblemDocument;
use crate::auth::{self, Peer};
use crate::metrics::write_control;
use crate::problem::Problem;
use crate::state::ApiState;
use crate::task;

/// The media type of the text format that Prometheus reads.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Show metrics in the text format that Prometheus reads. Needs no key over a loopback address.
#[utoipa::path(get, path = "/metrics", tag = "node", security((), ("key" = []), ("bearer" = [])),
    responses((status = 200, body = String, content_type = "application/openmetrics-text"), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn show(State(state): State<ApiState>, request: Request) -> Result<impl IntoResponse, Problem> {
    let (parts, _) = request.into_parts();
    if !Peer::of(&parts).local.ip().is_loopback() {
        auth::identify(&parts, &state)?;
    }
    let numbers = task::read(&state.control, |control| Ok((control.zone_count().ok(), control.head().ok())));
    let (zones, head) = numbers.await?;
    let mut text = String::new();
    state.metrics.write(&mut text);
    write_control(&state.control, zones, head.map(|revision| revision.0), &mut text);
    (state.extra)(&mut text);
    text.push_str("# EOF\n");
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text))
}
