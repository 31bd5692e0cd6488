//! What validators would refuse is not published.

use rokko_dnssec::verify::{self, Progress, Terms};
use rokko_wire::Name;
use rokko_zone::check::Finding;
use rokko_zone::file::Severity;
use rokko_zone::{Delta, Zone};

use crate::ControlError;

/// How many names of a zone are verified at once.
const NAMES_AT_ONCE: usize = 1_000;

/// What a change of a signed zone has to pass before it is published.
pub(crate) struct Gate {
    /// Unix time in seconds, modulo 2^32.
    pub(super) now: u32,
    /// Names whose hashes changed while they did not.
    pub(super) hashed: Vec<Name>,
}

impl Gate {
    /// Refuses what a validator would refuse.
    pub(crate) fn pass(&self, zone: &Zone, delta: &Delta) -> Result<(), ControlError> {
        let terms = Terms { now: self.now, ds: &[], hashed: &self.hashed };
        let Some(what) = first_error(verify::touched(zone, delta, &terms)) else { return Ok(()) };
        let zone = zone.apex();
        tracing::error!(%zone, "a change was refused, because its signatures would not validate: {what}");
        Err(ControlError::Gate { zone, what })
    }
}

/// The first thing in a zone that validators would refuse. `go_on` is asked between parts.
pub(super) fn whole(zone: &Zone, now: u32, go_on: impl Fn() -> bool) -> Option<String> {
    let terms = Terms { now, ..Terms::default() };
    let mut progress = Some(Progress::start());
    while let Some(from) = progress.filter(|_| go_on()) {
        let (findings, next) = verify::range(zone, &from, NAMES_AT_ONCE, &terms);
        if let Some(what) = first_error(findings) {
            return Some(what);
        }
        progress = next;
    }
    None
}

fn first_error(findings: Vec<Finding>) -> Option<String> {
    let first = findings.into_iter().find(|finding| finding.severity == Severity::Error)?;
    let rtype = first.rtype.map_or_else(String::new, |rtype| format!(" {rtype}"));
    Some(format!("{}{rtype}: {} ({})", first.owner, first.message, first.code))
}
