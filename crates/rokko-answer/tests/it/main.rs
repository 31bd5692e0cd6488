//! Integration tests of the answer path.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]
#![expect(clippy::disallowed_methods, reason = "the scripts and zones are files; the crate under test reads none")]

mod dialogue;
mod exchange;
mod random;
mod rate;
mod zonefile;
