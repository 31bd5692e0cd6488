//! What each server of the parent has as the zone's DS.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rokko_dnssec::life::{DsSet, ParentView, ServerView};
use rokko_wire::{Name, Rtype};

use crate::Settings;
use crate::ask::{AskError, Timing, ask};
use crate::find::{FindError, Known, servers};
use rokko_wire::response::{Question, Response, Section};

const NOERROR: u8 = 0;
const NXDOMAIN: u8 = 3;

/// Asks these servers, which are to be all of the parent's, for the DS of a zone. Takes at most the attempts' time-outs, and one
/// more for each response that did not fit into a datagram.
///
/// A server to which this machine has no route is left out, as long as there is one to others: a machine without IPv6 does not wait
/// for IPv6 addresses for ever.
pub fn look(zone: &Name, servers: &[SocketAddr], timing: Timing) -> ParentView {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let question = Question { name: zone.clone(), rtype: Rtype::DS };
    let results = ask(servers, &question, false, timing);
    ParentView { at: since_epoch.as_secs(), servers: views(zone, servers, results) }
}

fn views(zone: &Name, servers: &[SocketAddr], results: Vec<Result<Response, AskError>>) -> Vec<ServerView> {
    let any_route = results.iter().any(|result| *result != Err(AskError::Unreachable));
    let results = servers.iter().zip(results).filter(|(_, result)| !any_route || *result != Err(AskError::Unreachable));
    let view = |(&server, result): (_, Result<Response, AskError>)| ServerView {
        server,
        answer: result.map_err(|error| error.to_string()).and_then(|response| ds_set(zone, &response)),
    };
    results.map(view).collect()
}

/// The DS RRset that a response means (RFC 4035 §3.1.4.1).
fn ds_set(zone: &Name, response: &Response) -> Result<DsSet, String> {
    if !matches!(response.rcode, NOERROR | NXDOMAIN) {
        return Err(format!("answered with RCODE {}", response.rcode));
    }
    if !response.authoritative {
        return Err("not responsible for the parent zone".to_owned());
    }
    let is_of_child = |section, rtype| {
        response
            .records
            .iter()
            .any(|record| record.section == section && record.rtype == rtype && record.owner == *zone)
    };
    if is_of_child(Section::Authority, Rtype::SOA) {
        return Err("answered from the zone itself, and not from its parent".to_owned());
    }
    let records: Vec<_> = response.answers(zone, Rtype::DS).collect();
    if records.is_empty() && response.records.iter().any(|record| record.section == Section::Answer) {
        return Err("answered with something else than DS records".to_owned());
    }
    Ok(DsSet {
        ttl_s: records.iter().map(|record| record.ttl_s).max().unwrap_or(0),
        rdatas: records.iter().map(|record| record.rdata.clone()).collect(),
    })
}

/// Looks at the parents of zones, and remembers who serves them.
#[derive(Debug)]
pub struct Looker {
    settings: Settings,
    known: Mutex<Known>,
}

impl Looker {
    /// One that goes by these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings, known: Mutex::default() }
    }

    /// What all servers of the zone's parent have as its DS. Blocks for seconds at most if servers do not answer.
    pub fn look(&self, zone: &Name) -> Result<ParentView, FindError> {
        Ok(look(zone, &self.servers(zone)?, self.settings.timing))
    }

    /// The servers of the zone's parent.
    pub fn servers(&self, zone: &Name) -> Result<Vec<SocketAddr>, FindError> {
        let above = zone.parent().ok_or(FindError::Root)?;
        // The lock is not held while servers are asked.
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).of(&above) {
            return Ok(known);
        }
        let found = servers(&self.settings, &above)?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).keep(above, found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_address_family_that_this_machine_has_not_is_left_out() {
        let servers = ["192.0.2.1:53", "[2001:db8::1]:53"].map(|text| text.parse::<SocketAddr>().unwrap());
        let unreachable = || Err(AskError::from(io::Error::from(io::ErrorKind::NetworkUnreachable)));
        let asked =
            |results| views(&Name::root(), &servers, results).into_iter().map(|view| view.server).collect::<Vec<_>>();
        assert_eq!(asked(vec![Err(AskError::TimedOut), unreachable()]), [servers[0]]);
        assert_eq!(asked(vec![unreachable(), unreachable()]), servers, "without any route all are faults");
    }
}
