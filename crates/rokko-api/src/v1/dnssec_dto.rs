//! What goes over the wire about signed zones.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What caches know of a record of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordState {
    /// No cache has it.
    Hidden,
    /// It is published, and some caches may have what was there before.
    Rumoured,
    /// Each cache that has anything of this kind has it.
    Omnipresent,
    /// It is no longer published, and some caches may have it.
    Unretentive,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyRole {
    /// It signs everything, and the parent's DS means it.
    Csk,
    /// It signs the keys, and the parent's DS means it.
    Ksk,
    /// It signs the zone's data.
    Zsk,
}

/// A key of a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ZoneKey {
    /// The key tag (RFC 4034, appendix B).
    pub tag: u16,
    /// What it is for.
    pub role: KeyRole,
    /// The algorithm, such as `ecdsap256sha256`.
    pub algorithm: String,
    /// What its private key is found by; null if another signer of the zone has it.
    pub id: Option<String>,
    /// What is to become of it: `in`, `roll`, `standby` or `out`.
    pub goal: String,
    /// Since when it is meant to be in use.
    pub since: String,
    /// Its DNSKEY record.
    pub dnskey: RecordState,
    /// Its signature of the DNSKEY RRset; null if it makes none.
    pub key_signature: Option<RecordState>,
    /// Its signatures of the zone's data; null if it makes none.
    pub zone_signatures: Option<RecordState>,
    /// Its DS at the parent; null if it has none.
    pub ds: Option<RecordState>,
    /// The same in sentences.
    pub text: Vec<String>,
}

/// How a zone is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ZoneDnssec {
    /// The zone's name.
    pub zone: String,
    /// Whether this control plane signs it.
    pub signed: bool,
    /// The name of its policy; null if it is not signed.
    pub policy: Option<String>,
    /// How it is, in a sentence or two.
    pub summary: String,
    /// Whether all of its contents are signed as planned.
    pub complete: bool,
    /// Its keys.
    pub keys: Vec<ZoneKey>,
    /// What it waits for, a sentence each.
    pub waits: Vec<String>,
    /// When it goes on by itself, if that is known.
    pub next_at: Option<String>,
    /// The DS records that its parent is to have, in presentation format.
    pub ds: Vec<String>,
    /// Its DNSKEY records, in presentation format.
    pub dnskey: Vec<String>,
    /// When the first of its signatures expires.
    pub expires_first: Option<String>,
}

/// What is to be done about a zone's signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DnssecAction {
    /// Sign the zone, or keep it signed if it was about to become unsigned.
    Sign,
    /// Make the zone unsigned: the DS goes first, the signatures last.
    Unsign,
    /// Replace the keys of a role, or all.
    Roll,
    /// Go back to the key before, in a rollover that has not ended.
    Cancel,
    /// Publish a key of another signer of the zone (RFC 8901).
    AddKey,
    /// No longer publish a key of another signer.
    RemoveKey,
    /// Begin all waiting anew from what is seen from now on: after the clock was wrong.
    ForgetTimes,
}

/// A request about a zone's signing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DnssecRequest {
    /// What is to be done.
    pub action: DnssecAction,
    /// The policy from now on; goes with any action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Which keys `roll` and `cancel` mean; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<KeyRole>,
    /// Whether `roll` waits for no safety margins, and takes the key in waiting if there is one.
    #[serde(default)]
    pub emergency: bool,
    /// The DNSKEY record data of `add-key` and `remove-key`, in presentation format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What verifying a zone came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnssecVerified {
    /// The zone's name.
    pub zone: String,
    /// Whether a validator accepts all of it.
    pub good: bool,
    /// The first thing that is wrong.
    pub problem: Option<String>,
}
