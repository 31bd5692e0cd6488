//! Integration tests of the answer path.

mod dialogue;
mod exchange;
mod random;
mod zonefile;
