//! What a page or a zone has, in one octet.

use rokko_wire::Rtype;

use super::NodeRef;

/// What kinds of records a page, or a zone, has; this decides what has to be looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(pub(super) u8);

impl Marks {
    /// An SOA record at the apex.
    pub const SOA: Self = Self(1);
    /// NS records below the apex.
    pub const CUT: Self = Self(2);
    /// A DNAME record.
    pub const DNAME: Self = Self(4);
    /// A name with a label `*`.
    pub const WILDCARD: Self = Self(8);
    /// An NSEC record.
    pub const NSEC: Self = Self(16);
    /// An NSEC3 record.
    pub const NSEC3: Self = Self(32);
    /// An NSEC3PARAM record at the apex.
    pub const NSEC3PARAM: Self = Self(64);

    /// Whether all of `marks` are set.
    #[inline]
    pub fn has(self, marks: Self) -> bool {
        self.0 & marks.0 == marks.0
    }

    /// Whether any of `marks` is set.
    #[inline]
    pub fn has_any(self, marks: Self) -> bool {
        self.0 & marks.0 != 0
    }

    /// Those of both.
    #[must_use]
    #[inline]
    pub fn with(self, marks: Self) -> Self {
        Self(self.0 | marks.0)
    }

    pub(super) fn of_node(node: NodeRef<'_>) -> Self {
        let is_apex = node.key().is_empty();
        // A wildcard below which there is more shows as a longer key, so every `*` label counts.
        let is_wildcard = node.key().split(|&octet| octet == 0).any(|label| label == b"*");
        let of_name = if is_wildcard { Self::WILDCARD } else { Self::default() };
        node.rrsets().fold(of_name, |marks, rrset| {
            marks.with(match rrset.rtype() {
                Rtype::SOA if is_apex => Self::SOA,
                Rtype::NS if !is_apex => Self::CUT,
                Rtype::DNAME => Self::DNAME,
                Rtype::NSEC => Self::NSEC,
                Rtype::NSEC3 => Self::NSEC3,
                Rtype::NSEC3PARAM if is_apex => Self::NSEC3PARAM,
                _ => Self::default(),
            })
        })
    }
}
