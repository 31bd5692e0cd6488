//! The state of a zone's keys in plain words.

use std::fmt;

use rokko_wire::Name;
use serde::Serialize;
use time::OffsetDateTime;

use super::policy::DenialPolicy;
use super::set::KeySet;
use super::state::{DenialPhase, Goal, Key, Role, State};
use super::step::{Outcome, Targets};
use super::wait::{Cached, Wait};

/// What caches know of a record of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordState {
    /// No cache has it.
    Hidden,
    /// It is published, and some caches may have what was there before.
    Rumoured,
    /// Each cache that has anything of this kind has it.
    Omnipresent,
    /// It is no longer published, and some caches may have it.
    Unretentive,
}

impl RecordState {
    fn of(now: bool, versions: impl Iterator<Item = bool> + Clone) -> Self {
        match (now, versions.clone().all(|has| has), versions.into_iter().any(|has| has)) {
            (true, true, _) => Self::Omnipresent,
            (true, false, _) => Self::Rumoured,
            (false, _, true) => Self::Unretentive,
            (false, _, false) => Self::Hidden,
        }
    }
}

/// A key in plain words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyExplanation {
    /// Its tag.
    pub tag: u16,
    /// What it is for.
    pub role: Role,
    /// Its algorithm.
    pub algorithm: crate::Algorithm,
    /// The id of the private key; none if another signer has it.
    pub id: Option<super::KeyId>,
    /// What is to become of it.
    pub goal: Goal,
    /// Since when it is meant to be in use, in Unix seconds.
    pub since: u64,
    /// Its DNSKEY record.
    pub dnskey: RecordState,
    /// Its signature of the DNSKEY RRset; none if it makes none.
    pub key_signature: Option<RecordState>,
    /// Its signatures of the zone's data; none if it makes none.
    pub zone_signatures: Option<RecordState>,
    /// Its DS at the parent; none if it has none.
    pub ds: Option<RecordState>,
    /// All this in sentences.
    pub text: Vec<String>,
}

/// The state of a zone in plain words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// How the zone is, in one sentence or two.
    pub summary: String,
    /// Its keys.
    pub keys: Vec<KeyExplanation>,
    /// What it waits for, a sentence each.
    pub waits: Vec<String>,
    /// When it will go on, in Unix seconds, if time alone decides that.
    pub next_at: Option<u64>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary)?;
        for key in &self.keys {
            writeln!(f, "\n{} {} ({})", key.role, key.tag, key.algorithm)?;
            for line in &key.text {
                writeln!(f, "  {line}")?;
            }
        }
        if !self.waits.is_empty() {
            writeln!(f, "\nIt waits:")?;
        }
        for wait in &self.waits {
            writeln!(f, "  - {wait}")?;
        }
        match self.next_at {
            Some(at) if self.waits.is_empty() => writeln!(f, "\nThe next rollover begins {}.", date(at))?,
            Some(at) => writeln!(f, "\nIt goes on {}.", date(at))?,
            None => {}
        }
        Ok(())
    }
}

/// Explains what a step came to.
pub fn explain(apex: &Name, outcome: &Outcome) -> Explanation {
    let state = &outcome.state;
    Explanation {
        summary: summary(apex, state),
        keys: state.keys.iter().map(|key| explain_key(state, key)).collect(),
        waits: outcome.waits.iter().map(sentence).collect(),
        next_at: outcome.next_at.filter(|_| outcome.waits.iter().all(|wait| wait.until().is_some())),
    }
}

/// A Unix time for people, in UTC.
fn date(unix_s: u64) -> String {
    let Some(time) = i64::try_from(unix_s).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok()) else {
        return "a time beyond all calendars".to_owned();
    };
    let (date, clock) = (time.date(), time.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", clock.hour(), clock.minute(), clock.second())
}

fn summary(apex: &Name, state: &State) -> String {
    let apex = if apex.is_root() { ".".to_owned() } else { apex.to_string() };
    let mut text = match (state.signed, state.keys.is_empty()) {
        (false, true) => format!("{apex} is not signed."),
        (false, false) => format!("{apex} is becoming unsigned."),
        (true, _) => signed_summary(&apex, state),
    };
    if no_ds_fits(state) {
        text += " The parent has DS records, and none of them means a key of this zone: validators refuse the zone until they \
                 are replaced.";
    }
    if state.emergency {
        text += " A key is being replaced in an emergency: no safety margins are waited for.";
    }
    text
}

/// Whether the parent has DS records, and none of them means a key of the zone.
fn no_ds_fits(state: &State) -> bool {
    state.ds_versions().any(|ds| ds.others && ds.keys.is_empty() && ds.until.is_none())
}

fn signed_summary(apex: &str, state: &State) -> String {
    let algorithms = state.algorithms().iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    if algorithms.is_empty() {
        return format!("{apex} is about to be signed.");
    }
    if no_ds_fits(state) {
        return format!("{apex} is signed by {algorithms}.");
    }
    let with_ds = state.ds_versions().filter(|ds| !ds.keys.is_empty() && ds.seen);
    let trust = match (with_ds.count(), state.ds_versions().any(|ds| ds.keys.is_empty() && !ds.others)) {
        (0, _) => "Validators do not know that yet: the parent shows no DS for it",
        (_, true) => "The parent shows a DS for it, which not all caches know yet",
        (_, false) => "Validators know that from the parent's DS",
    };
    let denial = match state.chains() {
        Some(chains) => format!(", with {}", denial_name(chains.answers)),
        None => String::new(),
    };
    let change = match state.denial_change {
        Some(change) if change.phase == DenialPhase::Build => {
            let new = state.denial.map_or("", denial_name);
            format!(" A chain of {new} is being built, to replace that of {}.", denial_name(change.from))
        }
        Some(change) => format!(" What is left of the chain of {} is being removed.", denial_name(change.from)),
        None => String::new(),
    };
    format!("{apex} is signed by {algorithms}{denial}. {trust}.{change}")
}

fn denial_name(denial: DenialPolicy) -> &'static str {
    match denial {
        DenialPolicy::Nsec => "NSEC",
        DenialPolicy::Nsec3 { opt_out: false } => "NSEC3",
        DenialPolicy::Nsec3 { opt_out: true } => "NSEC3 and opt-out",
    }
}

fn explain_key(state: &State, key: &Key) -> KeyExplanation {
    let has = |set: KeySet| set.has(key.slot);
    let rrset = state.dnskey.current();
    let dnskey = RecordState::of(has(rrset.keys), state.dnskey.versions().map(|rrset| has(rrset.keys)));
    let key_signature = RecordState::of(has(rrset.signers), state.dnskey.versions().map(|rrset| has(rrset.signers)));
    let signatures = state.signatures.versions().map(has);
    let zone_signatures = RecordState::of(has(state.signatures.current()), signatures);
    let ds = RecordState::of(has(state.asked.unwrap_or_default()), state.ds_versions().map(|ds| has(ds.keys)));
    let own_entry = key.role.is_entry() && !key.is_foreign();
    let mut explanation = KeyExplanation {
        tag: key.public.tag(),
        role: key.role,
        algorithm: key.public.algorithm,
        id: key.id,
        goal: key.goal,
        since: key.since,
        dnskey,
        key_signature: own_entry.then_some(key_signature),
        zone_signatures: (key.role.signs_zone() && !key.is_foreign()).then_some(zone_signatures),
        ds: key.role.is_entry().then_some(ds),
        text: Vec::new(),
    };
    explanation.text = key_text(state, key, &explanation);
    explanation
}

fn key_text(state: &State, key: &Key, is: &KeyExplanation) -> Vec<String> {
    let stays = Targets::of(state).dnskey.keys.has(key.slot);
    let mut text = vec![goal_text(state, key, is)];
    let by = latest(state.dnskey.former().iter().map(|held| held.until));
    text.push(match (is.dnskey, stays) {
        (RecordState::Hidden, true) => "its DNSKEY is not published yet".to_owned(),
        (RecordState::Hidden, false) => "its DNSKEY is in no cache any more".to_owned(),
        (RecordState::Rumoured, _) => format!("its DNSKEY is published; {}", known(by)),
        (RecordState::Omnipresent, true) => "its DNSKEY is published, and all caches know it".to_owned(),
        (RecordState::Omnipresent, false) => format!("its DNSKEY stays published {}", why_it_stays(is)),
        (RecordState::Unretentive, _) => format!("its DNSKEY is no longer published; {}", forgotten(by)),
    });
    let by = latest(state.signatures.former().iter().map(|held| held.until));
    text.extend(is.zone_signatures.map(|record| match record {
        RecordState::Hidden => "it does not sign the zone".to_owned(),
        RecordState::Rumoured => match by {
            None => "it signs the zone; caches may have data that it did not sign".to_owned(),
            Some(by) => format!("it signs the zone; caches have no other data by {}", date(by)),
        },
        RecordState::Omnipresent => "it signs the zone, and all cached data is signed by it".to_owned(),
        RecordState::Unretentive => format!("it no longer signs the zone; {}", forgotten(by)),
    }));
    let by = latest(state.ds.iter().filter(|ds| Some(ds.keys) != state.asked).map(|ds| ds.until));
    text.extend(is.ds.map(|record| match record {
        RecordState::Hidden => "the parent is not asked for its DS".to_owned(),
        RecordState::Rumoured if is_seen(state, key) => format!("its DS is at the parent; {}", known(by)),
        RecordState::Rumoured => "the parent is asked for its DS, and does not show it yet".to_owned(),
        RecordState::Omnipresent => "its DS is at the parent, and all caches know it".to_owned(),
        RecordState::Unretentive if by.is_some() => format!("its DS is gone from the parent; {}", forgotten(by)),
        RecordState::Unretentive => "its DS is to go from the parent".to_owned(),
    }));
    text
}

fn goal_text(state: &State, key: &Key, is: &KeyExplanation) -> String {
    match (key.goal, key.is_foreign()) {
        _ if !state.signed => "is on its way out, since the zone is becoming unsigned".to_owned(),
        (Goal::Out, _) => "is on its way out".to_owned(),
        (_, true) => format!("belongs to another signer of the zone; published here since {}", date(key.since)),
        (Goal::Standby, _) => "is in waiting: the successor in an emergency".to_owned(),
        (Goal::Roll, _) => "is in use and is to be replaced".to_owned(),
        (Goal::In, _) if is_in_use(is) => format!("is in use since {}", date(key.since)),
        (Goal::In, _) => format!("is coming into use, begun {}", date(key.since)),
    }
}

/// Why the DNSKEY record of a key on its way out stays for now.
fn why_it_stays(is: &KeyExplanation) -> &'static str {
    let hidden = |record: Option<RecordState>| record.is_none_or(|state| state == RecordState::Hidden);
    match (hidden(is.ds), hidden(is.zone_signatures)) {
        (false, _) => "until its DS is gone from the parent and from caches",
        (true, false) => "until its signatures are gone from caches",
        (true, true) => "until all caches know the key that replaces it",
    }
}

/// The last of some moments; none if one of them is not known, or there are none.
fn latest(moments: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    moments.collect::<Option<Vec<_>>>()?.into_iter().max()
}

fn known(by: Option<u64>) -> String {
    by.map_or_else(|| "not all caches know it yet".to_owned(), |by| format!("all caches know it by {}", date(by)))
}

fn forgotten(by: Option<u64>) -> String {
    by.map_or_else(|| "caches may have it".to_owned(), |by| format!("it is gone from caches by {}", date(by)))
}

fn is_seen(state: &State, key: &Key) -> bool {
    state.ds_versions().any(|ds| ds.seen && ds.until.is_none() && ds.keys.has(key.slot))
}

/// Whether a key does all that it is for.
fn is_in_use(is: &KeyExplanation) -> bool {
    let there = |record: Option<RecordState>| record.is_none_or(|state| state == RecordState::Omnipresent);
    is.dnskey == RecordState::Omnipresent && there(is.zone_signatures) && there(is.ds)
}

fn sentence(wait: &Wait) -> String {
    let tags = |tags: &[u16]| tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match wait {
        Wait::ClockWentBack { by_s } => format!(
            "for the clock: it went back by {by_s} s. All goes on when the time is right again, or when someone says that it is"
        ),
        Wait::ClockWentAhead { by_s } => format!(
            "for the clock: it went ahead by {by_s} s more than passed. All goes on when the time is right again, or when \
             someone says that it is"
        ),
        Wait::NewKey { role, error } => format!("for a new {role}, which could not be made: {error}"),
        Wait::Signing => "for the zone to be signed as planned; that goes on in the background".to_owned(),
        Wait::Servers { behind: 0 } => "for all servers of the zone to have the last change".to_owned(),
        Wait::Servers { behind: 1 } => "for 1 server of the zone that has not acknowledged the last change".to_owned(),
        Wait::Servers { behind } => {
            format!("for {behind} servers of the zone that have not acknowledged the last change")
        }
        Wait::Caches { what: Cached::Ds, until } => format!("for caches to let go of a former DS, by {}", date(*until)),
        Wait::Caches { what: Cached::Dnskey, until } => {
            format!("for caches to let go of a former DNSKEY RRset, by {}", date(*until))
        }
        Wait::Caches { what: Cached::Signatures, until } => {
            format!("for caches to let go of data as it was signed before, by {}", date(*until))
        }
        Wait::Verification => "for the whole zone to be verified, before the parent is asked for a DS".to_owned(),
        Wait::Parent { servers } => {
            format!("for the parent: other DS records than were asked for are shown by {}", servers.join(", "))
        }
        Wait::ParentSilent { servers } if servers.is_empty() => {
            "for a look at the parent's servers: none could be asked yet".to_owned()
        }
        Wait::ParentSilent { servers } => format!("for the parent's servers: no answer from {}", servers.join(", ")),
        Wait::Look => "for a fresh look at all servers of the parent, before a key goes".to_owned(),
        Wait::Registration { until } => {
            format!("since the parent may still carry out a request that was taken back, until {}", date(*until))
        }
        Wait::Peers { peer, tags: keys } if peer.is_empty() => {
            format!("for the other signers of the zone to publish the keys {}: none of them was asked yet", tags(keys))
        }
        Wait::Peers { peer, tags: keys } => {
            format!("for the other signer {peer} to publish the keys {} for long enough", tags(keys))
        }
        Wait::TooManyVersions => "since caches may hold too many versions at once to begin another change".to_owned(),
    }
}
