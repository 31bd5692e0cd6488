//! The native API, one file per resource.

mod args;
mod backups;
mod batches;
mod changes;
mod convert;
mod dnssec;
pub mod dnssec_dto;
pub mod dto;
mod events;
mod files;
mod fleet;
pub mod fleet_dto;
mod health;
mod history;
mod keys;
mod metrics;
mod openapi;
mod rrsets;
mod zones;

use axum::Router;
use axum::routing::{delete, get, patch, post};

use crate::state::ApiState;

pub use args::{PAGE_DEFAULT, PAGE_MAX, REASON_LEN_MAX};
pub use changes::WAIT_MS_MAX;
pub use openapi::openapi;

/// The one route without a time-out.
pub(crate) const BACKUPS_PATH: &str = "/v1/backups";
/// The route whose answers have no end.
pub(crate) const EVENTS_PATH: &str = "/v1/changes/events";

/// The routes below `/v1`, and `/metrics`.
pub fn router() -> Router<ApiState> {
    Router::new()
        .route("/metrics", get(metrics::show))
        .route("/v1/health", get(health::show))
        .route("/v1/openapi.json", get(openapi::show))
        .route("/v1/zones", get(zones::list).post(zones::create))
        .route("/v1/zones/{zone}", get(zones::show).patch(zones::patch).delete(zones::remove))
        .route("/v1/zones/{zone}/rrsets", get(rrsets::list))
        .route("/v1/zones/{zone}/rrsets/{name}/{type}", get(rrsets::show).put(rrsets::put).delete(rrsets::remove))
        .route("/v1/zones/{zone}/changes", post(changes::create))
        .route("/v1/zones/{zone}/file", get(files::export).put(files::import))
        .route("/v1/zones/{zone}/history", get(history::list))
        .route("/v1/zones/{zone}/history/{revision}", get(history::show))
        .route("/v1/zones/{zone}/restore", post(history::restore))
        .route("/v1/zones/{zone}/dnssec", get(dnssec::show).post(dnssec::change))
        .route("/v1/zones/{zone}/dnssec/verify", post(dnssec::verify))
        .route("/v1/batches", post(batches::create))
        .route(EVENTS_PATH, get(events::watch))
        .route("/v1/changes/{revision}", get(changes::show))
        .route("/v1/fleet", get(fleet::show))
        .route("/v1/fleet/tokens", post(fleet::token))
        .route("/v1/fleet/verify", post(fleet::verify))
        .route("/v1/fleet/pops/{name}", patch(fleet::edit).delete(fleet::revoke))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route(BACKUPS_PATH, post(backups::create))
}
