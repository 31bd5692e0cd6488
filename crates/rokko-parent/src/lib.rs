//! Asks all servers of a zone's parent for the zone's DS records.
//!
//! ```text
//!  zone ──► resolvers: whose is the name above, NS ──► their addresses ──► each of them: DS? ──► ParentView
//! ```
//!
//! The resolvers find the servers; what counts is what each server itself has. Everything is bounded in time and number, and
//! nothing is kept but which servers serve which parent, for an hour.

mod ask;
mod find;
mod look;
mod settings;

pub use ask::{AskError, Timing};
pub use find::{FindError, SERVERS_MAX};
pub use look::{Looker, look};
pub use settings::{Settings, resolvers};
