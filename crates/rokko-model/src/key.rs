//! API keys: what they may do, and what is kept of them.

use std::fmt;

use rokko_wire::{Name, Rtype};
use serde::{Deserialize, Serialize};

use crate::UnixMillis;

/// The public part of a key, which names it in lists and in the history.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId(pub String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which zones a key reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ZonePattern {
    /// One zone.
    Exact(Name),
    /// All zones below a name, and not the name itself; written `*.name`.
    Below(Name),
}

impl ZonePattern {
    fn matches(&self, zone: &Name) -> bool {
        match self {
            ZonePattern::Exact(name) => zone == name,
            ZonePattern::Below(name) => zone != name && zone.is_in(name),
        }
    }
}

impl TryFrom<String> for ZonePattern {
    type Error = rokko_wire::NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(match text.strip_prefix("*.") {
            Some("") => ZonePattern::Below(Name::root()),
            Some(parent) => ZonePattern::Below(parent.parse()?),
            None => ZonePattern::Exact(text.parse()?),
        })
    }
}

impl From<ZonePattern> for String {
    fn from(pattern: ZonePattern) -> Self {
        match pattern {
            ZonePattern::Exact(name) => name.to_string(),
            ZonePattern::Below(name) if name.is_root() => "*.".to_owned(),
            ZonePattern::Below(name) => format!("*.{name}"),
        }
    }
}

/// What a key may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// Everything, keys included. The fields below then say nothing.
    pub administrator: bool,
    /// The zones it reaches; empty: all.
    pub zones: Vec<ZonePattern>,
    /// The record types it may change, by mnemonic; empty: all. It may read all types.
    pub types: Vec<String>,
    /// It may only read.
    pub read_only: bool,
}

/// What is about to be done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission<'a> {
    /// Read a zone and its history.
    Read(&'a Name),
    /// Change records of these types in a zone.
    Edit(&'a Name, &'a [Rtype]),
    /// Create, replace, roll back or delete a zone, or change its metadata.
    Manage(&'a Name),
    /// See and make keys, back up, configure.
    Administer,
}

/// Why a key may not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The key only reads.
    #[error("this key is read-only: use a key that may write")]
    ReadOnly,
    /// The key does not reach the zone.
    #[error("this key does not reach the zone {0}: use a key whose scope names it")]
    Zone(Name),
    /// The key may not change records of the type.
    #[error("this key may not change {0} records: use a key whose scope has the type")]
    Type(Rtype),
    /// The key is limited to record types and so can't change a zone as a whole.
    #[error("this key is limited to record types and can't change a whole zone: use a key without that limit")]
    WholeZone,
    /// Only an administrator's key may.
    #[error("only an administrator's key may do this")]
    Administrator,
}

impl Scope {
    /// An administrator's scope.
    pub fn administrator() -> Self {
        Self { administrator: true, ..Self::default() }
    }

    /// Whether the key may do this; the refusal says why not.
    pub fn allows(&self, wanted: Permission<'_>) -> Result<(), Refusal> {
        if self.administrator {
            return Ok(());
        }
        let (zone, writes) = match wanted {
            Permission::Administer => return Err(Refusal::Administrator),
            Permission::Read(zone) => (zone, false),
            Permission::Edit(zone, _) | Permission::Manage(zone) => (zone, true),
        };
        if !self.reaches(zone) {
            return Err(Refusal::Zone(zone.clone()));
        }
        if writes && self.read_only {
            return Err(Refusal::ReadOnly);
        }
        match wanted {
            Permission::Manage(_) if !self.types.is_empty() => Err(Refusal::WholeZone),
            Permission::Edit(_, types) if !self.types.is_empty() => {
                let allowed: Vec<Rtype> = self.types.iter().filter_map(|text| text.parse().ok()).collect();
                types.iter().find(|rtype| !allowed.contains(rtype)).map_or(Ok(()), |rtype| Err(Refusal::Type(*rtype)))
            }
            _ => Ok(()),
        }
    }

    /// Whether the key may see the zone at all.
    pub fn reaches(&self, zone: &Name) -> bool {
        self.administrator || self.zones.is_empty() || self.zones.iter().any(|pattern| pattern.matches(zone))
    }
}

/// What is kept of a key: never the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its public id.
    pub id: KeyId,
    /// What its owner calls it.
    pub name: String,
    /// The BLAKE3 hash of the whole key in hexadecimal.
    pub hash: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it stops working; `None`: never by itself.
    pub expires_at: Option<UnixMillis>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMillis>,
}

impl ApiKey {
    /// The hash that is kept of a key's text.
    pub fn hash_of(text: &str) -> String {
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    /// The text of a new key from 32 random octets, and its public id.
    pub fn text_from_entropy(entropy: &[u8; 32]) -> (KeyId, String) {
        let encoded = data_encoding::BASE32_NOPAD.encode(entropy).to_ascii_lowercase();
        let (id, secret) = encoded.split_at(8);
        (KeyId(id.to_owned()), format!("rokko_{id}_{secret}"))
    }

    /// The public id in a key's text, if it was made by [`ApiKey::text_from_entropy`].
    pub fn id_in_text(text: &str) -> Option<KeyId> {
        let (id, secret) = text.strip_prefix("rokko_")?.split_once('_')?;
        (id.len() == 8 && !secret.is_empty()).then(|| KeyId(id.to_owned()))
    }

    /// Whether the key works at a time.
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn scope(zones: &[&str], types: &[&str], read_only: bool) -> Scope {
        let zones = zones.iter().map(|text| ZonePattern::try_from((*text).to_owned()).unwrap()).collect();
        Scope { administrator: false, zones, types: types.iter().map(|t| (*t).to_owned()).collect(), read_only }
    }

    #[test]
    fn scopes_limit_zones_types_and_writing() {
        let (a, below) = (name("a.example."), name("x.b.example."));
        let limited = scope(&["a.example", "*.b.example"], &["TXT"], false);
        assert_eq!(limited.allows(Permission::Read(&a)), Ok(()));
        assert_eq!(limited.allows(Permission::Read(&below)), Ok(()));
        let b = name("b.example.");
        assert_eq!(limited.allows(Permission::Read(&b)), Err(Refusal::Zone(b.clone())));
        assert_eq!(limited.allows(Permission::Edit(&a, &[Rtype::TXT])), Ok(()));
        assert_eq!(limited.allows(Permission::Edit(&a, &[Rtype::TXT, Rtype::A])), Err(Refusal::Type(Rtype::A)));
        assert_eq!(limited.allows(Permission::Manage(&a)), Err(Refusal::WholeZone));
        assert_eq!(limited.allows(Permission::Administer), Err(Refusal::Administrator));
        let reader = scope(&[], &[], true);
        assert_eq!(reader.allows(Permission::Read(&a)), Ok(()));
        assert_eq!(reader.allows(Permission::Manage(&a)), Err(Refusal::ReadOnly));
        assert_eq!(Scope::administrator().allows(Permission::Administer), Ok(()));
    }

    #[test]
    fn a_key_works_until_it_expires_or_is_revoked() {
        let (id, text) = ApiKey::text_from_entropy(&[7; 32]);
        assert!(text.starts_with(&format!("rokko_{id}_")) && text.len() == 6 + 8 + 1 + 44);
        assert_eq!(ApiKey::id_in_text(&text), Some(id.clone()));
        assert_eq!(ApiKey::id_in_text("chosen by a person"), None);
        let mut key = ApiKey {
            id,
            name: "ci".to_owned(),
            hash: ApiKey::hash_of(&text),
            scope: Scope::default(),
            created_at: UnixMillis(1),
            expires_at: Some(UnixMillis(10)),
            revoked_at: None,
        };
        assert!(key.is_live(UnixMillis(9)) && !key.is_live(UnixMillis(10)));
        key.revoked_at = Some(UnixMillis(2));
        assert!(!key.is_live(UnixMillis(3)));
    }

    #[test]
    fn patterns_survive_text() {
        for text in ["example.com.", "*.example.com.", "*."] {
            assert_eq!(String::from(ZonePattern::try_from(text.to_owned()).unwrap()), text);
        }
    }
}
