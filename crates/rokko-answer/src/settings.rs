//! How an [`Answerer`](crate::Answerer) answers, and whom.

use std::net::IpAddr;

use crate::RateLimits;

/// What a query for all types is answered with (RFC 8482).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnyPolicy {
    /// One RRset of the name (§4.1).
    #[default]
    OneRrset,
    /// A made-up HINFO record (§4.2); in a signed zone one RRset, since the made-up one has no signature.
    Hinfo,
    /// Over TCP all RRsets (§4.4), over UDP one.
    FullOverTcp,
}

/// What becomes of DNS cookies (RFC 7873).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieMode {
    /// The option is ignored.
    Off,
    /// A query with a cookie gets a server cookie; nothing is refused without one.
    #[default]
    Respond,
}

/// How queries are answered.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest UDP response in octets, at least 512; also what the server announces in its OPT record.
    pub udp_payload_max: u16,
    /// The name server identifier (RFC 5001), sent to those who ask; none if empty. Octets after the 255th are cut off.
    pub nsid: Vec<u8>,
    /// What `version.bind` and `version.server` in class CH say; refused if `None`. At most 255 octets are sent.
    pub version: Option<String>,
    /// What `id.server` and `hostname.bind` in class CH say; refused if `None`. At most 255 octets are sent.
    pub identity: Option<String>,
    /// What a query for all types is answered with.
    pub any: AnyPolicy,
    /// Whether the additional section holds only what is needed: glue of a referral. If false, also the addresses
    /// that the zone has for the targets of NS, MX, SRV, SVCB and HTTPS answers.
    pub minimal: bool,
    /// What becomes of DNS cookies.
    pub cookies: CookieMode,
    /// The most CNAME and DNAME records that one response follows.
    pub cname_chain_max: u8,
    /// Whether errors are explained (RFC 8914) to clients that use EDNS.
    pub extended_errors: bool,
    /// How many responses over UDP a client prefix gets, where the answerer has a table to count them
    /// ([`Answerer::with_rate_table`](crate::Answerer::with_rate_table)).
    pub rate: RateLimits,
    /// What the server can answer for.
    pub service: Service,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            udp_payload_max: 1232,
            nsid: Vec::new(),
            version: None,
            identity: None,
            any: AnyPolicy::default(),
            minimal: true,
            cookies: CookieMode::default(),
            cname_chain_max: 20,
            extended_errors: true,
            rate: RateLimits::default(),
            service: Service::default(),
        }
    }
}

/// What a server can answer for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// All its zones are there.
    #[default]
    Full,
    /// Zones may be missing: a name that is in no zone is answered with SERVFAIL, so that clients ask another server.
    Incomplete,
    /// The zones are too old to be answered with: everything is SERVFAIL.
    Suspended,
}

/// What a query came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams: the response's size is limited and the address may be forged.
    Udp,
    /// A stream, TLS and the like included: up to 65,535 octets.
    Tcp,
}

/// Who asks, how and when.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The address that the query came from.
    pub addr: IpAddr,
    /// What it came over.
    pub transport: Transport,
    /// The time in milliseconds since 1970: for cookies, and for rate limits.
    pub now_ms: u64,
}

impl Client {
    /// The time in seconds since 1970, modulo 2^32 (RFC 9018 §4.3).
    pub(crate) fn now_s(&self) -> u32 {
        u32::try_from((self.now_ms / 1000) & u64::from(u32::MAX)).unwrap_or_default()
    }
}
