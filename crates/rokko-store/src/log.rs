//! The contract that every store fulfils.

use std::path::Path;

use rokko_model::{Actor, ApiKey, ChangeKind, UnixMillis, ZoneMeta};
use rokko_wire::Name;
use rokko_zone::{Delta, Revision, Serial, ShortDigest, Zone, ZonePageChanges};

use crate::KeyStore;

/// The version of a zone that a commit replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionBefore {
    /// The zone does not exist.
    Absent,
    /// The zone's last change is this revision.
    At(Revision),
}

/// A change that is worked out and only has to be made durable.
pub struct Commit {
    /// The zone's name.
    pub zone: Name,
    /// The version that it was worked out on.
    pub before: VersionBefore,
    /// When it was made.
    pub at: UnixMillis,
    /// Who made it.
    pub actor: Actor,
    /// Why, in the words of who made it; may be empty.
    pub reason: String,
    /// What sort of change it is.
    pub kind: ChangeKind,
    /// How the records change.
    pub delta: Delta,
    /// What the zone is afterwards.
    pub after: NewState,
    /// The digest of all zones afterwards.
    pub digest: ShortDigest,
}

/// What a zone is after a commit.
#[expect(clippy::large_enum_variant, reason = "nearly every commit has the large one")]
pub enum NewState {
    /// It exists.
    Present {
        /// Its serial.
        serial: Serial,
        /// How many records it has.
        records: u64,
        /// Its metadata, if it changed or the zone is new.
        meta: Option<ZoneMeta>,
        /// Its pages that differ from the version before. For a zone that did not exist these are all its pages.
        pages: ZonePageChanges,
    },
    /// It does not exist.
    Absent,
}

/// A zone in the store, without its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneRecord {
    /// Its name.
    pub name: Name,
    /// Its last change.
    pub revision: Revision,
    /// Its serial.
    pub serial: Serial,
    /// How many records it has.
    pub records: u64,
    /// When it last changed.
    pub changed_at: UnixMillis,
    /// Its metadata.
    pub meta: ZoneMeta,
}

/// One revision as the log has it, without the records that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number.
    pub revision: Revision,
    /// The zone.
    pub zone: Name,
    /// The zone's version before; `None` if the zone did not exist.
    pub before: Option<Revision>,
    /// When it was made.
    pub at: UnixMillis,
    /// Who made it.
    pub actor: Actor,
    /// Why.
    pub reason: String,
    /// What sort of change it is.
    pub kind: ChangeKind,
    /// The zone's serial afterwards; `None` if it was deleted.
    pub serial: Option<Serial>,
    /// How many RRsets changed.
    pub rrsets_changed: u64,
    /// The metadata afterwards, if it changed.
    pub meta: Option<ZoneMeta>,
    /// The digest of all zones afterwards; `None` where a version of the program made it that had none.
    pub digest: Option<ShortDigest>,
}

/// Which zones a listing gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneFilter {
    /// Only zones of this account.
    pub account: Option<String>,
    /// Only zones whose name in presentation format has this text in it (lower case).
    pub name_contains: Option<String>,
    /// Only this name and those below it.
    pub below: Option<Name>,
}

impl ZoneFilter {
    /// Whether a zone passes.
    pub fn passes(&self, record: &ZoneRecord) -> bool {
        self.account.as_ref().is_none_or(|account| *account == record.meta.account)
            && self.name_contains.as_ref().is_none_or(|part| record.name.to_string().contains(part.as_str()))
            && self.below.as_ref().is_none_or(|below| record.name.is_in(below))
    }
}

/// Why a store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A zone's version is another one than the commit was worked out on. Nothing was stored.
    #[error("the zone {zone} has changed meanwhile")]
    Stale {
        /// The zone.
        zone: Name,
        /// Its current version; `None` if it does not exist.
        current: Option<Revision>,
    },
    /// No room is left on the disk. Nothing was stored.
    #[error("the disk of the store is full: free some space; changes are refused until then")]
    Full,
    /// Stored bytes contradict themselves.
    #[error("the store is damaged at {place}: {what}")]
    Damaged {
        /// Where.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// Another process has the store open for writing.
    #[error("the store {0} is in use by another process: stop it first")]
    Busy(String),
    /// The store's format is newer than this program.
    #[error("the store has format version {found}, this program knows up to {known}: use a newer program")]
    Version {
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The store's format is older, and this sort of access does not bring it up to date.
    #[error(
        "the store has format version {found}, and {present} is needed here: start the node once with this program"
    )]
    OldVersion {
        /// The version found.
        found: u32,
        /// The version needed.
        present: u32,
    },
    /// The database or the operating system refused.
    #[error("{doing} failed")]
    Backend {
        /// What was being done.
        doing: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A durable log of changes and the state that follows from it.
///
/// All calls block until they are done. Reads see all that was appended before them. Any number of threads may
/// read; appends exclude each other.
pub trait Store: KeyStore {
    /// The last revision; 0 in an empty store.
    fn head(&self) -> Result<Revision, StoreError>;

    /// Appends commits in order, all or none, and returns the revision of the first; the others follow without a
    /// gap. When this returns they survive a crash of the process and of the machine.
    ///
    /// A later commit of the same call may build on an earlier one of the same zone: its `before` is then the
    /// revision that the earlier one gets.
    fn append(&self, commits: &[Commit]) -> Result<Revision, StoreError>;

    /// One zone without its records.
    fn zone(&self, name: &Name) -> Result<Option<ZoneRecord>, StoreError>;

    /// Up to `limit` zones after the name `after` in canonical order that pass the filter. The cost depends on
    /// `limit`, not on how many zones there are; with a filter that few zones pass, a call may look at many.
    fn zones(&self, after: Option<&Name>, limit: usize, filter: &ZoneFilter) -> Result<Vec<ZoneRecord>, StoreError>;

    /// How many zones there are.
    fn zone_count(&self) -> Result<u64, StoreError>;

    /// One zone with its records.
    fn load_zone(&self, name: &Name) -> Result<Option<(ZoneRecord, Zone)>, StoreError>;

    /// Calls `each` for every zone, of one consistent state, and returns that state's revision. Every page is
    /// checked; the first damaged one ends the call with [`StoreError::Damaged`] that names the zone.
    fn load_all(&self, each: &mut dyn FnMut(Zone)) -> Result<Revision, StoreError>;

    /// The last `limit` revisions of a zone below `before` (`None`: from the newest), newest first; of a
    /// deleted zone too.
    fn history(&self, zone: &Name, before: Option<Revision>, limit: usize) -> Result<Vec<LogEntry>, StoreError>;

    /// Up to `limit` revisions after one, over all zones, oldest first.
    fn entries(&self, after: Revision, limit: usize) -> Result<Vec<LogEntry>, StoreError>;

    /// One revision with the records that it changed.
    fn entry(&self, revision: Revision) -> Result<Option<(LogEntry, Delta)>, StoreError>;

    /// All keys, revoked ones too.
    fn keys(&self) -> Result<Vec<ApiKey>, StoreError>;

    /// Adds a key, or replaces the one with the same id. Durable on return.
    fn put_key(&self, key: &ApiKey) -> Result<(), StoreError>;

    /// A small value that belongs to the installation.
    fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Sets such a value. Durable on return.
    fn put_setting(&self, name: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Writes a consistent copy to a new file while appends go on. `progress` gets parts done and in all.
    fn backup(&self, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), StoreError>;
}
