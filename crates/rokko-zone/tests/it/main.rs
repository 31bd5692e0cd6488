//! Integration tests of the zone crate.
mod snapshot;
