//! What can be set.

use std::sync::Arc;
use std::time::SystemTime;

use rokko_model::UnixMillis;
use rokko_wire::Name;

use crate::dnssec::DnssecOptions;

/// How the control plane works.
#[derive(Clone)]
pub struct Options {
    /// What new zones get.
    pub defaults: ZoneDefaults,
    /// What is too much.
    pub limits: Limits,
    /// How zones are signed; `None`: none is.
    pub dnssec: Option<DnssecOptions>,
    /// The clock.
    pub clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            defaults: ZoneDefaults::default(),
            limits: Limits::default(),
            dnssec: None,
            clock: Arc::new(system_time),
        }
    }
}

/// What a zone gets that is made without a SOA record or without NS records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneDefaults {
    /// The name servers; the first one is the SOA's MNAME.
    pub nameservers: Vec<Name>,
    /// The SOA's RNAME; `None`: `hostmaster` below the zone's name.
    pub hostmaster: Option<Name>,
    /// REFRESH in seconds.
    pub refresh_s: u32,
    /// RETRY in seconds.
    pub retry_s: u32,
    /// EXPIRE in seconds.
    pub expire_s: u32,
    /// MINIMUM, the TTL of negative answers, in seconds (RFC 2308 §4).
    pub minimum_s: u32,
    /// The TTL of the SOA and NS records in seconds.
    pub ttl_s: u32,
}

impl Default for ZoneDefaults {
    fn default() -> Self {
        Self {
            nameservers: Vec::new(),
            hostmaster: None,
            refresh_s: 10_800,
            retry_s: 3600,
            expire_s: 1_209_600,
            minimum_s: 300,
            ttl_s: 3600,
        }
    }
}

/// What is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records of one zone.
    pub zone_records_max: u64,
    /// Requests of one change set.
    pub requests_max: usize,
    /// Change sets that wait for the writer.
    pub queue_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { zone_records_max: 50_000_000, requests_max: 10_000, queue_max: 4096 }
    }
}

fn system_time() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
