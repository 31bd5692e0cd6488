//! The use cases; the sole writer.
