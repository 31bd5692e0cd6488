//! The real binary, from the outside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

mod bulk;
mod check;
mod clients;
mod config;
mod differential;
mod dnssec;
mod fleet;
mod flood;
mod harness;
mod key;
mod keys;
mod life;
mod pop;
mod realinput;
mod road;
mod tls;
mod xdp;
