//! Moves datagrams and streams. Knows no zones.
