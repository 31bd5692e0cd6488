//! The parent's servers, asked for real: Knot as one of them and as the resolver, and servers that misbehave.

#![expect(clippy::unwrap_used, reason = "a test that unwraps fails as it should, its helpers too")]

mod knot;
mod parents;
mod rogue;
