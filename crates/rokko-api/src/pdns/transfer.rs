//! NOTIFY, AXFR and rectifying: what PowerDNS does on request and this server has no need or no means to do.

use axum::Json;
use axum::extract::State;
use rokko_model::ZoneKind;
use serde_json::{Value, json};

use super::failure::Failure;
use super::request::Caller;
use super::zone_id::ZonePath;
use crate::state::ApiState;
use crate::task::read;

/// Why a zone can't be a secondary one.
pub(super) const NO_TRANSFERS_IN: &str =
    "this server does not transfer zones from other servers: import the zone's file instead";

/// 200 always, since clients take anything else for a failed change.
pub(super) async fn notify(
    State(state): State<ApiState>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
) -> Result<Json<Value>, Failure> {
    read(&state.control, move |control| control.zone(&who, &zone)).await?;
    Ok(Json(json!({"result": "No notification needed: a change is in force when it is acknowledged"})))
}

pub(super) async fn retrieve(
    State(state): State<ApiState>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
) -> Result<Json<Value>, Failure> {
    let view = read(&state.control, move |control| control.zone(&who, &zone)).await?;
    let message = match view.record.meta.kind {
        ZoneKind::Slave => NO_TRANSFERS_IN.to_owned(),
        ZoneKind::Native | ZoneKind::Master => {
            format!("Domain '{}' is not a slave domain (or has no master defined)", view.record.name)
        }
    };
    Err(Failure::unprocessable(message))
}

/// There is never anything to rectify: names and their order follow from the records at each change.
pub(super) async fn rectify(
    State(state): State<ApiState>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
) -> Result<Json<Value>, Failure> {
    read(&state.control, move |control| control.zone(&who, &zone)).await?;
    Ok(Json(json!({"result": "Rectified"})))
}
