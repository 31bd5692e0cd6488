//! Paths with their segments and queries escaped.

use std::fmt::{self, Write};

/// The path and query of a URL.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    text: String,
    has_query: bool,
}

impl Path {
    /// `/v1` and these segments, each escaped.
    pub(crate) fn v1(segments: &[&str]) -> Self {
        let mut path = Self { text: "/v1".to_owned(), has_query: false };
        for segment in segments {
            path.text.push('/');
            path.escape(segment);
        }
        path
    }

    /// The same with one more query parameter.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        self.escape(&value.to_string());
        self
    }

    /// The same with one more query parameter, if there is a value for it.
    #[must_use]
    pub(crate) fn with_some(self, name: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Escapes all but the unreserved characters of RFC 3986 §2.3.
    fn escape(&mut self, text: &str) {
        for octet in text.bytes() {
            match octet {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => self.text.push(octet.into()),
                _ => {
                    let _ = write!(self.text, "%{octet:02X}");
                }
            }
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_values_are_escaped() {
        let path = Path::v1(&["zones", "2/1.example.", "rrsets", "*.a\\000", "A"]).with("limit", 5);
        let path = path.with_some("contains", Some("a&b")).with_some("cursor", None::<&str>);
        assert_eq!(path.to_string(), "/v1/zones/2%2F1.example./rrsets/%2A.a%5C000/A?limit=5&contains=a%26b");
    }
}
