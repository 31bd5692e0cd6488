//! Integration tests of the zone crate.

#![expect(clippy::unwrap_used, reason = "a test that unwraps fails as it should, its helpers too")]

mod check;
mod rdata;
mod snapshot;
mod zonefile;
