//! Who belongs to the fleet; durable.

use std::collections::BTreeMap;

use rokko_model::UnixMillis;
use rokko_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use super::PopRecord;
use crate::ControlError;

/// The most characters of a PoP's name.
pub const POP_NAME_LEN_MAX: usize = 63;
/// Where the registry is kept.
const SETTING: &str = "fleet";
/// The most tokens that can be open at once.
const TOKENS_MAX: usize = 10_000;

/// All that is kept of the fleet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Registry {
    pub(crate) pops: BTreeMap<String, PopRecord>,
    /// Open tokens by the hash of their secret.
    #[serde(default)]
    tokens: BTreeMap<String, Token>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Token {
    name: String,
    relay: bool,
    expires_at: UnixMillis,
}

impl Registry {
    pub(crate) fn load(store: &dyn Store) -> Result<Self, ControlError> {
        let Some(text) = store.setting(SETTING)? else { return Ok(Self::default()) };
        let damaged = |error: serde_json::Error| StoreError::Damaged {
            place: "the list of PoPs".to_owned(),
            what: error.to_string(),
        };
        Ok(serde_json::from_slice(&text).map_err(damaged)?)
    }

    pub(crate) fn save(&self, store: &dyn Store) -> Result<(), ControlError> {
        let text = serde_json::to_vec(self).map_err(|error| StoreError::Backend {
            doing: "writing the list of PoPs".to_owned(),
            source: Box::new(error),
        })?;
        Ok(store.put_setting(SETTING, &text)?)
    }

    /// Opens a token for a PoP that is not there yet, or that lost its certificate.
    pub(crate) fn open_token(
        &mut self,
        secret: &[u8; 32],
        name: &str,
        relay: bool,
        expires_at: UnixMillis,
        now: UnixMillis,
    ) -> Result<(), ControlError> {
        check_name(name)?;
        self.tokens.retain(|_, token| token.expires_at > now && token.name != name);
        if self.tokens.len() >= TOKENS_MAX {
            let (what, limit) = ("the number of open tokens".to_owned(), TOKENS_MAX as u64);
            return Err(ControlError::TooLarge { what, limit });
        }
        self.tokens.insert(hash_of(secret), Token { name: name.to_owned(), relay, expires_at });
        Ok(())
    }

    /// Uses a token up; the PoP with this public key is part of the fleet from then on.
    pub(crate) fn join(&mut self, secret: &[u8; 32], key: &str, now: UnixMillis) -> Option<PopRecord> {
        let token = self.tokens.remove(&hash_of(secret)).filter(|token| token.expires_at > now)?;
        let (name, relay) = (token.name, token.relay);
        let record = PopRecord {
            name: name.clone(),
            key: key.to_owned(),
            relay,
            joined_at: now,
            drained: false,
            revoked_at: None,
        };
        self.pops.insert(name, record.clone());
        Some(record)
    }

    /// The PoP with this name and public key, unless it was put out.
    pub(crate) fn member(&self, name: &str, key: &str) -> Option<&PopRecord> {
        self.pops.get(name).filter(|record| record.key == key && record.revoked_at.is_none())
    }
}

fn hash_of(secret: &[u8; 32]) -> String {
    blake3::hash(secret).to_hex().to_string()
}

/// Names go into certificates and metrics.
fn check_name(name: &str) -> Result<(), ControlError> {
    let good = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    let is_good = (1..=POP_NAME_LEN_MAX).contains(&name.len())
        && name.bytes().all(good)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if is_good { Ok(()) } else { Err(ControlError::BadPopName { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_joins_once_and_in_time() {
        let (mut registry, now) = (Registry::default(), UnixMillis(1000));
        let (one, late, other) = ([1; 32], [2; 32], [3; 32]);
        registry.open_token(&one, "fra-1", true, UnixMillis(2000), now).unwrap();
        registry.open_token(&late, "nyc-1", false, UnixMillis(2000), now).unwrap();
        assert!(registry.join(&other, "k", now).is_none());
        assert_eq!(
            registry.join(&one, "k", now).map(|record| (record.name, record.relay)),
            Some(("fra-1".to_owned(), true))
        );
        assert!(registry.join(&one, "k2", now).is_none());
        assert!(registry.join(&late, "k", UnixMillis(2000)).is_none());
        assert!(registry.member("fra-1", "k").is_some() && registry.member("fra-1", "k2").is_none());
        for bad in ["", "A", "a_b", "-a", "a.b", &"a".repeat(64)] {
            assert!(registry.open_token(&one, bad, false, UnixMillis(2000), now).is_err(), "{bad}");
        }
    }
}
