//! Zone ids: names made safe for a path by `=` and two hexadecimal digits.

use std::fmt::Write;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use rokko_wire::Name;

use super::failure::Failure;
use crate::state::ApiState;

/// The zone that a path names.
pub(super) struct ZonePath(pub(super) Name);

impl FromRequestParts<ApiState> for ZonePath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Failure> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Failure::bad_request("the path is not UTF-8"))?;
        let id = params.iter().find_map(|(name, value)| (name == "zone").then_some(value)).unwrap_or_default();
        name_of(id).map(Self)
    }
}

/// The zone name behind an id whose percent-encoding is undone already. The trailing dot may be missing.
fn name_of(id: &str) -> Result<Name, Failure> {
    let text = decode(id).ok_or_else(|| Failure::bad_request(format!("'{id}' is not a zone id")))?;
    text.parse().map_err(|error| Failure::unprocessable(format!("Unable to parse DNS Name '{text}': {error}")))
}

fn decode(id: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(id.len());
    let mut rest = id.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        if octet == b'=' {
            let (digits, after) = rest.split_first_chunk::<2>()?;
            let digits = str::from_utf8(digits).ok().filter(|text| text.bytes().all(|d| d.is_ascii_hexdigit()))?;
            octets.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            octets.push(octet);
        }
    }
    String::from_utf8(octets).ok()
}

/// The id of a zone.
pub(super) fn id_of(zone: &Name) -> String {
    if zone.is_root() {
        return "=2E".to_owned();
    }
    let name = zone.to_string();
    let mut id = String::with_capacity(name.len());
    for octet in name.bytes() {
        if octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-') {
            id.push(char::from(octet));
        } else {
            // Writing to a string does not fail.
            let _ = write!(id, "={octet:02X}");
        }
    }
    id
}

/// The absolute name that a body or a query gives; unlike in a path its trailing dot must be there.
pub(super) fn canonical(text: &str) -> Result<Name, String> {
    if !text.ends_with('.') {
        return Err(format!("DNS Name '{text}' is not canonical: end it with a dot"));
    }
    if text.bytes().any(|octet| !octet.is_ascii_graphic()) {
        return Err(format!("Name '{text}' contains unsupported characters: write them as \\DDD"));
    }
    text.parse().map_err(|error| format!("Unable to parse DNS Name '{text}': {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names() {
        for (id, name) in [
            ("example.com.", "example.com."),
            ("Example.COM", "example.com."),
            ("0=2F25.2.0.192.in-addr.arpa.", "0/25.2.0.192.in-addr.arpa."),
            ("0=2f25.2.0.192.in-addr.arpa", "0/25.2.0.192.in-addr.arpa."),
            ("0/25.2.0.192.in-addr.arpa.", "0/25.2.0.192.in-addr.arpa."),
            ("=2E", "."),
            (".", "."),
            ("a=5C.b.", "a\\.b."),
        ] {
            assert_eq!(name_of(id).unwrap().to_string(), name, "{id}");
        }
        for bad in ["", "=2", "a=zz.", "a..b", "=FF"] {
            assert!(name_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_lead_back() {
        for name in [".", "example.com.", "0/25.2.in-addr.arpa.", "_a.b\\.c.", "*.x.", "\\255.example."] {
            let name: Name = name.parse().unwrap();
            let id = id_of(&name);
            assert!(id.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-=".contains(&octet)), "{id}");
            assert_eq!(name_of(&id).unwrap(), name);
        }
    }

    #[test]
    fn names_in_bodies_end_with_a_dot() {
        assert_eq!(canonical("a.example.").unwrap().to_string(), "a.example.");
        for bad in ["a.example", "", "a b.example.", "ä.example.", "a..example."] {
            assert!(canonical(bad).is_err(), "{bad}");
        }
    }
}
