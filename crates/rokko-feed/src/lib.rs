//! The replication protocol: what a revision changes, and the follower that applies it.
