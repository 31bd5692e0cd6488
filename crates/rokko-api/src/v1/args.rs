//! What handlers take from a request: names in the path, limits, cursors and the version that a change is made against.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use rokko_model::Expect;
use rokko_wire::{Name, Rtype};
use rokko_zone::Revision;
use serde::de::DeserializeOwned;

use crate::problem::Problem;
use crate::state::ApiState;

/// How many items a page has if the client does not say.
pub const PAGE_DEFAULT: usize = 100;
/// The most items of a page.
pub const PAGE_MAX: usize = 1_000;
/// The longest reason that goes into the history, in octets.
pub const REASON_LEN_MAX: usize = 1_000;

/// The parameters in the path.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<ApiState> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(value)| Self(value))
            .map_err(|error| Problem::bad_request("bad-path", format!("the path is wrong: {}", error.body_text())))
    }
}

/// A zone's name, with or without its trailing dot.
pub(super) fn zone_name(text: &str) -> Result<Name, Problem> {
    text.parse().map_err(|error| bad_name(text, error))
}

/// An owner name; relative to the zone if it has no trailing dot.
pub(super) fn owner_name(text: &str, zone: &Name) -> Result<Name, Problem> {
    let owner = Name::from_text(text, Some(zone)).map_err(|error| bad_name(text, error))?;
    if !owner.is_in(zone) {
        return Err(Problem::unprocessable("out-of-zone", format!("the name {owner} is not in the zone {zone}")));
    }
    Ok(owner)
}

fn bad_name(text: &str, error: rokko_wire::NameError) -> Problem {
    let start: String = text.chars().take(300).collect();
    Problem::bad_request("bad-name", format!("{start:?} is not a domain name: {error}"))
}

/// A record type.
pub(super) fn record_type(text: &str) -> Result<Rtype, Problem> {
    text.parse().map_err(|error: rokko_wire::rtype::UnknownRtype| {
        let start: String = text.chars().take(50).collect();
        Problem::bad_request("unknown-type", format!("{start:?}: {error}"))
    })
}

/// How many items a page is to have.
pub(super) fn page_size(asked: Option<usize>) -> Result<usize, Problem> {
    let size = asked.unwrap_or(PAGE_DEFAULT);
    if (1..=PAGE_MAX).contains(&size) {
        return Ok(size);
    }
    Err(Problem::bad_request("bad-limit", format!("found the limit {size}, expected 1 to {PAGE_MAX}")))
}

/// The reason, if it is not too long.
pub(super) fn reason(text: Option<String>) -> Result<String, Problem> {
    let text = text.unwrap_or_default();
    if text.len() > REASON_LEN_MAX {
        let detail = format!("the reason has {} octets, more than {REASON_LEN_MAX}", text.len());
        return Err(Problem::unprocessable("long-reason", detail));
    }
    Ok(text)
}

/// The cursor behind an item: its type (0 for a zone) and its name. Clients are not to look into it.
pub(super) fn cursor_after(name: &Name, rtype: Rtype) -> String {
    let mut octets = rtype.0.to_be_bytes().to_vec();
    octets.extend_from_slice(name.as_bytes());
    BASE64URL_NOPAD.encode(&octets)
}

/// What a cursor stands for.
pub(super) fn read_cursor(text: &str) -> Result<(Name, Rtype), Problem> {
    let bad = || Problem::bad_request("bad-cursor", "this cursor is not one that a listing gave: start without one");
    let octets = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| bad())?;
    let (rtype, wire) = octets.split_first_chunk().ok_or_else(bad)?;
    match Name::from_wire(wire) {
        Ok((name, len)) if len == wire.len() => Ok((name, Rtype(u16::from_be_bytes(*rtype)))),
        _ => Err(bad()),
    }
}

/// The version that a change is made against, from `If-Match`.
pub(super) struct IfMatch(pub(super) Expect);

impl FromRequestParts<ApiState> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        if_match(&parts.headers).map(Self)
    }
}

fn if_match(headers: &HeaderMap) -> Result<Expect, Problem> {
    let bad = || {
        let detail = "If-Match is not one version: send the ETag of the last answer, such as \"17\", or *";
        Problem::bad_request("bad-if-match", detail)
    };
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(Expect::Any) };
    let text = value.to_str().map_err(|_| bad())?.trim();
    if values.next().is_some() {
        return Err(bad());
    }
    if text == "*" {
        return Ok(Expect::Any);
    }
    let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(bad());
    }
    digits.parse().map(|number| Expect::Version(Revision(number))).map_err(|_| bad())
}

/// JSON with the version that it is of as its entity tag.
pub(super) struct Versioned<T>(pub(super) u64, pub(super) T);

impl<T: serde::Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let tag = HeaderValue::try_from(format!("\"{}\"", self.0)).expect("quoted digits are a header value");
        ([(header::ETAG, tag)], axum::Json(self.1)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_one_version_or_a_star() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_MATCH, value.parse().unwrap());
            }
            if_match(&headers).ok()
        };
        assert_eq!(of(&[]), Some(Expect::Any));
        assert_eq!(of(&["*"]), Some(Expect::Any));
        assert_eq!(of(&["\"17\""]), Some(Expect::Version(Revision(17))));
        assert_eq!(of(&["17"]), Some(Expect::Version(Revision(17))));
        for bad in [&["W/\"17\""][..], &["\"17\", \"18\""], &["\"17\"", "\"18\""], &["\"\""], &["\"-1\""], &["+1"]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        assert_eq!(of(&["\"18446744073709551616\""]), None);
    }

    #[test]
    fn cursors_survive_text() {
        let name: Name = "a.example.".parse().unwrap();
        assert_eq!(read_cursor(&cursor_after(&name, Rtype::MX)).unwrap(), (name, Rtype::MX));
        for bad in ["", "!", "AA", "AAAA_w", "AAABYQAA"] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }
}
