//! Which zones the signer looks at, and when.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rokko_wire::Name;

/// The most zones that are noted with a time. More are found by the sweep over all zones.
const NOTED_MAX: usize = 1_000_000;

/// Zones by the second in which they are due; each zone once.
#[derive(Default)]
pub(crate) struct Agenda {
    by_time: BTreeMap<u64, BTreeSet<Name>>,
    times: HashMap<Name, u64>,
}

impl Agenda {
    /// Notes that a zone is due at a time, or earlier if it was so already.
    pub(crate) fn note(&mut self, zone: Name, at: u64) {
        match self.times.get(&zone) {
            Some(&earlier) if earlier <= at => return,
            Some(&later) => self.strike(&zone, later),
            None if self.times.len() >= NOTED_MAX => return,
            None => {}
        }
        self.by_time.entry(at).or_default().insert(zone.clone());
        self.times.insert(zone, at);
    }

    /// Takes out a zone that is due.
    pub(crate) fn take(&mut self, now: u64) -> Option<Name> {
        let mut first = self.by_time.first_entry().filter(|entry| *entry.key() <= now)?;
        let zone = first.get_mut().pop_first();
        if first.get().is_empty() {
            first.remove();
        }
        if let Some(zone) = &zone {
            self.times.remove(zone);
        }
        zone
    }

    /// When the next zone is due.
    pub(crate) fn next(&self) -> Option<u64> {
        self.by_time.keys().next().copied()
    }

    /// How many zones are noted.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    fn strike(&mut self, zone: &Name, at: u64) {
        if let Some(zones) = self.by_time.get_mut(&at) {
            zones.remove(zone);
            if zones.is_empty() {
                self.by_time.remove(&at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_time_counts_and_each_zone_comes_once() {
        let mut agenda = Agenda::default();
        let name = |text: &str| text.parse::<Name>().unwrap();
        agenda.note(name("b."), 20);
        agenda.note(name("a."), 10);
        agenda.note(name("b."), 30);
        agenda.note(name("b."), 5);
        assert_eq!((agenda.next(), agenda.take(4)), (Some(5), None));
        assert_eq!(agenda.take(10), Some(name("b.")));
        assert_eq!(agenda.take(10), Some(name("a.")));
        assert_eq!((agenda.take(100), agenda.next()), (None, None));
    }
}
