//! What the carrier asks the control side.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rokko_feed::message::{News, Path, REVOKED_MAX};

use crate::certificate::{Fingerprint, Identity, Role};
use crate::name::NodeName;

/// The hash of a token's secret: what the control node keeps of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// The hash of a secret. Secrets are 32 random octets, so a plain SHA-256 can't be searched through.
    pub fn of(secret: &[u8; 32]) -> Self {
        Self(Fingerprint::of(secret).0)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Fingerprint(self.0), formatter)
    }
}

/// As what a node is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// What it is called from now on.
    pub name: NodeName,
    /// [`Role::Pop`] or [`Role::Relay`].
    pub role: Role,
}

/// Why a node may not join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// There is no token with this secret.
    #[error("the control node does not know this token")]
    Unknown,
    /// Another node has used it.
    #[error("the token was used already")]
    Used,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// The control node can't say now.
    #[error("the control node can't let nodes join at the moment")]
    Unavailable,
}

/// Who belongs to the fleet: the control side as the carrier sees it. Calls may wait for a disk, but not for the network.
pub trait Fleet: fmt::Debug + Send + Sync + 'static {
    /// Uses up the token with this secret, for the public key with this digest. The same key may come again until the token expires,
    /// since the answer to its first request may have been lost.
    fn admit(&self, secret: &SecretHash, key: &Fingerprint, now_s: u64) -> Result<Admission, JoinRefusal>;

    /// Whether a certificate was revoked. Asked at each connection and each second while one lasts, so it must not wait.
    fn is_revoked(&self, identity: &Identity) -> bool;

    /// A certificate was issued, at a join or as a renewal.
    fn issued(&self, identity: &Identity);

    /// All certificates that were revoked and could still be shown.
    fn revoked(&self) -> Vec<Fingerprint>;

    /// Something is new of a node: the relays on the way to it, and the node itself, last. Times are by this machine's clock.
    /// Called for each acknowledgement, so it must not wait.
    fn news(&self, path: &Path, news: News);
}

/// The certificates that were revoked, by their digests: at most as many as one message holds.
#[derive(Debug, Default)]
pub struct RevokedList(Mutex<BTreeSet<Fingerprint>>);

impl RevokedList {
    /// Whether a certificate is in the list.
    pub fn contains(&self, certificate: &Fingerprint) -> bool {
        self.lock().contains(certificate)
    }

    /// Puts other certificates in place of those before.
    pub fn replace(&self, certificates: impl IntoIterator<Item = Fingerprint>) {
        *self.lock() = certificates.into_iter().take(REVOKED_MAX).collect();
    }

    /// All of them.
    pub fn all(&self) -> Vec<Fingerprint> {
        self.lock().iter().copied().collect()
    }

    /// Adds a certificate, unless there are too many.
    pub fn insert(&self, certificate: Fingerprint) {
        let mut list = self.lock();
        if list.len() < REVOKED_MAX {
            list.insert(certificate);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Fingerprint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fleet that is kept in memory only, for tests and simulations.
#[derive(Debug, Default)]
pub struct MemoryFleet {
    tokens: Mutex<HashMap<SecretHash, Offer>>,
    revoked: RevokedList,
    issued: Mutex<Vec<Identity>>,
    news: Mutex<VecDeque<(Path, News)>>,
}

#[derive(Debug)]
struct Offer {
    admission: Admission,
    expires_s: u64,
    used_by: Option<Fingerprint>,
}

impl MemoryFleet {
    /// Lets the holder of a token join.
    pub fn offer(&self, secret: SecretHash, admission: Admission, expires_s: u64) {
        let offer = Offer { admission, expires_s, used_by: None };
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(secret, offer);
    }

    /// Revokes a certificate.
    pub fn revoke(&self, certificate: Fingerprint) {
        self.revoked.insert(certificate);
    }

    /// What is new of nodes, the newest first.
    pub fn all_news(&self) -> Vec<(Path, News)> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// What was issued so far, in order.
    pub fn all_issued(&self) -> Vec<Identity> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How many of the last news a fleet in memory keeps.
const NEWS_MAX: usize = 100_000;

impl Fleet for MemoryFleet {
    fn admit(&self, secret: &SecretHash, key: &Fingerprint, now_s: u64) -> Result<Admission, JoinRefusal> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let offer = tokens.get_mut(secret).ok_or(JoinRefusal::Unknown)?;
        if now_s > offer.expires_s {
            return Err(JoinRefusal::Expired);
        }
        if *offer.used_by.get_or_insert(*key) != *key {
            return Err(JoinRefusal::Used);
        }
        Ok(offer.admission.clone())
    }

    fn is_revoked(&self, identity: &Identity) -> bool {
        self.revoked.contains(&identity.fingerprint)
    }

    fn issued(&self, identity: &Identity) {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).push(identity.clone());
    }

    fn revoked(&self) -> Vec<Fingerprint> {
        self.revoked.all()
    }

    fn news(&self, path: &Path, news: News) {
        let mut kept = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(NEWS_MAX - 1);
        kept.push_front((path.clone(), news));
    }
}
