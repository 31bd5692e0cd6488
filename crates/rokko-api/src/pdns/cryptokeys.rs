//! DNSSEC keys: there are none, and this says so.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use serde_json::{Value, json};

use super::failure::Failure;
use super::request::Caller;
use super::zone_id::ZonePath;
use crate::state::ApiState;
use crate::task::read;

/// Why nothing can be signed.
pub(super) const NO_SIGNING: &str =
    "DNSSEC signing is not available: sign the zone elsewhere and import it with its signatures";

pub(super) async fn list(
    State(state): State<ApiState>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
) -> Result<Json<Value>, Failure> {
    read(&state.control, move |control| control.zone(&who, &zone)).await?;
    Ok(Json(json!([])))
}

pub(super) async fn create(
    State(state): State<ApiState>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
) -> Result<Json<Value>, Failure> {
    read(&state.control, move |control| control.zone(&who, &zone)).await?;
    Err(Failure::unprocessable(NO_SIGNING))
}

pub(super) async fn one(
    State(state): State<ApiState>,
    Caller(who): Caller,
    method: Method,
    ZonePath(zone): ZonePath,
) -> Result<Json<Value>, Failure> {
    if ![Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(&method) {
        return Err(Failure::method_not_allowed());
    }
    read(&state.control, move |control| control.zone(&who, &zone)).await?;
    Err(Failure::not_found("the zone has no such key"))
}
