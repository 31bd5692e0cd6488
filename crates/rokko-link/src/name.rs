//! What a node of the fleet is called.

use std::fmt;
use std::str::FromStr;

/// The longest name in octets.
const LEN_MAX: usize = 63;

/// The name of a node: 1 to 63 of `a-z`, `0-9` and `-`, of which the first and the last are letters or digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Box<str>);

/// Why a text is not the name of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a node: it takes 1 to {LEN_MAX} of a-z, 0-9 and -, and begins and ends with a letter or digit"
)]
pub struct NameError(String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit();
        let octets = text.as_bytes();
        let ends =
            octets.first().is_some_and(|&octet| plain(octet)) && octets.last().is_some_and(|&octet| plain(octet));
        let all = octets.iter().all(|&octet| plain(octet) || octet == b'-');
        if octets.len() > LEN_MAX || !ends || !all {
            return Err(NameError(text.chars().take(LEN_MAX + 1).collect()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "tyo1", "pop-3-eu", &"x".repeat(63)] {
            assert_eq!(good.parse::<NodeName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", ".a", "a.b", "A", "a b", "a/b", "ä", "a\n", &"x".repeat(64)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
    }
}
