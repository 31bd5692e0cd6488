//! What can be read.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use rokko_model::{Permission, UnixMillis, ZonePattern};
use rokko_store::{LogEntry, ZoneFilter, ZoneRecord};
use rokko_wire::Name;
use rokko_zone::{Delta, Revision, Zone};

use crate::fleet::{PopChange, PopProgress};
use crate::{Control, ControlError, Identity};

/// How many revisions' times of application are remembered.
const APPLIED_TIMES_MAX: usize = 65_536;
/// How often a look at a zone is repeated when the zone changes meanwhile, before the store alone is asked.
const CONSISTENT_TRIES: usize = 3;
/// How long a wait for a revision sleeps between looks, at first.
const WAIT_STEP: Duration = Duration::from_micros(200);

/// A zone with all that is known of it, at one version.
#[derive(Clone)]
pub struct ZoneView {
    /// What is known beside the records.
    pub record: ZoneRecord,
    /// The records.
    pub zone: Zone,
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeState {
    /// It is durable.
    Committed,
    /// It is durable and this node answers with it.
    Applied,
    /// All PoPs answer with it, too, but those that are drained or not heard of.
    InSync,
}

/// A change and how far it has come.
#[derive(Clone, Debug)]
pub struct ChangeStatus {
    /// The change.
    pub entry: LogEntry,
    /// How far it has come.
    pub state: ChangeState,
    /// When this node began to answer with it; `None` if not yet, or so long ago, or in an earlier run, that it is no
    /// longer known.
    pub applied_at: Option<UnixMillis>,
    /// What each PoP has of it, by name.
    pub pops: Vec<PopChange>,
}

/// When the last revisions were applied. Revisions that were applied together share an entry.
#[derive(Clone, Default)]
pub(crate) struct AppliedTimes(VecDeque<(Revision, Revision, UnixMillis)>);

impl AppliedTimes {
    pub(crate) fn push(&mut self, first: Revision, last: Revision, at: UnixMillis) {
        if self.0.len() == APPLIED_TIMES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((first, last, at));
    }

    pub(crate) fn of(&self, revision: Revision) -> Option<UnixMillis> {
        let index = self.0.partition_point(|(_, last, _)| *last < revision);
        self.0.get(index).filter(|(first, _, _)| *first <= revision).map(|(_, _, at)| *at)
    }
}

impl Control {
    /// One zone.
    pub fn zone(&self, who: &Identity, name: &Name) -> Result<ZoneView, ControlError> {
        who.scope.allows(Permission::Read(name))?;
        let not_found = || ControlError::NotFound { zone: name.clone() };
        for _ in 0..CONSISTENT_TRIES {
            let record = self.0.store.zone(name)?.ok_or_else(not_found)?;
            if let Some(zone) = self.0.current(name).filter(|zone| zone.revision() == record.revision) {
                return Ok(ZoneView { record, zone });
            }
        }
        let (record, zone) = self.0.store.load_zone(name)?.ok_or_else(not_found)?;
        Ok(ZoneView { record, zone })
    }

    /// Up to `limit` zones that the key reaches, after the name `after` in canonical order.
    pub fn zones(
        &self,
        who: &Identity,
        after: Option<&Name>,
        limit: usize,
        filter: &ZoneFilter,
    ) -> Result<Vec<ZoneRecord>, ControlError> {
        if who.scope.administrator || who.scope.zones.is_empty() {
            return Ok(self.0.store.zones(after, limit, filter)?);
        }
        let mut zones = BTreeMap::new();
        for pattern in &who.scope.zones {
            for record in self.zones_of_pattern(pattern, after, limit, filter)? {
                zones.insert(record.name.clone(), record);
            }
        }
        Ok(zones.into_values().take(limit).collect())
    }

    /// The zones that one pattern of a key's scope reaches; the cost does not depend on how many others there are.
    fn zones_of_pattern(
        &self,
        pattern: &ZonePattern,
        after: Option<&Name>,
        limit: usize,
        filter: &ZoneFilter,
    ) -> Result<Vec<ZoneRecord>, ControlError> {
        match pattern {
            ZonePattern::Exact(name) if after.is_none_or(|after| name > after) => {
                let found = self.0.store.zone(name)?;
                Ok(found.filter(|record| filter.passes(record)).into_iter().collect())
            }
            ZonePattern::Exact(_) => Ok(Vec::new()),
            ZonePattern::Below(parent) => {
                let narrower = match &filter.below {
                    Some(below) if below.is_in(parent) => below,
                    Some(below) if !parent.is_in(below) => return Ok(Vec::new()),
                    _ => parent,
                };
                let filter = ZoneFilter { below: Some(narrower.clone()), ..filter.clone() };
                let mut records = self.0.store.zones(after, limit.saturating_add(1), &filter)?;
                records.retain(|record| record.name != *parent);
                Ok(records)
            }
        }
    }

    /// How many zones there are.
    pub fn zone_count(&self) -> Result<u64, ControlError> {
        Ok(self.0.store.zone_count()?)
    }

    /// A zone's last `limit` revisions below `before`, newest first; of a deleted zone too.
    pub fn history(
        &self,
        who: &Identity,
        zone: &Name,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, ControlError> {
        who.scope.allows(Permission::Read(zone))?;
        let entries = self.0.store.history(zone, before, limit)?;
        if entries.is_empty() && self.0.store.history(zone, None, 1)?.is_empty() {
            return Err(ControlError::NotFound { zone: zone.clone() });
        }
        Ok(entries)
    }

    /// A revision with the records that it changed.
    pub fn entry(&self, who: &Identity, revision: Revision) -> Result<(LogEntry, Delta), ControlError> {
        let found = self.0.store.entry(revision)?;
        let (entry, delta) = found.ok_or(ControlError::NoSuchRevision { revision })?;
        who.scope.allows(Permission::Read(&entry.zone))?;
        Ok((entry, delta))
    }

    /// How far a change has come.
    pub fn change(&self, who: &Identity, revision: Revision) -> Result<ChangeStatus, ControlError> {
        let before = Revision(revision.0.checked_sub(1).ok_or(ControlError::NoSuchRevision { revision })?);
        let mut found = self.0.store.entries(before, 1)?;
        let entry = found.pop().filter(|entry| entry.revision == revision);
        let entry = entry.ok_or(ControlError::NoSuchRevision { revision })?;
        who.scope.allows(Permission::Read(&entry.zone))?;
        Ok(self.status_of(entry))
    }

    /// Up to `limit` changes after a revision over all zones, oldest first, and how far they have come.
    pub fn changes(&self, who: &Identity, after: Revision, limit: usize) -> Result<Vec<ChangeStatus>, ControlError> {
        who.scope.allows(Permission::Administer)?;
        let entries = self.0.store.entries(after, limit)?;
        Ok(entries.into_iter().map(|entry| self.status_of(entry)).collect())
    }

    fn status_of(&self, entry: LogEntry) -> ChangeStatus {
        let revision = entry.revision;
        let state = match (self.in_sync(), self.applied()) {
            (in_sync, _) if in_sync >= revision => ChangeState::InSync,
            (_, applied) if applied >= revision => ChangeState::Applied,
            _ => ChangeState::Committed,
        };
        let mut pops = self.pop_changes(revision);
        for pop in &mut pops {
            // The difference of the clocks is known to a millisecond or so, and nothing is applied before it is there.
            if let PopProgress::Applied(Some(at)) = &mut pop.progress {
                *at = (*at).max(entry.at);
            }
        }
        ChangeStatus { entry, state, applied_at: self.0.applied_times().of(revision), pops }
    }

    /// The last durable revision.
    pub fn head(&self) -> Result<Revision, ControlError> {
        Ok(self.0.store.head()?)
    }

    /// The last revision that this node answers with.
    pub fn applied(&self) -> Revision {
        self.0.mirror.revision()
    }

    /// Waits until this node answers with a revision; false if that takes longer than `timeout`.
    pub fn wait_applied(&self, revision: Revision, timeout: Duration) -> bool {
        let end = Instant::now() + timeout;
        let mut step = WAIT_STEP;
        while self.applied() < revision {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(step.min(left));
            step = (step * 2).min(Duration::from_millis(20));
        }
        true
    }

    /// Writes a consistent copy of the store to a new file.
    pub fn backup(&self, who: &Identity, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), ControlError> {
        who.scope.allows(Permission::Administer)?;
        Ok(self.0.store.backup(to, progress)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applied_times_are_found_by_any_revision_of_a_batch() {
        let mut times = AppliedTimes::default();
        times.push(Revision(3), Revision(5), UnixMillis(10));
        times.push(Revision(6), Revision(6), UnixMillis(20));
        let of = |revision| times.of(Revision(revision)).map(|at| at.0);
        assert_eq!((of(2), of(3), of(5), of(6), of(7)), (None, Some(10), Some(10), Some(20), None));
    }
}
