//! What keeps a zone from its goal, and when that changes.

use serde::Serialize;

use super::parent;
use super::state::{DenialPhase, Goal, RequestSpread, Role};
use super::step::{Targets, Work};

/// What caches hold a former version of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cached {
    /// The DS RRset at the parent.
    Ds,
    /// The DNSKEY RRset.
    Dnskey,
    /// Signatures of the zone's data, or data without.
    Signatures,
}

/// What keeps a zone from its goal. Times are in Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "for")]
pub enum Wait {
    /// The clock shows a time before one that was seen.
    ClockWentBack {
        /// By how many seconds.
        by_s: u64,
    },
    /// The clock went ahead by more than can be.
    ClockWentAhead {
        /// By how many seconds.
        by_s: u64,
    },
    /// A key could not be made.
    NewKey {
        /// What for.
        role: Role,
        /// Why.
        error: String,
    },
    /// The zone's content does not follow the plan in full yet.
    Signing,
    /// Servers of the zone have not acknowledged what was published last.
    Servers {
        /// How many.
        behind: u32,
    },
    /// Caches may hold a former version.
    Caches {
        /// Of what.
        what: Cached,
        /// Until when.
        until: u64,
    },
    /// The whole zone has to be verified before the parent is asked for a DS.
    Verification,
    /// Servers of the parent do not show the DS RRset that was asked for.
    Parent {
        /// Which.
        servers: Vec<String>,
    },
    /// Servers of the parent did not answer, or none is known.
    ParentSilent {
        /// Which, with the reason.
        servers: Vec<String>,
    },
    /// The parent has to be looked at again.
    Look,
    /// The parent may still carry out a request that was taken back.
    Registration {
        /// Until when.
        until: u64,
    },
    /// Another signer of the zone does not publish keys, or not for long enough.
    Peers {
        /// Its name; empty if no other signer could be asked.
        peer: String,
        /// The tags of the keys.
        tags: Vec<u16>,
    },
    /// So many versions are in caches that no further is begun.
    TooManyVersions,
}

/// When to go on.
pub(super) struct Schedule {
    pub(super) next_at: Option<u64>,
    pub(super) look_at: Option<u64>,
}

/// How often the parent is looked at while nothing is expected, in seconds.
const LOOK_IDLE_S: u64 = 86_400;
/// The shortest and the longest time between looks while something is.
const LOOK_BUSY_S: (u64, u64) = (60, 3_600);

/// Completes the waits, and works out when to go on.
pub(super) fn schedule(work: &mut Work<'_>, targets: &Targets) -> Schedule {
    let mut waits = Vec::new();
    wait_for_servers(work, &mut waits);
    wait_for_caches(work, &mut waits);
    let expects_parent = wait_for_parent(work, &mut waits);
    waits.append(&mut work.waits);
    waits.dedup();
    let look_now = waits.contains(&Wait::Look);
    let next_at =
        waits.iter().filter_map(Wait::until).chain(next_lifetime(work)).filter(|&at| at > work.facts.now).min();
    let look_at = next_look(work, targets, expects_parent, look_now);
    work.waits = waits;
    Schedule { next_at, look_at }
}

impl Wait {
    /// When it is over, if that is known.
    pub fn until(&self) -> Option<u64> {
        match self {
            Self::Caches { until, .. } | Self::Registration { until } => Some(*until),
            _ => None,
        }
    }
}

fn wait_for_servers(work: &Work<'_>, waits: &mut Vec<Wait>) {
    let (state, facts) = (&work.state, work.facts);
    let open = |until: Option<u64>| until.is_none();
    let spreads = matches!(state.request, Some(RequestSpread::Spreading { .. }));
    let pending = spreads
        || state.dnskey.former().iter().any(|held| open(held.until))
        || state.signatures.former().iter().any(|held| open(held.until))
        || state.denial_change.is_some_and(|change| change.phase != DenialPhase::Drop || facts.done < change.plan);
    if !pending {
        return;
    }
    if facts.done < state.plan {
        waits.push(Wait::Signing);
    } else {
        waits.push(Wait::Servers { behind: facts.pops_behind });
    }
}

fn wait_for_caches(work: &Work<'_>, waits: &mut Vec<Wait>) {
    let state = &work.state;
    let dnskey = state.dnskey.former().iter().filter_map(|held| held.until).max();
    let signatures = state.signatures.former().iter().filter_map(|held| held.until).max();
    let ds = state.ds.iter().filter_map(|held| held.until).max();
    for (what, until) in [(Cached::Dnskey, dnskey), (Cached::Signatures, signatures), (Cached::Ds, ds)] {
        waits.extend(until.map(|until| Wait::Caches { what, until }));
    }
}

/// True if the parent is expected to change something.
fn wait_for_parent(work: &Work<'_>, waits: &mut Vec<Wait>) -> bool {
    let (state, facts) = (&work.state, work.facts);
    let Some(asked) = state.asked else { return false };
    let unsettled = state.ds_versions().any(|held| (held.keys, held.others) != (asked, false) && held.until.is_none())
        || state.ds_versions().all(|held| held.keys != asked || !held.seen);
    if !unsettled {
        return false;
    }
    let registration_s = u64::from(work.policy.parent_registration_s);
    let left = state.ds.iter().filter(|held| held.until.is_none()).filter_map(|held| held.left).max();
    let firm = state.request.and_then(|request| match request {
        RequestSpread::Firm(from) => Some(from),
        RequestSpread::Spreading { .. } => None,
    });
    let until = left.map(|left| left + registration_s).max(firm).filter(|&at| at > facts.now);
    waits.extend(until.map(|until| Wait::Registration { until }));
    let Some(view) = facts.parent else {
        waits.push(Wait::ParentSilent { servers: Vec::new() });
        return true;
    };
    let (mut differ, mut silent) = (Vec::new(), Vec::new());
    for server in &view.servers {
        match &server.answer {
            Ok(set) if parent::read(state, facts, set) == (asked, false) => {}
            Ok(_) => differ.push(server.server.to_string()),
            Err(error) => silent.push(format!("{} ({error})", server.server)),
        }
    }
    if !differ.is_empty() {
        waits.push(Wait::Parent { servers: differ });
    }
    if !silent.is_empty() || view.servers.is_empty() {
        waits.push(Wait::ParentSilent { servers: silent });
    }
    true
}

/// When the first key reaches its lifetime.
fn next_lifetime(work: &Work<'_>) -> Option<u64> {
    let keys = work.state.keys.iter().filter(|key| key.goal == Goal::In && !key.is_foreign());
    keys.filter_map(|key| Some(key.since + u64::from(work.policy.lifetime_s(key.role)?))).min()
}

fn next_look(work: &Work<'_>, targets: &Targets, expects_parent: bool, look_now: bool) -> Option<u64> {
    let (state, facts) = (&work.state, work.facts);
    if look_now {
        return Some(facts.now);
    }
    let depends = state.asked.is_some() || !targets.ds.is_empty();
    let Some(view) = facts.parent else { return depends.then_some(facts.now) };
    let waited_s = facts.now.saturating_sub(state.changed_at);
    let every_s = if expects_parent { (waited_s / 4).clamp(LOOK_BUSY_S.0, LOOK_BUSY_S.1) } else { LOOK_IDLE_S };
    depends.then_some(view.at + every_s)
}
