//! Many threads at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rokko_wire::{Name, Rtype};
use rokko_zone::{Revision, Zone};

use super::Harness;
use super::change::{create, edit};
use super::model::{Model, Step, check_whole, name};
use crate::{Commit, StoreError};

const THREADS: usize = 6;

/// Tells those who wait that a thread is through, also if it panicked.
pub(super) struct SetOnDrop<'f>(pub(super) &'f AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A thread's commits are worked out on a model of its own, whose revisions are not the store's; the thread puts
/// those of the store in. The state that the store keeps of a zone does not depend on them.
fn plan(model: &mut Model, steps: &[Step], before: &[crate::VersionBefore]) -> Vec<Commit> {
    let mut commits = model.plan(steps);
    for (commit, before) in commits.iter_mut().zip(before) {
        commit.before = *before;
    }
    commits
}

pub(super) fn revisions_of_many_threads_have_no_gap(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let taken: Mutex<Vec<u64>> = Mutex::default();
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let (store, taken) = (&*store, &taken);
            threads.spawn(move || {
                let (one, two) = (format!("one.t{thread}."), format!("two.t{thread}."));
                let mut model = Model::default();
                let mut last = store.append(&model.plan(&[create(&one), create(&two)])).expect("append");
                let mut mine = vec![last.0, last.0 + 1];
                for round in 0..25 {
                    let before = [last, last.next()].map(crate::VersionBefore::At);
                    let steps = [edit(&one, &format!("{round}")), edit(&two, &format!("{round}"))];
                    let first = store.append(&plan(&mut model, &steps, &before)).expect("append");
                    assert!(first > last.next(), "revisions went back");
                    assert!(store.head().expect("head") >= first.next());
                    let seen = store.zone(&name(&two)).expect("zone").map(|record| record.revision);
                    assert_eq!(seen, Some(first.next()), "a thread does not see its own change");
                    last = first;
                    mine.extend([first.0, first.0 + 1]);
                }
                taken.lock().expect("no thread panicked").extend(mine);
            });
        }
    });
    let mut taken = taken.into_inner().expect("no thread panicked");
    taken.sort_unstable();
    assert!(taken.iter().copied().eq(1..=(THREADS as u64 * 52)), "the revisions have gaps or repetitions");
    check_whole(&*store);
}

pub(super) fn only_one_of_two_rivals_wins(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    model.append(&*store, &[create("contested.")]);
    let wins = Mutex::new(0_u64);
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let (store, wins) = (&*store, &wins);
            threads.spawn(move || {
                for round in 0..15 {
                    let (record, zone) = store.load_zone(&name("contested.")).expect("load_zone").expect("exists");
                    let mut view = Model::default();
                    view.zones.insert(name("contested."), (record, zone));
                    let commits = view.plan(&[edit("contested.", &format!("{thread} {round}"))]);
                    match store.append(&commits) {
                        Ok(_) => *wins.lock().expect("no thread panicked") += 1,
                        Err(StoreError::Stale { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let wins = wins.into_inner().expect("no thread panicked");
    assert!(wins >= 15, "of those who try at once, one gets through each time");
    assert_eq!(store.head().expect("head"), Revision(1 + wins));
    let zones = check_whole(&*store);
    assert_eq!(u64::from(zones[&name("contested.")].serial().0), 1 + wins, "a change was lost");
}

fn text_of(zone: &Zone) -> Vec<u8> {
    let texts = zone.rrset(&zone.apex(), Rtype::TXT).expect("the zone has a text");
    texts.rdatas().next().expect("an RRset is never empty").to_vec()
}

/// Every change writes the same text into two zones, so one state never shows two texts.
pub(super) fn loads_see_one_state(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    model.append(&*store, &[create("a."), create("m."), create("z.")]);
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let _done = SetOnDrop(&done);
            for round in 0..60 {
                let text = round.to_string();
                model.append(&*store, &[edit("z.", &text), edit("a.", &text)]);
            }
        });
        let mut rounds = 0;
        while rounds < 2 || !done.load(Ordering::Acquire) {
            let mut texts = Vec::new();
            let mut newest = Revision(0);
            let head = store.load_all(&mut |zone: Zone| {
                newest = newest.max(zone.revision());
                if zone.apex() != name("m.") {
                    texts.push(text_of(&zone));
                }
            });
            let head = head.expect("load_all");
            assert!(texts.len() == 2 && texts[0] == texts[1], "a load shows half a change");
            assert!(head == newest || head == Revision(3), "a load is not of the revision that it says");
            let (record, zone) = store.load_zone(&name("a.")).expect("load_zone").expect("exists");
            assert_eq!((record.revision, record.serial), (zone.revision(), zone.serial()));
            rounds += 1;
        }
    });
    model.check(&*store);
}

pub(super) fn appends_go_on_during_a_load(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    model.append(&*store, &[create("a."), create("b.")]);
    let (mut during, mut seen) = (model.clone(), Vec::<(Name, Revision)>::new());
    let head = store.load_all(&mut |zone| {
        seen.push((zone.apex(), zone.revision()));
        during.append(&*store, &[edit("a.", "meanwhile"), edit("b.", "meanwhile")]);
    });
    assert_eq!(head.expect("load_all"), Revision(2));
    seen.sort();
    assert_eq!(seen, [(name("a."), Revision(1)), (name("b."), Revision(2))]);
    during.check(&*store);
}
