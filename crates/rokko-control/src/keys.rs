//! API keys.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use rokko_model::{ApiKey, KeyId, Permission, Scope, UnixMillis};
use rokko_store::Store;

use crate::{Control, ControlError, Identity};

/// A key that a person chose and that is shorter than this is warned of.
const KEY_TEXT_LEN_MIN: usize = 16;

/// All keys by the hash of their text.
pub(crate) struct KeyRing {
    by_hash: ArcSwap<HashMap<String, ApiKey>>,
    changing: Mutex<()>,
}

impl KeyRing {
    pub(crate) fn load(store: &dyn Store) -> Result<Self, ControlError> {
        let by_hash = store.keys()?.into_iter().map(|key| (key.hash.clone(), key)).collect();
        Ok(Self { by_hash: ArcSwap::from_pointee(by_hash), changing: Mutex::new(()) })
    }

    /// Makes a key durable and then known.
    fn put(&self, store: &dyn Store, key: &ApiKey) -> Result<(), ControlError> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        store.put_key(key)?;
        let mut by_hash = HashMap::clone(&self.by_hash.load());
        by_hash.insert(key.hash.clone(), key.clone());
        self.by_hash.store(by_hash.into());
        Ok(())
    }
}

impl Control {
    /// Who shows this key. `address` is where the request came from.
    ///
    /// Keys are found by their hash, so the time that this takes says nothing about a key's text.
    pub fn authenticate(&self, text: &str, address: &str) -> Result<Identity, ControlError> {
        let keys = self.0.keys.by_hash.load();
        let key = keys.get(&ApiKey::hash_of(text)).filter(|key| key.is_live(self.now()));
        key.map(|key| Identity::of_key(key, address)).ok_or(ControlError::BadKey)
    }

    /// Makes a key. Its text is returned this once and kept nowhere.
    pub fn create_key(
        &self,
        who: &Identity,
        name: &str,
        scope: Scope,
        expires_at: Option<UnixMillis>,
    ) -> Result<(ApiKey, String), ControlError> {
        who.scope.allows(Permission::Administer)?;
        let (id, text) = new_key_text()?;
        let key = self.put_key(id, name, &text, scope, expires_at)?;
        Ok((key, text))
    }

    /// All keys, revoked ones too, by the time of their making.
    pub fn keys(&self, who: &Identity) -> Result<Vec<ApiKey>, ControlError> {
        who.scope.allows(Permission::Administer)?;
        let mut keys: Vec<ApiKey> = self.0.keys.by_hash.load().values().cloned().collect();
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(keys)
    }

    /// Makes a key stop working, at once and for good.
    pub fn revoke_key(&self, who: &Identity, id: &KeyId) -> Result<ApiKey, ControlError> {
        who.scope.allows(Permission::Administer)?;
        let found = self.0.keys.by_hash.load().values().find(|key| key.id == *id).cloned();
        let mut key = found.ok_or_else(|| ControlError::NoSuchKey { id: id.clone() })?;
        if key.revoked_at.is_none() {
            key.revoked_at = Some(self.now());
            self.0.keys.put(&*self.0.store, &key)?;
        }
        Ok(key)
    }

    /// Makes the first administrator's key, from the text given or a random one, and returns its text; `None` if
    /// there is an administrator's key already. A short text is taken with a warning in the log.
    pub fn ensure_administrator(&self, given: Option<&str>) -> Result<Option<String>, ControlError> {
        let now = self.now();
        if self.0.keys.by_hash.load().values().any(|key| key.scope.administrator && key.is_live(now)) {
            return Ok(None);
        }
        let (id, random) = new_key_text()?;
        let (id, text) = match given {
            None => (id, random),
            Some(text) => {
                if text.len() < KEY_TEXT_LEN_MIN {
                    tracing::warn!(
                        "the administrator's key has fewer than {KEY_TEXT_LEN_MIN} characters and can be guessed: \
                         make a longer one and revoke it"
                    );
                }
                (ApiKey::id_in_text(text).unwrap_or(id), text.to_owned())
            }
        };
        self.put_key(id, "administrator", &text, Scope::administrator(), None)?;
        Ok(Some(text))
    }

    fn put_key(
        &self,
        id: KeyId,
        name: &str,
        text: &str,
        scope: Scope,
        expires_at: Option<UnixMillis>,
    ) -> Result<ApiKey, ControlError> {
        let key = ApiKey {
            id,
            name: name.to_owned(),
            hash: ApiKey::hash_of(text),
            scope,
            created_at: self.now(),
            expires_at,
            revoked_at: None,
        };
        self.0.keys.put(&*self.0.store, &key)?;
        Ok(key)
    }
}

fn new_key_text() -> Result<(KeyId, String), ControlError> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)
        .map_err(|error| ControlError::System { doing: "reading entropy", source: error.into() })?;
    Ok(ApiKey::text_from_entropy(&entropy))
}
