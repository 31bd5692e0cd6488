//! Zones as immutable snapshots: pages, edits, checks, presentation format and the catalog.
