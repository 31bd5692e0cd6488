//! Moves datagrams and streams. Knows no zones.
//!
//! The crate owns the sockets and the threads; what a message means is the business of a [`Handler`].
//! There is no async runtime: plain threads wait in epoll.
//!
//! ```text
//! UDP thread (one per core)            TCP thread (one per core)
//!   epoll ─► recvmmsg                    epoll ─► accept ─► admission
//!              │ n datagrams               │        read ─► frames
//!              ▼                           ▼                  │
//!        Handler::answer × n         Handler::answer × n ◄────┘
//!              │                           │
//!           sendmmsg                     one write, the rest waits in a bounded buffer
//! ```
//!
//! UDP and TCP have threads of their own. A stream costs many times what a datagram costs (accept, close, time-outs,
//! and later TLS handshakes), and a UDP thread that had to serve streams between two batches would add their cost to
//! the latency of every datagram that waits. With separate threads the kernel's scheduler shares the core fairly: a
//! flood over one transport leaves the other its half.
//!
//! Every UDP thread has its own `SO_REUSEPORT` socket per listen address, and so has every TCP thread its listener,
//! so that threads share nothing on the way of a query but the read-only configuration.
//!
//! With [`xdp`] there are threads more, which answer UDP queries past the kernel's network stack. What they do not see, the
//! UDP threads answer.

mod admission;
mod bind;
mod config;
mod conn;
mod counters;
mod error;
mod mmsg;
mod server;
mod shed;
mod stop;
mod tcp;
mod udp;
pub mod xdp;

use std::net::{IpAddr, SocketAddr};

pub use config::{Config, TcpLimits};
pub use counters::{CounterValues, Counters, TcpValues, UdpValues, XdpValues};
pub use error::NetError;
pub use server::Server;
pub use shed::{SHED_PREFIXES_MAX, Shed, Spare};

/// Octets of the longest query that is taken over UDP; a longer one is dropped and counted.
pub const UDP_QUERY_BYTES_MAX: usize = 4096;
/// Octets of room that [`Handler::answer`] gets for a response over UDP.
pub const UDP_RESPONSE_BYTES_MAX: usize = 4096;
/// Octets of room that [`Handler::answer`] gets for a response over TCP, the most that the length prefix of RFC 1035
/// §4.2.2 can say.
pub const TCP_RESPONSE_BYTES_MAX: usize = 65_535;

/// Where a message came from and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address and port.
    pub addr: SocketAddr,
    /// The address and port that the client sent to, also where the socket is bound to a wildcard address.
    pub local: SocketAddr,
    /// How the message came.
    pub transport: Transport,
}

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One message per datagram.
    Udp,
    /// A stream of length-prefixed messages (RFC 7766).
    Tcp,
}

/// A message to be answered.
#[derive(Clone, Copy, Debug)]
pub struct Query<'q> {
    /// What came.
    pub octets: &'q [u8],
    /// Which of the messages it is that [`Handler::announce`] was last told of; `None` if it was not announced.
    pub announced: Option<usize>,
}

impl<'q> Query<'q> {
    /// A message that was not announced.
    pub fn new(octets: &'q [u8]) -> Self {
        Self { octets, announced: None }
    }
}

/// The most messages that [`Handler::announce`] is told of at once.
pub const ANNOUNCED_MAX: usize = 32;

/// Answers one message. Each thread has its own instance, made by the factory given to [`Server::start`].
pub trait Handler: Send + 'static {
    /// Writes the response to `query` into `out` and returns its length in octets; 0 sends nothing.
    ///
    /// `out` has [`UDP_RESPONSE_BYTES_MAX`] or [`TCP_RESPONSE_BYTES_MAX`] octets of undefined content, or over AF_XDP what
    /// one packet of the interface has room for, if that is less. A returned length beyond it counts as 0. `unix_ms` is
    /// the Unix time in milliseconds, read once per batch.
    fn answer(&mut self, query: Query<'_>, peer: &Peer, unix_ms: u64, out: &mut [u8]) -> usize;

    /// Told of at most [`ANNOUNCED_MAX`] messages, each with its client's address, before the first of them is answered, so
    /// that the memory for all of them can be fetched together. Each is answered once, as it is then and with nothing else
    /// between, or not at all.
    fn announce<'q>(&mut self, _queries: impl Iterator<Item = (&'q [u8], IpAddr)>) {}

    /// Called about once per second on the handler's thread and once more before the thread ends, so that the handler
    /// can publish its counters.
    fn tick(&mut self) {}

    /// Asked about four times per second on a UDP or AF_XDP thread, and once per second where no datagram comes: what the kernel is
    /// to keep away from this thread from now on; `None` leaves it as it is. `unix_ms` is the Unix time in milliseconds.
    fn shed(&mut self, _unix_ms: u64) -> Option<Shed> {
        None
    }
}

/// Unix time in milliseconds.
fn unix_time_ms() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
