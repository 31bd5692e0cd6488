//! Small values that zones are made of.

use std::fmt;

/// A time to live in seconds, 0 to 2^31 - 1 (RFC 2181 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ttl(u32);

impl Ttl {
    /// The largest TTL.
    pub const MAX: Self = Self(0x7fff_ffff);

    /// The TTL of `seconds`; `None` above 2^31 - 1.
    #[inline]
    pub fn new(seconds: u32) -> Option<Self> {
        (seconds <= Self::MAX.0).then_some(Self(seconds))
    }

    /// A TTL as it came over the wire: one with the top bit set counts as 0 (RFC 2181 §8).
    #[inline]
    pub fn from_wire(seconds: u32) -> Self {
        Self::new(seconds).unwrap_or(Self(0))
    }

    /// The seconds.
    #[inline]
    pub fn as_secs(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A zone's serial number, compared in sequence space (RFC 1982).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Serial(pub u32);

impl Serial {
    /// Whether this serial comes after `other`; neither of two serials 2^31 apart comes after the other.
    pub fn is_after(self, other: Serial) -> bool {
        let ahead = self.0.wrapping_sub(other.0);
        ahead != 0 && ahead < 0x8000_0000
    }

    /// The next serial; 0 is left out, since some secondaries take it for "none".
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(1))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a committed change, counted over all zones from 1 up without gaps; 0 is the empty log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_compare_in_sequence_space() {
        assert!(Serial(1).is_after(Serial(0)));
        assert!(Serial(0).is_after(Serial(u32::MAX)));
        assert!(!Serial(5).is_after(Serial(5)));
        assert!(!Serial(0x8000_0000).is_after(Serial(0)));
        assert!(!Serial(0).is_after(Serial(0x8000_0000)));
        assert_eq!(Serial(u32::MAX).next(), Serial(1));
    }

    #[test]
    fn ttls_stay_below_two_to_the_31() {
        assert_eq!(Ttl::new(0x8000_0000), None);
        assert_eq!(Ttl::from_wire(0x8000_0000).as_secs(), 0);
        assert_eq!(Ttl::new(300).unwrap().as_secs(), 300);
    }
}
