//! What the planner does with changes of signed zones.

use rokko_dnssec::life::{self, Clock, Command, Facts};
use rokko_dnssec::{Conformed, Cursor, conform_range, conform_touched};
use rokko_model::{ChangeKind, Dnssec, SignStep, Signing};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Delta, Revision, Rrset, Zone};

use super::gate::Gate;
use super::vault::Vault;
use super::{DEFAULT_POLICY, DnssecOptions, Hand, keep_own_rrsets};
use crate::ControlError;
use crate::contents::move_serial_of_signed;
use crate::error::describe;
use crate::plan::{Planner, Step, edit_error};

/// A zone of so many RRsets at most is signed at once; a larger one in parts, so that other changes do not wait for it.
const AT_ONCE_MAX: u64 = 400;

impl<'a> Planner<'a> {
    /// How a new zone is to be signed.
    pub(crate) fn begin_signing(
        &mut self,
        zone: &Name,
        contents: &mut Vec<Rrset>,
        signing: Signing,
    ) -> Result<Option<Box<Dnssec>>, ControlError> {
        let is_signed =
            contents.iter().any(|rrset| matches!(rrset.rtype, Rtype::DNSKEY | Rtype::RRSIG) && rrset.owner == *zone);
        let options = self.shared.options.dnssec.as_ref();
        let policy = match (signing, options) {
            (Signing::Off, _) | (Signing::Default, None) => return Ok(None),
            (Signing::Default, Some(options)) if is_signed || !options.sign_new_zones => return Ok(None),
            (Signing::Default, Some(_)) => DEFAULT_POLICY.to_owned(),
            (Signing::Policy(name), _) => name,
        };
        keep_own_rrsets(zone, contents);
        let state = life::command(&life::State::default(), self.at.0 / 1000, &Command::Sign)
            .map_err(|refused| ControlError::Signing { zone: zone.clone(), what: refused.to_string() })?;
        let mut dnssec = Dnssec { policy, state, ..Dnssec::default() };
        self.first_step(zone, &mut dnssec)?;
        Ok(Some(Box::new(dnssec)))
    }

    /// Makes the keys of a zone that is to be signed.
    fn first_step(&mut self, zone: &Name, dnssec: &mut Dnssec) -> Result<(), ControlError> {
        let (options, policy) = self.dnssec_of(zone, dnssec)?;
        let facts = Facts {
            apex: zone,
            now: self.at.0 / 1000,
            clock: Clock::Steady,
            max_ttl_s: 0,
            done: 0,
            visible: None,
            pops_behind: 0,
            verified: 0,
            parent: None,
            peers: &[],
        };
        let (vault, mut keys) = (Vault::new(self.shared, options), Vec::new());
        let outcome = life::step(&dnssec.state, policy, &facts, &mut |wanted| {
            let (made, stored) = vault.generate(zone, wanted)?;
            keys.push(stored);
            Ok(made)
        });
        dnssec.state = outcome.state;
        self.keys.append(&mut keys);
        Ok(())
    }

    /// What the signer asks for.
    pub(crate) fn sign_step(&mut self, before: Zone, step: SignStep) -> Result<Step, ControlError> {
        let apex = before.apex();
        match step {
            SignStep::State(mut dnssec) => {
                let mut meta = self.meta(&apex)?;
                let done = meta.dnssec.as_ref().map_or(0, |dnssec| dnssec.done);
                if let Some(dnssec) = dnssec.as_mut().filter(|dnssec| dnssec.done > done) {
                    dnssec.done_at = self.next_revision().0;
                }
                let changed = meta.dnssec != dnssec;
                meta.dnssec = dnssec;
                let meta = changed.then_some(meta);
                Ok(Step { meta, ..Step::new(ChangeKind::Sign, Some(before), Delta::default()) })
            }
            SignStep::Walk(walk) => {
                Ok(Step { walk: Some(walk), ..Step::new(ChangeKind::Sign, Some(before), Delta::default()) })
            }
        }
    }

    /// Adds to a change of a signed zone what signing makes of it. `own` is what changes of the rest.
    pub(crate) fn sign(
        &self,
        name: &Name,
        before: Option<&Zone>,
        own: Delta,
        walk: Option<Box<Conformed>>,
        dnssec: &mut Dnssec,
        revision: Revision,
    ) -> Result<(Delta, Option<Gate>), ControlError> {
        let (options, policy) = self.dnssec_of(name, dnssec)?;
        let hand = Hand::of(name, dnssec, policy, self.at.0 / 1000);
        let empty = Zone::empty(name);
        let base = before.unwrap_or(&empty);
        let mut own = own.then(hand.apex_changes(base));
        let is_walk = walk.is_some();
        let Conformed { delta: walked, hashed, .. } = walk.map_or_else(Conformed::default, |walk| *walk);
        if !own.is_empty() || !walked.is_empty() {
            move_serial_of_signed(base, &mut own, self.meta(name)?.soa_edit, self.at);
        }
        let all = own.clone().then(walked);
        let (draft, _) = base.apply(&all, revision).map_err(edit_error(name))?;
        let failed =
            |error: &dyn std::error::Error| ControlError::Signing { zone: name.clone(), what: describe(error) };
        let sign = Vault::new(self.shared, options).open(&hand.keys).map_err(|error| failed(&error))?;
        let is_behind = before.is_none() || dnssec.done < dnssec.state.plan;
        let is_small = draft.rrsets_count() <= AT_ONCE_MAX;
        let mut made = if before.is_some() || hand.is_secure {
            conform_touched(&draft, &own, &hand.plan, &sign).map_err(|error| failed(&error))?
        } else {
            // All of it is new: at once below, or in parts by the signer.
            Conformed { needs_walk: true, ..Conformed::default() }
        };
        if is_behind && is_small {
            let (draft, _) = draft.apply(&made.delta, revision).map_err(edit_error(name))?;
            let rest = conform_range(&draft, &Cursor::start(), usize::MAX, &hand.plan, &sign);
            let (rest, _) = rest.map_err(|error| failed(&error))?;
            made.delta = made.delta.then(rest.delta);
            made.hashed.extend(rest.hashed);
            made.signatures += rest.signatures;
        }
        made.hashed.extend(hashed);
        self.shared.signer.count(made.signatures);
        if is_behind && is_small {
            (dnssec.done, dnssec.done_at) = (dnssec.state.plan, revision.0);
        } else if made.needs_walk {
            dnssec.done = 0;
        }
        // A zone that was verified once stays so: what is complete is judged, also before anybody knows that it is signed.
        let is_complete = dnssec.done == dnssec.state.plan;
        let gated = hand.is_secure || (is_complete && !is_walk);
        let gate = Gate { now: hand.plan.timing.now, hashed: made.hashed };
        Ok((all.then(made.delta), gated.then_some(gate)))
    }

    fn dnssec_of(
        &self,
        zone: &Name,
        dnssec: &Dnssec,
    ) -> Result<(&'a DnssecOptions, &'a life::DnssecPolicy), ControlError> {
        let shared: &'a crate::Shared = self.shared;
        let options = shared.dnssec_options(zone)?;
        Ok((options, options.policy(dnssec)?))
    }
}
