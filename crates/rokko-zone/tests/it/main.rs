//! Integration tests of the zone crate.
mod rdata;
mod snapshot;
