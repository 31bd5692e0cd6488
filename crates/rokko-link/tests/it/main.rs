//! The fleet's port over real connections, on free ports of the loopback address.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

mod certificates;
mod feed;
mod garbage;
mod joins;
mod links;
mod nodes;
mod relays;
mod support;
