//! Which keys a zone is to have, and the making of those that are missing.

use super::DnssecPolicy;
use super::set::KEYS_MAX;
use super::state::{Goal, Key, KeyId, Role, State};
use super::step::{Targets, Work};
use super::wait::Wait;
use crate::{Algorithm, PublicKey};

/// What kind of key is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyWanted {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The size of an RSA key in bits.
    pub rsa_bits: u16,
    /// What it is for.
    pub role: Role,
}

/// A key that was made and is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What its private key is found by.
    pub id: KeyId,
    /// Its public key, of the algorithm that was asked for; the flags are set from the role.
    pub public: PublicKey,
}

/// Makes private keys and keeps them. The error is for people.
pub type KeyMaker<'a> = dyn FnMut(KeyWanted) -> Result<NewKey, String> + 'a;

/// How often another key is made if the tag of one is in use already.
const TAG_ATTEMPTS: usize = 8;

/// Gives each role of the policy one key, and has all others go.
pub(super) fn settle(work: &mut Work<'_>, new_key: &mut KeyMaker<'_>) {
    let roles = work.policy.keys.roles();
    let mut complete = true;
    for &role in roles {
        complete &= settle_role(work, role, new_key);
    }
    if !complete {
        return;
    }
    for key in work.state.keys.iter_mut().filter(|key| !key.is_foreign() && !roles.contains(&key.role)) {
        key.goal = Goal::Out;
    }
    settle_standby(work, roles, new_key);
}

/// True if the role has a key that is to be in use.
fn settle_role(work: &mut Work<'_>, role: Role, new_key: &mut KeyMaker<'_>) -> bool {
    let (policy, now) = (work.policy, work.facts.now);
    let rolling = work.state.keys.iter().any(|key| key.role == role && !key.is_foreign() && key.goal == Goal::Out);
    let due = |key: &Key| !rolling && policy.lifetime_s(role).is_some_and(|s| key.since + u64::from(s) <= now);
    let own = |key: &&Key| key.role == role && !key.is_foreign();
    let serving =
        work.state.keys.iter().filter(own).filter(|key| key.goal == Goal::In && fits(key, policy) && !due(key));
    let serving = serving.max_by_key(|key| (key.since, key.slot)).map(|key| key.slot);
    let chosen =
        serving.or_else(|| promote(&mut work.state, policy, role, now)).or_else(|| make(work, role, Goal::In, new_key));
    let Some(chosen) = chosen else { return false };
    for key in work.state.keys.iter_mut().filter(|key| key.role == role && !key.is_foreign() && key.slot != chosen) {
        if key.goal != Goal::Standby {
            key.goal = Goal::Out;
        }
    }
    true
}

/// A key in waiting takes over.
fn promote(state: &mut State, policy: &DnssecPolicy, role: Role, now: u64) -> Option<u8> {
    let key = state.keys.iter_mut().find(|key| key.role == role && key.goal == Goal::Standby && fits(key, policy))?;
    (key.goal, key.since) = (Goal::In, now);
    Some(key.slot)
}

fn settle_standby(work: &mut Work<'_>, roles: &[Role], new_key: &mut KeyMaker<'_>) {
    let policy = work.policy;
    for key in work.state.keys.iter_mut().filter(|key| key.goal == Goal::Standby) {
        if !policy.standby || !fits(key, policy) {
            key.goal = Goal::Out;
        }
    }
    if !policy.standby || !is_settled(&work.state) {
        return;
    }
    for &role in roles {
        if !work.state.keys.iter().any(|key| key.role == role && key.goal == Goal::Standby) {
            make(work, role, Goal::Standby, new_key);
        }
    }
}

/// Whether the parent and all caches know the keys that are in use, and none other.
fn is_settled(state: &State) -> bool {
    let targets = Targets::of(state);
    state.asked == Some(targets.ds)
        && state.ds_versions().all(|ds| ds.keys == targets.ds)
        && state.dnskey.versions().all(|dnskey| dnskey == targets.dnskey)
        && state.signatures.versions().all(|signers| signers == targets.signatures)
}

fn fits(key: &Key, policy: &DnssecPolicy) -> bool {
    let bits = || key.public.rsa_parts().map(|(_, modulus)| modulus.len() * 8);
    key.public.algorithm == policy.algorithm
        && match policy.algorithm {
            Algorithm::RsaSha256 | Algorithm::RsaSha512 => bits() == Some(usize::from(policy.rsa_bits)),
            _ => true,
        }
}

/// Has a key made. None if that failed; the reason is in the waits then.
fn make(work: &mut Work<'_>, role: Role, goal: Goal, new_key: &mut KeyMaker<'_>) -> Option<u8> {
    let Some(slot) = free_slot(&work.state) else {
        work.waits.push(Wait::NewKey { role, error: format!("the zone has {KEYS_MAX} keys already") });
        return None;
    };
    let wanted = KeyWanted { algorithm: work.policy.algorithm, rsa_bits: work.policy.rsa_bits, role };
    let mut error = "each key that was made has the key tag of another".to_owned();
    for _ in 0..TAG_ATTEMPTS {
        let made = match new_key(wanted) {
            Ok(made) => made,
            Err(failed) => {
                error = failed;
                break;
            }
        };
        let public = PublicKey { flags: role.flags(), ..made.public };
        if public.algorithm != wanted.algorithm {
            error = format!("a key of {} was made where one of {} was wanted", public.algorithm, wanted.algorithm);
            break;
        }
        if is_tag_free(&work.state, &public) {
            work.notes.push(format!("{role} {} ({}) was made", public.tag(), public.algorithm));
            let since = work.facts.now;
            work.state.keys.push(Key { slot, id: Some(made.id), role, goal, since, public });
            return Some(slot);
        }
        work.delete.push(made.id);
    }
    work.waits.push(Wait::NewKey { role, error });
    None
}

/// The lowest slot that no key has.
pub(super) fn free_slot(state: &State) -> Option<u8> {
    (0..KEYS_MAX).filter_map(|slot| u8::try_from(slot).ok()).find(|&slot| state.key(slot).is_none())
}

/// Whether no key has this one's tag, now or if either is revoked (RFC 5011 §2.1).
fn is_tag_free(state: &State, public: &PublicKey) -> bool {
    let tags = |key: &PublicKey| {
        let revoked = PublicKey { flags: key.flags | PublicKey::REVOKE, ..key.clone() };
        [key.tag(), revoked.tag()]
    };
    let mine = tags(public);
    state.keys.iter().all(|key| tags(&key.public).iter().all(|tag| !mine.contains(tag)))
}
