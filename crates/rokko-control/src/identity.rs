//! Who asks.

use rokko_model::{Actor, ApiKey, KeyId, Scope};

/// Who asks, and what they may do.
#[derive(Clone, Debug)]
pub struct Identity {
    /// For the history.
    pub actor: Actor,
    /// What they may do.
    pub scope: Scope,
    /// The key that they showed; `None` for the command line on a stopped node.
    pub key: Option<KeyId>,
}

impl Identity {
    /// The command line on a stopped node: whoever can write the data folder is an administrator.
    pub fn local() -> Self {
        let actor = Actor { name: "local".to_owned(), address: String::new() };
        Self { actor, scope: Scope::administrator(), key: None }
    }

    /// What the control plane does by itself for signed zones.
    pub(crate) fn signer() -> Self {
        let actor = Actor { name: "signer".to_owned(), address: String::new() };
        Self { actor, scope: Scope::administrator(), key: None }
    }

    pub(crate) fn of_key(key: &ApiKey, address: &str) -> Self {
        let actor = Actor { name: format!("{} ({})", key.name, key.id), address: address.to_owned() };
        Self { actor, scope: key.scope.clone(), key: Some(key.id.clone()) }
    }
}
