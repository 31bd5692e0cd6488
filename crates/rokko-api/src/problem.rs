//! Errors as clients see them: one exhaustive way from an error of the control plane to an HTTP status.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rokko_control::ControlError;
use rokko_store::StoreError;
use rokko_wire::Name;
use rokko_zone::EditError;
use rokko_zone::check::Finding;
use rokko_zone::file::Severity;

use crate::v1::dto::{ProblemDocument, ProblemItem};

/// The media type of [`Problem`] as `/v1` sends it (RFC 9457 §3).
pub const PROBLEM_JSON: &str = "application/problem+json";
/// How many items a problem lists; the rest is only counted.
pub const PROBLEM_ITEMS_MAX: usize = 100;

/// Why a request was not carried out. `/v1` sends it as problem+json; `/api` makes its own envelope of it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The kind of problem in a stable word, such as `stale-version`.
    pub code: &'static str,
    /// What was wrong this time, and what to do.
    pub detail: String,
    /// After a stale version: the current one; 0 if the zone does not exist.
    pub current_version: Option<u64>,
    /// What is wrong with each record concerned.
    pub items: Vec<ProblemItem>,
    /// When to try again, in seconds.
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem without items.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, code, detail, current_version: None, items: Vec::new(), retry_after_s: None }
    }

    /// 400: the request itself is malformed.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 422: the request is well-formed, and what it asks for can't be.
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 422 for records, each with its item.
    pub fn records(items: Vec<ProblemItem>) -> Self {
        let mut problem = Self::unprocessable("invalid-records", detail_of(&items));
        let more = items.len().saturating_sub(PROBLEM_ITEMS_MAX);
        problem.items = items;
        problem.items.truncate(PROBLEM_ITEMS_MAX);
        if more > 0 {
            let message = format!("{more} more not shown");
            problem.items.push(ProblemItem { code: "more".to_owned(), message, ..ProblemItem::default() });
        }
        problem
    }

    /// 404: there is no such thing.
    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 503 with the time to wait.
    pub fn unavailable(code: &'static str, detail: impl Into<String>, retry_after_s: u32) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        Self { retry_after_s: Some(retry_after_s), ..problem }
    }

    /// The document that goes over the wire.
    pub fn document(self) -> ProblemDocument {
        ProblemDocument {
            kind: format!("urn:rokko:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            current_version: self.current_version,
            errors: self.items,
        }
    }

    /// The headers that go with it, whatever the body.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        if let Some(seconds) = self.retry_after_s {
            headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"rokko\"")));
        }
        headers
    }
}

fn detail_of(items: &[ProblemItem]) -> String {
    let Some(first) = items.first() else { return "the records are invalid".to_owned() };
    let subject = match (first.name.as_str(), &first.rtype) {
        ("", _) => String::new(),
        (name, Some(rtype)) => format!("{name} {rtype}: "),
        (name, None) => format!("{name}: "),
    };
    let line = first.line.map_or_else(String::new, |line| format!("line {line}: "));
    let subject = if first.message.starts_with(&subject) { "" } else { &subject };
    match items.len() - 1 {
        0 => format!("{line}{subject}{}", first.message),
        more => format!("{line}{subject}{} (and {more} more)", first.message),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, headers) = (self.status, self.headers());
        let body = serde_json::to_vec(&self.document()).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        response.headers_mut().extend(headers);
        response
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let detail = error.to_string();
        match error {
            ControlError::NotFound { .. } => Self::not_found("no-such-zone", detail),
            ControlError::Exists { .. } => Self::new(StatusCode::CONFLICT, "zone-exists", detail),
            ControlError::Stale { current, .. } => {
                let problem = Self::new(StatusCode::PRECONDITION_FAILED, "stale-version", detail);
                Self { current_version: Some(current.map_or(0, |revision| revision.0)), ..problem }
            }
            ControlError::Invalid { zone, findings } => {
                let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
                Self::records(errors.map(|finding| item_of(&zone, finding)).collect())
            }
            ControlError::Edit { zone, source } => Self::records(vec![item_of_edit(&zone, &source)]),
            ControlError::Refused(_) => Self::new(StatusCode::FORBIDDEN, "forbidden", detail),
            ControlError::BadKey => Self::new(StatusCode::UNAUTHORIZED, "bad-key", detail),
            ControlError::NoSuchRevision { .. } => Self::not_found("no-such-revision", detail),
            ControlError::NoSuchKey { .. } => Self::not_found("no-such-key", detail),
            ControlError::NoSuchPop { .. } => Self::not_found("no-such-pop", detail),
            ControlError::BadPopName { .. } => Self::unprocessable("bad-pop-name", detail),
            ControlError::NothingToRestore { .. } => Self::unprocessable("nothing-to-restore", detail),
            ControlError::MadeBySigning { .. } => Self::unprocessable("made-by-signing", detail),
            ControlError::Signing { .. } => Self::unprocessable("cannot-sign", detail),
            ControlError::NoSuchPolicy { .. } => Self::unprocessable("no-such-policy", detail),
            ControlError::Gate { .. } => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "would-not-validate", detail),
            ControlError::TooLarge { .. } => Self::unprocessable("too-large", detail),
            ControlError::Overloaded => Self::unavailable("overloaded", detail, 1),
            ControlError::Stopping => Self::unavailable("stopping", detail, 5),
            ControlError::Store(error) => store_problem(&error),
            ControlError::Mirror(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "mirror", detail),
            ControlError::System { .. } => {
                tracing::error!(error = %chain(&error), "the control plane failed");
                let detail = "the node failed: its log has the cause";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "node-failed", detail)
            }
        }
    }
}

fn store_problem(error: &StoreError) -> Problem {
    match error {
        StoreError::Full => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "store-full", error.to_string()),
        StoreError::Stale { current, .. } => {
            let problem = Problem::new(StatusCode::PRECONDITION_FAILED, "stale-version", error.to_string());
            Problem { current_version: Some(current.map_or(0, |revision| revision.0)), ..problem }
        }
        StoreError::Damaged { .. }
        | StoreError::Busy(_)
        | StoreError::Version { .. }
        | StoreError::OldVersion { .. }
        | StoreError::Backend { .. } => {
            // The cause may hold paths of the machine, which are the operator's business alone.
            tracing::error!(error = %chain(error), "the store failed");
            let detail = "the store failed: the node's log has the cause";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "store-failed", detail)
        }
    }
}

/// An error and its causes in one line, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn item_of(zone: &Name, finding: &Finding) -> ProblemItem {
    ProblemItem {
        zone: zone.to_string(),
        name: finding.owner.to_string(),
        rtype: finding.rtype.map(|rtype| rtype.to_string()),
        code: finding.code.to_owned(),
        message: finding.message.clone(),
        ..ProblemItem::default()
    }
}

fn item_of_edit(zone: &Name, error: &EditError) -> ProblemItem {
    let (owner, rtype, code) = match error {
        EditError::OutOfZone { owner, rtype, .. } => (owner, rtype, "out-of-zone"),
        EditError::MetaType { owner, rtype } => (owner, rtype, "meta-type"),
        EditError::RrsetTooLarge { owner, rtype, .. } => (owner, rtype, "rrset-too-large"),
        EditError::Empty { owner, rtype } => (owner, rtype, "no-records"),
        EditError::Mismatch { owner, rtype } => (owner, rtype, "mismatch"),
    };
    ProblemItem {
        zone: zone.to_string(),
        name: owner.to_string(),
        rtype: Some(rtype.to_string()),
        code: code.to_owned(),
        message: error.to_string(),
        ..ProblemItem::default()
    }
}
