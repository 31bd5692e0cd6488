//! The life of keys, simulated: a clock of its own, servers of the zone that lag, a parent that is slow, a signer that is down,
//! and caches that hold whatever TTLs allow. No combination of what they hold may ever be bogus.

mod cache;
mod facts;
mod operator;
mod random;
mod rollovers;
mod scenario;
mod simulation;
mod world;
