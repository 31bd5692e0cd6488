//! Signing: what each change of a signed zone brings along, and the thread that moves keys and signatures on.
//!
//! ```text
//!  change of a zone ──► hand: key records, SOA, signatures and denial of what it touched ──► gate ──► append
//!  sweep, agenda ─────► tend: the life of the keys, one step; a walk over the zone, in parts; the whole zone verified
//!                         └── each as a change like all others
//! ```

mod agenda;
mod commit;
mod gate;
mod hand;
mod own;
mod signer;
mod status;
mod tend;
mod vault;

use std::collections::BTreeMap;
use std::sync::Arc;

use rokko_dnssec::life::{DnssecPolicy, ParentView};
use rokko_keys::KeyRing;
use rokko_model::{Dnssec, UnixMillis};
use rokko_store::{Commit, NewState, SigningKey, StoreError};
use rokko_wire::Name;

use crate::{ControlError, Shared};

pub(crate) use hand::Hand;
pub use own::is_made;
pub(crate) use own::{keep_own, keep_own_rrsets};
pub(crate) use signer::{Signer, start};
pub use status::DnssecView;

/// The name of the policy that zones get if none is named.
pub const DEFAULT_POLICY: &str = "default";

/// How zones are signed.
#[derive(Clone)]
pub struct DnssecOptions {
    /// The policies by name; [`DEFAULT_POLICY`] is among them.
    pub policies: BTreeMap<String, DnssecPolicy>,
    /// Whether new zones are signed if nothing else is said.
    pub sign_new_zones: bool,
    /// The keys.
    pub keys: Arc<KeyRing>,
    /// What the parent's servers have; asked from a thread that waits for it.
    pub parents: Arc<dyn Parents>,
}

impl DnssecOptions {
    /// The policy that a zone is signed by.
    pub(crate) fn policy(&self, dnssec: &Dnssec) -> Result<&DnssecPolicy, ControlError> {
        let unknown = || ControlError::NoSuchPolicy { policy: dnssec.policy.clone() };
        self.policies.get(&dnssec.policy).ok_or_else(unknown)
    }
}

/// Makes keys durable before what they sign is.
pub(crate) fn store_keys(shared: &Shared, keys: Vec<SigningKey>) -> Result<(), StoreError> {
    match &shared.options.dnssec {
        Some(options) => vault::Vault::new(shared, options).store(keys),
        None => Ok(()),
    }
}

/// Has zones looked after whose signing changed.
pub(crate) fn notice(shared: &Shared, commits: &[Commit], now: UnixMillis) {
    for commit in commits {
        if let NewState::Present { meta: Some(meta), .. } = &commit.after
            && meta.dnssec.is_some()
        {
            shared.signer.note(&commit.zone, now.0 / 1000);
        }
    }
}

/// Who looks at a zone's parent.
pub trait Parents: Send + Sync {
    /// What all servers of the zone's parent have as its DS RRset. Takes seconds at most.
    fn look(&self, zone: &Name) -> Result<ParentView, String>;
}
