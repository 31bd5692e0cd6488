//! Appending, and what is read afterwards.

use rokko_model::{Actor, ChangeKind, UnixMillis, ZoneMeta};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Delta, Edit, Revision, Serial, ShortDigest, Zone, ZonePageChanges};

use super::Harness;
use super::model::{Model, Step, name, rrset, soa, txt};
use crate::{Commit, NewState, Store, StoreError, VersionBefore, ZoneFilter};

pub(super) fn create(zone: &str) -> Step {
    let zone = name(zone);
    Step::Create(zone.clone(), ZoneMeta::default(), vec![txt(&zone, "first")])
}

pub(super) fn edit(zone: &str, content: &str) -> Step {
    let zone = name(zone);
    Step::Edit(zone.clone(), vec![Edit::Replace(txt(&zone, content))])
}

/// Appends what has to be refused as stale, and returns what the refusal says is current.
fn refused(store: &dyn Store, commits: &[Commit], zone: &str) -> Option<Revision> {
    match store.append(commits) {
        Err(StoreError::Stale { zone: refused, current }) => {
            assert_eq!(refused, name(zone));
            current
        }
        other => panic!("a stale change was not refused but {other:?}"),
    }
}

pub(super) fn an_empty_store_has_nothing(harness: &mut dyn Harness) {
    let store = harness.fresh();
    Model::default().check(&*store);
    let zone = name("example.");
    assert_eq!(store.zone(&zone).expect("zone"), None);
    assert!(store.load_zone(&zone).expect("load_zone").is_none());
    assert_eq!(store.history(&zone, None, 10).expect("history"), []);
    assert!(store.entry(Revision(0)).expect("entry").is_none());
    assert!(store.entry(Revision(1)).expect("entry").is_none());
    assert_eq!(store.keys().expect("keys"), []);
    assert_eq!(store.setting("anything").expect("setting"), None);
    // Nothing appended is nothing changed.
    assert_eq!(store.append(&[]).expect("append"), Revision(1));
    Model::default().check(&*store);
}

pub(super) fn a_change_is_seen_at_once(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    model.append(&*store, &[create("example.")]);
    model.check(&*store);
    let zone = name("example.");
    for round in 0..20 {
        let revision = model.append(&*store, &[edit("example.", &format!("round {round}"))]);
        assert_eq!(store.head().expect("head"), revision);
        assert_eq!(store.zone(&zone).expect("zone").map(|record| record.revision), Some(revision));
        let (_, loaded) = store.load_zone(&zone).expect("load_zone").expect("the zone exists");
        let rdata = loaded.rrset(&zone, Rtype::TXT).and_then(|texts| texts.rdatas().next());
        assert_eq!(rdata.map(|rdata| &rdata[1..]), Some(format!("round {round}").as_bytes()));
    }
    model.append(&*store, &[Step::Delete(zone)]);
    model.check(&*store);
}

pub(super) fn a_stale_change_is_refused_with_what_is_current(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    model.append(&*store, &[create("a."), create("b.")]);
    let (mut early, mut early_again) = (model.clone(), model.clone());
    model.append(&*store, &[edit("a.", "newer")]);
    model.append(&*store, &[edit("b.", "other")]);
    assert_eq!(refused(&*store, &early.plan(&[edit("a.", "late")]), "a."), Some(Revision(3)));
    assert_eq!(refused(&*store, &early_again.plan(&[Step::Delete(name("a."))]), "a."), Some(Revision(3)));
    // One that takes the zone for absent, and one that takes an absent zone for present.
    assert_eq!(refused(&*store, &Model::default().plan(&[create("a.")]), "a."), Some(Revision(3)));
    let mut elsewhere = Model::default();
    elsewhere.plan(&[create("c.")]);
    assert_eq!(refused(&*store, &elsewhere.plan(&[edit("c.", "nowhere")]), "c."), None);
    // One from the future.
    let mut ahead = model.clone();
    ahead.plan(&[edit("a.", "never appended")]);
    assert_eq!(refused(&*store, &ahead.plan(&[edit("a.", "ahead")]), "a."), Some(Revision(3)));
    model.check(&*store);
    // A zone that was deleted meanwhile.
    let mut before_delete = model.clone();
    model.append(&*store, &[Step::Delete(name("b."))]);
    assert_eq!(refused(&*store, &before_delete.plan(&[edit("b.", "too late")]), "b."), None);
    model.check(&*store);
    model.append(&*store, &[edit("a.", "in time")]);
    model.check(&*store);
}

pub(super) fn changes_of_one_call_are_all_or_nothing(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    model.append(&*store, &[create("a."), create("b."), create("c.")]);
    model.check(&*store);
    let mut early = model.clone();
    model.append(&*store, &[edit("b.", "newer")]);
    let steps = [edit("a.", "x"), Step::Delete(name("c.")), create("d."), edit("b.", "late")];
    assert_eq!(refused(&*store, &early.plan(&steps), "b."), Some(Revision(4)));
    model.check(&*store);
    // What is current is what is kept, not what the refused call would have made of the zone.
    let mut commits = model.clone().plan(&[edit("a.", "x"), edit("a.", "y")]);
    commits[1].before = VersionBefore::At(Revision(1));
    assert_eq!(refused(&*store, &commits, "a."), Some(Revision(1)));
    let mut commits = model.clone().plan(&[create("e."), edit("e.", "x")]);
    commits[1].before = VersionBefore::Absent;
    assert_eq!(refused(&*store, &commits, "e."), None);
    model.check(&*store);
    model.append(&*store, &steps);
    model.check(&*store);
    let store = harness.reopen(store);
    model.check(&*store);
}

pub(super) fn a_call_may_build_on_itself(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    let (again, first) = (name("again."), [create("again."), edit("again.", "two"), edit("again.", "three")]);
    assert_eq!(model.append(&*store, &first), Revision(1));
    model.check(&*store);
    let second = [
        Step::Delete(again.clone()),
        create("again."),
        Step::Meta(again.clone(), ZoneMeta { account: "back".to_owned(), ..ZoneMeta::default() }),
        Step::Delete(again),
        create("other."),
    ];
    assert_eq!(model.append(&*store, &second), Revision(4));
    model.check(&*store);
}

pub(super) fn a_deleted_zone_keeps_its_history_and_can_return(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    let zone = name("gone.example.");
    model.append(&*store, &[create("gone.example."), create("example."), create("below.gone.example.")]);
    model.append(&*store, &[edit("gone.example.", "second")]);
    model.append(&*store, &[Step::Delete(zone.clone())]);
    model.check(&*store);
    assert_eq!(store.zone(&zone).expect("zone"), None);
    assert!(store.load_zone(&zone).expect("load_zone").is_none());
    let kinds = |store: &dyn Store| -> Vec<ChangeKind> {
        store.history(&zone, None, 10).expect("history").iter().map(|entry| entry.kind).collect()
    };
    assert_eq!(kinds(&*store), [ChangeKind::Delete, ChangeKind::Edit, ChangeKind::Create]);
    model.append(&*store, &[create("gone.example.")]);
    model.check(&*store);
    let all = [ChangeKind::Create, ChangeKind::Delete, ChangeKind::Edit, ChangeKind::Create];
    assert_eq!(kinds(&*store), all);
    let store = harness.reopen(store);
    model.check(&*store);
    assert_eq!(kinds(&*store), all);
}

pub(super) fn history_comes_newest_first_in_parts(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    model.append(&*store, &[create("a."), create("b."), create("a.b."), create("ab.")]);
    for round in 0..20 {
        model.append(&*store, &[edit("b.", &round.to_string()), edit("a.b.", &round.to_string())]);
    }
    model.check(&*store);
    let zone = name("b.");
    let whole = store.history(&zone, None, usize::MAX).expect("history");
    assert_eq!(whole.len(), 21);
    assert!(whole.iter().all(|entry| entry.zone == zone));
    assert!(whole.is_sorted_by(|a, b| a.revision > b.revision));
    for limit in [1, 2, 7, 21, 100] {
        let (mut parts, mut before) = (Vec::new(), None);
        loop {
            let part = store.history(&zone, before, limit).expect("history");
            assert!(part.len() <= limit);
            before = part.last().map(|entry| entry.revision);
            if part.is_empty() {
                break;
            }
            parts.extend(part);
        }
        assert_eq!(parts, whole, "in parts of {limit}");
    }
    assert_eq!(store.history(&zone, None, 0).expect("history"), []);
    assert_eq!(store.history(&zone, Some(Revision(2)), 5).expect("history"), []);
    assert_eq!(store.entries(Revision(u64::MAX), 5).expect("entries"), []);
    assert_eq!(store.entries(Revision(0), 0).expect("entries"), []);
}

pub(super) fn metadata_has_a_history(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    let zone = name("example.");
    let mut meta = ZoneMeta { account: "alpha".to_owned(), ..ZoneMeta::default() };
    meta.extra.insert("ALLOW-AXFR-FROM".to_owned(), vec!["192.0.2.1".to_owned(), "ümlaut \"quoted\"".to_owned()]);
    model.append(&*store, &[Step::Create(zone.clone(), meta.clone(), vec![txt(&zone, "x")])]);
    model.append(&*store, &[edit("example.", "the metadata stays")]);
    model.check(&*store);
    let other = ZoneMeta { account: "beta".to_owned(), ..ZoneMeta::default() };
    model.append(&*store, &[Step::Meta(zone.clone(), other.clone())]);
    model.check(&*store);
    let history = store.history(&zone, None, 10).expect("history");
    let metas: Vec<_> = history.iter().map(|entry| entry.meta.clone()).collect();
    assert_eq!(metas, [Some(other.clone()), None, Some(meta)]);
    assert_eq!(history[0].rrsets_changed, 0);
    assert_eq!(store.zone(&zone).expect("zone").map(|record| record.meta), Some(other));
    let store = harness.reopen(store);
    model.check(&*store);
}

pub(super) fn extreme_values_survive(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let long = name(&"a.".repeat(127));
    for (index, zone) in [Name::root(), long, name("\\000\\001\\255.\\.x.")].into_iter().enumerate() {
        let empty = Zone::empty(&zone);
        let delta = empty.resolve(&[Edit::Replace(soa(&zone, u32::MAX))]).expect("the edit fits");
        let revision = Revision(index as u64 + 1);
        let (next, pages) = empty.apply(&delta, revision).expect("the delta fits");
        let text = "x".repeat(100_000);
        let commit = Commit {
            zone: zone.clone(),
            before: VersionBefore::Absent,
            at: UnixMillis(u64::MAX),
            actor: Actor { name: String::new(), address: "\0'\"\u{10ffff}".to_owned() },
            reason: text.clone(),
            kind: ChangeKind::Import,
            delta: delta.clone(),
            after: NewState::Present { serial: next.serial(), records: 1, meta: Some(ZoneMeta::default()), pages },
            digest: ShortDigest([0xff; 32]),
        };
        assert_eq!(store.append(&[commit]).expect("append"), revision);
        let (entry, found) = store.entry(revision).expect("entry").expect("the revision exists");
        assert_eq!((found, entry.at, entry.kind), (delta, UnixMillis(u64::MAX), ChangeKind::Import));
        assert_eq!(entry.digest, Some(ShortDigest([0xff; 32])));
        assert_eq!((&*entry.reason, &*entry.actor.address), (&*text, "\0'\"\u{10ffff}"));
        let record = store.zone(&zone).expect("zone").expect("the zone exists");
        assert_eq!((record.serial, record.changed_at), (Serial(u32::MAX), UnixMillis(u64::MAX)));
    }
    empty_zone(&*store);
    super::model::check_whole(&*harness.reopen(store));
}

/// A zone may have no record at all.
fn empty_zone(store: &dyn Store) {
    let zone = name("empty.");
    let head = store.head().expect("head");
    let after = || NewState::Present {
        serial: Serial(0),
        records: 0,
        meta: Some(ZoneMeta::default()),
        pages: ZonePageChanges::default(),
    };
    let commit = |before, kind, after| {
        let actor = Actor { name: "tester".to_owned(), address: String::new() };
        let (zone, reason) = (zone.clone(), String::new());
        Commit {
            zone,
            before,
            at: UnixMillis(0),
            actor,
            reason,
            kind,
            delta: Delta::default(),
            after,
            digest: ShortDigest([0; 32]),
        }
    };
    store.append(&[commit(VersionBefore::Absent, ChangeKind::Create, after())]).expect("append");
    let (record, loaded) = store.load_zone(&zone).expect("load_zone").expect("the zone exists");
    assert_eq!((record.records, loaded.records(), loaded.revision()), (0, 0, head.next()));
    let delete = commit(VersionBefore::At(head.next()), ChangeKind::Delete, NewState::Absent);
    store.append(&[delete]).expect("append");
    assert_eq!(store.zone(&zone).expect("zone"), None);
    let again = commit(VersionBefore::Absent, ChangeKind::Rollback, after());
    store.append(&[again]).expect("append");
    assert_eq!(store.zone(&zone).expect("zone").map(|record| record.revision), Some(Revision(head.0 + 3)));
    let found = store.zones(None, 10, &ZoneFilter::default()).expect("zones");
    assert!(found.iter().any(|record| record.name == zone));
}

pub(super) fn both_trees_of_a_signed_zone_survive(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    let zone = name("signed.");
    let hashed: Vec<Name> =
        (0..300).map(|n| zone.child(format!("hash{n:027}").as_bytes()).expect("short enough")).collect();
    let nsec3 = |owner: &Name| rrset(owner, Rtype::NSEC3, vec![vec![1; 40]]);
    let mut rrsets: Vec<_> = hashed.iter().map(nsec3).collect();
    rrsets.extend((0..300).map(|n| txt(&zone.child(format!("w{n}").as_bytes()).expect("short enough"), "x")));
    model.append(&*store, &[Step::Create(zone.clone(), ZoneMeta::default(), rrsets)]);
    let (main, nsec3_pages) = model.zones[&zone].1.pages();
    assert!(main.len() > 1 && nsec3_pages.len() > 1, "both trees have several pages");
    model.check(&*store);
    // A name that gets another record moves from one tree to the other, and back.
    let moved = Edit::Replace(txt(&hashed[150], "also a name"));
    let back = Edit::Delete { owner: hashed[150].clone(), rtype: Rtype::TXT };
    let gone = hashed.iter().map(|owner| Edit::Delete { owner: owner.clone(), rtype: Rtype::NSEC3 }).collect();
    for edits in [vec![moved], vec![back], gone] {
        model.append(&*store, &[Step::Edit(zone.clone(), edits)]);
        model.check(&*store);
    }
}

pub(super) fn a_large_zone_changes_by_pages(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    let zone = name("large.example.");
    let owner = |n: u32| zone.child(format!("host{n:05}").as_bytes()).expect("short enough");
    let rrsets = (0..20_000).map(|n| rrset(&owner(n), Rtype::A, vec![n.to_be_bytes().to_vec()])).collect();
    model.append(&*store, &[Step::Create(zone.clone(), ZoneMeta::default(), rrsets)]);
    let pages = model.zones[&zone].1.pages().0.len();
    assert!(pages > 100, "the zone has only {pages} pages");
    for n in [0, 1, 9_999, 19_999] {
        let mut edits = vec![Edit::Replace(txt(&owner(n), "changed"))];
        edits.push(Edit::Delete { owner: owner(n), rtype: Rtype::A });
        let commits = model.plan(&[Step::Edit(zone.clone(), edits)]);
        let NewState::Present { pages, .. } = &commits[0].after else { panic!("the zone stays") };
        assert!(pages.main.added.len() <= 4, "{} pages for one name", pages.main.added.len());
        store.append(&commits).expect("append");
    }
    model.check(&*store);
    // Shrinking and growing again exercises merges and splits.
    let delete = |n| Edit::Delete { owner: owner(n), rtype: Rtype::A };
    model.append(&*store, &[Step::Edit(zone.clone(), (100..15_000).map(delete).collect())]);
    let grow = (100..200).map(|n| Edit::Replace(txt(&owner(n), &"long ".repeat(40)))).collect();
    model.append(&*store, &[Step::Edit(zone.clone(), grow)]);
    let store = harness.reopen(store);
    model.check(&*store);
}
