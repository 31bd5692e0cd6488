//! Response rate limiting: by client prefix and kind of response, so that this server is of no use for a reflection attack,
//! and one client's flood leaves the others their answers.
//!
//! ```text
//!                 over TCP, or with our cookie: not limited
//! query ──► all queries of the prefix ──► answer it ──► this kind of response to the prefix ──► sent
//!                     │ over the limit                              │ over the limit
//!                     └──────────────► exempt? ◄────────────────────┘
//!                                         │ no
//!                                         ▼
//!        one in n at random: a slip (TC, no records), or BADCOOKIE for who has a COOKIE option; the rest: nothing
//! ```
//!
//! The decision is made on values: the time is an argument, and the one thing that threads share is a [`RateTable`].

mod heavy;
mod table;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

pub use heavy::Shed;
pub use table::{RATE_ENTRIES_MAX, RATE_ENTRIES_MIN, RATE_MAX, RateTable};

use heavy::Heavy;
pub(crate) use heavy::Source;
use table::Limit;

/// How many kinds of responses have a limit, see [`RateClass`].
pub const RATE_CLASSES: usize = 6;

/// The kinds of responses that are limited apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateClass {
    /// Everything for a client prefix.
    All,
    /// Answers, by the name that was asked for.
    Answer,
    /// NODATA, by the name that was asked for.
    NoData,
    /// NXDOMAIN, by zone: an attacker has any number of names that do not exist.
    NxDomain,
    /// Referrals, by zone.
    Referral,
    /// Errors such as REFUSED and FORMERR.
    Error,
}

impl RateClass {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; RATE_CLASSES] =
        [Self::All, Self::Answer, Self::NoData, Self::NxDomain, Self::Referral, Self::Error];

    /// A word for it, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Answer => "answer",
            Self::NoData => "nodata",
            Self::NxDomain => "nxdomain",
            Self::Referral => "referral",
            Self::Error => "error",
        }
    }
}

/// How many responses over UDP a client prefix gets. Rates are in responses per second, at most [`RATE_MAX`]; 0 is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Everything for a client prefix.
    pub all: u32,
    /// Answers for one name.
    pub answers: u32,
    /// NODATA responses for one name.
    pub nodata: u32,
    /// NXDOMAIN responses from one zone.
    pub nxdomain: u32,
    /// Referrals from one zone.
    pub referrals: u32,
    /// Error responses.
    pub errors: u32,
    /// How many milliseconds' worth of a rate can come at once after a pause.
    pub burst_ms: u32,
    /// One in so many suppressed responses, at random, is sent without records and with TC, so that a true client
    /// asks again over TCP; 0: none, 1: all.
    pub slip: u8,
    /// How many bits of an IPv4 address make a client prefix.
    pub ipv4_prefix_len: u8,
    /// How many bits of an IPv6 address make a client prefix.
    pub ipv6_prefix_len: u8,
    /// Clients without limits.
    pub exempt: Vec<Prefix>,
    /// From how many suppressed responses per second and thread on a client prefix is shed ([`Shed`]); 0: never.
    pub shed_above: u32,
    /// One in so many queries of a shed prefix is let through.
    pub shed_pass_one_in: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            all: 5_000,
            answers: 200,
            nodata: 200,
            nxdomain: 200,
            referrals: 1_000,
            errors: 200,
            burst_ms: 1_000,
            slip: 2,
            ipv4_prefix_len: 24,
            ipv6_prefix_len: 56,
            exempt: vec![
                Prefix::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
                Prefix::new(Ipv6Addr::LOCALHOST.into(), 128),
            ],
            shed_above: 20_000,
            shed_pass_one_in: 32,
        }
    }
}

/// The addresses that have their first bits in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    network: IpAddr,
    len: u8,
}

impl Prefix {
    /// The prefix of this length that `addr` lies in. A length beyond that of the address counts as that.
    pub fn new(addr: IpAddr, len: u8) -> Self {
        let len = len.min(if addr.is_ipv4() { 32 } else { 128 });
        Self { network: network(addr, len), len }
    }

    /// The first address of the prefix.
    pub fn network(self) -> IpAddr {
        self.network
    }

    /// How many bits the addresses have in common.
    pub fn len_bits(self) -> u8 {
        self.len
    }

    /// Whether an address lies in it.
    pub fn contains(self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.network.is_ipv4() && network(addr, self.len) == self.network
    }
}

/// The address with all but the first `len` bits cleared.
fn network(addr: IpAddr, len: u8) -> IpAddr {
    match addr {
        IpAddr::V4(addr) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(addr.to_bits() & mask).into()
        }
        IpAddr::V6(addr) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0);
            Ipv6Addr::from_bits(addr.to_bits() & mask).into()
        }
    }
}

/// What becomes of a response that is over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suppression {
    /// Nothing is sent.
    Drop,
    /// TC and no records.
    Slip,
    /// BADCOOKIE with the cookie that the client is to come back with (RFC 7873 §5.2.3).
    BadCookie,
}

/// A client that is subject to limits, and what is known of its cookie.
#[derive(Clone, Copy)]
pub(crate) struct Limited {
    pub(crate) addr: IpAddr,
    pub(crate) source: Source,
    pub(crate) has_cookie: bool,
    pub(crate) has_forged_cookie: bool,
    pub(crate) now_ms: u64,
}

/// The limits of one thread, over the table of all.
pub(crate) struct Limiter {
    table: Arc<RateTable>,
    limits: RateLimits,
    by_class: [Option<Limit>; RATE_CLASSES],
    heavy: Heavy,
    random: u64,
}

impl Limiter {
    pub(crate) fn new(table: Arc<RateTable>, limits: &RateLimits) -> Self {
        let RateLimits { all, answers, nodata, nxdomain, referrals, errors, burst_ms, .. } = *limits;
        let by_class = [all, answers, nodata, nxdomain, referrals, errors].map(|rate| Limit::new(rate, burst_ms));
        let random = table.mix(0, u64::from(burst_ms)) | 1;
        Self { table, limits: limits.clone(), by_class, heavy: Heavy::new(), random }
    }

    /// What the limits of a client go by.
    pub(crate) fn source(&self, addr: IpAddr) -> Source {
        let network = network(addr, self.prefix_len(addr));
        let hash = match network {
            IpAddr::V4(addr) => self.table.mix(u64::from(addr.to_bits()), 4),
            IpAddr::V6(addr) => {
                let [high, low] = [addr.to_bits() >> 64, addr.to_bits() & u128::from(u64::MAX)];
                let [high, low] = [high, low].map(|half| u64::try_from(half).unwrap_or_default());
                self.table.mix(self.table.mix(high, 6), low)
            }
        };
        Source { network, hash }
    }

    /// Takes a query from the limit of its prefix; tells if and how it is to be suppressed.
    pub(crate) fn take_query(&mut self, client: &Limited) -> Option<Suppression> {
        self.heavy.saw(client.source);
        self.take(client, RateClass::All, client.source.hash)
    }

    /// Takes a response of a class from its limit. `name` is the hash of what the class goes by.
    pub(crate) fn take_response(&mut self, client: &Limited, class: RateClass, name: u64) -> Option<Suppression> {
        // All classes of a name are in one line of the table, so that it can be asked for before the class is known.
        let key = self.table.mix(client.source.hash, name) ^ (class as u64) << 60;
        self.take(client, class, key)
    }

    /// Asks for the memory of the limits of clients that ask for names with these hashes, of all at once. Returns a number that
    /// only serves to keep the loads.
    pub(crate) fn touch(&self, clients: impl Iterator<Item = (Source, u64)>) -> u64 {
        clients.fold(0, |sum, (source, name)| {
            sum ^ self.table.touch(source.hash) ^ self.table.touch(self.table.mix(source.hash, name))
        })
    }

    /// Ends a round of a quarter of a second or more; says what is to be shed in the next.
    pub(crate) fn shed(&mut self, now_ms: u64) -> Shed {
        let RateLimits { shed_above, shed_pass_one_in, ipv4_prefix_len, ipv6_prefix_len, .. } = self.limits;
        let len_of = |addr: IpAddr| if addr.is_ipv4() { ipv4_prefix_len } else { ipv6_prefix_len };
        self.heavy.shed(now_ms, (shed_above, shed_pass_one_in), len_of)
    }

    fn take(&mut self, client: &Limited, class: RateClass, key: u64) -> Option<Suppression> {
        let limit = self.by_class[class as usize]?;
        if self.table.take(key, limit, client.now_ms) {
            return None;
        }
        // Looked at only here, so that it costs nothing for those below their limits.
        if self.limits.exempt.iter().any(|prefix| prefix.contains(client.addr)) {
            return None;
        }
        self.heavy.suppressed(client.source, client.has_forged_cookie);
        Some(match (self.is_slip(), client.has_cookie) {
            (false, _) => Suppression::Drop,
            (true, false) => Suppression::Slip,
            (true, true) => Suppression::BadCookie,
        })
    }

    /// One in `slip`, at random: in turns, two clients that alternate could find that all slips go to one of them.
    fn is_slip(&mut self) -> bool {
        // Marsaglia's xorshift; an attacker gains nothing from foreseeing it.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32).checked_rem(u64::from(self.limits.slip)) == Some(0)
    }

    fn prefix_len(&self, addr: IpAddr) -> u8 {
        if addr.is_ipv4() { self.limits.ipv4_prefix_len } else { self.limits.ipv6_prefix_len }
    }
}
