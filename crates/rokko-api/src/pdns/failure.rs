//! Errors in PowerDNS's envelope: `{"error": "…"}`, with `errors` beside it where there is more than one.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use rokko_control::ControlError;
use serde::Serialize;

use crate::problem::{PROBLEM_ITEMS_MAX, Problem};

/// Why a request was not carried out.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    /// All that was wrong; never empty.
    messages: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [String]>,
}

impl Failure {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, messages: vec![message.into()], headers: Vec::new() }
    }

    /// 422: what is asked for can't be.
    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// 422 for several things at once; `messages` must not be empty. At most [`PROBLEM_ITEMS_MAX`] are told.
    pub(super) fn all(messages: Vec<String>) -> Self {
        let mut messages = messages;
        messages.truncate(PROBLEM_ITEMS_MAX);
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, messages, headers: Vec::new() }
    }

    /// 404: there is no such thing.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 400: the request itself is malformed.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 405.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let headers = problem.headers();
        let mut messages = vec![problem.detail];
        if problem.items.len() > 1 {
            messages = problem
                .items
                .iter()
                .map(|item| match &item.rtype {
                    _ if item.name.is_empty() => item.message.clone(),
                    Some(rtype) => format!("RRset {} IN {rtype}: {}", item.name, item.message),
                    None => format!("{}: {}", item.name, item.message),
                })
                .collect();
        }
        // PowerDNS has no preconditions, and its clients know 409 as "someone else was faster".
        let stale = problem.status == StatusCode::PRECONDITION_FAILED;
        Self { status: if stale { StatusCode::CONFLICT } else { problem.status }, messages, headers }
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        Problem::from(error).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let error = self.messages.first().map_or("", String::as_str);
        let errors = (self.messages.len() > 1).then_some(self.messages.as_slice());
        let mut response = (self.status, Json(Envelope { error, errors })).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}
