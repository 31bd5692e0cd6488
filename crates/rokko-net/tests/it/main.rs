//! The server as its clients see it, over the loopback interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

mod bind;
mod stop;
mod support;
mod tcp;
mod udp;
mod xdp;
