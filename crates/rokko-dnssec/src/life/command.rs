//! What people ask for.

use super::keys::{NewKey, free_slot};
use super::set::{History, KEYS_MAX, KeySet};
use super::state::{Goal, HeldDs, Key, KeyRrset, Role, State};
use crate::PublicKey;

/// A request of a person. It changes goals only: the steps that follow bring the zone there, safely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Sign the zone, or keep it signed if it was about to become unsigned.
    Sign,
    /// Make the zone unsigned: the DS goes first, the signatures last.
    Unsign,
    /// Replace the keys of a role, or of all.
    Roll {
        /// Of which role; all if none.
        role: Option<Role>,
        /// Use the key in waiting if there is one, and wait for no safety margins.
        emergency: bool,
    },
    /// Go back to the key before, in a rollover that has not ended.
    Cancel {
        /// Of which role; all if none.
        role: Option<Role>,
    },
    /// Publish a key of another signer of the zone (RFC 8901). A key with the SEP flag is asked for as DS, too.
    AddForeign(PublicKey),
    /// No longer publish a key of another signer. Its signatures have to be gone from all caches.
    RemoveForeign(PublicKey),
    /// Begin all waiting anew from what is seen from now on: after the clock was wrong.
    ForgetTimes,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There are no keys.
    #[error("the zone is not signed: sign it first")]
    NotSigned,
    /// The policy has no such keys.
    #[error("the zone has no {0} in use")]
    NoSuchRole(Role),
    /// Nothing is being replaced.
    #[error("no rollover is going on that could be cancelled")]
    NothingToCancel,
    /// A key of another algorithm would make the zone bogus.
    #[error(
        "the key is of {found}, and the zone is signed with others: all signers of a zone use the same algorithms (RFC 8901 §4)"
    )]
    OtherAlgorithm {
        /// The key's algorithm.
        found: crate::Algorithm,
    },
    /// The key is there already.
    #[error("the zone has a key with tag {0} already")]
    SameTag(u16),
    /// No key of another signer is this one.
    #[error("no other signer's key with tag {0} is published")]
    NoSuchKey(u16),
    /// Too many.
    #[error("the zone has {KEYS_MAX} keys already")]
    TooManyKeys,
}

/// Carries out a request on a state. The steps that follow do what it takes.
pub fn command(before: &State, now: u64, command: &Command) -> Result<State, Refused> {
    let mut state = before.clone();
    match command {
        Command::Sign => state.signed = true,
        Command::Unsign => state.signed = false,
        Command::Roll { role, emergency } => roll(&mut state, *role, *emergency)?,
        Command::Cancel { role } => cancel(&mut state, *role, now)?,
        Command::AddForeign(key) => add_foreign(&mut state, key, now)?,
        Command::RemoveForeign(key) => {
            let found = state.keys.iter_mut().find(|known| known.is_foreign() && known.public == *key);
            found.ok_or_else(|| Refused::NoSuchKey(key.tag()))?.goal = Goal::Out;
        }
        Command::ForgetTimes => forget_times(&mut state, now),
    }
    if state != *before {
        state.changed_at = now;
    }
    Ok(state)
}

fn roll(state: &mut State, role: Option<Role>, emergency: bool) -> Result<(), Refused> {
    if !state.signed {
        return Err(Refused::NotSigned);
    }
    let wanted = |key: &&mut Key| !key.is_foreign() && key.goal == Goal::In && role.is_none_or(|role| key.role == role);
    let mut found = false;
    for key in state.keys.iter_mut().filter(wanted) {
        (key.goal, found) = (Goal::Roll, true);
    }
    match role {
        Some(role) if !found => Err(Refused::NoSuchRole(role)),
        None if !found => Err(Refused::NotSigned),
        _ => {
            state.emergency |= emergency;
            Ok(())
        }
    }
}

fn cancel(state: &mut State, role: Option<Role>, now: u64) -> Result<(), Refused> {
    let mut found = false;
    let roles = [Role::Csk, Role::Ksk, Role::Zsk].into_iter().filter(|&each| role.is_none_or(|role| role == each));
    for role in roles {
        let own = |key: &Key| key.role == role && !key.is_foreign();
        for key in state.keys.iter_mut().filter(|key| own(key) && key.goal == Goal::Roll) {
            (key.goal, found) = (Goal::In, true);
        }
        let former = state.keys.iter().filter(|key| own(key) && key.goal == Goal::Out).max_by_key(|key| key.since);
        let Some(former) = former.map(|key| key.slot) else { continue };
        found = true;
        for key in state.keys.iter_mut().filter(|key| own(key) && key.goal != Goal::Standby) {
            if key.slot == former {
                // Its lifetime begins anew, or it would be replaced at once.
                (key.goal, key.since) = (Goal::In, now);
            } else {
                key.goal = Goal::Out;
            }
        }
    }
    if found { Ok(()) } else { Err(Refused::NothingToCancel) }
}

fn add_foreign(state: &mut State, key: &PublicKey, now: u64) -> Result<(), Refused> {
    if !state.signed {
        return Err(Refused::NotSigned);
    }
    if let Some(known) = state.keys.iter_mut().find(|known| known.is_foreign() && known.public == *key) {
        known.goal = Goal::In;
        return Ok(());
    }
    if state.keys.iter().any(|known| known.public.tag() == key.tag()) {
        return Err(Refused::SameTag(key.tag()));
    }
    let own = |known: &Key| !known.is_foreign() && known.goal != Goal::Out && known.public.algorithm == key.algorithm;
    if !state.keys.iter().any(own) {
        return Err(Refused::OtherAlgorithm { found: key.algorithm });
    }
    let slot = free_slot(state).ok_or(Refused::TooManyKeys)?;
    let role = if key.is_sep() { Role::Ksk } else { Role::Zsk };
    state.keys.push(Key { slot, id: None, role, goal: Goal::In, since: now, public: key.clone() });
    Ok(())
}

fn forget_times(state: &mut State, now: u64) {
    state.dnskey.forget_times();
    state.signatures.forget_times();
    for held in &mut state.ds {
        held.until = None;
        if held.left.is_some() {
            held.left = Some(now);
        }
    }
    for key in &mut state.keys {
        key.since = key.since.min(now);
    }
}

impl State {
    /// The state of a zone that comes signed, with its keys: as published elsewhere until now.
    ///
    /// `at_parent` are the positions in `keys` of those that the parent has a DS for.
    pub fn adopted(
        keys: &[(NewKey, Role)],
        at_parent: &[usize],
        denial: super::DenialPolicy,
        ttl_s: u32,
        now: u64,
    ) -> Result<Self, Refused> {
        if keys.len() > KEYS_MAX {
            return Err(Refused::TooManyKeys);
        }
        let mut state = Self { signed: true, denial: Some(denial), plan: 1, changed_at: now, ..Self::default() };
        for (key, role) in keys {
            let slot = free_slot(&state).ok_or(Refused::TooManyKeys)?;
            let public = PublicKey { flags: role.flags(), ..key.public.clone() };
            if state.keys.iter().any(|known| known.public.tag() == public.tag()) {
                return Err(Refused::SameTag(public.tag()));
            }
            state.keys.push(Key { slot, id: Some(key.id), role: *role, goal: Goal::In, since: now, public });
        }
        let rrset = KeyRrset { keys: state.set_of(|_| true), signers: state.set_of(|key| key.role.is_entry()) };
        let ds: KeySet = at_parent.iter().filter_map(|&at| state.keys.get(at)).map(|key| key.slot).collect();
        state.dnskey = History::settled(rrset, ttl_s, 1);
        state.signatures = History::settled(state.set_of(|key| key.role.signs_zone()), ttl_s, 1);
        if !ds.is_empty() {
            state.asked = Some(ds);
            state.ds = vec![HeldDs { keys: ds, seen: true, ..HeldDs::default() }];
        }
        Ok(state)
    }
}
