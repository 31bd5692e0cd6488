//! Integration tests of the zone crate.

#![expect(clippy::unwrap_used, reason = "a test that unwraps fails as it should, its helpers too")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "zone files and other programs to compare with"
)]

mod check;
mod rdata;
mod snapshot;
mod zonefile;
