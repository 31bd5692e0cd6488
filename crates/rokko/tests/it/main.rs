//! The real binary, from the outside.

mod bulk;
mod check;
mod config;
mod harness;
mod key;
mod life;
mod road;
mod tls;
