//! The state of a zone's keys: a value that is kept with the zone.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::policy::DenialPolicy;
use super::set::{History, KeySet, VERSIONS_MAX};
use crate::PublicKey;

/// What a private key is found by: 16 random octets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 16]);

/// A text is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of a key: expected 32 hexadecimal digits")]
pub struct BadKeyId;

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = BadKeyId;

    fn from_str(text: &str) -> Result<Self, BadKeyId> {
        let octets = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| BadKeyId)?;
        Ok(Self(octets.try_into().map_err(|_| BadKeyId)?))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Signs everything, and the parent's DS means it.
    #[default]
    Csk,
    /// Signs the keys, and the parent's DS means it.
    Ksk,
    /// Signs the zone's data.
    Zsk,
}

impl Role {
    /// Whether the parent has a DS for such a key; it signs the DNSKEY RRset then.
    pub fn is_entry(self) -> bool {
        self != Self::Zsk
    }

    /// Whether it signs the zone's data.
    pub fn signs_zone(self) -> bool {
        self != Self::Ksk
    }

    /// The flags of its DNSKEY record.
    pub fn flags(self) -> u16 {
        if self.is_entry() { PublicKey::ZONE | PublicKey::SEP } else { PublicKey::ZONE }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Csk => "CSK",
            Self::Ksk => "KSK",
            Self::Zsk => "ZSK",
        })
    }
}

/// What is to become of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// It is to be in use.
    #[default]
    In,
    /// It is in use and a successor is to be made.
    Roll,
    /// It is known to all caches and signs nothing: the successor in an emergency.
    Standby,
    /// It is to go.
    Out,
}

/// A key of the zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its number in sets of keys; free again when the key is gone.
    #[serde(rename = "n", default, skip_serializing_if = "is_first")]
    pub slot: u8,
    /// What its private key is found by; none if another signer of the zone has it (RFC 8901).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<KeyId>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "is_csk")]
    pub role: Role,
    /// What is to become of it.
    #[serde(default, skip_serializing_if = "is_in")]
    pub goal: Goal,
    /// Since when it is meant to be in use, in Unix seconds: its lifetime counts from here.
    #[serde(rename = "from")]
    pub since: u64,
    /// The DNSKEY record.
    #[serde(rename = "key", with = "rdata_base64")]
    pub public: PublicKey,
}

impl Key {
    /// Whether another signer of the zone has its private key.
    pub fn is_foreign(&self) -> bool {
        self.id.is_none()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_first(slot: &u8) -> bool {
    *slot == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_csk(role: &Role) -> bool {
    *role == Role::Csk
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_in(goal: &Goal) -> bool {
    *goal == Goal::In
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A DNSKEY record's data as base64.
mod rdata_base64 {
    use super::{BASE64_NOPAD, Deserialize, Deserializer, PublicKey, Serializer};

    pub(super) fn serialize<S: Serializer>(key: &PublicKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_NOPAD.encode(&key.to_rdata()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PublicKey, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rdata = BASE64_NOPAD.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        PublicKey::of_rdata(&rdata).ok_or_else(|| serde::de::Error::custom("this is not a key that signs zones"))
    }
}

/// A DNSKEY RRset: which keys are in it, and which of them sign it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRrset {
    /// The keys in it.
    #[serde(rename = "k")]
    pub keys: KeySet,
    /// Those that sign it.
    #[serde(rename = "s")]
    pub signers: KeySet,
}

/// A DS RRset that caches may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldDs {
    /// The keys of the zone that it means.
    #[serde(rename = "v")]
    pub keys: KeySet,
    /// Whether there are records in it that mean no key of the zone.
    #[serde(rename = "o", default, skip_serializing_if = "is_false")]
    pub others: bool,
    /// The largest TTL that it was seen with, in seconds.
    #[serde(rename = "t", default, skip_serializing_if = "is_zero")]
    pub ttl_s: u32,
    /// Whether a server of the parent was seen with it.
    #[serde(rename = "seen", default, skip_serializing_if = "is_false")]
    pub seen: bool,
    /// When the parent was asked for another one while it may not have done what it was asked for before, in Unix seconds.
    #[serde(rename = "left", default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// From when on no cache holds it, in Unix seconds; none while that is not known.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// How far a request to the parent is known.
///
/// While some servers of the zone still show the request before, a parent may see either, and turn back to the former one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestSpread {
    /// Not all servers of the zone have it.
    Spreading {
        /// The plan that made it.
        plan: u32,
        /// When, in Unix seconds.
        at: u64,
    },
    /// From this moment on, in Unix seconds, the parent carries out no former request.
    Firm(u64),
}

/// How far a change of the kind of denial is. Each step begins when all servers have the one before.
///
/// ```text
///  Build ──chain built, everywhere──► Switch ──everywhere──► Drop ──old chain gone──► (done)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DenialPhase {
    /// The new chain is built beside the old one, which answers.
    Build,
    /// The new chain answers; the old one is still there.
    Switch,
    /// The old chain is taken away.
    Drop,
}

/// A change of the kind of denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenialChange {
    /// What it was.
    pub from: DenialPolicy,
    /// How far it is.
    pub phase: DenialPhase,
    /// The plan that began this phase.
    pub plan: u32,
}

/// All that is to be remembered of a zone's keys. A plain value: a step makes a new one, and nothing else does.
///
/// The heart of it are three histories: which DS, DNSKEY and signature versions caches may still hold. Whether a record is
/// hidden, rumoured, omnipresent or unretentive follows from them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Whether the zone is to be signed.
    #[serde(skip_serializing_if = "is_false")]
    pub signed: bool,
    /// The keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// The parent's DS RRsets that caches may hold; empty as long as there never was one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ds: Vec<HeldDs>,
    /// The DNSKEY RRsets that caches may hold.
    #[serde(skip_serializing_if = "is_unwritten")]
    pub dnskey: History<KeyRrset>,
    /// Which keys signed the data that caches may hold.
    #[serde(skip_serializing_if = "is_unwritten")]
    pub signatures: History<KeySet>,
    /// The DS RRset that the parent is asked for: none yet, the DS of these keys, or, if empty, that there be none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<KeySet>,
    /// How far that request is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestSpread>,
    /// The kind of denial that is in use or is coming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denial: Option<DenialPolicy>,
    /// A change of the kind of denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denial_change: Option<DenialChange>,
    /// The number of what is to be published now; it rises with each change of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub plan: u32,
    /// Whether a key is replaced in an emergency: no safety margins are waited for.
    #[serde(skip_serializing_if = "is_false")]
    pub emergency: bool,
    /// When this state was made, in Unix seconds.
    pub changed_at: u64,
}

fn is_unwritten<T: PartialEq + Default>(history: &History<T>) -> bool {
    *history == History::default()
}

impl State {
    /// The key in a slot.
    pub fn key(&self, slot: u8) -> Option<&Key> {
        self.keys.iter().find(|key| key.slot == slot)
    }

    /// The key with an id.
    pub fn key_by_id(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == Some(id))
    }

    /// Whether there is nothing to be done for the zone: it is not signed, and no cache holds anything signed.
    pub fn is_idle_unsigned(&self) -> bool {
        !self.signed && self.keys.is_empty()
    }

    /// The keys that a condition holds for, as a set.
    pub fn set_of(&self, condition: impl Fn(&Key) -> bool) -> KeySet {
        self.keys.iter().filter(|key| condition(key)).map(|key| key.slot).collect()
    }

    /// The DS versions that caches may hold.
    pub fn ds_versions(&self) -> impl Iterator<Item = HeldDs> + Clone {
        let none = self.ds.is_empty().then(|| HeldDs { seen: true, ..HeldDs::default() });
        none.into_iter().chain(self.ds.iter().copied())
    }

    /// Whether there is room for one more DS version.
    pub(super) fn has_room_for_ds(&self) -> bool {
        self.ds.len() < VERSIONS_MAX
    }

    /// Keys that some cache may know in any way, and those that the parent may be about to know.
    pub(super) fn in_use(&self) -> KeySet {
        let ds = self.ds_versions().fold(KeySet::EMPTY, |all, held| all.or(held.keys));
        let dnskey = self.dnskey.versions().fold(KeySet::EMPTY, |all, rrset| all.or(rrset.keys).or(rrset.signers));
        let signatures = self.signatures.versions().fold(KeySet::EMPTY, KeySet::or);
        ds.or(dnskey).or(signatures).or(self.asked.unwrap_or_default())
    }
}
