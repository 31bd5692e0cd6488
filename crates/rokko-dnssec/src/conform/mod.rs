//! Signing: what makes a zone, or a part of it, conform to a plan.
//!
//! ```text
//! affected names ──► per name: which NSEC, which signatures stay, what is to be signed ──► one call of Sign ──► Delta
//!                └─► per hash: which NSEC3 comes, goes or points elsewhere ───────────┘
//! ```
//!
//! A zone that conforms is left alone, so all of it can be repeated, and can be done in any portions: a user's change,
//! the first signing of a zone, the renewal of signatures, a change of keys and a change of denial are the same work.

mod affected;
mod chain;
mod job;
mod walk;

use rokko_wire::Name;
use rokko_zone::edit::RRSET_OCTETS_MAX;
use rokko_zone::{Delta, Zone};

pub use walk::{Cursor, Walk};

use crate::plan::{Plan, Sign, SignError};
use affected::Affected;
use job::Job;

/// The most names that one change may move below a cut or out from below one.
pub const NAMES_BELOW_MAX: usize = 100_000;

/// What conforming comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conformed {
    /// The changes of RRSIG, NSEC and NSEC3 RRsets against the zone that was given; see [`Delta::then`] to join them to
    /// the user's.
    pub delta: Delta,
    /// Whether the TTL of all denial changes, so that a [`Walk`] over the zone is due. What was touched is right
    /// already, and what was not is valid still.
    pub needs_walk: bool,
    /// The names whose NSEC3 records come, go or get other types, for [`crate::verify::Terms::hashed`].
    pub hashed: Vec<Name>,
    /// How many signatures were made.
    pub signatures: usize,
    /// The earliest expiration among the signatures at the names that were looked at, those that stay and new ones.
    pub expires_first: Option<u32>,
}

/// Why a zone could not be made to conform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConformError {
    /// Without a SOA record denial has no TTL.
    #[error("{0} has no SOA record, so that it can't be signed: add one")]
    NoSoa(Name),
    /// A name with data is also the hash of another name.
    #[error(
        "{0} is the hashed form of another name of the zone (NSEC3): it can't hold other records, use another name"
    )]
    NameTaken(Name),
    /// A change of NS or DNAME concerns too many names.
    #[error(
        "there are more than {NAMES_BELOW_MAX} names below {0}: delete or add them in portions before its NS or DNAME RRset changes"
    )]
    TooManyBelow(Name),
    /// The signatures of one name would not fit into an RRset.
    #[error(
        "the signatures of {0} would have more than {RRSET_OCTETS_MAX} octets: spread its RRsets over several names"
    )]
    TooManySignatures(Name),
    /// The zone's name leaves no room for hashed names below it.
    #[error("{0} is too long for NSEC3, whose records stand at names with 33 octets more: use NSEC")]
    ApexTooLong(Name),
    /// A name that has to be hashed or signed does not lie in the zone.
    #[error("{0} is not in the zone")]
    OutOfZone(Name),
    /// The signatures could not be made.
    #[error("the signatures could not be made")]
    Sign(#[from] SignError),
    /// Another number of signatures came back than was asked for.
    #[error("found {found} signatures, expected {expected}: the signer is at fault")]
    Count {
        /// How many came.
        found: usize,
        /// How many were asked for.
        expected: usize,
    },
}

/// Makes the names conform that a change touches, and those that depend on them.
///
/// `draft` is the zone with the user's change applied and its signing records as before; `delta` is that change. The
/// result is made against `draft`. All signatures are made by one call of `sign`.
///
/// Besides the names in `delta`, these depend on it: the neighbours in the chains of names that come or go, empty
/// non-terminals, and all names below one where NS or DNAME comes or goes. The cost does not depend on the size of the
/// zone. RRsets in `delta` are signed anew; at the other RRsets of these names a signature stays that fits and does not
/// expire soon.
pub fn conform_touched(draft: &Zone, delta: &Delta, plan: &Plan, sign: &dyn Sign) -> Result<Conformed, ConformError> {
    let mut job = Job::new(draft, plan)?;
    let affected = Affected::of(&job, delta)?;
    job.names(&affected.names)?;
    job.hashes(affected.hashed.iter().map(|key| &**key))?;
    let mut conformed = job.finish(sign)?;
    conformed.needs_walk = affected.needs_walk;
    Ok(conformed)
}

/// Makes the next `names_max` names, from `cursor` on, conform; returns where to go on, or `None` at the end.
///
/// First come all names with data, then the NSEC3 records. Data is taken to be what its signatures were made for; see
/// [`crate::verify`] for finding those that are not. To build a chain of NSEC3 in a large zone use a [`Walk`], which
/// signs each record once.
///
/// With a larger `refresh_before_s` than usual a small zone, one of whose signatures is due, has all of them renewed
/// together.
pub fn conform_range(
    zone: &Zone,
    cursor: &Cursor,
    names_max: usize,
    plan: &Plan,
    sign: &dyn Sign,
) -> Result<(Conformed, Option<Cursor>), ConformError> {
    let mut job = Job::new(zone, plan)?;
    let next = walk::load_range(&mut job, cursor, names_max)?;
    Ok((job.finish(sign)?, next))
}
