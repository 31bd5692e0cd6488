//! What the control plane speaks of: actors, keys, scopes, change sets and zone metadata.
