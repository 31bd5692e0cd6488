//! The life of a zone's keys: made, brought in, rolled, taken out, each at the moment from which on it is safe.
//!
//! A zone is safe if each combination of DS RRset, DNSKEY RRset and signed data that caches may hold is valid. So what is
//! remembered is what caches may hold: for each of the three the versions that were published and are not gone from all caches yet
//! ([`State`]). How long that takes comes from TTLs, from the moment at which all servers of the zone had a change, and from what
//! all servers of the parent show ([`Facts`]). A step ([`step()`]) publishes of what is wanted ([`DnssecPolicy`], [`Command`]) as
//! much as is valid together with all of these. The usual four states of a record follow:
//!
//! | in the current version | in former versions | state |
//! |---|---|---|
//! | no | in none | hidden |
//! | yes | not in all | rumoured |
//! | yes | in all | omnipresent |
//! | no | in some | unretentive |
//!
//! See "Flexible and Robust Key Rollover in DNSSEC" (Mekking, Schaeffer), RFC 6781 and RFC 7583.

mod bootstrap;
mod command;
mod explain;
mod facts;
mod keys;
mod output;
mod parent;
mod policy;
mod rules;
mod set;
mod state;
mod step;
mod wait;

pub use bootstrap::{BootstrapError, bootstrap_records};
pub use command::{Command, Refused, command};
pub use explain::{Explanation, KeyExplanation, RecordState, explain};
pub use facts::{Clock, ClockGuard, DsSet, Facts, JUMP_S, ParentView, PeerView, ServerView, Visible};
pub use keys::{KeyMaker, KeyWanted, NewKey};
pub use output::{Chains, KeyRecords, SigningKey};
pub use policy::{AlgorithmChange, DenialPolicy, DnssecPolicy, KskMethod, Layout, PolicyError, SignatureTimes};
pub use set::{Held, History, KEYS_MAX, KeySet, VERSIONS_MAX};
pub use state::{BadKeyId, DenialChange, DenialPhase, Goal, HeldDs, Key, KeyId, KeyRrset, RequestSpread, Role, State};
pub use step::{LOOK_FRESH_S, Outcome, step};
pub use wait::{Cached, Wait};
