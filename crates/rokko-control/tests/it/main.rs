//! The control plane over a real store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

mod dnssec;
mod keys;
mod road;
mod writing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rokko_control::{Control, Identity, Limits, Options};
use rokko_model::{Expect, Request, Signing, UnixMillis, ZoneMeta};
use rokko_store::SqliteStore;
use rokko_wire::{Name, Rtype};
use rokko_zone::{Catalog, Edit, Revision, Rrset, Ttl, Zone, rdata};

/// A control plane on a store of its own, with a clock that the test moves.
struct Node {
    folder: Option<tempfile::TempDir>,
    control: Control,
    catalog: Arc<Catalog>,
    clock_ms: Arc<AtomicU64>,
}

impl Node {
    fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), Limits::default())
    }

    fn open(folder: tempfile::TempDir, limits: Limits) -> Self {
        Self::open_with(folder, Options { limits, ..Options::default() })
    }

    fn open_with(folder: tempfile::TempDir, options: Options) -> Self {
        let store = Arc::new(SqliteStore::open(&folder.path().join("store.db")).unwrap());
        let catalog = Arc::new(Catalog::new(42));
        let clock_ms = Arc::new(AtomicU64::new(1_795_456_898_000));
        let clock = Arc::clone(&clock_ms);
        let options = Options { clock: Arc::new(move || UnixMillis(clock.load(Ordering::Relaxed))), ..options };
        let disk = rokko_mirror::Folder::open(&folder.path().join("mirror")).unwrap();
        let lazy =
            rokko_mirror::Options { durability: rokko_mirror::Durability::Lazy, ..rokko_mirror::Options::default() };
        let (mirror, _) = rokko_mirror::Mirror::open(Arc::new(disk), Arc::clone(&catalog), lazy).unwrap();
        let control = Control::open(store, Arc::new(mirror), options).unwrap();
        Self { folder: Some(folder), control, catalog, clock_ms }
    }

    /// Stops the node and starts it again on the same store.
    fn restart(mut self) -> Self {
        let folder = self.folder.take().unwrap();
        drop(self);
        Self::open(folder, Limits::default())
    }

    fn zone(&self, zone: &str) -> Option<Zone> {
        self.catalog.zone(&name(zone))
    }

    /// An RRset as text: TTL and record data, or nothing.
    fn rrset(&self, zone: &str, owner: &str, rtype: Rtype) -> Option<(u32, Vec<String>)> {
        let zone = self.zone(zone)?;
        let found = zone.rrset(&name(owner), rtype)?;
        Some((found.ttl().as_secs(), found.rdatas().map(|data| rdata::to_text(rtype, data)).collect()))
    }

    fn submit(&self, request: Request) -> Result<rokko_control::Committed, rokko_control::ControlError> {
        let outcome = self.control.submit_wait(&Identity::local(), "test", vec![request])?;
        Ok(outcome.into_iter().next().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.control.stop();
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn rrset(owner: &str, rtype: Rtype, ttl: u32, records: &[&str]) -> Rrset {
    let rdatas = records.iter().map(|text| rdata::from_text(rtype, text, None).unwrap()).collect();
    Rrset { owner: name(owner), rtype, ttl: Ttl::new(ttl).unwrap(), rdatas }
}

fn create(zone: &str) -> Request {
    let ns = rrset(zone, Rtype::NS, 3600, &["ns1.hosting.example.", "ns2.hosting.example."]);
    Request::Create { zone: name(zone), meta: ZoneMeta::default(), contents: vec![ns], signing: Signing::Off }
}

fn edit(zone: &str, edits: Vec<Edit>) -> Request {
    Request::Edit { zone: name(zone), expect: Expect::Any, edits, annotations: Vec::new() }
}

fn edit_at(zone: &str, version: Revision, edits: Vec<Edit>) -> Request {
    Request::Edit { zone: name(zone), expect: Expect::Version(version), edits, annotations: Vec::new() }
}

fn set(owner: &str, rtype: Rtype, records: &[&str]) -> Edit {
    Edit::Replace(rrset(owner, rtype, 300, records))
}
