//! The feed's carrier: how the nodes of a fleet reach each other, prove who they are, and carry messages.
//!
//! Everything goes over TLS 1.3 on one port, and the protocol that the client asks for (ALPN) says what it is about:
//!
//! - [`ALPN_FEED`]: both sides show certificates of the fleet's own [`Authority`]. After that, messages of the feed.
//! - [`ALPN_JOIN`]: a new node, which has no certificate yet, shows a one-time [`Token`] instead and gets one.
//!
//! What a certificate is good for stands in it, see [`Role`]: that of a point of presence takes the feed, and only that of the
//! control node or of a relay serves it.

mod ca;
mod certificate;
mod client;
mod credentials;
mod dial;
mod files;
mod fleet;
mod framing;
mod join;
mod listener;
mod name;
mod pace;
mod relay;
mod server;
mod session;
mod stream;
mod tls;
mod token;

pub use ca::{Authority, AuthorityError, SigningRequest};
pub use certificate::{CertificateProblem, Fingerprint, Identity, Role};
pub use client::{Follower, FollowerParts, FollowerStatus, Node};
pub use credentials::{Credentials, CredentialsError, PendingKey, RenewalRequest};
pub use dial::{DIAL_TIME, Dialer};
pub use fleet::{Admission, Fleet, JoinRefusal, MemoryFleet, RevokedList, SecretHash};
pub use framing::{FrameReader, Framed, FramingError};
pub use join::{JoinError, Joined, join};
pub use listener::{Listener, ListenerError, ListenerLimits, Peer, ShownCertificate};
pub use name::{NameError, NodeName};
pub use relay::Downstream;
pub use server::{Age, Feed, FeedParts, Views, heads};
pub use stream::{Event, Limits, Link, LinkError};
pub use tls::{ALPN_FEED, ALPN_JOIN};
pub use token::{Token, TokenError};

/// Seconds since 1970 on this machine's clock.
pub(crate) fn now_s() -> u64 {
    now_ms() / 1000
}

/// Milliseconds since 1970 on this machine's clock.
pub(crate) fn now_ms() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
