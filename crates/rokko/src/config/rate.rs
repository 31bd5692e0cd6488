//! The part of the configuration file that is about response rate limiting.

use std::net::IpAddr;

use rokko_answer::{Prefix, RATE_ENTRIES_MAX, RATE_ENTRIES_MIN, RATE_MAX, RateLimits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::read::within;

/// Most prefixes without rate limits: each query over a limit is held against all.
const EXEMPT_MAX: usize = 1000;

/// Response rate limiting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rate {
    /// Whether there are limits at all. Needs a restart.
    pub(crate) enabled: bool,
    /// All queries from a client prefix, whatever they are answered with.
    pub(crate) all: u32,
    /// Answers to a client prefix for one name.
    pub(crate) answers: u32,
    /// NODATA responses to a client prefix for one name.
    pub(crate) nodata: u32,
    /// NXDOMAIN responses to a client prefix from one zone.
    pub(crate) nxdomain: u32,
    /// Referrals to a client prefix from one zone.
    pub(crate) referrals: u32,
    /// Errors such as REFUSED to a client prefix.
    pub(crate) errors: u32,
    /// How many milliseconds' worth of a rate can be used at once after a pause, 1 to 60000.
    pub(crate) burst_ms: u32,
    /// One in so many responses over a limit, at random, is sent without records and with TC, so that a true client
    /// asks again over TCP; the others are not sent. 0: none, 1: all. A client with DNS cookies gets BADCOOKIE instead,
    /// and comes back with a cookie.
    pub(crate) slip: u8,
    /// The length of a client prefix in IPv4, 1 to 32 bits.
    pub(crate) ipv4_prefix: u8,
    /// The length of a client prefix in IPv6, 1 to 128 bits.
    pub(crate) ipv6_prefix: u8,
    /// Clients without limits: addresses or prefixes such as `192.0.2.0/24`, at most 1000.
    pub(crate) exempt: Vec<ClientPrefix>,
    /// Room for so many client prefixes and kinds of responses at a time, at 8 octets each; rounded up to a power of
    /// two. Needs a restart.
    pub(crate) entries: usize,
    /// From so many responses over a limit per second, UDP thread and client prefix on, the kernel is told to drop the
    /// prefix's datagrams before they are queued, so that they don't crowd out those of others. It stops when the flood
    /// is over. 0: never.
    pub(crate) shed_above: u32,
    /// One in so many of the datagrams that would be dropped so is let through nevertheless, at random; so are, as a
    /// rule, those with a server cookie. 2 to 65536.
    pub(crate) shed_pass_one_in: u32,
}

impl Default for Rate {
    fn default() -> Self {
        let limits = RateLimits::default();
        Self {
            enabled: true,
            all: limits.all,
            answers: limits.answers,
            nodata: limits.nodata,
            nxdomain: limits.nxdomain,
            referrals: limits.referrals,
            errors: limits.errors,
            burst_ms: limits.burst_ms,
            slip: limits.slip,
            ipv4_prefix: limits.ipv4_prefix_len,
            ipv6_prefix: limits.ipv6_prefix_len,
            exempt: limits.exempt.into_iter().map(ClientPrefix).collect(),
            entries: 1 << 20,
            shed_above: limits.shed_above,
            shed_pass_one_in: limits.shed_pass_one_in,
        }
    }
}

impl Rate {
    /// Tells `wrong` the key and the fault of each bad value.
    pub(super) fn check(&self, wrong: &mut dyn FnMut(&str, String)) {
        within(wrong, "dns.rate.entries", self.entries, RATE_ENTRIES_MIN, RATE_ENTRIES_MAX);
        for (key, value) in [
            ("dns.rate.all", self.all),
            ("dns.rate.answers", self.answers),
            ("dns.rate.nodata", self.nodata),
            ("dns.rate.nxdomain", self.nxdomain),
            ("dns.rate.referrals", self.referrals),
            ("dns.rate.errors", self.errors),
        ] {
            within(wrong, key, value, 0, RATE_MAX);
        }
        within(wrong, "dns.rate.burst_ms", self.burst_ms, 1, 60_000);
        within(wrong, "dns.rate.ipv4_prefix", self.ipv4_prefix, 1, 32);
        within(wrong, "dns.rate.ipv6_prefix", self.ipv6_prefix, 1, 128);
        within(wrong, "dns.rate.shed_pass_one_in", self.shed_pass_one_in, 2, 65_536);
        within(wrong, "dns.rate.exempt", self.exempt.len(), 0, EXEMPT_MAX);
    }

    /// What the answers are limited to.
    pub(super) fn limits(&self) -> RateLimits {
        RateLimits {
            all: self.all,
            answers: self.answers,
            nodata: self.nodata,
            nxdomain: self.nxdomain,
            referrals: self.referrals,
            errors: self.errors,
            burst_ms: self.burst_ms,
            slip: self.slip,
            ipv4_prefix_len: self.ipv4_prefix,
            ipv6_prefix_len: self.ipv6_prefix,
            exempt: self.exempt.iter().map(|prefix| prefix.0).collect(),
            shed_above: self.shed_above,
            shed_pass_one_in: self.shed_pass_one_in,
        }
    }
}

/// An address, or a prefix in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub(crate) struct ClientPrefix(pub(crate) Prefix);

impl TryFrom<String> for ClientPrefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (addr, len) = text.split_once('/').map_or((&*text, None), |(addr, len)| (addr, Some(len)));
        let addr: IpAddr = addr.parse().map_err(|_| format!("`{text}` is not an address or a prefix"))?;
        let longest = if addr.is_ipv4() { 32 } else { 128 };
        let len = match len {
            None => longest,
            Some(len) => len.parse().ok().filter(|&len| len <= longest).ok_or_else(|| {
                format!("`{text}` is not a prefix: behind the slash there must be a number from 0 to {longest}")
            })?,
        };
        let prefix = Prefix::new(addr, len);
        if prefix.network() != addr {
            return Err(format!("`{text}` has bits behind the prefix: did you mean {}/{len}?", prefix.network()));
        }
        Ok(Self(prefix))
    }
}

impl From<ClientPrefix> for String {
    fn from(prefix: ClientPrefix) -> Self {
        format!("{}/{}", prefix.0.network(), prefix.0.len_bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read::parse;

    #[test]
    fn prefixes_are_read_and_written() {
        for (text, written) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::/56", "2001:db8::/56"),
            ("::1", "::1/128"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(String::from(ClientPrefix::try_from(text.to_owned()).unwrap()), written);
        }
        for (text, fault) in [
            ("192.0.2.1/24", "did you mean 192.0.2.0/24?"),
            ("192.0.2.0/33", "a number from 0 to 32"),
            ("::/x", "a number from 0 to 128"),
            ("localhost", "is not an address or a prefix"),
        ] {
            let error = ClientPrefix::try_from(text.to_owned()).unwrap_err();
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn limits_reach_the_answers() {
        let config = parse("rokko.toml", "[dns.rate]\nnxdomain = 7\nexempt = ['192.0.2.0/24']\n").unwrap();
        let (rate, defaults) = (config.answer.rate, RateLimits::default());
        assert_eq!((rate.nxdomain, rate.answers, rate.exempt.len()), (7, defaults.answers, 1));
        assert_eq!(config.rate_entries, Some(1 << 20));
        assert_eq!(parse("rokko.toml", "dns.rate.enabled = false").unwrap().rate_entries, None);
        let error = parse("rokko.toml", "[dns.rate]\nall = 2000000\nslip = 1\nipv4_prefix = 0\n").unwrap_err();
        let lines: Vec<&str> = error.message().lines().collect();
        assert_eq!(lines[0], "rokko.toml:2:7: dns.rate.all: found 2000000, expected 0 to 1000000");
        assert!(lines.len() == 2 && lines[1].contains("dns.rate.ipv4_prefix"), "{lines:?}");
    }
}
