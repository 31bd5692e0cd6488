//! Which servers serve the zone above a zone.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use rokko_wire::{Name, Rtype};

use crate::Settings;
use crate::ask::{AskError, ask};
use rokko_wire::response::{Question, Response};

/// The most servers of a parent that are asked.
pub const SERVERS_MAX: usize = 32;
/// The most names of servers whose addresses are looked up.
const NAMES_MAX: usize = 16;
/// For how long it is remembered which servers a parent has.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);
/// For how many parents that is remembered.
const KNOWN_MAX: usize = 4_096;
const NOERROR: u8 = 0;
const NXDOMAIN: u8 = 3;

/// Why it is not known which servers to ask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The root has none.
    #[error("the root has no parent")]
    Root,
    /// No resolver is set.
    #[error("no resolver is set: name one in `dnssec.resolvers`")]
    NoResolver,
    /// No resolver gave an answer.
    #[error("no resolver said who serves {name}: {reason}")]
    Resolver {
        /// What was asked for.
        name: Name,
        /// What the last of them did.
        reason: String,
    },
    /// The parent's servers have no addresses.
    #[error("the servers of the parent, {0}, have no addresses")]
    NoAddress(Name),
}

/// Parents whose servers were found.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<Name, (Instant, Vec<SocketAddr>)>);

impl Known {
    pub(crate) fn of(&self, above: &Name) -> Option<Vec<SocketAddr>> {
        self.0.get(above).filter(|(since, _)| since.elapsed() < KNOWN_FOR).map(|(_, servers)| servers.clone())
    }

    pub(crate) fn keep(&mut self, above: Name, servers: Vec<SocketAddr>) {
        if self.0.len() >= KNOWN_MAX {
            self.0.clear();
        }
        self.0.insert(above, (Instant::now(), servers));
    }
}

/// The servers of the zone that `above`, the name above a zone, belongs to.
pub(crate) fn servers(settings: &Settings, above: &Name) -> Result<Vec<SocketAddr>, FindError> {
    let mut candidate = Some(above.clone());
    while let Some(name) = candidate {
        if let Some(servers) = settings.parents.get(&name) {
            return Ok(servers.iter().copied().take(SERVERS_MAX).collect());
        }
        candidate = name.parent();
    }
    let (parent, names) = name_servers(settings, above)?;
    let mut servers = Vec::new();
    for name in names {
        for rtype in [Rtype::A, Rtype::AAAA] {
            // A name without addresses of one family, or at all, is no fault as long as others have some.
            let Ok(response) = resolve(settings, &name, rtype) else { continue };
            let addresses = response.records.iter().filter(|record| record.rtype == rtype);
            servers.extend(addresses.filter_map(|record| address(&record.rdata)));
        }
    }
    servers.sort_unstable();
    servers.dedup();
    servers.truncate(SERVERS_MAX);
    if servers.is_empty() {
        return Err(FindError::NoAddress(parent));
    }
    Ok(servers.into_iter().map(|address| SocketAddr::new(address, settings.server_port)).collect())
}

/// The zone that a name belongs to, and the names of its servers.
fn name_servers(settings: &Settings, above: &Name) -> Result<(Name, Vec<Name>), FindError> {
    let mut candidate = above.clone();
    loop {
        let response = resolve(settings, &candidate, Rtype::NS)?;
        let targets = response.answers(&candidate, Rtype::NS).filter_map(|record| record.target.clone());
        let names: Vec<_> = targets.take(NAMES_MAX).collect();
        if !names.is_empty() {
            return Ok((candidate, names));
        }
        let Some(next) = candidate.parent() else {
            return Err(FindError::Resolver { name: candidate, reason: "it has no name servers".to_owned() });
        };
        candidate = next;
    }
}

/// Asks the resolvers, one after the other, until one has an answer.
fn resolve(settings: &Settings, name: &Name, rtype: Rtype) -> Result<Response, FindError> {
    let question = Question { name: name.clone(), rtype };
    let mut reason = None;
    for &resolver in &settings.resolvers {
        match ask(&[resolver], &question, true, settings.timing).pop() {
            Some(Ok(response)) if matches!(response.rcode, NOERROR | NXDOMAIN) => return Ok(response),
            Some(Ok(response)) => reason = Some(format!("{resolver} answered with RCODE {}", response.rcode)),
            Some(Err(error)) => reason = Some(format!("{resolver}: {error}")),
            None => reason = Some(format!("{resolver}: {}", AskError::TimedOut)),
        }
    }
    Err(reason.map_or(FindError::NoResolver, |reason| FindError::Resolver { name: name.clone(), reason }))
}

fn address(rdata: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(rdata).ok().map(|octets| Ipv4Addr::from(octets).into());
    v4.or_else(|| <[u8; 16]>::try_from(rdata).ok().map(|octets| Ipv6Addr::from(octets).into()))
}
