//! Flushing a cache that is not there: answers come from the zones themselves.

use axum::Json;
use serde_json::{Value, json};

use super::failure::Failure;
use super::request::Params;
use super::zone_id::canonical;

pub(super) async fn flush(params: Params) -> Result<Json<Value>, Failure> {
    canonical(params.text("domain").unwrap_or_default()).map_err(Failure::unprocessable)?;
    Ok(Json(json!({"count": 0, "result": "Flushed cache."})))
}
