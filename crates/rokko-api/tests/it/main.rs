//! The API over real connections, on free ports of the loopback address.

mod batches;
mod fuzz;
mod keys;
mod limits;
mod openapi;
mod problems;
mod support;
mod tls;
mod zones;
