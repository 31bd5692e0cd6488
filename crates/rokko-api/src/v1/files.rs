//! Zone files out and in.

use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rokko_model::Request;

use super::args::{IfMatch, Segments, Versioned, reason, zone_name};
use super::convert::{change_of, file_of};
use super::dto::{Change, ProblemDocument, ReasonQuery};
use crate::auth::Caller;
use crate::body::{Params, Whole};
use crate::problem::Problem;
use crate::state::ApiState;
use crate::stream::{ZoneText, body_of};
use crate::task;

/// The media type of a zone file (RFC 4027).
const TEXT_DNS: &str = "text/dns";

/// Export a zone in the canonical text form.
#[utoipa::path(get, path = "/v1/zones/{zone}/file", tag = "files",
    params(("zone" = String, Path, description = "The zone's name")),
    responses((status = 200, body = String, content_type = "text/dns"), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn export(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(zone): Segments<String>,
) -> Result<Response<Body>, Problem> {
    let zone = zone_name(&zone)?;
    let view = task::read(&state.control, move |control| control.zone(&who, &zone)).await?;
    let tag = format!("\"{}\"", view.record.revision);
    let tag = HeaderValue::try_from(tag).expect("quoted digits are a header value");
    let media_type = HeaderValue::from_static(TEXT_DNS);
    let body = body_of(ZoneText::new(view.zone)).await?;
    Ok(([(header::ETAG, tag), (header::CONTENT_TYPE, media_type)], body).into_response())
}

/// Replace a zone's whole contents, or make the zone.
#[utoipa::path(put, path = "/v1/zones/{zone}/file", tag = "files",
    request_body(content = String, content_type = "text/dns"),
    params(("zone" = String, Path, description = "The zone's name"), ReasonQuery,
        ("If-Match" = Option<String>, Header, description = "The version that the zone must have")),
    responses((status = 200, body = Change), (status = 201, description = "The zone was made", body = Change),
        (status = 412, description = "The zone has changed", body = ProblemDocument), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn import(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(zone): Segments<String>,
    IfMatch(expect): IfMatch,
    Params(query): Params<ReasonQuery>,
    request: HttpRequest,
) -> Result<Response<Body>, Problem> {
    let zone = zone_name(&zone)?;
    let reason = reason(query.reason)?;
    check_media_type(&request)?;
    let whole = Whole::read(request, &state).await?;
    let apex = zone.clone();
    let parsed = task::blocking(move || file_of(&apex, &whole.bytes, false)).await;
    let (contents, warnings) = parsed.map_err(Problem::records)?;
    let request = Request::Import { zone, expect, contents };
    let done = task::submit_one(&state.control, &who, &reason, request).await?;
    let revision = done.revision;
    let made = done.changed && {
        let status = task::read(&state.control, move |control| control.change(&who, revision)).await?;
        status.entry.before.is_none()
    };
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Versioned(revision.0, change_of(&done, warnings))).into_response())
}

fn check_media_type(request: &HttpRequest) -> Result<(), Problem> {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else { return Ok(()) };
    let media_type = value.to_str().unwrap_or("");
    let essence = media_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if matches!(essence.as_str(), TEXT_DNS | "text/plain" | "application/octet-stream") {
        return Ok(());
    }
    let detail =
        format!("found the media type {media_type:?}, expected {TEXT_DNS}: set the header Content-Type to that");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-a-zone-file", detail))
}
