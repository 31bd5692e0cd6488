//! Zones as immutable snapshots: pages, edits, checks, presentation format and the catalog.
//!
//! Pure: no socket, file, clock, randomness, thread or async runtime.

pub mod rrset;
pub mod values;

pub use rrset::{Record, Rrset};
pub use values::{Revision, Serial, Ttl};
