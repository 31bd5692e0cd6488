//! Finding the zones in which two copies differ, without sending all of them.
//!
//! ```text
//! sums per bucket ──► buckets that differ ──► marks of their zones ──► zones that differ ──► sent again
//! ```
//!
//! What takes long is a [`Job`]: it reads a consistent view of all zones, on a thread of its own.

use std::collections::{BTreeMap, BTreeSet};

use rokko_wire::Name;
use rokko_zone::{Revision, ZoneMark};

use crate::message::Verified;

/// All zones of a node at one revision.
pub trait View {
    /// The revision.
    fn revision(&self) -> Revision;
    /// The sum modulo 2^128 of each bucket's digests of zones, [`crate::message::BUCKETS`] of them.
    fn sums(&self) -> Vec<u128>;
    /// The marks of all zones in some buckets.
    fn marks(&self, buckets: &BTreeSet<u16>) -> Vec<ZoneMark>;
    /// The names that have these hashes, of zones that there are.
    fn names(&self, hashes: &BTreeSet<u64>) -> Vec<Name>;
    /// Reads every octet. The time is left to the caller.
    fn verify(&self) -> Verified;
}

/// Something to be worked out from all zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// The sums of all buckets.
    Sums,
    /// The marks of zones in these buckets.
    Marks(BTreeSet<u16>),
    /// The names of zones with these hashes.
    Names(BTreeSet<u64>),
    /// Which zones in these buckets differ from another node's.
    Compare {
        /// The other's revision.
        revision: Revision,
        /// The buckets.
        buckets: BTreeSet<u16>,
        /// The other's marks in them.
        marks: Vec<ZoneMark>,
    },
    /// The digest anew from every octet.
    Verify,
}

/// What a job came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The sums of all buckets.
    Sums {
        /// At which revision.
        revision: Revision,
        /// The sums.
        sums: Vec<u128>,
    },
    /// Marks of zones.
    Marks {
        /// At which revision.
        revision: Revision,
        /// The marks.
        marks: Vec<ZoneMark>,
    },
    /// Names of zones.
    Names(Vec<Name>),
    /// Which zones differ.
    Compared {
        /// Those that are there.
        names: Vec<Name>,
        /// The hashes of the names of those that only the other has.
        unknown: Vec<u64>,
    },
    /// The digest anew.
    Verified(Verified),
}

impl Job {
    /// Does the job.
    pub fn run(self, view: &dyn View) -> Done {
        let revision = view.revision();
        match self {
            Job::Sums => Done::Sums { revision, sums: view.sums() },
            Job::Marks(buckets) => Done::Marks { revision, marks: view.marks(&buckets) },
            Job::Names(hashes) => Done::Names(view.names(&hashes)),
            Job::Compare { revision: theirs_at, buckets, marks } => {
                let (differing, unknown) = differences(&view.marks(&buckets), &marks, theirs_at, &buckets);
                let names = if differing.is_empty() { Vec::new() } else { view.names(&differing) };
                Done::Compared { names, unknown }
            }
            Job::Verify => Done::Verified(view.verify()),
        }
    }
}

/// Which bucket a zone is in, by the hash of its name.
pub fn bucket_of(name: u64) -> u16 {
    u16::try_from(name >> 48).unwrap_or(u16::MAX)
}

/// The hashes of the names of zones that differ: those that are here, and those that only the other has. A zone that is
/// newer here than the other's revision is on its way to it, and does not count.
fn differences(
    ours: &[ZoneMark],
    theirs: &[ZoneMark],
    theirs_at: Revision,
    buckets: &BTreeSet<u16>,
) -> (BTreeSet<u64>, Vec<u64>) {
    let theirs: BTreeMap<u64, &ZoneMark> = theirs.iter().map(|mark| (mark.name, mark)).collect();
    let settled = ours.iter().filter(|mark| mark.revision <= theirs_at);
    let differing = settled.filter(|mark| theirs.get(&mark.name) != Some(mark)).map(|mark| mark.name).collect();
    let known: BTreeSet<u64> = ours.iter().map(|mark| mark.name).collect();
    let others = theirs.into_keys().filter(|name| buckets.contains(&bucket_of(*name)));
    (differing, others.filter(|name| !known.contains(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_that_are_on_their_way_do_not_differ() {
        let mark = |name: u64, revision, digest| ZoneMark { name, revision: Revision(revision), digest };
        let ours = [mark(1, 5, 1), mark(2, 5, 2), mark(3, 11, 3), mark(4, 12, 4), mark(5, 7, 5), mark(6, 8, 6)];
        let theirs = [mark(1, 5, 1), mark(2, 5, 9), mark(3, 4, 3), mark(5, 6, 5), mark(7, 9, 7), mark(8 << 48, 9, 7)];
        let (differing, unknown) = differences(&ours, &theirs, Revision(10), &BTreeSet::from([0]));
        assert_eq!((differing, unknown), (BTreeSet::from([2, 5, 6]), vec![7]));
    }
}
