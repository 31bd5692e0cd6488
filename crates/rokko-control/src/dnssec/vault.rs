//! Where private keys are: made, found and used through the keyring, kept wrapped in the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rokko_dnssec::life::{self, KeyId, KeyWanted};
use rokko_dnssec::{PublicKey, SignError};
use rokko_keys::{KeySpec, Signers, StoredKey};
use rokko_store::{KeyAction, KeyAudit, KeyChange, SigningKey, SigningKeyId, StoreError};
use rokko_wire::Name;

use super::DnssecOptions;
use crate::Shared;

/// How many wrapped keys are remembered, so that the store is not asked with each change.
const REMEMBERED_MAX: usize = 65_536;
/// Who makes and deletes keys by itself, for the record of their movements.
const ACTOR: &str = "signer";

/// Wrapped keys that were used lately.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<HashMap<KeyId, Arc<SigningKey>>>);

/// The keys of one control plane.
pub(crate) struct Vault<'a> {
    shared: &'a Shared,
    options: &'a DnssecOptions,
}

impl<'a> Vault<'a> {
    pub(crate) fn new(shared: &'a Shared, options: &'a DnssecOptions) -> Self {
        Self { shared, options }
    }

    /// Makes a key that is in no store yet.
    pub(crate) fn generate(&self, zone: &Name, wanted: KeyWanted) -> Result<(life::NewKey, SigningKey), String> {
        let spec =
            KeySpec { rsa_bits: usize::from(wanted.rsa_bits), ..KeySpec::new(wanted.algorithm, wanted.role.flags()) };
        let made = self.options.keys.generate(zone, &spec).map_err(|error| error.to_string())?;
        let stored = SigningKey {
            id: SigningKeyId(made.id.0),
            zone: zone.clone(),
            made_at: self.shared.now(),
            public: made.public.to_rdata().into(),
            wrapped: made.wrapped,
        };
        self.remember(Arc::new(stored.clone()));
        Ok((life::NewKey { id: KeyId(made.id.0), public: made.public }, stored))
    }

    /// Makes a key and stores it.
    pub(crate) fn make(&self, zone: &Name, wanted: KeyWanted) -> Result<life::NewKey, String> {
        let (made, stored) = self.generate(zone, wanted)?;
        self.store(vec![stored]).map_err(|error| error.to_string())?;
        Ok(made)
    }

    /// Makes new keys durable.
    pub(crate) fn store(&self, put: Vec<SigningKey>) -> Result<(), StoreError> {
        if put.is_empty() {
            return Ok(());
        }
        let audit = put.iter().map(|key| self.audit(KeyAction::Generate, &key.zone, KeyId(key.id.0))).collect();
        self.shared.store.change_signing_keys(&KeyChange { put, delete: Vec::new(), audit })
    }

    /// Deletes a key for good. A failure leaves it where it is, wrapped.
    pub(crate) fn delete(&self, zone: &Name, id: KeyId) {
        if let Err(error) = self.delete_from_token(id) {
            tracing::warn!(%zone, key = %id, "a key that is not needed any more is left in its token: {error}");
        }
        let audit = vec![self.audit(KeyAction::Delete, zone, id)];
        let change = KeyChange { put: Vec::new(), delete: vec![SigningKeyId(id.0)], audit };
        if let Err(error) = self.shared.store.change_signing_keys(&change) {
            tracing::warn!(%zone, key = %id, "a key that is not needed any more could not be deleted: {error}");
        }
        self.options.keys.forget(rokko_keys::KeyId(id.0));
        self.shared.signer.remembered.lock().remove(&id);
    }

    fn delete_from_token(&self, id: KeyId) -> Result<(), SignError> {
        let key = self.find(id)?;
        let public = public(&key)?;
        let stored = StoredKey { id: rokko_keys::KeyId(id.0), zone: &key.zone, public: &public, wrapped: &key.wrapped };
        self.options.keys.delete_from_token(&stored).map_err(|error| SignError(error.to_string()))
    }

    /// Opens keys of a zone.
    pub(crate) fn open(&self, keys: &[KeyId]) -> Result<Signers, SignError> {
        let stored: Vec<_> = keys.iter().map(|&id| self.find(id)).collect::<Result<_, _>>()?;
        let publics: Vec<_> = stored.iter().map(|key| public(key)).collect::<Result<_, _>>()?;
        let keys: Vec<_> = stored
            .iter()
            .zip(&publics)
            .map(|(key, public)| StoredKey {
                id: rokko_keys::KeyId(key.id.0),
                zone: &key.zone,
                public,
                wrapped: &key.wrapped,
            })
            .collect();
        self.options.keys.signers(&keys).map_err(|error| SignError(error.to_string()))
    }

    fn find(&self, id: KeyId) -> Result<Arc<SigningKey>, SignError> {
        if let Some(key) = self.shared.signer.remembered.lock().get(&id) {
            return Ok(Arc::clone(key));
        }
        let found = self.shared.store.signing_key(&SigningKeyId(id.0)).map_err(|error| SignError(error.to_string()))?;
        let missing =
            || SignError(format!("the private key {id} is not in the store: restore it from a backup or a seal"));
        let key = Arc::new(found.ok_or_else(missing)?);
        self.remember(Arc::clone(&key));
        Ok(key)
    }

    fn remember(&self, key: Arc<SigningKey>) {
        let mut remembered = self.shared.signer.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(KeyId(key.id.0), key);
    }

    fn audit(&self, action: KeyAction, zone: &Name, id: KeyId) -> KeyAudit {
        KeyAudit {
            at: self.shared.now(),
            actor: ACTOR.to_owned(),
            action,
            zone: Some(zone.clone()),
            key: Some(SigningKeyId(id.0)),
            recipient: String::new(),
        }
    }
}

impl Remembered {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<KeyId, Arc<SigningKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn public(key: &SigningKey) -> Result<PublicKey, SignError> {
    PublicKey::of_rdata(&key.public)
        .ok_or_else(|| SignError(format!("the stored public part of the key {} is damaged", key.id)))
}
