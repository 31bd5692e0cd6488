//! Autoprimaries: there are none, and this says so.

use axum::Json;
use axum::http::Method;
use serde_json::{Value, json};

use super::failure::Failure;
use super::transfer::NO_TRANSFERS_IN;

pub(super) async fn list() -> Json<Value> {
    Json(json!([]))
}

pub(super) async fn create() -> Failure {
    Failure::unprocessable(NO_TRANSFERS_IN)
}

pub(super) async fn one(method: Method) -> Failure {
    if method == Method::DELETE {
        Failure::not_found("there is no such autoprimary")
    } else {
        Failure::method_not_allowed()
    }
}
