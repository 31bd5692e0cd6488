//! How far each PoP has come; kept in memory, and told anew by the PoPs after a restart. Only when each was last heard of is in
//! the registry, for those that stay away.

use std::collections::{BTreeMap, VecDeque};

use rokko_model::UnixMillis;
use rokko_zone::{Revision, ShortDigest};

use super::{
    DIFFERENCES_MAX, PopChange, PopProgress, PopRecord, PopReport, PopState, PopStatus, UNREACHABLE_AFTER_MS, Verified,
};
use crate::read::AppliedTimes;

/// How many revisions' digests are remembered.
const DIGESTS_MAX: usize = 65_536;

/// What is known of all PoPs now.
#[derive(Default)]
pub(crate) struct Live {
    /// When this began: PoPs that were there before have a while to make contact.
    started: UnixMillis,
    pops: BTreeMap<String, Pop>,
    /// The digests of the last revisions.
    digests: VecDeque<(Revision, ShortDigest)>,
}

#[derive(Default)]
struct Pop {
    via: Option<String>,
    ahead: bool,
    last_contact: Option<UnixMillis>,
    revision: Revision,
    digest_good: Option<bool>,
    times: AppliedTimes,
    /// Since when it lags.
    lags_since: Option<UnixMillis>,
    report: Option<(UnixMillis, PopReport)>,
    rates: BTreeMap<u16, u64>,
    differing: Vec<String>,
    verified: Option<Verified>,
}

impl Live {
    pub(crate) fn new(started: UnixMillis) -> Self {
        Self { started, ..Self::default() }
    }

    /// Notes what the log comes to at a revision.
    pub(crate) fn committed(&mut self, revision: Revision, digest: ShortDigest, now: UnixMillis) {
        if self.digests.len() == DIGESTS_MAX {
            self.digests.pop_front();
        }
        self.digests.push_back((revision, digest));
        for pop in self.pops.values_mut() {
            pop.lags_since.get_or_insert(now);
        }
    }

    /// The digest of a revision, if it is remembered.
    pub(crate) fn digest_at(&self, revision: Revision) -> Option<ShortDigest> {
        let index = self.digests.binary_search_by_key(&revision, |(revision, _)| *revision).ok()?;
        Some(self.digests[index].1)
    }

    pub(crate) fn connected(&mut self, name: &str, via: Option<&str>, now: UnixMillis) {
        let pop = self.pops.entry(name.to_owned()).or_default();
        (pop.via, pop.ahead, pop.last_contact) = (via.map(str::to_owned), false, Some(now));
    }

    pub(crate) fn refused_as_ahead(&mut self, name: &str, revision: Revision, now: UnixMillis) {
        let pop = self.pops.entry(name.to_owned()).or_default();
        (pop.ahead, pop.revision, pop.last_contact) = (true, revision, Some(now));
    }

    /// A PoP answers with a revision since `at`, by the control node's clock. Returns whether its digest has become wrong with that.
    pub(crate) fn acknowledged(
        &mut self,
        name: &str,
        revision: Revision,
        good: Option<bool>,
        at: UnixMillis,
        head: Revision,
        now: UnixMillis,
    ) -> bool {
        let pop = self.pops.entry(name.to_owned()).or_default();
        pop.last_contact = Some(now);
        let has_become_wrong = good == Some(false) && pop.digest_good != good;
        if revision > pop.revision {
            if pop.revision > Revision(0) {
                pop.times.push(pop.revision.next(), revision, at);
            }
            pop.revision = revision;
        }
        pop.digest_good = good;
        if good == Some(true) {
            pop.differing.clear();
        }
        pop.lags_since = if revision >= head { None } else { Some(pop.lags_since.unwrap_or(now)) };
        has_become_wrong
    }

    pub(crate) fn reported(&mut self, name: &str, report: PopReport, now: UnixMillis) {
        let pop = self.pops.entry(name.to_owned()).or_default();
        pop.last_contact = Some(now);
        if let Some((then, before)) = &pop.report {
            let ms = now.0.saturating_sub(then.0).max(1);
            let rate = |(rcode, count): (&u16, &u64)| {
                let more = count.saturating_sub(before.responses.get(rcode).copied().unwrap_or(0));
                (*rcode, more.saturating_mul(1000) / ms)
            };
            pop.rates = report.responses.iter().map(rate).collect();
        }
        pop.report = Some((now, report));
    }

    /// Notes zones that differ; returns those that were not known to do so.
    pub(crate) fn differ(&mut self, name: &str, mut zones: Vec<String>) -> Vec<String> {
        let Some(pop) = self.pops.get_mut(name) else { return zones };
        zones.retain(|zone| pop.differing.binary_search(zone).is_err());
        zones.sort();
        zones.dedup();
        zones.truncate(DIFFERENCES_MAX - pop.differing.len());
        pop.differing.extend_from_slice(&zones);
        pop.differing.sort();
        zones
    }

    pub(crate) fn verified(&mut self, name: &str, verified: Verified) {
        if let Some(pop) = self.pops.get_mut(name) {
            pop.verified = Some(verified);
        }
    }

    /// Whether a PoP said something lately, or had no time yet to do so.
    fn is_heard(&self, record: &PopRecord, now: UnixMillis) -> bool {
        let contact = self.pops.get(&record.name).and_then(|pop| pop.last_contact);
        let since = contact.unwrap_or(self.started.max(record.joined_at));
        now.0.saturating_sub(since.0) < UNREACHABLE_AFTER_MS
    }

    /// When each PoP was last heard of since this began.
    pub(crate) fn contacts(&self) -> impl Iterator<Item = (&str, UnixMillis)> {
        self.pops.iter().filter_map(|(name, pop)| Some((name.as_str(), pop.last_contact?)))
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.pops.remove(name);
    }

    pub(crate) fn status(&self, record: &PopRecord, head: Revision, now: UnixMillis) -> PopStatus {
        let unknown = Pop::default();
        let pop = self.pops.get(&record.name).unwrap_or(&unknown);
        let state = pop.state(record, self.is_heard(record, now), head);
        PopStatus {
            record: record.clone(),
            state,
            via: pop.via.clone(),
            revision: pop.revision,
            digest_good: pop.digest_good,
            lag: head.0.saturating_sub(pop.revision.0),
            lag_ms: pop.lags_since.map_or(0, |since| now.0.saturating_sub(since.0)),
            last_contact: pop.contact(record),
            unreachable_since: (state == PopState::Unreachable).then(|| pop.contact(record)).flatten(),
            report: pop.report.as_ref().map(|(_, report)| report.clone()),
            rates: pop.rates.clone(),
            differing: pop.differing.clone(),
            verified: pop.verified,
        }
    }

    pub(crate) fn progress(&self, record: &PopRecord, revision: Revision, now: UnixMillis) -> PopChange {
        let unknown = Pop::default();
        let pop = self.pops.get(&record.name).unwrap_or(&unknown);
        let progress = pop.progress(record, self.is_heard(record, now), revision);
        PopChange { name: record.name.clone(), drained: record.drained, progress }
    }

    /// The last revision that every PoP has, those included that are not heard of or drained: they may go on answering with
    /// what they have. `local` if there is no PoP.
    pub(crate) fn everywhere<'a>(&self, records: impl Iterator<Item = &'a PopRecord>, local: Revision) -> Revision {
        let members = records.filter(|record| record.revoked_at.is_none());
        members
            .map(|record| match self.pops.get(&record.name) {
                Some(pop) if pop.digest_good != Some(false) && !pop.ahead => pop.revision,
                _ => Revision(0),
            })
            .fold(local, Revision::min)
    }

    /// How many PoPs do not have a revision yet.
    pub(crate) fn behind<'a>(&self, records: impl Iterator<Item = &'a PopRecord>, revision: Revision) -> u32 {
        let members = records.filter(|record| record.revoked_at.is_none());
        let lags = |record: &&PopRecord| {
            self.pops.get(&record.name).is_none_or(|pop| pop.revision < revision || pop.digest_good == Some(false))
        };
        u32::try_from(members.filter(lags).count()).unwrap_or(u32::MAX)
    }

    /// The last revision that every PoP has that is counted; `local` if there is none.
    pub(crate) fn in_sync<'a>(
        &self,
        records: impl Iterator<Item = &'a PopRecord>,
        local: Revision,
        now: UnixMillis,
    ) -> Revision {
        let counted = records.filter(|record| !record.drained && record.revoked_at.is_none());
        let unknown = Pop::default();
        let heard = counted.filter(|record| self.is_heard(record, now));
        let live = heard.map(|record| self.pops.get(&record.name).unwrap_or(&unknown));
        live.map(|pop| if pop.digest_good == Some(false) || pop.ahead { Revision(0) } else { pop.revision })
            .fold(local, Revision::min)
    }
}

impl Pop {
    /// When it was last heard of, be it before this node started.
    fn contact(&self, record: &PopRecord) -> Option<UnixMillis> {
        self.last_contact.or(record.heard_at)
    }

    fn state(&self, record: &PopRecord, is_heard: bool, head: Revision) -> PopState {
        match self.last_contact {
            _ if record.revoked_at.is_some() => PopState::Revoked,
            None if record.heard_at.is_some() && !is_heard => PopState::Unreachable,
            None => PopState::Expected,
            _ if self.ahead => PopState::Ahead,
            _ if !is_heard => PopState::Unreachable,
            _ if self.digest_good == Some(false) => PopState::Diverged,
            _ if self.revision < head => PopState::Behind,
            _ => PopState::InSync,
        }
    }

    fn progress(&self, record: &PopRecord, is_heard: bool, revision: Revision) -> PopProgress {
        if self.revision >= revision && !self.ahead {
            match self.digest_good {
                Some(false) => PopProgress::Diverged,
                _ => PopProgress::Applied(self.times.of(revision)),
            }
        } else if is_heard {
            PopProgress::Pending
        } else {
            PopProgress::Unreachable(self.contact(record))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> PopRecord {
        PopRecord {
            name: name.to_owned(),
            relay: false,
            joined_at: UnixMillis(0),
            drained: false,
            revoked_at: None,
            certificates: BTreeMap::new(),
            heard_at: None,
        }
    }

    #[test]
    fn everyone_has_what_the_slowest_has_that_is_heard() {
        let (mut live, now) = (Live::default(), UnixMillis(10_000));
        let (a, b) = (record("a"), record("b"));
        let in_sync = |live: &Live, now| live.in_sync([&a, &b].into_iter(), Revision(9), now);
        assert_eq!(in_sync(&live, now), Revision(9));
        assert_eq!(in_sync(&live, UnixMillis(4_000)), Revision(0), "they may just not have made contact yet");
        live.connected("a", None, now);
        live.connected("b", None, now);
        live.acknowledged("a", Revision(9), Some(true), now, Revision(9), now);
        live.acknowledged("b", Revision(7), Some(true), now, Revision(9), now);
        assert_eq!(in_sync(&live, now), Revision(7));
        assert_eq!(live.progress(&b, Revision(8), now).progress, PopProgress::Pending);
        assert_eq!(live.status(&b, Revision(9), now).state, PopState::Behind);
        let drained = PopRecord { drained: true, ..b.clone() };
        assert_eq!(live.in_sync([&a, &drained].into_iter(), Revision(9), now), Revision(9));
        let at = UnixMillis(10_050);
        live.acknowledged("b", Revision(9), Some(true), at, Revision(9), at);
        assert_eq!(live.progress(&b, Revision(8), at).progress, PopProgress::Applied(Some(at)));
        assert_eq!((in_sync(&live, at), live.status(&b, Revision(9), at).lag_ms), (Revision(9), 0));
        live.acknowledged("b", Revision(9), Some(false), at, Revision(9), at);
        assert_eq!((in_sync(&live, at), live.status(&b, Revision(9), at).state), (Revision(0), PopState::Diverged));
        let later = UnixMillis(at.0 + UNREACHABLE_AFTER_MS);
        live.acknowledged("a", Revision(9), Some(true), later, Revision(9), later);
        assert_eq!(
            (in_sync(&live, later), live.status(&b, Revision(9), later).state),
            (Revision(9), PopState::Unreachable)
        );
        assert_eq!(live.progress(&b, Revision(10), later).progress, PopProgress::Unreachable(Some(at)));
    }

    #[test]
    fn who_stays_away_after_a_restart_was_last_heard_of_before_it() {
        let (started, heard) = (UnixMillis(50_000), UnixMillis(10_000));
        let mut live = Live::new(started);
        let known = PopRecord { heard_at: Some(heard), ..record("known") };
        let status = |live: &Live, record: &PopRecord, now| {
            let status = live.status(record, Revision(9), now);
            (status.state, status.last_contact, status.unreachable_since)
        };
        assert_eq!(status(&live, &known, started), (PopState::Expected, Some(heard), None));
        let later = UnixMillis(started.0 + UNREACHABLE_AFTER_MS);
        assert_eq!(status(&live, &known, later), (PopState::Unreachable, Some(heard), Some(heard)));
        assert_eq!(live.progress(&known, Revision(9), later).progress, PopProgress::Unreachable(Some(heard)));
        assert_eq!(status(&live, &record("new"), later), (PopState::Expected, None, None));
        live.connected("known", None, later);
        assert_eq!(status(&live, &known, later), (PopState::Behind, Some(later), None));
        assert_eq!(live.contacts().collect::<Vec<_>>(), [("known", later)]);
    }

    #[test]
    fn what_is_wrong_is_told_once() {
        let (mut live, now) = (Live::default(), UnixMillis(10_000));
        let acknowledged = |live: &mut Live, good| live.acknowledged("a", Revision(9), good, now, Revision(9), now);
        assert!(!acknowledged(&mut live, Some(true)));
        for _ in 0..2 {
            assert!(acknowledged(&mut live, Some(false)));
            assert!(!acknowledged(&mut live, Some(false)));
            let zones = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            assert_eq!(live.differ("a", zones(&["c.", "a.", "c."])), ["a.", "c."]);
            assert_eq!(live.differ("a", zones(&["b.", "c."])), ["b."]);
            assert!(live.differ("a", zones(&["a."])).is_empty());
            let many = (0..2 * DIFFERENCES_MAX).map(|number| format!("z{number}.")).collect();
            assert_eq!(live.differ("a", many).len(), DIFFERENCES_MAX - 3);
            assert!(live.differ("a", zones(&["d."])).is_empty());
            assert!(!acknowledged(&mut live, Some(true)));
        }
    }

    #[test]
    fn digests_are_found_by_revision() {
        let mut live = Live::default();
        for revision in 5..100_000 {
            let mut digest = ShortDigest([0; 32]);
            digest.0[..8].copy_from_slice(&u64::to_le_bytes(revision));
            live.committed(Revision(revision), digest, UnixMillis(0));
        }
        assert!(live.digest_at(Revision(5)).is_none() && live.digest_at(Revision(100_000)).is_none());
        assert_eq!(live.digest_at(Revision(99_999)).unwrap().0[..8], u64::to_le_bytes(99_999));
        assert_eq!(live.digests.len(), DIGESTS_MAX);
    }
}
