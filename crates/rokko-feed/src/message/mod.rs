//! All that goes over a connection between a PoP and the node that it has its data from.
//!
//! A message is a kind, one octet, and the fields of that kind; `docs/formats/feed.md` has them octet by octet. How messages
//! are kept apart, compressed and protected is the carrier's business; it holds received ones to [`FROM_POP_OCTETS_MAX`]
//! and [`FROM_SERVER_OCTETS_MAX`] before it reads them.

mod pop;
mod server;

use rokko_wire::Name;
use rokko_zone::image::PAGE_LEN_MAX;
use rokko_zone::{Revision, ShortDigest, ZoneMark};

use crate::SetId;

/// The version of the protocol.
pub const PROTOCOL_VERSION: u16 = 1;
/// The most octets of a message from a PoP.
pub const FROM_POP_OCTETS_MAX: usize = 2 << 20;
/// The most octets of a message to a PoP.
pub const FROM_SERVER_OCTETS_MAX: usize = BLOCK_OCTETS_MAX + 64;
/// The most octets of a snapshot's block: a page is never cut.
pub const BLOCK_OCTETS_MAX: usize = PAGE_LEN_MAX + (1 << 20);
/// The most octets of a frame in one message.
pub const PART_OCTETS_MAX: usize = 1 << 20;
/// The most zones that one message asks for or names.
pub const NAMES_MAX: usize = 1_000;
/// Into how many buckets zones fall, by the first two octets of the BLAKE3 hash of their names.
pub const BUCKETS: usize = 1 << 16;
/// The most buckets that are asked for at once.
pub const ASKED_BUCKETS_MAX: usize = 1_024;
/// The most marks of zones in one message.
pub const MARKS_MAX: usize = 32_768;
/// The most octets of a program's version.
pub const PROGRAM_LEN_MAX: usize = 128;
/// The most octets of the name of a PoP.
pub const POP_NAME_LEN_MAX: usize = 63;
/// The most relays between a PoP and the control node, itself counted.
pub const PATH_LEN_MAX: usize = 8;
/// The most response codes in a report.
pub const RCODES_MAX: usize = 64;
/// The most octets of a request for a certificate.
pub const REQUEST_LEN_MAX: usize = 16 << 10;
/// The most octets of a chain of certificates.
pub const CHAIN_LEN_MAX: usize = 64 << 10;
/// The most revoked keys: the oldest are left out above.
pub const REVOKED_MAX: usize = 100_000;
/// The most octets of the words that come with a refusal.
pub const TEXT_LEN_MAX: usize = 1_000;

/// A message from a PoP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromPop {
    /// What it has; the first message.
    Hello(Hello),
    /// What it answers with now.
    Ack(Ack),
    /// The response to a ping.
    Pong {
        /// The ping's time.
        server_ms: u64,
        /// The PoP's clock, in milliseconds since 1970.
        pop_ms: u64,
    },
    /// How it is; about once a second.
    Report(Report),
    /// Zones of which its copy does not fit the frames, at most [`NAMES_MAX`].
    NeedZones(Vec<Name>),
    /// The sums over its zones.
    Sums {
        /// At which revision.
        revision: Revision,
        /// The sum modulo 2^128 of each bucket's digests of zones; [`BUCKETS`] of them.
        sums: Vec<u128>,
    },
    /// The marks of all zones in the buckets that were asked for.
    Marks {
        /// At which revision.
        revision: Revision,
        /// Whether more marks of the same answer follow.
        more: bool,
        /// At most [`MARKS_MAX`].
        marks: Vec<ZoneMark>,
    },
    /// What reading every octet that it serves came to.
    Verified(Verified),
    /// A request for a new certificate, as the carrier makes it; from a PoP whose certificate has expired, the only message.
    Renew(Vec<u8>),
    /// What a relay says of a PoP behind it.
    Relayed {
        /// The names of the relays on the way from the sender to the PoP, which comes last; the sender is not among them.
        path: Path,
        /// What it says.
        news: News,
    },
}

/// A message to a PoP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromServer {
    /// The PoP is served.
    Welcome(Welcome),
    /// The PoP is not served; nothing follows.
    Refuse {
        /// Why.
        code: RefuseCode,
        /// Why, for a person.
        text: Box<str>,
    },
    /// A part of a frame, at most [`PART_OCTETS_MAX`] octets; nothing else of a frame or an image comes in between.
    Frame {
        /// Whether more of the frame follows.
        more: bool,
        /// The part.
        bytes: Vec<u8>,
    },
    /// A snapshot begins, or goes on where a transfer was broken off.
    SnapshotStart(SnapshotStart),
    /// A block of it, header and all, at most [`BLOCK_OCTETS_MAX`] octets.
    SnapshotBlock {
        /// Its number.
        index: u64,
        /// The block.
        bytes: Vec<u8>,
    },
    /// All blocks were sent.
    SnapshotEnd,
    /// Heartbeat.
    Ping {
        /// The server's clock, in milliseconds since 1970.
        server_ms: u64,
        /// The last revision that it has.
        head: Revision,
        /// How long ago it heard from the control node, in milliseconds; 0 from the control node itself.
        age_ms: u64,
    },
    /// A part of the image of a zone, cut between pieces of it, at most [`BLOCK_OCTETS_MAX`] octets.
    ZoneImage {
        /// The revision at which the zone is so; all frames up to it were sent.
        revision: Revision,
        /// Whether more of the image follows.
        more: bool,
        /// The part.
        bytes: Vec<u8>,
    },
    /// There is no such zone.
    ZoneGone {
        /// The revision at which this is so; all frames up to it were sent.
        revision: Revision,
        /// The zone.
        zone: Name,
    },
    /// The PoP is to send its sums.
    AskSums,
    /// The PoP is to send the marks of the zones in these buckets, at most [`ASKED_BUCKETS_MAX`].
    AskZones(Vec<u16>),
    /// The PoP is to ask for those of its zones whose names have these hashes, at most [`NAMES_MAX`]: the server has no such
    /// zones.
    AskNames(Vec<u64>),
    /// Something to do for the PoP at the end of the path, the receiver if it is empty.
    Command {
        /// The names of the relays after the receiver, and of the PoP.
        path: Path,
        /// What to do.
        command: Command,
    },
    /// The SHA-256 hashes of all certificates that were revoked.
    Revoked(Vec<[u8; 32]>),
}

/// The names of PoPs on a way through relays, at most [`PATH_LEN_MAX`].
pub type Path = Vec<Box<str>>;

/// What a PoP has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The protocol's version.
    pub version: u16,
    /// Whose data it has; `None`: nobody's yet.
    pub set: Option<SetId>,
    /// The last revision that it answers with.
    pub revision: Revision,
    /// What the digest at that revision is to be, as it was told.
    pub expected: ShortDigest,
    /// The digest of what it has.
    pub digest: ShortDigest,
    /// A snapshot of which it has a part.
    pub partial: Option<Partial>,
    /// Its program's version, at most [`PROGRAM_LEN_MAX`] octets.
    pub program: Box<str>,
    /// Whether it serves the feed to others.
    pub relay: bool,
}

/// A part of a snapshot, from its first block on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The snapshot's revision.
    pub revision: Revision,
    /// The snapshot's digest.
    pub digest: ShortDigest,
    /// How many blocks are there.
    pub blocks: u64,
}

/// What a PoP answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The revision.
    pub revision: Revision,
    /// The digest of what it has.
    pub digest: ShortDigest,
    /// Since when, in milliseconds since 1970 by the clock of who sends this.
    pub at_ms: u64,
}

/// How a PoP is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Its program's version, at most [`PROGRAM_LEN_MAX`] octets.
    pub program: Box<str>,
    /// Responses since its start by RCODE in rising order, at most [`RCODES_MAX`].
    pub responses: Vec<(u16, u64)>,
    /// The last revision that it answers with.
    pub revision: Revision,
    /// How long ago it last heard from the control plane, in milliseconds.
    pub age_ms: u64,
    /// How many zones it has.
    pub zones: u64,
    /// How many zones it cannot answer for, or does not know to be right.
    pub missing: u64,
    /// How many damages its copy had when it was opened.
    pub damages: u64,
    /// Whether it is drained.
    pub drained: bool,
    /// When its certificate expires, in milliseconds since 1970.
    pub certificate_expires_ms: u64,
}

/// What reading every octet that a PoP serves came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// At which revision.
    pub revision: Revision,
    /// When it was done, in milliseconds since 1970 by the clock of who sends this.
    pub at_ms: u64,
    /// How many zones were read.
    pub zones: u64,
    /// How many octets of pages were read.
    pub octets: u64,
    /// The digest of what was read.
    pub digest: ShortDigest,
}

/// What is new of a PoP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It is served the feed.
    Connected {
        /// Whether it serves the feed to others.
        relay: bool,
        /// Its program's version, at most [`PROGRAM_LEN_MAX`] octets.
        program: Box<str>,
    },
    /// It is not served any more.
    Disconnected,
    /// It was refused, with this revision.
    Refused {
        /// Why.
        code: RefuseCode,
        /// What it has.
        revision: Revision,
    },
    /// What it answers with.
    Ack(Ack),
    /// How it is.
    Report(Report),
    /// Its zones that were found to differ from what they ought to be, at most [`NAMES_MAX`]; they are sent again.
    Differ(Vec<Name>),
    /// What reading every octet that it serves came to.
    Verified(Verified),
    /// It asks for a new certificate.
    Renew(Vec<u8>),
}

/// What a PoP is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// To read every octet that it serves, and to say what it comes to.
    Verify,
    /// To be drained, or not any more.
    Drain(bool),
    /// To use this chain of certificates (PEM).
    Certificate(Vec<u8>),
}

/// How a PoP is received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The protocol's version.
    pub version: u16,
    /// Whose data it gets.
    pub set: SetId,
    /// The last revision that the server has.
    pub head: Revision,
    /// The server's clock, in milliseconds since 1970.
    pub server_ms: u64,
    /// By which name the PoP is known, at most [`POP_NAME_LEN_MAX`] octets.
    pub name: Box<str>,
}

/// Why a PoP is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseCode {
    /// The protocol's version is not spoken here.
    Version,
    /// The PoP has the data of another control plane.
    OtherSet,
    /// The PoP has revisions that the control plane does not have.
    Ahead,
    /// The PoP has another history than the control plane: the same revision with another digest.
    Forked,
    /// The server has no data yet, or as many PoPs as it serves.
    Busy,
    /// The PoP is not part of the fleet.
    Revoked,
    /// The PoP did something that the protocol does not allow.
    Protocol,
    /// The PoP's certificate has expired: it can ask for a new one, and for nothing else.
    Expired,
}

/// What a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotStart {
    /// Its revision.
    pub revision: Revision,
    /// When that was committed, in milliseconds since 1970.
    pub at_ms: u64,
    /// The digest of all zones in it.
    pub digest: ShortDigest,
    /// How many zones it has.
    pub zones: u64,
    /// How many blocks.
    pub blocks: u64,
    /// How many octets of blocks.
    pub octets: u64,
    /// The first block that follows.
    pub from_block: u64,
}

impl RefuseCode {
    /// What it means, for a person.
    pub fn text(self) -> &'static str {
        match self {
            Self::Version => "the two programs speak different versions of the feed: update the older one",
            Self::OtherSet => "the data here are another control plane's",
            Self::Ahead => {
                "the control plane does not have the last revisions that are here: was it restored from a backup?"
            }
            Self::Forked => "the control plane has another history than the one that led to the data here",
            Self::Busy => "the server cannot serve the feed now",
            Self::Revoked => "this node was put out of the fleet",
            Self::Protocol => "a message that the protocol does not allow",
            Self::Expired => "this node's certificate has expired",
        }
    }
}
