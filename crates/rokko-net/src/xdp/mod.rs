//! AF_XDP: datagrams between the driver and this process, past the kernel's network stack.
//!
//! ```text
//! interface ──► redirect program ──┬─► socket of the queue ──► worker: parse, answer, write frame ──► interface
//!   (queue)     (in the driver)    └─► kernel: all that is no plain UDP datagram to one of our addresses
//! ```
//!
//! [`Redirect`] holds the program on an interface, [`Socket`] the frames of one queue, [`Headers`] reads and writes what
//! stands in front of a datagram. They know nothing of servers and clients. The server's threads over them are a fall-back's
//! opposite: the kernel's sockets stay open on the same addresses, and whatever the program leaves to the kernel is
//! answered there. When anything here does not work, nothing is lost but speed.
//!
//! The kernel's firewall, its routing table and its packet capture do not see what goes this way. A reply leaves by the
//! queue and to the hardware address that its query came from. A tag that the driver takes off a frame before the program
//! sees it is lost, so drivers that do so have to be told not to (`ethtool --offload … rxvlan off`).

mod asm;
mod bpf;
mod error;
mod frame;
mod interface;
mod program;
mod redirect;
mod rings;
mod server;
mod socket;
mod sys;
mod worker;

pub use error::XdpError;
pub use frame::{Fault, HEADER_BYTES_MAX, Headers};
pub use interface::{Interface, local_addresses};
pub use program::Passed;
pub use redirect::{DESTINATIONS_MAX, QUEUES_MAX, Redirect};
pub(crate) use server::{Keeper, Xdp};
pub use server::{XdpConfig, XdpState};
pub use socket::{Socket, SocketOptions, SocketStatistics};
pub(crate) use worker::XdpWorker;
