//! The PowerDNS-compatible API under `/api`, so that clients written for PowerDNS 5 work unmodified.
//!
//! One file per resource. What differs from PowerDNS, and why, is in `docs/powerdns-api.md`.

mod autoprimaries;
mod cache;
mod config;
mod content;
mod cryptokeys;
mod describe;
mod export;
mod failure;
mod metadata;
mod patch;
mod records;
mod request;
mod search;
mod servers;
mod soa_edit;
mod statistics;
mod transfer;
mod tsigkeys;
mod turns;
mod zone;
mod zone_id;
mod zone_meta;
mod zones;

use std::time::Instant;

use axum::extract::{RawPathParams, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, put};
use axum::{Extension, Router};

use crate::auth;
use crate::state::ApiState;
use failure::Failure;
pub use patch::patch_len;

/// The only server id there is.
const SERVER_ID: &str = "localhost";
/// The version of PowerDNS whose API this is; clients choose what they send by it.
const VERSION: &str = "5.1.0";
/// The path of the server resource.
const SERVER_URL: &str = "/api/v1/servers/localhost";

/// The routes below `/api`.
pub fn router(state: ApiState) -> Router<ApiState> {
    let server = Router::new()
        .route("/", get(servers::one))
        .route("/config", get(config::list))
        .route("/config/{name}", get(config::one))
        .route("/statistics", get(statistics::list))
        .route("/zones", get(zones::list).post(zones::create))
        .route("/zones/{zone}", get(zone::show).put(zone::put).patch(patch::patch).delete(zone::delete))
        .route("/zones/{zone}/notify", put(transfer::notify))
        .route("/zones/{zone}/axfr-retrieve", put(transfer::retrieve))
        .route("/zones/{zone}/rectify", put(transfer::rectify))
        .route("/zones/{zone}/export", get(export::export))
        .route("/zones/{zone}/metadata", get(metadata::list).post(metadata::add))
        .route("/zones/{zone}/metadata/{kind}", get(metadata::one).put(metadata::replace).delete(metadata::remove))
        .route("/zones/{zone}/cryptokeys", get(cryptokeys::list).post(cryptokeys::create))
        .route("/zones/{zone}/cryptokeys/{id}", any(cryptokeys::one))
        .route("/search-data", get(search::search))
        .route("/tsigkeys", get(tsigkeys::list).post(tsigkeys::create))
        .route("/tsigkeys/{id}", any(tsigkeys::one))
        .route("/autoprimaries", get(autoprimaries::list).post(autoprimaries::create))
        .route("/autoprimaries/{address}/{nameserver}", any(autoprimaries::one))
        .route("/cache/flush", put(cache::flush));
    Router::new()
        .route("/api", get(servers::versions))
        .route("/api/v1", get(servers::features))
        .route("/api/v1/servers", get(servers::list))
        .nest("/api/v1/servers/{server}", server)
        .route("/api/{*rest}", any(no_such_resource))
        .method_not_allowed_fallback(no_such_method)
        .route_layer(Extension(statistics::Started(Instant::now())))
        .route_layer(Extension(turns::Turns::new()))
        .route_layer(from_fn_with_state(state, gate))
}

/// Lets a request through that has a working key and names the server there is.
async fn gate(State(state): State<ApiState>, params: RawPathParams, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let identity = match auth::identify(&parts, &state) {
        Ok(identity) => identity,
        Err(problem) => return Failure::from(problem).into_response(),
    };
    if params.iter().any(|(name, value)| name == "server" && value != SERVER_ID) {
        return Failure::not_found("there is no such server: the only one is \"localhost\"").into_response();
    }
    let mut request = Request::from_parts(parts, body);
    request.extensions_mut().insert(identity);
    next.run(request).await
}

async fn no_such_resource() -> Failure {
    Failure::not_found("Not Found")
}

async fn no_such_method() -> Failure {
    Failure::method_not_allowed()
}
