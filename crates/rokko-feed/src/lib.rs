//! The replication protocol: what a revision changes, and the follower that applies it.
//!
//! What goes to other nodes: [`frame`]s, as they are also kept in a mirror's log, in [`message`]s.
//!
//! Below is the form within one process: frames carry the zones themselves, which share their pages with the sender.
//! A follower takes frames in order, without a gap, and never goes back; what it has applied is what its catalog answers.
//!
//! Pure: no socket, file, clock, randomness, thread or async runtime.

pub mod audit;
mod clock;
mod codec;
pub mod follow;
pub mod frame;
pub mod message;
pub mod serve;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rokko_wire::Name;
use rokko_zone::{Catalog, Revision, Zone};

pub use clock::Clock;
pub use codec::DecodeError;
pub use frame::SetId;

/// Some consecutive revisions and what they come to.
pub struct Frame {
    /// The revision that the frame follows.
    pub after: Revision,
    /// The last revision in it.
    pub last: Revision,
    /// Each zone that changed, as it is at `last`; `None`: it was deleted.
    pub zones: Vec<(Name, Option<Zone>)>,
}

/// Why a follower refuses a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The frame is older than what was applied, or repeats it.
    #[error("a frame up to revision {last} came when revision {applied} was applied already")]
    Old {
        /// The frame's last revision.
        last: Revision,
        /// What was applied.
        applied: Revision,
    },
    /// Revisions between what was applied and the frame are missing.
    #[error("a frame after revision {after} came when only revision {applied} was applied")]
    Gap {
        /// The revision that the frame follows.
        after: Revision,
        /// What was applied.
        applied: Revision,
    },
}

/// Applies frames to a catalog. Frames come from one thread; any thread may ask how far it is.
pub struct Follower {
    catalog: Arc<Catalog>,
    applied: AtomicU64,
}

impl Follower {
    /// A follower of a catalog that holds what the log comes to at revision `at`.
    pub fn new(catalog: Arc<Catalog>, at: Revision) -> Self {
        Self { catalog, applied: AtomicU64::new(at.0) }
    }

    /// The catalog that it writes.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The last revision that the catalog answers with.
    pub fn applied(&self) -> Revision {
        Revision(self.applied.load(Ordering::Acquire))
    }

    /// Publishes a frame's zones and acknowledges its last revision.
    pub fn apply(&self, frame: Frame) -> Result<Revision, FeedError> {
        let applied = self.applied();
        if frame.last <= applied {
            return Err(FeedError::Old { last: frame.last, applied });
        }
        if frame.after != applied {
            return Err(FeedError::Gap { after: frame.after, applied });
        }
        self.catalog.publish(frame.zones);
        self.applied.store(frame.last.0, Ordering::Release);
        Ok(frame.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(after: u64, last: u64, zone: &str) -> Frame {
        let name: Name = zone.parse().unwrap();
        Frame { after: Revision(after), last: Revision(last), zones: vec![(name.clone(), Some(Zone::empty(&name)))] }
    }

    #[test]
    fn frames_apply_in_order_and_never_twice() {
        let follower = Follower::new(Arc::new(Catalog::new(1)), Revision(4));
        assert_eq!(follower.apply(frame(4, 6, "a.")), Ok(Revision(6)));
        assert_eq!(follower.apply(frame(4, 6, "b.")), Err(FeedError::Old { last: Revision(6), applied: Revision(6) }));
        assert_eq!(follower.apply(frame(7, 8, "c.")), Err(FeedError::Gap { after: Revision(7), applied: Revision(6) }));
        assert_eq!((follower.applied(), follower.catalog().len()), (Revision(6), 1));
        assert_eq!(follower.apply(frame(6, 7, "d.")), Ok(Revision(7)));
    }
}
