//! Whom to ask, and for how long.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rokko_wire::Name;

use crate::Timing;

/// The port of name servers.
pub(crate) const DNS_PORT: u16 = 53;
/// How many resolvers are used; further ones are not looked at.
const RESOLVERS_MAX: usize = 8;

/// Whom to ask, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The resolvers, tried in this order.
    pub resolvers: Vec<SocketAddr>,
    /// The port of name servers that resolvers know by address alone.
    pub server_port: u16,
    /// Servers of parents that are known without asking a resolver: those of the longest name above a zone are asked.
    pub parents: BTreeMap<Name, Vec<SocketAddr>>,
    /// For how long to wait, and how often to ask.
    pub timing: Timing,
}

impl Default for Settings {
    /// A resolver on this machine.
    fn default() -> Self {
        Self {
            resolvers: vec![(Ipv4Addr::LOCALHOST, DNS_PORT).into()],
            server_port: DNS_PORT,
            parents: BTreeMap::new(),
            timing: Timing::default(),
        }
    }
}

/// The resolvers that the text of a `resolv.conf` names; the one on this machine if it names none (resolv.conf(5)).
pub fn resolvers(resolv_conf: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let text = words.next().filter(|&word| word == "nameserver").and_then(|_| words.next())?;
        // An address that is good for one link alone has that link behind a percent sign.
        let text = text.split('%').next().unwrap_or(text);
        Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, DNS_PORT))
    };
    let found: Vec<_> = resolv_conf.lines().filter_map(address).take(RESOLVERS_MAX).collect();
    if found.is_empty() { Settings::default().resolvers } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_as_it_is_found() {
        let text = "# a comment\nsearch example.org\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1 \noptions edns0\n";
        let expected = ["192.0.2.1:53", "[2001:db8::1]:53"].map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(resolvers(text), expected);
        for nothing in ["", "nameserver", "nameserver none\n", "#nameserver 192.0.2.1"] {
            assert_eq!(resolvers(nothing), Settings::default().resolvers, "{nothing}");
        }
    }
}
