//! Who belongs to the fleet; durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rokko_model::UnixMillis;
use rokko_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use super::{JoinRefusal, PopRecord};
use crate::ControlError;

/// The most characters of a PoP's name.
pub const POP_NAME_LEN_MAX: usize = 63;
/// Where the registry is kept.
const SETTING: &str = "fleet";
/// The most tokens that can be open at once.
const TOKENS_MAX: usize = 10_000;
/// How long a token is remembered after its end, so that whoever uses it then is told why it is not good.
const TOKEN_KEPT_MS: u64 = 86_400_000;
/// How long a certificate is remembered after its end: it could still be used to ask for a new one.
const EXPIRED_KEPT_MS: u64 = 2 * 365 * 86_400_000;

/// All that is kept of the fleet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Registry {
    pub(crate) pops: BTreeMap<String, PopRecord>,
    /// Tokens by the hash of their secret, until they expire.
    #[serde(default)]
    tokens: BTreeMap<String, Token>,
    /// Certificates that are no longer good, and when they expire.
    #[serde(default)]
    revoked: BTreeMap<String, UnixMillis>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Token {
    name: String,
    relay: bool,
    expires_at: UnixMillis,
    /// The hash of the public key of who has used it.
    used_by: Option<String>,
}

/// The registry, read without a lock and changed by one at a time.
pub(crate) struct Kept {
    current: ArcSwap<Registry>,
    changing: Mutex<()>,
}

impl Kept {
    pub(crate) fn load(store: &dyn Store) -> Result<Self, ControlError> {
        Ok(Self { current: ArcSwap::from_pointee(Registry::load(store)?), changing: Mutex::new(()) })
    }

    pub(crate) fn current(&self) -> Arc<Registry> {
        self.current.load_full()
    }

    /// Makes a change durable and then known.
    pub(crate) fn change<T>(
        &self,
        store: &dyn Store,
        change: impl FnOnce(&mut Registry) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Registry::clone(&self.current.load());
        let outcome = change(&mut changed)?;
        changed.save(store)?;
        self.current.store(changed.into());
        Ok(outcome)
    }
}

impl Registry {
    fn load(store: &dyn Store) -> Result<Self, ControlError> {
        let Some(text) = store.setting(SETTING)? else { return Ok(Self::default()) };
        let damaged = |error: serde_json::Error| StoreError::Damaged {
            place: "the list of PoPs".to_owned(),
            what: error.to_string(),
        };
        Ok(serde_json::from_slice(&text).map_err(damaged)?)
    }

    fn save(&self, store: &dyn Store) -> Result<(), ControlError> {
        let text = serde_json::to_vec(self).map_err(|error| StoreError::Backend {
            doing: "writing the list of PoPs".to_owned(),
            source: Box::new(error),
        })?;
        Ok(store.put_setting(SETTING, &text)?)
    }

    /// Opens a token, given the hash of its secret, for a PoP that is not there yet, or that lost its certificate.
    pub(crate) fn open_token(
        &mut self,
        hash: &str,
        name: &str,
        relay: bool,
        expires_at: UnixMillis,
        now: UnixMillis,
    ) -> Result<(), ControlError> {
        check_name(name)?;
        self.tokens.retain(|_, token| token.expires_at.0 + TOKEN_KEPT_MS > now.0 && token.name != name);
        if self.tokens.len() >= TOKENS_MAX {
            let (what, limit) = ("the number of open tokens".to_owned(), TOKENS_MAX as u64);
            return Err(ControlError::TooLarge { what, limit });
        }
        let token = Token { name: name.to_owned(), relay, expires_at, used_by: None };
        self.tokens.insert(hash.to_owned(), token);
        Ok(())
    }

    /// Uses a token up: whoever has the public key is part of the fleet from then on, and certificates that were given out for
    /// its name before are not good any more. The same key may come again, since it may have missed the answer.
    pub(crate) fn join(&mut self, hash: &str, key: &str, now: UnixMillis) -> Result<PopRecord, JoinRefusal> {
        let token = self.tokens.get_mut(hash).ok_or(JoinRefusal::Unknown)?;
        if token.expires_at <= now {
            return Err(JoinRefusal::Expired);
        }
        match &token.used_by {
            Some(other) if other != key => return Err(JoinRefusal::Used),
            Some(_) => {}
            None => {
                token.used_by = Some(key.to_owned());
                let record = PopRecord {
                    name: token.name.clone(),
                    relay: token.relay,
                    joined_at: now,
                    drained: false,
                    revoked_at: None,
                    certificates: BTreeMap::new(),
                    heard_at: None,
                };
                if let Some(before) = self.pops.insert(token.name.clone(), record) {
                    self.revoked.extend(before.certificates);
                }
            }
        }
        self.pops.get(&token.name).cloned().ok_or(JoinRefusal::Unknown)
    }

    /// Notes a certificate that a PoP was given.
    pub(crate) fn issued(&mut self, name: &str, fingerprint: &str, expires_at: UnixMillis, now: UnixMillis) {
        self.revoked.retain(|_, expires_at| expires_at.0 + EXPIRED_KEPT_MS > now.0);
        if let Some(record) = self.pops.get_mut(name) {
            record.certificates.retain(|_, expires_at| expires_at.0 + EXPIRED_KEPT_MS > now.0);
            record.certificates.insert(fingerprint.to_owned(), expires_at);
        }
    }

    /// Whether a certificate with this name in it opens nothing.
    pub(crate) fn is_revoked(&self, name: &str, fingerprint: &str) -> bool {
        let is_out = self.pops.get(name).is_none_or(|record| record.revoked_at.is_some());
        is_out || self.revoked.contains_key(fingerprint)
    }

    /// All certificates that were revoked and have not expired long ago.
    pub(crate) fn revoked(&self) -> impl Iterator<Item = &str> {
        let out = self.pops.values().filter(|record| record.revoked_at.is_some());
        out.flat_map(|record| record.certificates.keys()).chain(self.revoked.keys()).map(String::as_str)
    }
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
    fn a_token_joins_one_key_and_in_time() {
        let (mut registry, now, end) = (Registry::default(), UnixMillis(1000), UnixMillis(2000));
        registry.open_token("one", "fra-1", true, end, now).unwrap();
        registry.open_token("late", "nyc-1", false, end, now).unwrap();
        assert_eq!(registry.join("other", "k", now), Err(JoinRefusal::Unknown));
        let joined = registry.join("one", "k", now).unwrap();
        assert_eq!((joined.name.as_str(), joined.relay), ("fra-1", true));
        assert_eq!(registry.join("one", "k", now), Ok(joined));
        assert_eq!(registry.join("one", "k2", now), Err(JoinRefusal::Used));
        assert_eq!(registry.join("late", "k", end), Err(JoinRefusal::Expired));
        for bad in ["", "A", "a_b", "-a", "a.b", &"a".repeat(64)] {
            assert!(registry.open_token("x", bad, false, end, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn who_joins_anew_makes_the_old_certificate_useless() {
        let (mut registry, now, end) = (Registry::default(), UnixMillis(1000), UnixMillis(2000));
        registry.open_token("one", "fra-1", false, end, now).unwrap();
        registry.join("one", "k", now).unwrap();
        registry.issued("fra-1", "c1", end, now);
        assert!(!registry.is_revoked("fra-1", "c1") && registry.is_revoked("nyc-1", "c1"));
        registry.open_token("two", "fra-1", false, end, now).unwrap();
        registry.join("two", "k2", now).unwrap();
        registry.issued("fra-1", "c2", end, now);
        assert!(registry.is_revoked("fra-1", "c1") && !registry.is_revoked("fra-1", "c2"));
        registry.pops.get_mut("fra-1").unwrap().revoked_at = Some(now);
        assert!(registry.is_revoked("fra-1", "c2"));
        assert_eq!(registry.revoked().collect::<Vec<_>>(), ["c2", "c1"]);
    }
}
