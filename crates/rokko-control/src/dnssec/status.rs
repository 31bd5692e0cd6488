//! How a zone is signed, for people, and what people ask for.

use std::time::{Duration, Instant};

use rokko_dnssec::life::{self, Command, Explanation, KeyRecords, Outcome, State, Wait};
use rokko_model::{Dnssec, Expect, Permission, Request, SignStep};
use rokko_wire::{Name, Rtype};

use super::tend::Tending;
use super::{DEFAULT_POLICY, DnssecOptions, gate};
use crate::{Committed, Control, ControlError, Identity, Shared, ZoneView};

/// How long whoever asks for a change of a zone's signing waits for its first step at most.
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// How often it is looked whether it was taken.
const SETTLE_STEP: Duration = Duration::from_millis(5);

/// How a zone is signed.
#[derive(Clone, Debug)]
pub struct DnssecView {
    /// The name of its policy.
    pub policy: String,
    /// The state of its keys.
    pub state: State,
    /// The same in plain words.
    pub explanation: Explanation,
    /// The RRsets that its keys bring to the apex.
    pub records: KeyRecords,
    /// The DS records that its parent is to have.
    pub ds: Vec<Box<[u8]>>,
    /// When the first of its signatures expires, in Unix seconds; `None`: it has none.
    pub expires_first: Option<u64>,
    /// Whether all of its contents are signed as planned.
    pub complete: bool,
    /// Whether the signer has something to do for it right now.
    pub is_about_to_move: bool,
}

impl Control {
    /// How a zone is signed; `None`: not by this control plane.
    pub fn dnssec(&self, who: &Identity, name: &Name) -> Result<Option<DnssecView>, ControlError> {
        let view = self.zone(who, name)?;
        let Some(dnssec) = view.record.meta.dnssec.as_deref() else { return Ok(None) };
        let options = self.0.dnssec_options(name)?;
        let policy = options.policy(dnssec)?;
        let outcome = self.outlook(&view, dnssec, options, policy);
        Ok(Some(DnssecView {
            policy: dnssec.policy.clone(),
            state: dnssec.state.clone(),
            explanation: life::explain(name, &outcome),
            records: dnssec.state.key_records(name, policy),
            ds: dnssec.state.wanted_ds(name, policy),
            expires_first: super::tend::expires_first(&view.zone, self.now().0 / 1000),
            complete: dnssec.done == dnssec.state.plan,
            is_about_to_move: outcome.changed || outcome.waits.iter().any(|wait| matches!(wait, Wait::NewKey { .. })),
        }))
    }

    /// Has a zone's signing changed. `policy` goes with [`Command::Sign`]; what the zone has, or the default, if `None`.
    pub fn dnssec_command(
        &self,
        who: &Identity,
        name: &Name,
        reason: &str,
        policy: Option<&str>,
        command: &Command,
    ) -> Result<Committed, ControlError> {
        who.scope.allows(Permission::Manage(name))?;
        let view = self.zone(who, name)?;
        let refused = |what: String| ControlError::Signing { zone: name.clone(), what };
        let options = self.0.dnssec_options(name)?;
        let before = view.record.meta.dnssec.as_deref();
        if *command == Command::ForgetTimes {
            // From here on the clock is right as it is, for all zones.
            who.scope.allows(Permission::Administer)?;
            self.0.signer.accept_clock(self.now().0 / 1000);
        }
        if before.is_none() {
            if *command != Command::Sign {
                return Err(refused(life::Refused::NotSigned.to_string()));
            }
            if let Some(rtype) =
                [Rtype::DNSKEY, Rtype::RRSIG].into_iter().find(|rtype| view.zone.rrset(name, *rtype).is_some())
            {
                return Err(refused(format!(
                    "it was signed elsewhere ({rtype} at its apex): import its keys (`rokko keys import`), or have the DS taken out of the parent, wait for its TTL, and import the zone without these records"
                )));
            }
        }
        let mut after =
            before.cloned().unwrap_or_else(|| Dnssec { policy: DEFAULT_POLICY.to_owned(), ..Dnssec::default() });
        if let Some(policy) = policy {
            policy.clone_into(&mut after.policy);
        }
        options.policy(&after)?;
        after.state =
            life::command(&after.state, self.now().0 / 1000, command).map_err(|why| refused(why.to_string()))?;
        let step = SignStep::State(Some(Box::new(after)));
        let request = Request::Sign { zone: name.clone(), expect: Expect::Version(view.record.revision), step };
        let mut done = self.submit_wait(who, reason, vec![request])?;
        self.settle(who, name)?;
        done.pop().ok_or(ControlError::Stopping)
    }

    /// Verifies all signatures and the denial of a zone as a validator would: the first thing that is wrong.
    pub fn dnssec_verify(&self, who: &Identity, name: &Name) -> Result<Option<String>, ControlError> {
        let view = self.zone(who, name)?;
        Ok(gate::whole(&view.zone, super::hand::serial_time(self.now().0 / 1000), || true))
    }

    /// A person says that the clock of this node is right.
    pub fn accept_clock(&self, who: &Identity) -> Result<(), ControlError> {
        who.scope.allows(Permission::Administer)?;
        self.0.signer.accept_clock(self.now().0 / 1000);
        Ok(())
    }

    /// Gives the signer a moment for the first step, such as making keys, so that whoever asks next sees it.
    fn settle(&self, who: &Identity, name: &Name) -> Result<(), ControlError> {
        let end = Instant::now() + SETTLE_MAX;
        while Instant::now() < end {
            let Some(view) = self.dnssec(who, name)? else { return Ok(()) };
            if view.complete && view.state.plan > 0 && !view.is_about_to_move {
                return Ok(());
            }
            std::thread::sleep(SETTLE_STEP);
        }
        Ok(())
    }

    /// The step that would be taken now, which is not taken.
    fn outlook(
        &self,
        view: &ZoneView,
        dnssec: &Dnssec,
        options: &DnssecOptions,
        policy: &life::DnssecPolicy,
    ) -> Outcome {
        let name = view.zone.apex();
        let tending = Tending::new(&self.0, options, &name);
        tending.life(view, dnssec, policy, &mut |_| Err("a new key is made with the next step".to_owned()))
    }
}

impl Shared {
    /// What signing needs, which a control plane may be without.
    pub(super) fn dnssec_options(&self, zone: &Name) -> Result<&DnssecOptions, ControlError> {
        self.options.dnssec.as_ref().ok_or_else(|| ControlError::Signing {
            zone: zone.clone(),
            what: "this control plane was started without keys".to_owned(),
        })
    }
}
