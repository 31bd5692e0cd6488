//! What handlers take out of a request.

use std::collections::HashMap;

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use rokko_control::Identity;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use crate::body::{Whole, from_json};
use crate::problem::Problem;
use crate::state::ApiState;

/// Who asks; the gate before all handlers has found out.
pub(super) struct Caller(pub(super) Identity);

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Failure> {
        match parts.extensions.get::<Identity>() {
            Some(identity) => Ok(Self(identity.clone())),
            None => Ok(Self(crate::auth::identify(parts, state)?)),
        }
    }
}

/// A JSON body, whatever media type the client calls it; unknown fields are ignored.
pub(super) struct Body<T> {
    pub(super) value: T,
    /// Keeps the room that a large body takes.
    _whole: Whole,
}

impl<T: DeserializeOwned> FromRequest<ApiState> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Failure> {
        let whole = Whole::read(request, state).await?;
        let value = from_json(&whole.bytes)?;
        Ok(Self { value, _whole: whole })
    }
}

/// The parameters of the URL; unknown ones are ignored.
pub(super) struct Params(HashMap<String, String>);

impl FromRequestParts<ApiState> for Params {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Failure> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(error) => Err(Problem::bad_request("bad-query", error.body_text()).into()),
        }
    }
}

impl Params {
    /// A parameter that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A parameter that is on or off.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Failure> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(default),
            Some("true" | "yes" | "1") => Ok(true),
            Some("false" | "no" | "0") => Ok(false),
            Some(other) => {
                let message = format!("'{name}' request parameter value '{other}' is not supported: use true or false");
                Err(Failure::unprocessable(message))
            }
        }
    }
}
