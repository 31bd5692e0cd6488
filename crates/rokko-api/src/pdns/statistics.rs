//! Counters in PowerDNS's form. Monitoring is better served by `/metrics`.

use std::time::Instant;

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::failure::Failure;
use super::request::Params;
use crate::state::ApiState;
use crate::task::read;

/// When the API began to serve.
#[derive(Clone, Copy)]
pub(super) struct Started(pub(super) Instant);

pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(started): Extension<Started>,
    params: Params,
) -> Result<Json<Value>, Failure> {
    let zones = read(&state.control, rokko_control::Control::zone_count).await?;
    let uptime_s = started.0.elapsed().as_secs();
    let numbers = state.control.statistics();
    let items = [
        ("api-changes", numbers.jobs_done),
        ("api-changes-refused", numbers.jobs_refused),
        ("api-changes-shed", numbers.jobs_shed),
        ("commits", numbers.commits),
        ("qsize-q", numbers.queue_depth),
        ("uptime", uptime_s),
        ("zones", zones),
    ];
    let wanted = params.text("statistic");
    let found: Vec<Value> = items
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name))
        .map(|(name, value)| json!({"name": name, "type": "StatisticItem", "value": value.to_string()}))
        .collect();
    if found.is_empty() {
        return Err(Failure::unprocessable("Unknown statistic name"));
    }
    Ok(Json(Value::Array(found)))
}
