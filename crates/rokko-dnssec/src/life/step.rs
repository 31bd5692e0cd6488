//! One step in the life of a zone's keys.
//!
//! ```text
//!                facts ──► what caches may hold ──► what is wanted ──► what is allowed of it ──► what is published
//! ```
//!
//! Nothing here says how a ZSK, a KSK or an algorithm is rolled. Each step moves signatures, keys and the request to the parent
//! as far towards the goal as [the rules](super::rules) allow, and so the rollovers of RFC 6781 and RFC 7583 come about.

use super::facts::{Clock, Facts, JUMP_S};
use super::keys::{self, KeyMaker};
use super::policy::{DnssecPolicy, KskMethod, Layout};
use super::rules::Rules;
use super::set::KeySet;
use super::state::{DenialChange, DenialPhase, Goal, HeldDs, KeyId, KeyRrset, RequestSpread, Role, State};
use super::wait::{self, Wait};
use super::{output, parent};

/// How old a look at the parent may be when a key goes that the parent's DS could mean, in seconds.
pub const LOOK_FRESH_S: u64 = 6 * 3_600;

/// What a step came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The state from now on. It has to be durable before anything is published by it.
    pub state: State,
    /// Whether it is another one than before.
    pub changed: bool,
    /// When to take the next step at the latest, in Unix seconds; none if only facts can bring something new.
    pub next_at: Option<u64>,
    /// When to look at the parent's servers next, in Unix seconds; none if nothing depends on them.
    pub look_at: Option<u64>,
    /// What keeps the zone from its goal; empty if it is there.
    pub waits: Vec<Wait>,
    /// Private keys that nothing needs any more, once the state is durable.
    pub delete: Vec<KeyId>,
    /// What happened, a sentence each.
    pub notes: Vec<String>,
}

/// What is to be published if nothing stood in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Targets {
    pub(super) ds: KeySet,
    pub(super) dnskey: KeyRrset,
    pub(super) signatures: KeySet,
}

impl Targets {
    pub(super) fn of(state: &State) -> Self {
        if !state.signed {
            return Self { ds: KeySet::EMPTY, dnskey: KeyRrset::default(), signatures: KeySet::EMPTY };
        }
        let active = |goal| matches!(goal, Goal::In | Goal::Roll);
        Self {
            ds: state.set_of(|key| key.role.is_entry() && key.goal != Goal::Out),
            dnskey: KeyRrset {
                keys: state.set_of(|key| key.goal != Goal::Out),
                signers: state.set_of(|key| !key.is_foreign() && key.role.is_entry() && active(key.goal)),
            },
            signatures: state.set_of(|key| !key.is_foreign() && key.role.signs_zone() && active(key.goal)),
        }
    }
}

/// Takes a step: works out from the facts what caches may hold, and goes on as far as is safe.
///
/// Pure but for `new_key`, which makes a private key and keeps it. A key that was made for a state that never became
/// durable does no harm. The step may be repeated at any time, with the same state or the one that it gave.
pub fn step(before: &State, policy: &DnssecPolicy, facts: &Facts<'_>, new_key: &mut KeyMaker<'_>) -> Outcome {
    if let Some(wait) = clock_in_doubt(before, facts) {
        return Outcome {
            state: before.clone(),
            changed: false,
            next_at: None,
            look_at: None,
            waits: vec![wait],
            delete: Vec::new(),
            notes: Vec::new(),
        };
    }
    let mut work =
        Work { state: before.clone(), policy, facts, waits: Vec::new(), notes: Vec::new(), delete: Vec::new() };
    work.learn();
    work.settle_goals(new_key);
    work.publish();
    work.forget_keys();
    work.finish(before)
}

fn clock_in_doubt(state: &State, facts: &Facts<'_>) -> Option<Wait> {
    let ahead = |time: u64| time.checked_sub(facts.now).filter(|&by| by > JUMP_S);
    let known = [Some(state.changed_at), facts.visible.map(|visible| visible.since), facts.parent.map(|view| view.at)];
    let back = known.into_iter().flatten().filter_map(ahead).max();
    match (facts.clock, back) {
        (Clock::WentBack(by_s), _) | (Clock::Steady, Some(by_s)) => Some(Wait::ClockWentBack { by_s }),
        (Clock::WentAhead(by_s), _) => Some(Wait::ClockWentAhead { by_s }),
        (Clock::Steady, None) => None,
    }
}

/// How long a DNSKEY RRset is cached. That there is none is a negative answer, with the TTL of the zone.
fn key_ttl_s(policy: &DnssecPolicy, rrset: KeyRrset, data_ttl_s: u32) -> u32 {
    if rrset.keys.is_empty() { policy.dnskey_ttl_s.max(data_ttl_s) } else { policy.dnskey_ttl_s }
}

/// A step that is being taken.
pub(super) struct Work<'a> {
    pub(super) state: State,
    pub(super) policy: &'a DnssecPolicy,
    pub(super) facts: &'a Facts<'a>,
    pub(super) waits: Vec<Wait>,
    pub(super) notes: Vec<String>,
    pub(super) delete: Vec<KeyId>,
}

impl Work<'_> {
    /// Works out what caches may still hold.
    fn learn(&mut self) {
        let data_ttl_s = self.data_ttl_s();
        let (state, facts) = (&mut self.state, self.facts);
        state.signatures.raise_ttl(|_| data_ttl_s);
        state.dnskey.raise_ttl(|rrset| key_ttl_s(self.policy, rrset, data_ttl_s));
        if let Some(visible) = facts.visible {
            let margin_s = self.policy.margin_s(state.emergency);
            state.dnskey.settle(visible.plan, visible.since, margin_s);
            state.signatures.settle(visible.plan, visible.since, margin_s);
            parent::firm_up(state, self.policy, visible);
        }
        state.dnskey.expire(facts.now);
        state.signatures.expire(facts.now);
        parent::observe(state, self.policy, facts, &mut self.notes);
    }

    /// How long data is cached: not beyond the end of its signatures (RFC 4035 §5.3.3).
    fn data_ttl_s(&self) -> u32 {
        self.facts.max_ttl_s.min(self.policy.signatures.validity_s)
    }

    fn settle_goals(&mut self, new_key: &mut KeyMaker<'_>) {
        if self.state.signed {
            keys::settle(self, new_key);
        }
        if !self.state.keys.iter().any(|key| key.goal == Goal::Out) {
            self.state.emergency = false;
        }
    }

    /// Moves signatures, keys, the request to the parent and the chains as far as is allowed.
    fn publish(&mut self) {
        let plan = self.state.plan + 1;
        let targets = Targets::of(&self.state);
        let rules = Rules::new(&self.state, self.policy);
        let moved = [
            self.move_signatures(&rules, targets.signatures, plan),
            self.move_dnskey(&rules, targets.dnskey, plan),
            self.move_request(&rules, targets.ds, plan),
            self.move_denial(plan),
        ];
        if moved.contains(&true) {
            self.state.plan = plan;
        }
    }

    /// For each algorithm the keys of the goal, if that is allowed, or else those that sign now.
    fn move_signatures(&mut self, rules: &Rules, target: KeySet, plan: u32) -> bool {
        let now = self.state.signatures.current();
        if now == target {
            return false;
        }
        if !self.state.signatures.has_room() {
            self.waits.push(Wait::TooManyVersions);
            return false;
        }
        let mut next = now;
        // A new algorithm before the old one goes: of the goal's keys first, then of those that are not in it.
        for slot in target.slots().chain(now.slots()) {
            let (old, new) = (rules.same_algorithm(next, slot), rules.same_algorithm(target, slot));
            let candidate = next.without(old).or(new);
            if candidate != next && rules.allows_signatures(&self.state, candidate) && self.peers_know(new.without(now))
            {
                next = candidate;
            }
        }
        if next == now {
            return false;
        }
        self.note_signers(now, next);
        let ttl_s = self.data_ttl_s();
        self.state.signatures.push(next, ttl_s, plan, ttl_s);
        true
    }

    /// Whether the other signers of the zone have published these keys for as long as caches hold keys (RFC 8901 §6).
    fn peers_know(&mut self, keys: KeySet) -> bool {
        if keys.is_empty() || !self.state.keys.iter().any(super::state::Key::is_foreign) {
            return true;
        }
        let age_s = u64::from(self.policy.dnskey_ttl_s) + self.policy.margin_s(self.state.emergency);
        let since_max = self.facts.now.saturating_sub(age_s);
        let publics: Vec<_> = keys.slots().filter_map(|slot| self.state.key(slot)).map(|key| &key.public).collect();
        let knows = |peer: &&super::facts::PeerView| {
            peer.since <= since_max && publics.iter().all(|public| peer.keys.contains(public))
        };
        let missing = self.facts.peers.iter().find(|peer| !knows(peer)).map(|peer| peer.name.clone());
        let known = missing.is_none() && !self.facts.peers.is_empty();
        if !known {
            let tags = publics.iter().map(|public| public.tag()).collect();
            self.waits.push(Wait::Peers { peer: missing.unwrap_or_default(), tags });
        }
        known
    }

    /// Adds what the goal has, key by key, then takes away what it has not, each as it is allowed.
    fn move_dnskey(&mut self, rules: &Rules, target: KeyRrset, plan: u32) -> bool {
        let now = self.state.dnskey.current();
        if now == target {
            return false;
        }
        if !self.state.dnskey.has_room() {
            self.waits.push(Wait::TooManyVersions);
            return false;
        }
        let mut next = now;
        for slot in target.keys.slots() {
            let key = KeySet::of(slot);
            let candidate = KeyRrset { keys: next.keys.or(key), signers: next.signers.or(key.and(target.signers)) };
            if candidate != next && self.may_come(rules, slot) && rules.allows_dnskey(&self.state, candidate) {
                next = candidate;
            }
        }
        for slot in now.keys.without(target.keys).slots() {
            let key = KeySet::of(slot);
            let candidate = KeyRrset { keys: next.keys.without(key), signers: next.signers.without(key) };
            if rules.allows_dnskey(&self.state, candidate) && self.may_go(slot) {
                next = candidate;
            }
        }
        if next == now {
            return false;
        }
        self.note_keys(now.keys, next.keys);
        let ttl_s = |rrset| key_ttl_s(self.policy, rrset, self.data_ttl_s());
        let (negative_s, ttl_s) = (ttl_s(KeyRrset::default()), ttl_s(next));
        self.state.dnskey.push(next, ttl_s, plan, negative_s);
        true
    }

    /// With double-DS a KSK comes when all caches know its DS, unless it brings an algorithm that the zone does not have.
    fn may_come(&self, rules: &Rules, slot: u8) -> bool {
        let Some(key) = self.state.key(slot) else { return false };
        let ds_first = self.policy.ksk_method == KskMethod::DoubleDs
            && key.role == Role::Ksk
            && !key.is_foreign()
            && self.state.asked.is_some()
            && !rules.same_algorithm(self.state.dnskey.current().signers, slot).is_empty();
        !ds_first || self.state.ds_versions().all(|ds| ds.keys.is_empty() || ds.keys.has(slot))
    }

    /// A key that the parent may know goes only after a fresh look at the parent.
    fn may_go(&mut self, slot: u8) -> bool {
        let is_entry = self.state.key(slot).is_some_and(|key| key.role.is_entry());
        let fresh =
            self.facts.parent.is_some_and(|view| view.at + LOOK_FRESH_S >= self.facts.now && view.is_complete());
        let may = !is_entry || self.state.asked.is_none() || fresh;
        if !may {
            self.waits.push(Wait::Look);
        }
        may
    }

    fn move_request(&mut self, rules: &Rules, target: KeySet, plan: u32) -> bool {
        let next = if self.state.signed { self.next_request(rules, target) } else { self.next_request_unsigned() };
        if next == self.state.asked {
            return false;
        }
        self.leave_request(next);
        self.state.asked = next;
        self.state.request = next.map(|_| RequestSpread::Spreading { plan, at: self.facts.now });
        if let Some(keys) = next {
            self.notes.push(if keys.is_empty() {
                "the parent is asked to delete the DS".to_owned()
            } else {
                format!("the parent is asked for the DS of {}", output::tags(&self.state, keys))
            });
            self.expect_ds(keys);
        }
        true
    }

    fn next_request(&mut self, rules: &Rules, target: KeySet) -> Option<KeySet> {
        let asked = self.state.asked;
        if asked == Some(target) || target.is_empty() {
            return asked;
        }
        if !self.state.has_room_for_ds() {
            self.waits.push(Wait::TooManyVersions);
            return asked;
        }
        let both = target.or(asked.unwrap_or_default());
        let double_ds = self.policy.ksk_method == KskMethod::DoubleDs && self.policy.keys == Layout::Split;
        let candidates = [Some(target), Some(both).filter(|_| double_ds)];
        let next = candidates.into_iter().flatten().find(|&keys| rules.allows_ds(&self.state, keys));
        let Some(next) = next.filter(|&next| Some(next) != asked) else { return asked };
        if self.facts.verified < self.state.signatures.plan() {
            self.waits.push(Wait::Verification);
            return asked;
        }
        Some(next)
    }

    /// A zone that is to be unsigned asks for no DS as long as there may be one, and for nothing afterwards.
    fn next_request_unsigned(&self) -> Option<KeySet> {
        let published = !self.state.dnskey.current().keys.is_empty();
        let may_have_ds = self.state.ds_versions().any(|ds| !ds.keys.is_empty());
        (published && (may_have_ds || self.state.asked.is_some())).then_some(KeySet::EMPTY)
    }

    /// The parent may still carry out what it was asked for until now, if it was not seen to have done so.
    ///
    /// If a former request comes back, it may be behind by more than one: then no version is gone because it is not seen.
    fn leave_request(&mut self, next: Option<KeySet>) {
        let (asked, now) = (self.state.asked, self.facts.now);
        let comes_back = self.state.ds.iter().any(|ds| Some(ds.keys) == next && !ds.others);
        for held in self.state.ds.iter_mut().filter(|held| held.until.is_none()) {
            let was_asked = Some(held.keys) == asked && !held.others;
            if comes_back || (was_asked && !held.seen) {
                held.left = Some(now);
            }
        }
    }

    fn expect_ds(&mut self, keys: KeySet) {
        if self.state.ds.is_empty() {
            self.state.ds.push(HeldDs { seen: true, ..HeldDs::default() });
        }
        match self.state.ds.iter_mut().find(|ds| ds.keys == keys && !ds.others) {
            Some(known) => (known.until, known.left) = (None, None),
            None => self.state.ds.push(HeldDs { keys, ..HeldDs::default() }),
        }
    }

    fn move_denial(&mut self, plan: u32) -> bool {
        let (state, facts) = (&mut self.state, self.facts);
        if state.signatures.current().is_empty() {
            (state.denial, state.denial_change) = (None, None);
            return false;
        }
        let Some(denial) = state.denial else {
            state.denial = Some(self.policy.denial);
            return false;
        };
        let everywhere = |plan| facts.done >= plan && facts.visible.is_some_and(|visible| visible.plan >= plan);
        let next = match state.denial_change {
            None if denial == self.policy.denial => return false,
            None => {
                state.denial = Some(self.policy.denial);
                Some(DenialChange { from: denial, phase: DenialPhase::Build, plan })
            }
            Some(change) if !everywhere(change.plan) => return false,
            Some(change) => match change.phase {
                DenialPhase::Build => Some(DenialChange { phase: DenialPhase::Switch, plan, ..change }),
                DenialPhase::Switch => Some(DenialChange { phase: DenialPhase::Drop, plan, ..change }),
                DenialPhase::Drop => None,
            },
        };
        state.denial_change = next;
        next.is_some()
    }

    /// Lets go of keys that are to go and that no cache knows.
    fn forget_keys(&mut self) {
        let (in_use, signed) = (self.state.in_use(), self.state.signed);
        let (stay, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.state.keys)
            .into_iter()
            .partition(|key| in_use.has(key.slot) || (signed && key.goal != Goal::Out));
        self.state.keys = stay;
        for key in gone {
            self.notes.push(format!("{} {} is gone", key.role, key.public.tag()));
            self.delete.extend(key.id);
        }
        if self.state.is_idle_unsigned() && self.state.ds.iter().all(|ds| ds.keys.is_empty() && !ds.others) {
            self.state.ds.clear();
        }
    }

    fn finish(mut self, before: &State) -> Outcome {
        let targets = Targets::of(&self.state);
        let schedule = wait::schedule(&mut self, &targets);
        let changed = self.state != *before;
        if changed {
            self.state.changed_at = self.facts.now;
        }
        Outcome {
            state: self.state,
            changed,
            next_at: if changed { Some(self.facts.now) } else { schedule.next_at },
            look_at: schedule.look_at,
            waits: self.waits,
            delete: self.delete,
            notes: self.notes,
        }
    }

    fn note_signers(&mut self, now: KeySet, next: KeySet) {
        if !next.without(now).is_empty() {
            self.notes.push(format!("{} signs the zone", output::tags(&self.state, next.without(now))));
        }
        if !now.without(next).is_empty() {
            self.notes.push(format!("{} no longer signs the zone", output::tags(&self.state, now.without(next))));
        }
    }

    fn note_keys(&mut self, now: KeySet, next: KeySet) {
        if !next.without(now).is_empty() {
            self.notes.push(format!("{} is published", output::tags(&self.state, next.without(now))));
        }
        if !now.without(next).is_empty() {
            self.notes.push(format!("{} is no longer published", output::tags(&self.state, now.without(next))));
        }
    }
}
