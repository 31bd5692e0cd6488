//! A control node and its PoPs, each in a network namespace of its own, with slow and lossy wires between them.
//!
//! ```text
//! netns   the namespaces;  link   a wire between two of them;  wire   that wires do what they are told
//! nodes   the processes;  storm   all that goes wrong at once, under changes and queries
//! ```

mod link;
mod netns;
mod nodes;
mod storm;
mod wire;
