//! Integration tests of DNSSEC: signing by steps against signing at once, and against other programs.

#![expect(clippy::unwrap_used, reason = "a test that unwraps fails as it should, its helpers too")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "zone files and other programs to compare with"
)]

mod gate;
mod judges;
mod life;
mod random;
mod signer;
mod transitions;
mod vectors;
