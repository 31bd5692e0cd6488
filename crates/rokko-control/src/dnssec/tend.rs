//! Bringing one zone forward: a walk over what does not follow the plan, a step in the life of its keys.

use std::sync::Arc;

use rokko_dnssec::life::{self, DnssecPolicy, Facts, Outcome, Visible, Wait};
use rokko_model::{Dnssec, Expect, Request, SignStep};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Revision, Zone};

use super::vault::Vault;
use super::{DnssecOptions, Hand};
use crate::{Control, ControlError, Identity, Shared, ZoneView};

/// How many owner names a part of a walk has: few enough that the writer is held up for milliseconds only.
const PART_NAMES: usize = 400;
/// The same in a zone that validators know to be signed: there the writer verifies each signature.
const PART_NAMES_VERIFIED: usize = 100;
/// How many it has at least, when the zone changes all the time.
const PART_NAMES_MIN: usize = 10;
/// How many steps are taken for a zone before others have their turn.
const STEPS_MAX: usize = 20;
/// How soon a zone is looked at again that waits for its servers, in seconds.
const SERVERS_WAIT_S: u64 = 1;
/// How soon a zone is tried again after a failure, in seconds.
const RETRY_S: u64 = 30;

/// Why a zone could not be brought forward.
#[derive(Debug, thiserror::Error)]
enum TendError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("it cannot be signed: {0}")]
    Sign(#[from] rokko_dnssec::ConformError),
    #[error("what would be published does not validate, so nothing more is asked of the parent: {0}")]
    Invalid(String),
    #[error("the node is stopping")]
    Stopping,
}

/// Brings a zone forward as far as it can be now, and notes when it is due again.
pub(super) fn tend(shared: &Arc<Shared>, options: &DnssecOptions, name: &Name) {
    let tending = Tending::new(shared, options, name);
    let now_s = shared.now().0 / 1000;
    match tending.advance() {
        Ok(Some(at)) => shared.signer.note(name, at.max(now_s + SERVERS_WAIT_S)),
        Ok(None) | Err(TendError::Stopping | TendError::Control(ControlError::Stopping)) => {}
        Err(error) => {
            shared.signer.failed(name, &error);
            shared.signer.note(name, now_s + RETRY_S);
        }
    }
}

pub(super) struct Tending<'a> {
    shared: &'a Arc<Shared>,
    options: &'a DnssecOptions,
    name: &'a Name,
    control: Control,
    who: Identity,
}

impl<'a> Tending<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, options: &'a DnssecOptions, name: &'a Name) -> Self {
        Self { shared, options, name, control: Control(Arc::clone(shared)), who: Identity::signer() }
    }

    /// When the zone is due again; `None`: when something brings it up.
    fn advance(&self) -> Result<Option<u64>, TendError> {
        for _ in 0..STEPS_MAX {
            let view = match self.control.zone(&self.who, self.name) {
                Err(ControlError::NotFound { .. }) => return Ok(None),
                view => view?,
            };
            let Some(dnssec) = view.record.meta.dnssec.as_deref() else { return Ok(None) };
            match self.step(&view, dnssec, self.options.policy(dnssec)?) {
                // Somebody else may have changed the zone meanwhile.
                Ok(Next::Again) | Err(TendError::Control(ControlError::Stale { .. })) => {}
                Ok(Next::At(at)) => return Ok(at),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(self.now_s()))
    }

    fn step(&self, view: &ZoneView, dnssec: &Dnssec, policy: &DnssecPolicy) -> Result<Next, TendError> {
        let hand = Hand::of(self.name, dnssec, policy, self.now_s());
        let expires = expires_first(&view.zone, self.now_s());
        let is_due = expires.is_some_and(|at| at < self.now_s() + u64::from(policy.signatures.refresh_before_s));
        if let Some(at) = expires {
            self.shared.signer.saw_expiration(at);
        }
        if dnssec.done < dnssec.state.plan || is_due {
            self.walk(&view.zone, &hand)?;
            if dnssec.done < dnssec.state.plan {
                self.note(dnssec, |now| now.done = now.state.plan)?;
                return Ok(Next::Again);
            }
        }
        let vault = Vault::new(self.shared, self.options);
        let outcome = self.life(view, dnssec, policy, &mut |wanted| vault.make(self.name, wanted));
        if outcome.waits.contains(&Wait::Verification) && dnssec.done == dnssec.state.plan {
            self.verify(&view.zone, &hand)?;
            // Changes since then were judged one by one.
            self.note(dnssec, |now| now.verified = now.done)?;
            return Ok(Next::Again);
        }
        for note in &outcome.notes {
            tracing::info!(zone = %self.name, "{note}");
        }
        if outcome.changed {
            let ended = outcome.state.is_idle_unsigned();
            let after = Dnssec { state: outcome.state, ..dnssec.clone() };
            self.put((!ended).then_some(after), view.record.revision)?;
            for id in outcome.delete {
                vault.delete(self.name, id);
            }
            return Ok(if ended { Next::At(None) } else { Next::Again });
        }
        if let Some(at) = outcome.look_at {
            self.shared.signer.look(self.name, at);
        }
        let waits_for_servers = outcome.waits.iter().any(|wait| matches!(wait, Wait::Servers { .. }));
        let soon = waits_for_servers.then(|| self.now_s() + SERVERS_WAIT_S);
        Ok(Next::At(outcome.next_at.into_iter().chain(soon).min()))
    }

    /// One step in the life of the zone's keys.
    pub(super) fn life(
        &self,
        view: &ZoneView,
        dnssec: &Dnssec,
        policy: &DnssecPolicy,
        new_key: &mut life::KeyMaker<'_>,
    ) -> Outcome {
        let now = self.now_s();
        let done_at = Revision(dnssec.done_at);
        let (everywhere, pops_behind) = self.control.spread(done_at);
        let visible = (everywhere >= done_at).then(|| Visible { plan: dnssec.done, since: self.since(done_at) });
        let parent = self.shared.signer.view(self.name);
        let facts = Facts {
            apex: self.name,
            now,
            clock: self.shared.signer.clock(now),
            max_ttl_s: max_ttl(&view.zone),
            done: dnssec.done,
            visible,
            pops_behind,
            verified: dnssec.verified,
            parent: parent.as_deref(),
            peers: &[],
        };
        life::step(&dnssec.state, policy, &facts, new_key)
    }

    /// When this node began to answer with a revision, or now if that is not known any more: rather too late than too early.
    fn since(&self, revision: Revision) -> u64 {
        let known = self.shared.applied_times().of(revision);
        if self.control.has_pops() { self.now_s() } else { known.map_or_else(|| self.now_s(), |at| at.0 / 1000) }
    }

    /// Makes all of the zone follow the plan, part by part, each a change of its own.
    fn walk(&self, zone: &Zone, hand: &Hand) -> Result<(), TendError> {
        let vault = Vault::new(self.shared, self.options);
        let sign = vault.open(&hand.keys).map_err(rokko_dnssec::ConformError::from)?;
        let mut names = if hand.is_secure { PART_NAMES_VERIFIED } else { PART_NAMES };
        let mut base = zone.clone();
        let mut walk = rokko_dnssec::Walk::new(&base, &hand.plan);
        while !walk.is_done() {
            if self.shared.signer.is_stopping() {
                return Err(TendError::Stopping);
            }
            let conformed = walk.step(&base, names, &hand.plan, &sign)?;
            self.shared.signer.count(conformed.signatures);
            if !conformed.delta.is_empty() {
                let (zone, step) = (self.name.clone(), SignStep::Walk(Box::new(conformed)));
                match self.submit(&Request::Sign { zone, expect: Expect::Version(base.revision()), step }) {
                    // Others change the zone all the time: smaller parts come between.
                    Err(TendError::Control(ControlError::Stale { .. })) => {
                        walk.step_back();
                        names = (names / 2).max(PART_NAMES_MIN);
                    }
                    outcome => outcome?,
                }
            }
            base = self.shared.current(self.name).ok_or(ControlError::NotFound { zone: self.name.clone() })?;
        }
        Ok(())
    }

    /// Verifies the whole zone as a validator would.
    fn verify(&self, zone: &Zone, hand: &Hand) -> Result<(), TendError> {
        let go_on = || !self.shared.signer.is_stopping();
        match super::gate::whole(zone, hand.plan.timing.now, go_on) {
            _ if !go_on() => Err(TendError::Stopping),
            None => Ok(()),
            Some(first) => Err(TendError::Invalid(first)),
        }
    }

    /// Notes something about the plan that `seen` has, if the zone still has it. That others have changed the zone meanwhile is no
    /// reason to do it all again.
    fn note(&self, seen: &Dnssec, set: impl Fn(&mut Dnssec)) -> Result<(), TendError> {
        loop {
            let record = self.control.zone(&self.who, self.name)?.record;
            let Some(mut now) = record.meta.dnssec.filter(|now| now.state.plan == seen.state.plan) else {
                return Ok(());
            };
            set(&mut now);
            match self.put(Some(*now), record.revision) {
                Err(TendError::Control(ControlError::Stale { .. })) if !self.shared.signer.is_stopping() => {}
                outcome => return outcome,
            }
        }
    }

    fn put(&self, dnssec: Option<Dnssec>, version: Revision) -> Result<(), TendError> {
        let (expect, step) = (Expect::Version(version), SignStep::State(dnssec.map(Box::new)));
        self.submit(&Request::Sign { zone: self.name.clone(), expect, step })
    }

    fn submit(&self, request: &Request) -> Result<(), TendError> {
        loop {
            match self.control.submit_wait(&self.who, "", vec![request.clone()]) {
                // Users come first.
                Err(ControlError::Overloaded) if !self.shared.signer.is_stopping() => {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
                outcome => return outcome.map(drop).map_err(TendError::from),
            }
        }
    }

    fn now_s(&self) -> u64 {
        self.shared.now().0 / 1000
    }
}

/// What comes after a step.
enum Next {
    Again,
    At(Option<u64>),
}

/// The largest TTL of the zone's records and of its negative answers.
fn max_ttl(zone: &Zone) -> u32 {
    zone.rrsets().map(|(_, rrset)| rrset.ttl().as_secs()).max().unwrap_or(0)
}

/// When the first signature of a zone expires, in Unix seconds; `None`: it has none.
pub(super) fn expires_first(zone: &Zone, now_s: u64) -> Option<u64> {
    let signatures = zone.rrsets().filter(|(_, rrset)| rrset.rtype() == Rtype::RRSIG);
    let times = signatures.flat_map(|(_, rrset)| rrset.rdatas()).filter_map(expiration);
    // Serial numbers of seconds are read as the times nearest to now.
    let low = super::hand::serial_time(now_s);
    times.map(|at| now_s.saturating_add_signed(i64::from(at.wrapping_sub(low).cast_signed()))).min()
}

/// When a signature expires (RFC 4034 §3.1.5).
fn expiration(rdata: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*rdata.get(8..)?.first_chunk()?))
}
