//! Integration tests of the store.

// The attribute tells clippy that helpers are test code too.
#[cfg(test)]
mod contract;
