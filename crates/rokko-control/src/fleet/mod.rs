//! The points of presence: who belongs to the fleet, and how far each has come.

mod control;
mod live;
mod registry;

use std::collections::BTreeMap;

use rokko_model::UnixMillis;
use rokko_zone::{Revision, ShortDigest};
use serde::{Deserialize, Serialize};

pub use control::{TOKEN_MS_DEFAULT, TOKEN_MS_MAX};
pub use registry::POP_NAME_LEN_MAX;

pub(crate) use live::Live;
pub(crate) use registry::{Kept, Registry};

/// A PoP that was not heard of for so long, in milliseconds, is unreachable.
pub const UNREACHABLE_AFTER_MS: u64 = 5_000;
/// The most names of differing zones that are kept of one PoP.
pub const DIFFERENCES_MAX: usize = 1_000;

/// What is kept of a PoP for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PopRecord {
    /// Its name within the fleet.
    pub name: String,
    /// Whether it may serve the feed to others.
    #[serde(default)]
    pub relay: bool,
    /// When it joined.
    pub joined_at: UnixMillis,
    /// Whether it is drained: it goes on answering, says that it wants no queries, and nobody waits for it.
    #[serde(default)]
    pub drained: bool,
    /// When it was put out of the fleet.
    #[serde(default)]
    pub revoked_at: Option<UnixMillis>,
    /// The SHA-256 hashes of its certificates in hexadecimal that have not expired, and when they do.
    #[serde(default)]
    pub certificates: BTreeMap<String, UnixMillis>,
    /// When it was last heard of, up to a minute before a restart of this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<UnixMillis>,
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRefusal {
    /// There is no such token.
    Unknown,
    /// Another node has used it.
    Used,
    /// Its time is over.
    Expired,
}

/// What a PoP says of itself, about once a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PopReport {
    /// Its program's version.
    pub version: String,
    /// Responses since its start by RCODE.
    pub responses: BTreeMap<u16, u64>,
    /// How long its data is known to be without a newer revision, in milliseconds: the time since it last heard from the
    /// control plane.
    pub age_ms: u64,
    /// How many zones it cannot answer for because its copy of them was damaged.
    pub zones_missing: u64,
    /// How many zones it has.
    pub zones: u64,
    /// When its certificate expires.
    pub certificate_expires: UnixMillis,
}

/// How a PoP is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PopState {
    /// It has every revision.
    InSync,
    /// It is on the way.
    Behind,
    /// What it answers differs from what it ought to.
    Diverged,
    /// It has another or a longer history than the control plane, and takes nothing from it.
    Ahead,
    /// It is not heard of.
    Unreachable,
    /// It never made contact after it joined.
    Expected,
    /// It is no longer part of the fleet.
    Revoked,
}

/// A PoP and how it is.
#[derive(Clone, Debug)]
pub struct PopStatus {
    /// What is kept of it.
    pub record: PopRecord,
    /// How it is.
    pub state: PopState,
    /// The relay by which it gets the feed; `None`: from the control node.
    pub via: Option<String>,
    /// The last revision that it answers with.
    pub revision: Revision,
    /// Whether its digest at that revision is the control plane's; `None`: not known.
    pub digest_good: Option<bool>,
    /// By how many revisions it lags behind the log.
    pub lag: u64,
    /// For how many milliseconds it has lagged; 0 if it does not.
    pub lag_ms: u64,
    /// When it was last heard of.
    pub last_contact: Option<UnixMillis>,
    /// Since when it is unreachable.
    pub unreachable_since: Option<UnixMillis>,
    /// What it said of itself last.
    pub report: Option<PopReport>,
    /// Responses per second by RCODE, over its last two reports.
    pub rates: BTreeMap<u16, u64>,
    /// Zones that were found to differ, until they were healed.
    pub differing: Vec<String>,
    /// The outcome of its last full verification.
    pub verified: Option<Verified>,
}

/// What reading every octet that a PoP serves from came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The revision that was verified.
    pub revision: Revision,
    /// When it ended.
    pub at: UnixMillis,
    /// How many zones were read.
    pub zones: u64,
    /// How many octets of pages were read.
    pub octets: u64,
    /// The digest computed anew.
    pub digest: ShortDigest,
    /// Whether that is the control plane's of that revision.
    pub good: bool,
}

/// Whether a PoP has a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PopProgress {
    /// Not yet.
    Pending,
    /// Since when it answers with it, by the control node's clock; `None`: longer ago than is remembered.
    Applied(Option<UnixMillis>),
    /// It has taken the revision, but what it answers differs from what it ought to.
    Diverged,
    /// It cannot be asked.
    Unreachable(Option<UnixMillis>),
}

/// What one PoP has of a change.
#[derive(Clone, Debug)]
pub struct PopChange {
    /// The PoP's name.
    pub name: String,
    /// Whether it is drained; then nobody waits for it.
    pub drained: bool,
    /// Whether it has the change.
    pub progress: PopProgress,
}
