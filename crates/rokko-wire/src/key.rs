//! Sort keys: names below an apex as byte strings whose plain byte order is the canonical order.
//!
//! A key is the labels from the apex outwards, each followed by a zero octet. Inside a label the octets 0 and 1
//! become `01 01` and `01 02`, so that a zero octet always ends a label and the order of RFC 4034 §6.1 holds.
//! A name lies below another one exactly if its key starts with the other's key. The apex itself has the empty key.

use crate::name::{Labels, Name};

/// The longest key: 127 labels of one escaped octet each, or fewer and longer ones.
pub const KEY_LEN_MAX: usize = 512;

/// A sort key on the stack.
#[derive(Clone)]
pub struct KeyBuf {
    bytes: [u8; KEY_LEN_MAX],
    len: usize,
}

impl Default for KeyBuf {
    fn default() -> Self {
        Self { bytes: [0; KEY_LEN_MAX], len: 0 }
    }
}

impl KeyBuf {
    /// The key of `name` below `apex`; `None` if it does not lie there.
    pub fn below(name: &Name, apex: &Name) -> Option<Self> {
        if !name.is_in(apex) {
            return None;
        }
        Some(Self::from_labels(Labels::of(name.as_bytes()), name.label_count() - apex.label_count()))
    }

    /// The key of the first `count` labels of a valid lower-case name, counted from the left.
    pub fn from_labels<'a>(labels: impl Iterator<Item = &'a [u8]>, count: usize) -> Self {
        let mut found: [&[u8]; 128] = [&[]; 128];
        let mut used = 0;
        for label in labels.take(count.min(128)) {
            found[used] = label;
            used += 1;
        }
        let mut key = Self::default();
        for label in found[..used].iter().rev() {
            key.push_label(label);
        }
        key
    }

    /// Appends one label, the next one away from the apex. A label that no longer fits is left out, which
    /// cannot happen for the labels of one valid name.
    #[inline]
    pub fn push_label(&mut self, label: &[u8]) {
        if self.len + 2 * label.len() + 1 > KEY_LEN_MAX && self.len + escaped_len(label) + 1 > KEY_LEN_MAX {
            return;
        }
        if label.iter().all(|&octet| octet > 1)
            && let Some(room) = self.bytes.get_mut(self.len..=self.len + label.len())
        {
            room[..label.len()].copy_from_slice(label);
            room[label.len()] = 0;
            self.len += label.len() + 1;
            return;
        }
        for &octet in label {
            if octet <= 1 {
                self.push(1);
                self.push(octet + 1);
            } else {
                self.push(octet);
            }
        }
        self.push(0);
    }

    /// Appends the octets of another key, whose labels then lie below this one's. What no longer fits is left out.
    pub fn push_key(&mut self, key: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + key.len()) {
            room.copy_from_slice(key);
            self.len += key.len();
        }
    }

    /// Cuts the key back to `len` octets.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// The key's octets.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, octet: u8) {
        self.bytes[self.len] = octet;
        self.len += 1;
    }
}

fn escaped_len(label: &[u8]) -> usize {
    label.len() + label.iter().filter(|&&octet| octet <= 1).count()
}

/// Writes the wire form of the name that has `key` below `apex` into `out` (255 octets); returns its length.
///
/// Returns 0 if the result would not be a valid name, which no key of a [`Name`] gives.
pub fn name_from_key(key: &[u8], apex: &[u8], out: &mut [u8; 255]) -> usize {
    let mut at = out.len();
    if apex.len() > at {
        return 0;
    }
    at -= apex.len();
    out[at..].copy_from_slice(apex);
    for label in key.split_inclusive(|&octet| octet == 0) {
        let Some((_, label)) = label.split_last() else { return 0 };
        let end = at;
        let mut rest = label;
        let len = escapes_removed(label);
        if at < len + 1 {
            return 0;
        }
        at -= len + 1;
        let Ok(len) = u8::try_from(len) else { return 0 };
        out[at] = len;
        let mut to = at + 1;
        while let [octet, tail @ ..] = rest {
            rest = tail;
            out[to] = *octet;
            if let ([1], [escaped, tail @ ..]) = (&[*octet], rest) {
                out[to] = escaped - 1;
                rest = tail;
            }
            to += 1;
        }
        debug_assert_eq!(to, end);
    }
    let len = out.len() - at;
    out.copy_within(at.., 0);
    len
}

/// The name that has `key` below `apex`; `None` if there is no such valid name.
pub fn name_of_key(key: &[u8], apex: &Name) -> Option<Name> {
    let mut wire = [0; 255];
    let len = name_from_key(key, apex.as_bytes(), &mut wire);
    Name::from_wire(wire.get(..len)?).ok().map(|(name, _)| name)
}

fn escapes_removed(label: &[u8]) -> usize {
    // Each escape is `01` and one more octet that is 1 or 2; pairs are read from the left.
    let (mut len, mut rest) = (0, label);
    while let [octet, tail @ ..] = rest {
        rest = if *octet == 1 { tail.get(1..).unwrap_or(&[]) } else { tail };
        len += 1;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arbitrary_name() -> impl Strategy<Value = Name> {
        let label = prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..6),
            proptest::collection::vec(0u8..4, 1..6),
            Just(b"a".to_vec()),
        ];
        proptest::collection::vec(label, 0..6)
            .prop_map(|labels| labels.iter().fold(Name::root(), |name, label| name.child(label).unwrap()))
    }

    #[test]
    fn the_longest_names_fit() {
        let apex = Name::root();
        for label in [&[0u8][..], &[0; 63]] {
            let mut name = apex.clone();
            while let Ok(longer) = name.child(label) {
                name = longer;
            }
            let key = KeyBuf::below(&name, &apex).unwrap();
            assert_eq!(name_of_key(key.as_bytes(), &apex), Some(name));
        }
    }

    proptest! {
        #[test]
        fn keys_sort_as_names_do(a in arbitrary_name(), b in arbitrary_name()) {
            let apex = Name::root();
            let (ka, kb) = (KeyBuf::below(&a, &apex).unwrap(), KeyBuf::below(&b, &apex).unwrap());
            prop_assert_eq!(ka.as_bytes().cmp(kb.as_bytes()), a.cmp(&b));
            prop_assert_eq!(ka.as_bytes().starts_with(kb.as_bytes()), a.is_in(&b));
        }

        #[test]
        fn a_key_gives_its_name_back(below in arbitrary_name(), apex in arbitrary_name()) {
            let mut name = apex.clone();
            let labels: Vec<&[u8]> = below.labels().collect();
            for label in labels.iter().rev() {
                if let Ok(longer) = name.child(label) {
                    name = longer;
                }
            }
            let key = KeyBuf::below(&name, &apex).unwrap();
            prop_assert_eq!(name_of_key(key.as_bytes(), &apex), Some(name));
        }
    }
}
