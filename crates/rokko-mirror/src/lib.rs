//! The durable local copy that a node answers from: a snapshot of all zones, and a log of the changes since.
//!
//! ```text
//! frame ─► log on the disk (fdatasync) ─► catalog ─► answers
//!              │        ▲
//!              ▼        └ at a start: snapshot, then log
//!          compaction: a new snapshot of the catalog
//! ```
//!
//! What is on the disk is read and checked, never mapped, so that no octet that rots later is served. Damage is reported
//! and costs as little as possible: the zones of one block, or the changes of one record. What is missing is found by
//! digests and put right by [`Mirror::repair`].
//!
//! Nothing here starts a thread of its own, but reading a snapshot may use several. One thread applies; any may read.

mod audit;
mod compact;
pub mod disk;
pub mod error;
pub mod feed;
mod history;
mod install;
mod load;
mod log;
mod mirror;
mod open;
pub mod segment;
#[doc(hidden)]
pub mod sim;
pub mod snapshot;
mod work;
mod write;

pub use audit::{Verified, Verify, View};
pub use compact::Compaction;
pub use disk::{Disk, Folder};
pub use error::{Damage, Damages, Fault, MirrorError};

pub use history::{Next, SnapshotSource};
pub use install::{Announced, Installer, Partial};
#[doc(hidden)]
pub use load::read_snapshot;
pub use mirror::{Applied, Durability, Mirror, Options, Published};
pub use open::OpenReport;
pub use rokko_feed::SetId;
