//! What goes over the wire about the fleet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a PoP is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PopState {
    /// It answers with the last revision.
    Insync,
    /// It is on the way.
    Behind,
    /// What it answers differs from what it ought to; that is being healed.
    Diverged,
    /// It has revisions that the control plane's log has not. It takes nothing and goes on with what it has.
    Ahead,
    /// It is not heard of.
    Unreachable,
    /// It has not made contact since it joined, or since the control node's start.
    Expected,
    /// It was put out of the fleet.
    Revoked,
}

/// A point of presence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pop {
    /// Its name within the fleet.
    pub name: String,
    /// How it is.
    pub state: PopState,
    /// Whether it may serve the feed to others.
    pub relay: bool,
    /// Whether it is drained: it goes on answering, says that it wants no queries, and nobody waits for it.
    pub drained: bool,
    /// The relay that it gets the feed from; null: the control node.
    pub via: Option<String>,
    /// The last revision that it answers with.
    pub revision: u64,
    /// By how many revisions it lags.
    pub lag: u64,
    /// For how many milliseconds it has lagged; 0 if it does not.
    pub lag_ms: u64,
    /// Whether the digest of all that it answers with is the control plane's; null: not known.
    pub digest_good: Option<bool>,
    /// Milliseconds since the PoP last heard from the control plane, as it says.
    pub age_ms: Option<u64>,
    /// When it was last heard of.
    pub last_contact: Option<String>,
    /// Since when it is not heard of.
    pub unreachable_since: Option<String>,
    /// How many zones it has.
    pub zones: Option<u64>,
    /// How many zones it cannot answer for because its copy of them was damaged.
    pub zones_missing: u64,
    /// Responses per second by RCODE.
    pub responses_per_second: BTreeMap<String, u64>,
    /// Its program's version.
    pub version: Option<String>,
    /// When its certificate expires.
    pub certificate_expires: Option<String>,
    /// Zones that were found to differ, until they were healed.
    pub differing: Vec<String>,
    /// Its last full verification.
    pub verified: Option<Verified>,
    /// When it joined.
    pub joined_at: String,
    /// When it was put out of the fleet.
    pub revoked_at: Option<String>,
}

/// What reading every octet that a PoP serves from came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verified {
    /// The revision that was verified.
    pub revision: u64,
    /// When it ended.
    pub at: String,
    /// How many zones were read.
    pub zones: u64,
    /// How many octets of pages were read.
    pub octets: u64,
    /// The digest computed anew, in hexadecimal.
    pub digest: String,
    /// Whether that is the control plane's digest of the revision.
    pub good: bool,
}

/// The fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fleet {
    /// The last revision of the log.
    pub revision: u64,
    /// The last revision that all PoPs have, but those that are drained or not heard of.
    pub insync: u64,
    /// The digest of all zones at the last revision, in hexadecimal; null if the log has none.
    pub digest: Option<String>,
    /// All PoPs by name.
    pub pops: Vec<Pop>,
}

/// What a token is to be for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The PoP's name: up to 63 lower-case letters, digits and hyphens.
    pub name: String,
    /// Whether the PoP may serve the feed to others.
    #[serde(default)]
    pub relay: bool,
    /// For how many seconds the token is good; 3600 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_for_s: Option<u64>,
    /// Where the PoP reaches the control node, as HOST:PORT; the addresses that it listens on if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A token with which one PoP can join once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// The token's text; it is in this answer and nowhere else.
    pub token: String,
    /// The PoP's name.
    pub name: String,
    /// When it stops being good.
    pub expires_at: String,
}

/// What to change about a PoP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PopEdit {
    /// Whether it is drained.
    pub drained: bool,
}

/// Whether a PoP has a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// Not yet.
    Pending,
    /// It answers with it.
    Applied,
    /// It has taken it, but what it answers differs from what it ought to.
    Diverged,
    /// It is not heard of.
    Unreachable,
}

/// What one PoP has of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PopChange {
    /// The PoP.
    pub name: String,
    /// Whether it has the change.
    pub state: Progress,
    /// Since when it answers with it, by the control node's clock, to the millisecond; null if it does not, or if that was
    /// longer ago than is remembered.
    pub applied_at: Option<String>,
    /// Since when it is not heard of.
    pub unreachable_since: Option<String>,
    /// Whether it is drained; then nobody waits for it.
    pub drained: bool,
}
