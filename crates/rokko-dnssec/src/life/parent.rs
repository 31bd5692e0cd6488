//! What the parent's servers show, as versions of the DS RRset that caches may hold.

use super::facts::{DsSet, Facts, ParentView, Visible};
use super::output;
use super::policy::DnssecPolicy;
use super::set::KeySet;
use super::state::{HeldDs, Key, RequestSpread, State};
use crate::DigestType;

impl ParentView {
    /// Whether there are servers and all of them answered.
    pub fn is_complete(&self) -> bool {
        !self.servers.is_empty() && self.servers.iter().all(|server| server.answer.is_ok())
    }
}

/// Whether record data of a DS means a key of the zone: by its digest, or by tag and algorithm if the digest type is unknown.
fn means(state: &State, facts: &Facts<'_>, rdata: &[u8]) -> KeySet {
    let known_digest = rdata.get(3).copied().and_then(DigestType::from_number).is_some();
    let alike = |key: &Key| {
        rdata.starts_with(&key.public.tag().to_be_bytes()) && rdata.get(2) == Some(&key.public.algorithm.number())
    };
    state.set_of(|key| if known_digest { key.public.matches_ds(facts.apex, rdata) } else { alike(key) })
}

/// The keys that a DS RRset means, and whether it means others, too.
pub(super) fn read(state: &State, facts: &Facts<'_>, set: &DsSet) -> (KeySet, bool) {
    let each = set.rdatas.iter().map(|rdata| means(state, facts, rdata));
    each.fold((KeySet::EMPTY, false), |(keys, others), meant| (keys.or(meant), others || meant.is_empty()))
}

/// No parent looks at a zone twice within this time, in seconds: it does not see a request that spreads as fast go back and forth.
const QUICK_SPREAD_S: u64 = 600;

/// Takes note that all servers of the zone have the present request.
pub(super) fn firm_up(state: &mut State, policy: &DnssecPolicy, visible: Visible) {
    if let Some(RequestSpread::Spreading { plan, at }) = state.request
        && visible.plan >= plan
    {
        let was_quick = visible.since.saturating_sub(at) < QUICK_SPREAD_S;
        let late_s = if was_quick { 0 } else { u64::from(policy.parent_registration_s) };
        state.request = Some(RequestSpread::Firm(visible.since + late_s));
    }
}

/// Takes note of what the parent's servers showed.
pub(super) fn observe(state: &mut State, policy: &DnssecPolicy, facts: &Facts<'_>, notes: &mut Vec<String>) {
    if let Some(view) = facts.parent.filter(|view| !view.servers.is_empty()) {
        let answers = view.servers.iter().filter_map(|server| server.answer.as_ref().ok());
        let seen: Vec<_> = answers.map(|set| (read(state, facts, set), set.ttl_s)).collect();
        for &((keys, others), ttl_s) in &seen {
            see(state, keys, others, ttl_s, notes);
        }
        if let Some(&(first, _)) = seen.first()
            && view.is_complete()
            && seen.iter().all(|&(set, _)| set == first)
            && is_firm(state, view)
        {
            leave_others(state, policy, view, first);
        }
    }
    state.ds.retain(|held| held.until.is_none_or(|until| until > facts.now));
    if let [HeldDs { keys: KeySet::EMPTY, others: false, .. }] = state.ds[..]
        && state.asked.is_none()
    {
        state.ds.clear();
    }
}

/// Whether the parent was looked at when it could not carry out any request but the present one.
fn is_firm(state: &State, view: &ParentView) -> bool {
    match state.request {
        Some(RequestSpread::Spreading { .. }) => false,
        Some(RequestSpread::Firm(from)) => from <= view.at,
        None => true,
    }
}

/// A server has this DS RRset.
fn see(state: &mut State, keys: KeySet, others: bool, ttl_s: u32, notes: &mut Vec<String>) {
    if state.ds.is_empty() {
        if keys.is_empty() && !others {
            return;
        }
        state.ds.push(HeldDs { seen: true, ..HeldDs::default() });
    }
    let known = state.ds.iter_mut().find(|held| (held.keys, held.others) == (keys, others));
    match known {
        Some(held) => {
            held.ttl_s = held.ttl_s.max(ttl_s);
            if held.seen && held.until.is_none() {
                return;
            }
            (held.seen, held.until) = (true, None);
        }
        None => state.ds.push(HeldDs { keys, others, seen: true, ttl_s, ..HeldDs::default() }),
    }
    notes.push(match (keys.is_empty(), others) {
        (true, false) => "the parent shows no DS".to_owned(),
        (true, true) => "the parent shows a DS that means no key of the zone".to_owned(),
        (false, _) => format!("the parent shows the DS of {}", output::tags(state, keys)),
    });
}

/// All servers have one DS RRset: caches let go of the others, except for what the parent may still be about to publish.
fn leave_others(state: &mut State, policy: &DnssecPolicy, view: &ParentView, only: (KeySet, bool)) {
    let margin_s = policy.parent_margin_s(state.emergency);
    let asked = state.asked;
    let registration_s = u64::from(policy.parent_registration_s);
    for held in state.ds.iter_mut().filter(|held| (held.keys, held.others) != only && held.until.is_none()) {
        let is_asked = Some(held.keys) == asked && !held.others;
        let may_come = held.left.map_or(!held.seen, |left| view.at < left + registration_s);
        if !is_asked && !may_come {
            let ttl_s = u64::from(held.ttl_s.max(policy.parent_ds_ttl_s));
            held.until = Some(view.at + ttl_s + margin_s);
        }
    }
}
