//! The replication protocol: what a revision changes, and the two ends of a connection that carries it.
//!
//! What goes to other nodes: [`frame`]s, as they are also kept in a mirror's log, in [`message`]s. [`serve`] and [`follow`] are the
//! two ends as state machines; [`audit`] finds the zones in which two nodes differ.
//!
//! Pure: no socket, file, clock, randomness, thread or async runtime.

pub mod audit;
mod clock;
mod codec;
pub mod follow;
pub mod frame;
pub mod message;
pub mod serve;

pub use clock::Clock;
pub use codec::DecodeError;
pub use frame::SetId;
