//! Names as the test sees them, apart from the names of the code under test.

use std::fmt;

use super::random::Random;

/// The most octets of a name in wire form.
pub(super) const NAME_LEN_MAX: usize = 255;

/// An absolute name: its labels in lower case, the leftmost first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(Vec<Vec<u8>>);

impl Name {
    pub(super) fn root() -> Self {
        Self::default()
    }

    /// Reads plain text without escapes.
    pub(super) fn plain(text: &str) -> Self {
        let labels = text.split('.').filter(|label| !label.is_empty());
        Self(labels.map(|label| label.to_ascii_lowercase().into_bytes()).collect())
    }

    /// Reads the uncompressed name at the start of `wire`.
    pub(super) fn from_wire(mut wire: &[u8]) -> Option<Self> {
        let mut labels = Vec::new();
        loop {
            let (&len, rest) = wire.split_first()?;
            if len == 0 {
                return Some(Self(labels));
            }
            labels.push(rest.get(..usize::from(len))?.to_ascii_lowercase());
            wire = &rest[usize::from(len)..];
        }
    }

    pub(super) fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(self.wire_len());
        for label in &self.0 {
            wire.push(u8::try_from(label.len()).expect("labels have at most 63 octets"));
            wire.extend_from_slice(label);
        }
        wire.push(0);
        wire
    }

    pub(super) fn wire_len(&self) -> usize {
        1 + self.0.iter().map(|label| label.len() + 1).sum::<usize>()
    }

    pub(super) fn label_count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn first_label(&self) -> Option<&[u8]> {
        self.0.first().map(Vec::as_slice)
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.first_label() == Some(b"*")
    }

    /// The name without its first label; the root has none.
    pub(super) fn parent(&self) -> Option<Self> {
        (!self.0.is_empty()).then(|| Self(self.0[1..].to_vec()))
    }

    /// This name, its parent and so on up to the root.
    pub(super) fn ancestors(&self) -> impl Iterator<Item = Self> {
        (0..=self.0.len()).map(|skip| Self(self.0[skip..].to_vec()))
    }

    /// The name with one more label; `None` if that makes it too long.
    pub(super) fn child(&self, label: &[u8]) -> Option<Self> {
        let mut labels = vec![label.to_vec()];
        labels.extend_from_slice(&self.0);
        Some(Self(labels)).filter(|name| name.wire_len() <= NAME_LEN_MAX)
    }

    /// Whether this name is `other` or lies below it.
    pub(super) fn is_in(&self, other: &Self) -> bool {
        self.0.ends_with(&other.0)
    }

    pub(super) fn is_below(&self, other: &Self) -> bool {
        self != other && self.is_in(other)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        for label in &self.0 {
            for &octet in label {
                match octet {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'*' => write!(f, "{}", char::from(octet))?,
                    b'.' | b'"' | b';' => write!(f, "\\{}", char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

/// A random label: mostly out of a few, so that names meet.
pub(super) fn label(random: &mut Random) -> Vec<u8> {
    const COMMON: [&str; 12] = ["a", "b", "c", "d", "www", "ns1", "ns2", "mail", "_tcp", "x-y", "0", "zz"];
    match random.below(100) {
        0..80 => random.pick(&COMMON).as_bytes().to_vec(),
        80..84 => b"*".to_vec(),
        84..87 => vec![b"abcdefgh"[random.below(8)]; random.range(20, 63)],
        87..89 => [b"a.b".as_slice(), b"\x00", b"a b", b"\"q;", b"\xff\xfe", b"("][random.below(6)].to_vec(),
        _ => (0..random.range(1, 6)).map(|_| b"abcxyz0189-_"[random.below(12)]).collect(),
    }
}

/// A name some labels below `apex`.
pub(super) fn below(random: &mut Random, apex: &Name, labels_max: usize) -> Name {
    let mut name = apex.clone();
    for _ in 0..random.range(1, labels_max) {
        name = name.child(&label(random)).unwrap_or(name);
    }
    name
}
