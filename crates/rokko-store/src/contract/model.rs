//! A store's contents in plain memory, and the changes that a control plane would make.

use std::collections::{BTreeMap, BTreeSet};

use rokko_model::{Actor, ChangeKind, UnixMillis, ZoneMeta};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Contents, Delta, Edit, Revision, Rrset, ShortDigest, Ttl, Zone};

use crate::{Commit, LogEntry, NewState, Store, VersionBefore, ZoneFilter, ZoneRecord};

/// A step of a test, from which a commit is worked out.
#[derive(Clone, Debug)]
pub enum Step {
    /// Makes a zone.
    Create(Name, ZoneMeta, Vec<Rrset>),
    /// Edits a zone; its serial rises by one.
    Edit(Name, Vec<Edit>),
    /// Replaces a zone's metadata.
    Meta(Name, ZoneMeta),
    /// Removes a zone.
    Delete(Name),
}

/// All that a store should hold.
#[derive(Clone, Default)]
pub struct Model {
    /// The zones that exist.
    pub zones: BTreeMap<Name, (ZoneRecord, Zone)>,
    /// Every revision from 1 on.
    pub log: Vec<(LogEntry, Delta)>,
}

impl Model {
    /// Carries steps out in memory and returns the commits that do the same in a store.
    ///
    /// # Panics
    ///
    /// If a step makes no sense, such as an edit of a zone that does not exist.
    pub fn plan(&mut self, steps: &[Step]) -> Vec<Commit> {
        steps.iter().map(|step| self.plan_one(step)).collect()
    }

    /// Carries steps out in memory and, as one call, in a store.
    ///
    /// # Panics
    ///
    /// If the store refuses, or gives another revision than the next one.
    pub fn append(&mut self, store: &dyn Store, steps: &[Step]) -> Revision {
        let first = Revision(self.log.len() as u64 + 1);
        let commits = self.plan(steps);
        assert_eq!(store.append(&commits).expect("the store accepts the change"), first, "revisions have a gap");
        first
    }

    fn plan_one(&mut self, step: &Step) -> Commit {
        let revision = Revision(self.log.len() as u64 + 1);
        let (name, kind) = match step {
            Step::Create(name, ..) => (name, ChangeKind::Create),
            Step::Edit(name, _) => (name, ChangeKind::Edit),
            Step::Meta(name, _) => (name, ChangeKind::Meta),
            Step::Delete(name) => (name, ChangeKind::Delete),
        };
        let current = self.zones.get(name).cloned();
        let before = current.as_ref().map(|(record, _)| record.revision);
        let commit = self.commit_of(step, name, current, revision);
        let serial = match &commit.after {
            NewState::Present { serial, .. } => Some(*serial),
            NewState::Absent => None,
        };
        let meta = match &commit.after {
            NewState::Present { meta, .. } => meta.clone(),
            NewState::Absent => None,
        };
        let entry = LogEntry {
            revision,
            zone: name.clone(),
            before,
            at: commit.at,
            actor: commit.actor.clone(),
            reason: commit.reason.clone(),
            kind,
            serial,
            rrsets_changed: commit.delta.changes.len() as u64,
            meta,
            digest: Some(commit.digest),
        };
        self.log.push((entry, commit.delta.clone()));
        Commit { kind, ..commit }
    }

    fn commit_of(
        &mut self,
        step: &Step,
        name: &Name,
        current: Option<(ZoneRecord, Zone)>,
        revision: Revision,
    ) -> Commit {
        let before = current.as_ref().map_or(VersionBefore::Absent, |(record, _)| VersionBefore::At(record.revision));
        let zone = current.as_ref().map_or_else(|| Zone::empty(name), |(_, zone)| zone.clone());
        let (edits, new_meta) = match step {
            Step::Create(_, meta, contents) => {
                assert!(current.is_none(), "{name} exists");
                let mut edits = vec![Edit::Replace(soa(name, 1))];
                edits.extend(contents.iter().cloned().map(Edit::Extend));
                (edits, Some(meta.clone()))
            }
            Step::Edit(_, edits) => {
                let serial = zone.serial().next().0;
                (edits.iter().cloned().chain([Edit::Replace(soa(name, serial))]).collect(), None)
            }
            Step::Meta(_, meta) => (Vec::new(), Some(meta.clone())),
            Step::Delete(_) => {
                let all = zone.rrsets().map(|(owner, rrset)| Edit::Delete { owner, rtype: rrset.rtype() });
                (all.collect(), None)
            }
        };
        let delta = zone.resolve(&edits).expect("the edits fit the zone");
        let (next, pages) = zone.apply(&delta, revision).expect("the delta fits the zone");
        let at = UnixMillis(1_700_000_000_000 + revision.0);
        let after = if matches!(step, Step::Delete(_)) {
            assert!(self.zones.remove(name).is_some(), "{name} does not exist");
            NewState::Absent
        } else {
            let meta = new_meta.clone().or(current.map(|(record, _)| record.meta)).expect("the zone exists");
            let (serial, records) = (next.serial(), next.records());
            let record = ZoneRecord { name: name.clone(), revision, serial, records, changed_at: at, meta };
            self.zones.insert(name.clone(), (record, next));
            NewState::Present { serial, records, meta: new_meta, pages }
        };
        let actor = Actor { name: format!("tester {revision}"), address: "2001:db8::53".to_owned() };
        let reason = format!("because of № {revision}");
        Commit {
            zone: name.clone(),
            before,
            at,
            actor,
            reason,
            kind: ChangeKind::Edit,
            delta,
            after,
            digest: digest_of(revision),
        }
    }

    /// Compares all that a store has with the model, through every call that reads.
    ///
    /// # Panics
    ///
    /// At the first difference.
    pub fn check(&self, store: &dyn Store) {
        let head = Revision(self.log.len() as u64);
        assert_eq!(store.head().expect("head"), head);
        assert_eq!(store.zone_count().expect("zone_count"), self.zones.len() as u64);
        let records: Vec<ZoneRecord> = self.zones.values().map(|(record, _)| record.clone()).collect();
        assert_eq!(list(store, &ZoneFilter::default(), 7), records, "the listing differs");
        for (name, (record, zone)) in &self.zones {
            assert_eq!(store.zone(name).expect("zone").as_ref(), Some(record));
            let (loaded_record, loaded) = store.load_zone(name).expect("load_zone").expect("the zone exists");
            assert_eq!(&loaded_record, record);
            assert_same(&loaded, zone);
        }
        self.check_log(store);
        let replayed = check_whole(store);
        assert_eq!(replayed.keys().collect::<Vec<_>>(), self.zones.keys().collect::<Vec<_>>());
    }

    fn check_log(&self, store: &dyn Store) {
        let mut by_zone: BTreeMap<&Name, Vec<&LogEntry>> = BTreeMap::new();
        for (entry, delta) in &self.log {
            by_zone.entry(&entry.zone).or_default().push(entry);
            let (found, found_delta) = store.entry(entry.revision).expect("entry").expect("the revision exists");
            assert_eq!((&found, &found_delta), (entry, delta));
        }
        let mut expected = self.log.iter().map(|(entry, _)| entry);
        for entry in log_of(store, 5) {
            assert_eq!(Some(&entry), expected.next());
        }
        assert_eq!(expected.next(), None);
        for (name, entries) in by_zone {
            let found = store.history(name, None, usize::MAX).expect("history");
            assert!(found.iter().eq(entries.into_iter().rev()), "the history of {name} differs");
        }
    }
}

/// Checks that a store agrees with itself: revisions have no gap, and replaying the log gives exactly the zones
/// that are loaded, one by one and all at once. Returns the zones.
///
/// # Panics
///
/// At the first contradiction.
pub fn check_whole(store: &dyn Store) -> BTreeMap<Name, Zone> {
    let mut replayed: BTreeMap<Name, Zone> = BTreeMap::new();
    let mut next = Revision(1);
    for entry in log_of(store, 100) {
        assert_eq!(entry.revision, next, "the log has a gap");
        next = next.next();
        let (again, delta) = store.entry(entry.revision).expect("entry").expect("a listed revision exists");
        assert_eq!(again, entry);
        let zone = replayed.remove(&entry.zone);
        assert_eq!(zone.as_ref().map(Zone::revision), entry.before, "revision {} follows another", entry.revision);
        let zone = zone.unwrap_or_else(|| Zone::empty(&entry.zone));
        let (zone, _) = zone.apply(&delta, entry.revision).expect("the logged change fits");
        match entry.serial {
            Some(serial) => {
                assert_eq!(zone.serial(), serial);
                replayed.insert(entry.zone, zone);
            }
            None => assert_eq!(zone.records(), 0, "{} was removed with records left", entry.zone),
        }
    }
    assert_eq!(store.head().expect("head").next(), next);
    assert_eq!(store.zone_count().expect("zone_count"), replayed.len() as u64);
    let mut loaded = BTreeSet::new();
    let head = store.load_all(&mut |zone| {
        assert_same(&zone, replayed.get(&zone.apex()).expect("the log has the zone"));
        assert!(loaded.insert(zone.apex()), "{} came twice", zone.apex());
    });
    assert_eq!(head.expect("load_all").next(), next);
    assert_eq!(loaded.len(), replayed.len(), "load_all left zones out");
    for (name, zone) in &replayed {
        let (record, loaded) = store.load_zone(name).expect("load_zone").expect("the log has the zone");
        assert_eq!((record.serial, record.records), (zone.serial(), zone.records()));
        assert_same(&loaded, zone);
    }
    replayed
}

/// All zones that pass a filter, asked for in parts of `limit`.
pub(super) fn list(store: &dyn Store, filter: &ZoneFilter, limit: usize) -> Vec<ZoneRecord> {
    let mut all: Vec<ZoneRecord> = Vec::new();
    loop {
        let after = all.last().map(|record| &record.name);
        let part = store.zones(after, limit, filter).expect("zones");
        assert!(part.len() <= limit, "more zones than asked for");
        let more = part.len() == limit;
        all.extend(part);
        if !more {
            return all;
        }
    }
}

fn log_of(store: &dyn Store, limit: usize) -> impl Iterator<Item = LogEntry> {
    let mut after = Some(Revision(0));
    std::iter::from_fn(move || {
        let part = store.entries(after?, limit).expect("entries");
        after = part.last().map(|entry| entry.revision);
        (!part.is_empty()).then_some(part)
    })
    .flatten()
}

/// Every record of a zone.
pub fn contents(zone: &Zone) -> Vec<(Name, Rtype, Contents)> {
    zone.rrsets().map(|(owner, rrset)| (owner, rrset.rtype(), Contents::of(rrset))).collect()
}

fn assert_same(found: &Zone, expected: &Zone) {
    assert_eq!(found.apex(), expected.apex());
    assert_eq!(found.revision(), expected.revision(), "{} has another revision", expected.apex());
    assert_eq!(contents(found), contents(expected), "{} has other records", expected.apex());
}

/// A name from its text.
///
/// # Panics
///
/// If it is no name.
pub fn name(text: &str) -> Name {
    text.parse().expect("the text is a name")
}

/// An RRset of one text that is `content`.
///
/// # Panics
///
/// If the text has more than 255 octets.
pub fn txt(owner: &Name, content: &str) -> Rrset {
    let len = u8::try_from(content.len()).expect("a text has at most 255 octets");
    rrset(owner, Rtype::TXT, vec![[&[len], content.as_bytes()].concat()])
}

/// An SOA RRset.
pub fn soa(apex: &Name, serial: u32) -> Rrset {
    let numbers = [serial, 7200, 3600, 1_209_600, 300];
    let mut rdata = vec![0, 0];
    rdata.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    rrset(apex, Rtype::SOA, vec![rdata])
}

/// An RRset with a TTL of an hour.
pub(super) fn rrset(owner: &Name, rtype: Rtype, rdatas: Vec<Vec<u8>>) -> Rrset {
    let ttl = Ttl::from_wire(3600);
    Rrset { owner: owner.clone(), rtype, ttl, rdatas: rdatas.into_iter().map(Into::into).collect() }
}

/// Seeded numbers that are random enough for tests (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Some digest that no other revision has.
fn digest_of(revision: Revision) -> ShortDigest {
    let mut digest = [0; 32];
    digest[24..].copy_from_slice(&revision.0.to_be_bytes());
    ShortDigest(digest)
}
