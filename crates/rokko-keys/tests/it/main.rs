//! Keys as a control plane uses them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

mod bind;
mod keyring;
mod moves;
mod token;
