//! What frames come to on the zones as they are, before any of it is published.

use std::collections::{BTreeSet, HashMap};

use rokko_feed::frame::{Entry, Frame};
use rokko_wire::Name;
use rokko_zone::{Catalog, Digest, Revision, ShortDigest, Zone};

/// The most zones that are remembered as suspects. More are found by comparing sums, as all are after a restart.
pub(crate) const SUSPECTS_MAX: usize = 100_000;

/// Where a mirror is.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    pub(crate) revision: Revision,
    /// When that revision was committed.
    pub(crate) at_ms: u64,
    /// The digest of the zones that are served.
    pub(crate) digest: Digest,
    /// What it should be.
    pub(crate) expected: ShortDigest,
}

impl Default for Position {
    /// Before the first revision.
    fn default() -> Self {
        let digest = Digest::default();
        Self { revision: Revision(0), at_ms: 0, expected: digest.short(), digest }
    }
}

impl Position {
    /// Whether the zones are what they should be.
    pub(crate) fn matches(&self) -> bool {
        self.digest.short() == self.expected
    }
}

/// Zones on their way from one position to the next.
pub(crate) struct Work<'c> {
    catalog: &'c Catalog,
    pub(crate) position: Position,
    /// What changes; `None`: there is no such zone afterwards.
    pub(crate) zones: HashMap<Name, Option<Zone>>,
    /// Zones that a change was not made on, because they are not what it was made against.
    pub(crate) suspects: BTreeSet<Name>,
    /// Zones that are right again, whatever they were.
    pub(crate) healed: BTreeSet<Name>,
}

impl<'c> Work<'c> {
    pub(crate) fn new(catalog: &'c Catalog, position: Position) -> Self {
        Self { catalog, position, zones: HashMap::new(), suspects: BTreeSet::new(), healed: BTreeSet::new() }
    }

    /// Works in the revisions of a frame that come after the position.
    pub(crate) fn frame(&mut self, frame: Frame) {
        let Frame { after, last, at_ms, digest, entries, .. } = frame;
        for (number, entry) in entries.into_iter().enumerate() {
            let revision = Revision(after.0 + 1 + number as u64);
            if revision > self.position.revision {
                self.entry(entry, revision);
            }
        }
        self.position.revision = last;
        self.position.at_ms = at_ms;
        self.position.expected = digest;
    }

    fn entry(&mut self, entry: Entry, revision: Revision) {
        let Entry { zone: name, before, exists, delta } = entry;
        let current = self.current(&name);
        let is_expected = current.as_ref().map(Zone::revision) == before;
        if !exists {
            if let Some(current) = &current {
                self.position.digest.subtract_zone(current.view());
            }
            return self.put(name, None);
        }
        // A new zone needs nothing that was there before.
        let start = match (&current, before) {
            (Some(current), Some(_)) if is_expected => current.clone(),
            (_, None) => Zone::empty(&name),
            _ => return self.suspect(name),
        };
        let Ok((zone, _)) = start.apply(&delta, revision) else { return self.suspect(name) };
        if is_expected {
            self.position.digest.replace(current.as_ref(), Some(&zone), &delta);
        } else {
            self.exchange(current.as_ref(), Some(&zone));
        }
        self.put(name, Some(zone));
    }

    /// Puts a whole zone in the place of what is there.
    pub(crate) fn replace(&mut self, name: Name, zone: Option<Zone>) {
        let current = self.current(&name);
        self.exchange(current.as_ref(), zone.as_ref());
        self.put(name, zone);
    }

    fn exchange(&mut self, before: Option<&Zone>, after: Option<&Zone>) {
        if let Some(before) = before {
            self.position.digest.subtract_zone(before.view());
        }
        if let Some(after) = after {
            self.position.digest.add_zone(after.view());
        }
    }

    fn current(&self, name: &Name) -> Option<Zone> {
        match self.zones.get(name) {
            Some(zone) => zone.clone(),
            None => self.catalog.zone(name),
        }
    }

    fn put(&mut self, name: Name, zone: Option<Zone>) {
        self.suspects.remove(&name);
        self.healed.insert(name.clone());
        self.zones.insert(name, zone);
    }

    fn suspect(&mut self, name: Name) {
        self.healed.remove(&name);
        self.suspects.insert(name);
    }
}
