//! The use cases of the fleet.

use rokko_model::{Permission, UnixMillis};
use rokko_zone::{Revision, ShortDigest};

use super::{JoinRefusal, Live, PopChange, PopRecord, PopReport, PopStatus, Registry, Verified};
use crate::{Control, ControlError, Identity};

/// How long a token is good if nothing is said, in milliseconds.
pub const TOKEN_MS_DEFAULT: u64 = 3_600_000;
/// The longest that a token can be good, in milliseconds.
pub const TOKEN_MS_MAX: u64 = 30 * 86_400_000;

impl Control {
    /// Opens a token, with which one PoP can join once under this name. `hash` is that of its secret, which is kept nowhere.
    pub fn open_fleet_token(
        &self,
        who: &Identity,
        hash: &str,
        name: &str,
        relay: bool,
        expires_at: UnixMillis,
    ) -> Result<(), ControlError> {
        who.scope.allows(Permission::Administer)?;
        let now = self.now();
        if expires_at.0 > now.0 + TOKEN_MS_MAX {
            let what = "the time that a token is good, in milliseconds,".to_owned();
            return Err(ControlError::TooLarge { what, limit: TOKEN_MS_MAX });
        }
        self.change_registry(|registry| registry.open_token(hash, name, relay, expires_at, now))
    }

    /// Takes a PoP into the fleet that shows a token's secret with this hash; `key` is the hash of its public key.
    pub fn join_fleet(&self, hash: &str, key: &str) -> Result<Result<PopRecord, JoinRefusal>, ControlError> {
        let now = self.now();
        let joined = self.change_registry(|registry| Ok(registry.join(hash, key, now)))?;
        match &joined {
            Ok(record) => {
                tracing::info!(pop = record.name, relay = record.relay, "a PoP has joined the fleet");
                self.0.live().forget(&record.name);
            }
            Err(refusal) => tracing::warn!(?refusal, "a node that wanted to join the fleet was refused"),
        }
        Ok(joined)
    }

    /// Notes a certificate that a PoP was given.
    pub fn certificate_issued(
        &self,
        name: &str,
        fingerprint: &str,
        expires_at: UnixMillis,
    ) -> Result<(), ControlError> {
        let now = self.now();
        self.change_registry(|registry| {
            registry.issued(name, fingerprint, expires_at, now);
            Ok(())
        })
    }

    /// Whether a certificate with this name in it opens nothing (any more). Does not wait for a disk.
    pub fn is_revoked(&self, name: &str, fingerprint: &str) -> bool {
        self.0.registry.current().is_revoked(name, fingerprint)
    }

    /// The hashes of all certificates that were revoked.
    pub fn revoked_certificates(&self) -> Vec<String> {
        self.0.registry.current().revoked().map(str::to_owned).collect()
    }

    /// What is kept of a PoP.
    pub fn pop_record(&self, name: &str) -> Option<PopRecord> {
        self.0.registry.current().pops.get(name).cloned()
    }

    /// Puts a PoP out of the fleet, for good.
    pub fn revoke_pop(&self, who: &Identity, name: &str) -> Result<PopRecord, ControlError> {
        who.scope.allows(Permission::Administer)?;
        let now = self.now();
        self.change_pop(name, |record| record.revoked_at = Some(record.revoked_at.unwrap_or(now)))
    }

    /// Drains a PoP or ends that.
    pub fn drain_pop(&self, who: &Identity, name: &str, drained: bool) -> Result<PopRecord, ControlError> {
        who.scope.allows(Permission::Administer)?;
        self.change_pop(name, |record| record.drained = drained)
    }

    /// All PoPs by name and how they are.
    pub fn fleet(&self, who: &Identity) -> Result<Vec<PopStatus>, ControlError> {
        who.scope.allows(Permission::Administer)?;
        let (head, now) = (self.applied(), self.now());
        let (registry, live) = (self.0.registry.current(), self.0.live());
        Ok(registry.pops.values().map(|record| live.status(record, head, now)).collect())
    }

    /// The last revision that this node and every PoP answers with that is heard of and not drained.
    pub fn in_sync(&self) -> Revision {
        let (local, now) = (self.applied(), self.now());
        let (registry, live) = (self.0.registry.current(), self.0.live());
        live.in_sync(registry.pops.values(), local, now)
    }

    /// The last revision that this node and every PoP answers with, heard of or not, and how many PoPs do not have `revision`.
    pub(crate) fn spread(&self, revision: Revision) -> (Revision, u32) {
        let local = self.applied();
        let (registry, live) = (self.0.registry.current(), self.0.live());
        (live.everywhere(registry.pops.values(), local), live.behind(registry.pops.values(), revision))
    }

    /// Whether PoPs belong to the fleet.
    pub(crate) fn has_pops(&self) -> bool {
        self.0.registry.current().pops.values().any(|record| record.revoked_at.is_none())
    }

    /// What each PoP has of a revision.
    pub(crate) fn pop_changes(&self, revision: Revision) -> Vec<PopChange> {
        let now = self.now();
        let (registry, live) = (self.0.registry.current(), self.0.live());
        let members = registry.pops.values().filter(|record| record.revoked_at.is_none());
        members.map(|record| live.progress(record, revision, now)).collect()
    }

    /// A PoP made contact, by a relay or by itself.
    pub fn pop_connected(&self, name: &str, via: Option<&str>) {
        self.0.live().connected(name, via, self.now());
    }

    /// A PoP was told that it has another or a longer history.
    pub fn pop_is_ahead(&self, name: &str, revision: Revision) {
        tracing::error!(
            pop = name, %revision,
            "a PoP has a revision that is not in this log: was the store put back to an older state? The PoP goes on with what it has"
        );
        self.0.live().refused_as_ahead(name, revision, self.now());
    }

    /// A PoP answers with a revision and has this digest, since `at` by this node's clock.
    pub fn pop_acknowledged(&self, name: &str, revision: Revision, digest: ShortDigest, at: UnixMillis) {
        let expected = self.digest_at(revision);
        let good = expected.map(|expected| expected == digest);
        let (head, now) = (self.applied(), self.now());
        if self.0.live().acknowledged(name, revision, good, at, head, now) {
            tracing::error!(pop = name, %revision, "a PoP answers with other data than it ought to: its zones are compared");
        }
    }

    /// What a PoP says of itself.
    pub fn pop_reported(&self, name: &str, report: PopReport) {
        self.0.live().reported(name, report, self.now());
    }

    /// Zones of a PoP were found to differ and are sent anew.
    pub fn pop_differs(&self, name: &str, zones: Vec<String>) {
        let zones = self.0.live().differ(name, zones);
        if !zones.is_empty() {
            tracing::warn!(pop = name, ?zones, "zones of a PoP differ and are sent to it anew");
        }
    }

    /// A PoP has read every octet that it serves from.
    pub fn pop_verified(&self, name: &str, revision: Revision, digest: ShortDigest, zones: u64, octets: u64) {
        let good = self.digest_at(revision) == Some(digest);
        let verified = Verified { revision, at: self.now(), zones, octets, digest, good };
        self.0.live().verified(name, verified);
    }

    /// The digest of all zones at a revision; `None` if the log has none of it.
    pub fn digest_at(&self, revision: Revision) -> Option<ShortDigest> {
        let remembered = self.0.live().digest_at(revision);
        remembered.or_else(|| {
            let before = Revision(revision.0.checked_sub(1)?);
            let entry = self.0.store.entries(before, 1).ok()?.pop()?;
            entry.digest.filter(|_| entry.revision == revision)
        })
    }

    /// Makes durable when each PoP was last heard of, if there is anything new. To be called about once a minute, and at the end.
    pub fn keep_contacts(&self) -> Result<(), ControlError> {
        let registry = self.0.registry.current();
        let is_news = |name: &str, at| registry.pops.get(name).is_some_and(|record| record.heard_at != Some(at));
        let live = self.0.live();
        let contacts: Vec<_> =
            live.contacts().filter(|&(name, at)| is_news(name, at)).map(|(name, at)| (name.to_owned(), at)).collect();
        drop(live);
        if contacts.is_empty() {
            return Ok(());
        }
        self.change_registry(|registry| {
            for (name, at) in contacts {
                if let Some(record) = registry.pops.get_mut(&name) {
                    record.heard_at = Some(at);
                }
            }
            Ok(())
        })
    }

    fn change_pop(&self, name: &str, change: impl FnOnce(&mut PopRecord)) -> Result<PopRecord, ControlError> {
        self.change_registry(|registry| {
            let not_found = || ControlError::NoSuchPop { name: name.to_owned() };
            let record = registry.pops.get_mut(name).ok_or_else(not_found)?;
            change(record);
            Ok(record.clone())
        })
    }

    /// Changes the registry durably, or not at all.
    fn change_registry<T>(
        &self,
        change: impl FnOnce(&mut Registry) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        self.0.registry.change(&*self.0.store, change)
    }
}

impl crate::Shared {
    pub(crate) fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
