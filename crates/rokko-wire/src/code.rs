//! Numbers that the registries of DNS parameters assign.

use std::fmt;

/// A response code (RFC 1035 §4.1.1; the upper eight bits travel in the OPT record, RFC 6891 §6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rcode(pub u16);

#[expect(missing_docs, reason = "the mnemonics are the registry's")]
impl Rcode {
    pub const NOERROR: Self = Self(0);
    pub const FORMERR: Self = Self(1);
    pub const SERVFAIL: Self = Self(2);
    pub const NXDOMAIN: Self = Self(3);
    pub const NOTIMP: Self = Self(4);
    pub const REFUSED: Self = Self(5);
    pub const YXDOMAIN: Self = Self(6);
    pub const NOTAUTH: Self = Self(9);
    pub const BADVERS: Self = Self(16);
    pub const BADCOOKIE: Self = Self(23);
}

impl fmt::Display for Rcode {
    /// The mnemonic, or the number where there is none here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = match *self {
            Self::NOERROR => "NOERROR",
            Self::FORMERR => "FORMERR",
            Self::SERVFAIL => "SERVFAIL",
            Self::NXDOMAIN => "NXDOMAIN",
            Self::NOTIMP => "NOTIMP",
            Self::REFUSED => "REFUSED",
            Self::YXDOMAIN => "YXDOMAIN",
            Self::NOTAUTH => "NOTAUTH",
            Self::BADVERS => "BADVERS",
            Self::BADCOOKIE => "BADCOOKIE",
            Self(number) => return number.fmt(f),
        };
        f.write_str(known)
    }
}

/// An operation code (RFC 1035 §4.1.1), 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opcode(pub u8);

#[expect(missing_docs, reason = "the mnemonics are the registry's")]
impl Opcode {
    pub const QUERY: Self = Self(0);
    pub const NOTIFY: Self = Self(4);
    pub const UPDATE: Self = Self(5);
}

/// An extended error's INFO-CODE (RFC 8914 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ede(pub u16);

#[expect(missing_docs, reason = "the mnemonics are the registry's")]
impl Ede {
    pub const OTHER: Self = Self(0);
    pub const NOT_READY: Self = Self(14);
    pub const BLOCKED: Self = Self(15);
    pub const PROHIBITED: Self = Self(18);
    pub const NOT_AUTHORITATIVE: Self = Self(20);
    pub const NOT_SUPPORTED: Self = Self(21);
    pub const INVALID_DATA: Self = Self(24);
    pub const INVALID_QUERY_TYPE: Self = Self(30);
}

/// The class IN.
pub const CLASS_IN: u16 = 1;
/// The class CH, in which servers describe themselves.
pub const CLASS_CH: u16 = 3;
/// The class NONE.
pub const CLASS_NONE: u16 = 254;
/// The class ANY.
pub const CLASS_ANY: u16 = 255;
