//! HTTP: PowerDNS-compatible and native.
