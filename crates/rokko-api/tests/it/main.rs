//! The API over real connections, on free ports of the loopback address.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

mod batches;
mod fuzz;
mod keys;
mod limits;
mod openapi;
mod pdns;
mod pdns_records;
mod problems;
mod support;
mod tls;
mod zones;
