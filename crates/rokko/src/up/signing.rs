//! What signing needs: the master key, the policies, and who looks at parents.

use std::path::Path;
use std::sync::Arc;

use rokko_control::dnssec::DnssecOptions;
use rokko_keys::{
    KeyRing, KeyRingOptions, MasterKey, MasterKeySource, Token, TokenOptions, master_key_id_of, read_secret,
};
use rokko_store::Store;

use super::chain;
use super::parents::Looker;
use crate::config::{Config, TokenConfig};
use crate::failure::Failure;

/// The master key's file in the data folder, if no other place is configured.
pub(crate) const MASTER_KEY_FILE: &str = "master.key";

/// Loads the master key, or makes one where there is none and none is missed.
pub(crate) fn options(store: &dyn Store, config: &Config, data_dir: &Path) -> Result<DnssecOptions, Failure> {
    let default = data_dir.join(MASTER_KEY_FILE);
    let source = config.dnssec.master_key.clone().unwrap_or_else(|| MasterKeySource::File(default.clone()));
    let failed =
        |error: &dyn std::error::Error| Failure::failed(format!("cannot read the master key: {}", chain(error)));
    let stored = store.signing_keys(None, 1).map_err(|error| Failure::failed(chain(&error)))?.pop();
    let is_missing = config.dnssec.master_key.is_none() && !default.exists();
    let master = match &stored {
        None if is_missing => MasterKey::create(&default).map_err(|error| failed(&error))?,
        Some(_) if is_missing => {
            return Err(Failure::failed(format!(
                "the master key {} is missing, and the store has signing keys that only it opens: put it back from a backup",
                default.display()
            )));
        }
        _ => MasterKey::load(&source).map_err(|error| failed(&error))?,
    };
    if let Some(stored) = stored {
        let wanted = master_key_id_of(&stored.wrapped).map_err(|error| failed(&error))?;
        if wanted != master.id() {
            return Err(Failure::failed(format!(
                "{source} holds the master key {}, and the store's signing keys need {wanted}: give that one, or wrap them anew with `rokko keys rewrap`",
                master.id()
            )));
        }
    }
    let keys = KeyRing::new(master, KeyRingOptions::default());
    let keys = match &config.dnssec.token {
        Some(token) => with_token(keys, token)?,
        None => keys,
    };
    Ok(DnssecOptions {
        policies: config.dnssec.policies.clone(),
        sign_new_zones: config.dnssec.sign_new_zones,
        keys: Arc::new(keys),
        parents: Arc::new(Looker::new(&config.dnssec)),
    })
}

/// A keyring with the token that is configured. The token itself may come later.
fn with_token(keys: KeyRing, config: &TokenConfig) -> Result<KeyRing, Failure> {
    let pin = read_secret(&config.pin_file)
        .map_err(|error| Failure::failed(format!("cannot read the PIN in {}: {error}", config.pin_file.display())))?;
    let options = TokenOptions {
        library: config.library.clone(),
        token: config.name.clone(),
        pin: pin.trim_end().to_owned().into(),
        sessions_max: config.sessions_max,
    };
    let token = Token::load(options).map_err(|error| Failure::failed(chain(&error)))?;
    if let Err(error) = token.serial() {
        tracing::error!("keys in the token cannot sign until it is there: {}", chain(&error));
    }
    let keys = keys.with_token(Arc::new(token));
    Ok(if config.new_keys { keys.making_keys_in_token() } else { keys })
}
