//! Records and RRsets that stand on their own, as they come out of a parser or go into an edit.

use rokko_wire::{Name, Rtype};

use crate::Ttl;

/// One resource record of class IN. Its rdata is in wire form, uncompressed, at most 65,535 octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The owner name.
    pub owner: Name,
    /// The type; never a meta type.
    pub rtype: Rtype,
    /// The time to live.
    pub ttl: Ttl,
    /// The record data.
    pub rdata: Box<[u8]>,
}

/// An RRset of class IN (RFC 2181 §5): at least one record data, sorted by their octets, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rrset {
    /// The owner name.
    pub owner: Name,
    /// The type; never a meta type.
    pub rtype: Rtype,
    /// The time to live of all its records.
    pub ttl: Ttl,
    /// The record data in wire form, uncompressed.
    pub rdatas: Vec<Box<[u8]>>,
}
