//! Integration tests of the feed's two ends, with data in memory. The simulation of a whole fleet is with the mirror.

// The attribute tells clippy that helpers are test code too.
#[cfg(test)]
mod data;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod session;
