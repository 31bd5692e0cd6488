//! Zones and queries made up from a seed: the same arguments give the same data.

mod queries;
mod random;
mod registry;
mod set;
mod zones;

pub(crate) use queries::{Mix, Pick, QUERY_LEN_MAX, Queries, query};
pub(crate) use random::Random;
pub(crate) use set::{Set, ZoneFile, grouped};
pub(crate) use zones::{small_zone, small_zone_text};
