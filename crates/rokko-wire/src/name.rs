//! Domain names (RFC 1035 §3.1, RFC 4343) in uncompressed, lower-case wire form.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The most octets that a name has in wire form, the root label included (RFC 1035 §2.3.4).
pub const NAME_LEN_MAX: usize = 255;
/// The most octets in one label (RFC 1035 §2.3.4).
pub const LABEL_LEN_MAX: usize = 63;

/// An absolute domain name, lower-cased, in uncompressed wire form.
///
/// Equality and hash are those of the octets, which is right since ASCII case is folded on the way in
/// (RFC 4343). The order is the canonical one of RFC 4034 §6.1. 1 to 255 octets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

/// Why some bytes or text are not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A label has more than 63 octets.
    #[error("a label has more than 63 octets")]
    LabelTooLong,
    /// The name has more than 255 octets in wire form.
    #[error("the name has more than 255 octets")]
    NameTooLong,
    /// Two dots in a row, or a leading dot.
    #[error("the name has an empty label")]
    EmptyLabel,
    /// A backslash that is not followed by a character or three digits up to 255.
    #[error("the name has a bad escape: write \\DDD with a value up to 255, or \\ and the character")]
    BadEscape,
    /// A relative name where no origin is known.
    #[error("the name is relative and there is no origin: end it with a dot or set $ORIGIN")]
    Relative,
    /// The bytes end within the name.
    #[error("the name ends too early")]
    Truncated,
    /// A compression pointer or an unknown label type where only plain labels may stand.
    #[error("the name has a compression pointer or an unknown label type")]
    BadLabelType,
    /// No text at all.
    #[error("the name is empty")]
    Empty,
}

impl Name {
    /// The root, `.`.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Takes the uncompressed name at the start of `bytes`, folding case; also returns its length in octets.
    pub fn from_wire(bytes: &[u8]) -> Result<(Self, usize), NameError> {
        let len = wire_len(bytes)?;
        Ok((Self(bytes[..len].to_ascii_lowercase().into()), len))
    }

    /// Reads presentation format (RFC 1035 §5.1). A name without trailing dot is completed with `origin`;
    /// `@` alone is the origin.
    pub fn from_text(text: &str, origin: Option<&Name>) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        append_text(text.as_bytes(), origin.map(Name::as_bytes), &mut wire)?;
        wire.make_ascii_lowercase();
        Ok(Self(wire.into()))
    }

    /// The wire form, root label included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// The labels from the left, without the root label.
    pub fn labels(&self) -> Labels<'_> {
        Labels(&self.0)
    }

    /// How many labels there are, the root label not counted.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Name> {
        let first = usize::from(self.0[0]);
        (first != 0).then(|| Self(self.0[first + 1..].into()))
    }

    /// Whether this name is `other` or lies below it.
    pub fn is_in(&self, other: &Name) -> bool {
        let (mut rest, suffix) = (&self.0[..], &other.0[..]);
        while rest.len() > suffix.len() {
            rest = &rest[usize::from(rest[0]) + 1..];
        }
        rest == suffix
    }

    /// Whether the first label is `*` alone (RFC 4592 §2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// This name with one more label on the left.
    pub fn child(&self, label: &[u8]) -> Result<Name, NameError> {
        if label.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        let len = u8::try_from(label.len()).ok().filter(|&len| usize::from(len) <= LABEL_LEN_MAX);
        let len = len.ok_or(NameError::LabelTooLong)?;
        if self.0.len() + label.len() + 1 > NAME_LEN_MAX {
            return Err(NameError::NameTooLong);
        }
        let mut wire = Vec::with_capacity(self.0.len() + label.len() + 1);
        wire.push(len);
        wire.extend_from_slice(label);
        wire.extend_from_slice(&self.0);
        wire.make_ascii_lowercase();
        Ok(Self(wire.into()))
    }
}

impl FromStr for Name {
    type Err = NameError;

    /// Reads an absolute name; the trailing dot may be missing.
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::from_text(text, Some(&Name::root()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_wire(&self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_wire(&self.0, f)
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut mine, mut theirs) = ([0; 128], [0; 128]);
        let (mine, theirs) = (label_starts(&self.0, &mut mine), label_starts(&other.0, &mut theirs));
        let labels = mine.iter().rev().zip(theirs.iter().rev());
        let different =
            labels.map(|(&a, &b)| label_at(&self.0, a).cmp(label_at(&other.0, b))).find(|order| order.is_ne());
        different.unwrap_or_else(|| mine.len().cmp(&theirs.len()))
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where each label of a valid name starts, the root label not counted; there are at most 127.
fn label_starts<'a>(wire: &[u8], out: &'a mut [u8; 128]) -> &'a [u8] {
    let (mut at, mut count) = (0_u8, 0);
    while wire[usize::from(at)] != 0 && count < out.len() {
        out[count] = at;
        count += 1;
        at += wire[usize::from(at)] + 1;
    }
    &out[..count]
}

/// The label that starts at an offset, without its length.
fn label_at(wire: &[u8], start: u8) -> &[u8] {
    let start = usize::from(start);
    &wire[start + 1..=start + usize::from(wire[start])]
}

/// Iterates over the labels of an uncompressed wire name from the left, without the root label.
#[derive(Clone, Debug)]
pub struct Labels<'a>(&'a [u8]);

impl<'a> Labels<'a> {
    /// The labels of the valid uncompressed name at the start of `wire`.
    pub fn of(wire: &'a [u8]) -> Self {
        Self(wire)
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(*self.0.first()?);
        if len == 0 {
            return None;
        }
        let label = self.0.get(1..=len)?;
        self.0 = &self.0[len + 1..];
        Some(label)
    }
}

/// The length in octets of the uncompressed name at the start of `bytes`, root label included.
pub fn wire_len(bytes: &[u8]) -> Result<usize, NameError> {
    let mut at = 0;
    loop {
        let len = usize::from(*bytes.get(at).ok_or(NameError::Truncated)?);
        if len > LABEL_LEN_MAX {
            return Err(NameError::BadLabelType);
        }
        at += len + 1;
        if at > NAME_LEN_MAX {
            return Err(NameError::NameTooLong);
        }
        if at > bytes.len() {
            return Err(NameError::Truncated);
        }
        if len == 0 {
            return Ok(at);
        }
    }
}

/// Appends the wire form of a name in presentation format to `out`, keeping its case.
///
/// `origin` (wire form) completes a relative name and stands for `@`. On an error `out` may hold a part.
pub fn append_text(text: &[u8], origin: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), NameError> {
    match text {
        b"" => return Err(NameError::Empty),
        b"." => {
            out.push(0);
            return Ok(());
        }
        b"@" => {
            out.extend_from_slice(origin.ok_or(NameError::Relative)?);
            return Ok(());
        }
        _ => {}
    }
    let start = out.len();
    let absolute = append_labels(text, out)?;
    if absolute {
        out.push(0);
    } else {
        out.extend_from_slice(origin.ok_or(NameError::Relative)?);
    }
    if out.len() - start > NAME_LEN_MAX {
        return Err(NameError::NameTooLong);
    }
    Ok(())
}

/// Appends the labels without the root label; says whether the text ended with a dot.
fn append_labels(text: &[u8], out: &mut Vec<u8>) -> Result<bool, NameError> {
    let mut at = 0;
    while at < text.len() {
        let len_at = out.len();
        out.push(0);
        while at < text.len() && text[at] != b'.' {
            let (octet, used) = if text[at] == b'\\' { unescape(&text[at + 1..])? } else { (text[at], 0) };
            out.push(octet);
            at += used + 1;
        }
        let len = out.len() - len_at - 1;
        if len == 0 {
            return Err(NameError::EmptyLabel);
        }
        out[len_at] = u8::try_from(len).ok().filter(|_| len <= LABEL_LEN_MAX).ok_or(NameError::LabelTooLong)?;
        if at == text.len() {
            return Ok(false);
        }
        at += 1;
    }
    Ok(true)
}

/// The octet that follows a backslash in presentation format, and how many characters it took.
pub fn unescape(rest: &[u8]) -> Result<(u8, usize), NameError> {
    match rest {
        [d1 @ b'0'..=b'9', d2 @ b'0'..=b'9', d3 @ b'0'..=b'9', ..] => {
            let value = u16::from(d1 - b'0') * 100 + u16::from(d2 - b'0') * 10 + u16::from(d3 - b'0');
            Ok((u8::try_from(value).map_err(|_| NameError::BadEscape)?, 3))
        }
        [b'0'..=b'9', ..] | [] => Err(NameError::BadEscape),
        [octet, ..] => Ok((*octet, 1)),
    }
}

/// Writes the valid uncompressed name at the start of `wire` in presentation format, with its trailing dot.
pub fn write_wire(wire: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    if wire.first() == Some(&0) {
        return f.write_char('.');
    }
    for label in Labels::of(wire) {
        for &octet in label {
            write_octet(octet, b".\\\"();@$", f)?;
        }
        f.write_char('.')?;
    }
    Ok(())
}

/// Writes one octet, escaped when it is one of `special` or not printable.
pub fn write_octet(octet: u8, special: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    match octet {
        0x21..=0x7e if special.contains(&octet) => {
            f.write_char('\\')?;
            f.write_char(char::from(octet))
        }
        0x21..=0x7e => f.write_char(char::from(octet)),
        _ => write!(f, "\\{octet:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn text_and_wire() {
        assert_eq!(name("WWW.Example.").as_bytes(), b"\x03www\x07example\x00");
        assert_eq!(name("a\\.b.c").to_string(), "a\\.b.c.");
        assert_eq!(name("a\\000b.").to_string(), "a\\000b.");
        assert_eq!(name(".").to_string(), ".");
        assert_eq!(Name::from_text("www", Some(&name("example."))), Ok(name("www.example.")));
        assert_eq!(Name::from_text("@", Some(&name("example."))), Ok(name("example.")));
    }

    #[test]
    fn bad_text() {
        for (text, error) in [
            ("", NameError::Empty),
            ("a..b.", NameError::EmptyLabel),
            (".a", NameError::EmptyLabel),
            ("a\\25", NameError::BadEscape),
            ("a\\256.", NameError::BadEscape),
            ("a\\", NameError::BadEscape),
        ] {
            assert_eq!(Name::from_text(text, None), Err(error), "{text}");
        }
        assert_eq!(Name::from_text("www", None), Err(NameError::Relative));
        assert_eq!(name(&"a.".repeat(127)).as_bytes().len(), 255);
        assert_eq!("a.".repeat(128).parse::<Name>(), Err(NameError::NameTooLong));
        assert_eq!("a".repeat(64).parse::<Name>(), Err(NameError::LabelTooLong));
    }

    #[test]
    fn bad_wire() {
        assert_eq!(Name::from_wire(b"\x03ab"), Err(NameError::Truncated));
        assert_eq!(Name::from_wire(b"\xc0\x00"), Err(NameError::BadLabelType));
        assert_eq!(Name::from_wire(b""), Err(NameError::Truncated));
    }

    #[test]
    fn relations() {
        assert!(name("a.b.").is_in(&name("b.")));
        assert!(name("b.").is_in(&name("b.")));
        assert!(!name("ab.").is_in(&name("b.")));
        assert!(name("b.").is_in(&Name::root()));
        assert_eq!(name("a.b.").parent(), Some(name("b.")));
        assert_eq!(Name::root().parent(), None);
        assert!(name("*.b.").is_wildcard());
        assert!(!name("*a.b.").is_wildcard());
    }

    #[test]
    fn canonical_order_of_rfc_4034_section_6_1() {
        let sorted = [
            "example.",
            "a.example.",
            "yljkjljk.a.example.",
            "z.a.example.",
            "zabc.a.example.",
            "z.example.",
            "\\001.z.example.",
            "*.z.example.",
            "\\200.z.example.",
        ];
        let mut names: Vec<Name> = sorted.iter().map(|text| name(text)).collect();
        names.reverse();
        names.sort();
        assert_eq!(names, sorted.iter().map(|text| name(text)).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn display_parses_back(labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..8)) {
            let mut built = Name::root();
            for label in &labels {
                built = built.child(label).unwrap();
            }
            prop_assert_eq!(built.to_string().parse::<Name>(), Ok(built));
        }
    }
}
