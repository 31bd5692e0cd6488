//! Bodies and queries of requests: JSON and text within limits.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use crate::problem::Problem;
use crate::state::ApiState;

/// The largest body of a request in octets.
pub const BODY_MAX: usize = 64 << 20;
/// The largest body that does not count as a large one, of which only a few are in memory at once.
pub const SMALL_BODY_MAX: usize = 64 << 10;
/// How long a client may take to send a body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a large body waits for others to be done with.
const ROOM_TIMEOUT: Duration = Duration::from_secs(20);

/// The whole body of a request. The room that a large one takes is given back when this is dropped.
pub struct Whole {
    /// The octets.
    pub bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Whole {
    /// Reads the body; 413 above [`BODY_MAX`], 408 after [`BODY_TIMEOUT`].
    pub async fn read(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let timeout = |_| {
            let detail = format!("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "slow-body", detail)
        };
        tokio::time::timeout(BODY_TIMEOUT, Self::read_patiently(request.into_body(), state)).await.map_err(timeout)?
    }

    async fn read_patiently(mut body: Body, state: &ApiState) -> Result<Self, Problem> {
        let too_large = || {
            let detail = format!("the body has more than {BODY_MAX} octets: send less at once");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
        };
        let hint = body.size_hint();
        if hint.lower() > BODY_MAX as u64 {
            return Err(too_large());
        }
        let mut room = None;
        let mut octets = Vec::new();
        loop {
            let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
            let Some(frame) = frame else { break };
            let frame = frame
                .map_err(|error| Problem::bad_request("broken-body", format!("the body could not be read: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if octets.len() + data.len() > BODY_MAX {
                return Err(too_large());
            }
            if octets.len() + data.len() > SMALL_BODY_MAX && room.is_none() {
                room = Some(room_of(state).await?);
            }
            octets.extend_from_slice(&data);
        }
        Ok(Self { bytes: octets.into(), _room: room })
    }
}

async fn room_of(state: &ApiState) -> Result<OwnedSemaphorePermit, Problem> {
    let waiting = tokio::time::timeout(ROOM_TIMEOUT, state.large_bodies.clone().acquire_owned());
    let room = waiting.await.ok().and_then(Result::ok);
    let detail = "too many large bodies are being received: try again in a few seconds";
    room.ok_or_else(|| Problem::unavailable("too-many-large-bodies", detail, 5))
}

/// A JSON body of `/v1` and the room that it takes.
pub struct Json<T>(pub T, pub Room);

/// The room that a body takes in memory; given back when dropped.
pub struct Room {
    _whole: Whole,
}

impl<T: DeserializeOwned> FromRequest<ApiState> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let media_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or(""));
        if !media_type.is_none_or(is_json) {
            let detail = format!(
                "found the media type {:?}, expected application/json: set the header Content-Type",
                media_type.unwrap_or("")
            );
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", detail));
        }
        let whole = Whole::read(request, state).await?;
        let value = from_json(&whole.bytes)?;
        Ok(Self(value, Room { _whole: whole }))
    }
}

fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads JSON: 400 with line and column if it isn't, 422 if it is and says something else than expected.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            Problem::unprocessable("unexpected-json", format!("the JSON is not what is expected here: {error}"))
        }
        serde_json::error::Category::Eof if bytes.is_empty() => {
            Problem::bad_request("no-body", "there is no body: send JSON")
        }
        _ => Problem::bad_request("bad-json", format!("the body is not JSON: {error}")),
    })
}

/// The query of a URL, unknown parameters refused.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri).map(|Query(value)| Self(value)).map_err(|error| {
            Problem::bad_request("bad-query", format!("the URL's query is wrong: {}", error.body_text()))
        })
    }
}
