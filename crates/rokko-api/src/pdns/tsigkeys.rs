//! TSIG keys: there are none, and this says so.

use axum::Json;
use axum::http::Method;
use serde_json::{Value, json};

use super::failure::Failure;

/// Why there can be no TSIG key.
pub(super) const NO_TSIG: &str = "TSIG keys are not available: this server neither transfers zones nor takes updates";

pub(super) async fn list() -> Json<Value> {
    Json(json!([]))
}

pub(super) async fn create() -> Failure {
    Failure::unprocessable(NO_TSIG)
}

pub(super) async fn one(method: Method) -> Failure {
    if [Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(&method) {
        Failure::not_found("there is no such TSIG key")
    } else {
        Failure::method_not_allowed()
    }
}
