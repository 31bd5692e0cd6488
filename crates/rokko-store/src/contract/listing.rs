//! Listings of zones.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use rokko_model::ZoneMeta;
use rokko_wire::Name;

use super::Harness;
use super::change::create;
use super::concurrent::SetOnDrop;
use super::model::{Model, Step, list, name};
use crate::{Store, ZoneFilter};

fn names(store: &dyn Store, filter: &ZoneFilter, limit: usize) -> Vec<String> {
    list(store, filter, limit).iter().map(|record| record.name.to_string()).collect()
}

pub(super) fn listings_are_in_canonical_order(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    // RFC 4034 §6.1 and what is hard about it: escapes, high octets, prefixes, the root.
    let sorted = [
        ".",
        "example.",
        "a.example.",
        "yljkjljk.a.example.",
        "z.a.example.",
        "zabc.a.example.",
        "z.example.",
        "\\000.z.example.",
        "\\000\\000.z.example.",
        "\\000\\001.z.example.",
        "\\001.z.example.",
        "\\002.z.example.",
        "*.z.example.",
        "\\200.z.example.",
        "\\255.z.example.",
        "\\255\\255.z.example.",
        "z\\000.example.",
        "z\\001.example.",
        "z0.example.",
        "zz.example.",
        "examples.",
        "\\255.",
    ];
    for index in [9, 0, 21, 4, 13, 1, 20, 7, 18, 2, 11, 16, 3, 19, 5, 8, 15, 6, 14, 10, 17, 12] {
        model.append(&*store, &[create(sorted[index])]);
    }
    model.check(&*store);
    for limit in [1, 2, 3, 21, 22, 23, usize::MAX] {
        assert_eq!(names(&*store, &ZoneFilter::default(), limit), sorted, "in parts of {limit}");
    }
    assert_eq!(store.zones(None, 0, &ZoneFilter::default()).expect("zones"), []);
    // A cursor need not be a zone.
    let after = |cursor: &str| {
        let part = store.zones(Some(&name(cursor)), 1, &ZoneFilter::default()).expect("zones");
        part.first().map(|record| record.name.to_string())
    };
    assert_eq!(after("b.example."), Some("z.example.".to_owned()));
    assert_eq!(after("a.a.example."), Some("yljkjljk.a.example.".to_owned()));
    assert_eq!(after("\\255.").as_deref(), None);
    assert_eq!(after("x.\\255.").as_deref(), None);
}

pub(super) fn filters_select(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    let with_account = |zone: &str, account: &str| {
        let meta = ZoneMeta { account: account.to_owned(), ..ZoneMeta::default() };
        Step::Create(name(zone), meta, Vec::new())
    };
    let zones = [
        ("example.", ""),
        ("blue.example.", "alpha"),
        ("a.blue.example.", "beta"),
        ("green.example.", "alpha"),
        ("blueish.test.", "alpha"),
        ("x\\.y.test.", ""),
        ("blue.", "Alpha"),
    ];
    let steps: Vec<Step> = zones.iter().map(|(zone, account)| with_account(zone, account)).collect();
    model.append(&*store, &steps);
    model.check(&*store);
    let check = |account: Option<&str>, text: Option<&str>, below: Option<&str>, expected: &[&str]| {
        let (account, name_contains) = (account.map(str::to_owned), text.map(str::to_owned));
        let filter = ZoneFilter { account, name_contains, below: below.map(name) };
        for limit in [1, 2, 100] {
            assert_eq!(names(&*store, &filter, limit), expected, "{filter:?} in parts of {limit}");
        }
    };
    check(Some("alpha"), None, None, &["blue.example.", "green.example.", "blueish.test."]);
    check(Some("Alpha"), None, None, &["blue."]);
    check(Some(""), None, None, &["example.", "x\\.y.test."]);
    check(Some("nobody"), None, None, &[]);
    check(None, Some("blue"), None, &["blue.", "blue.example.", "a.blue.example.", "blueish.test."]);
    check(None, Some("e.e"), None, &["blue.example.", "a.blue.example."]);
    check(None, Some("\\."), None, &["x\\.y.test."]);
    check(None, Some("absent"), None, &[]);
    check(None, None, Some("example."), &["example.", "blue.example.", "a.blue.example.", "green.example."]);
    check(None, None, Some("blue.example."), &["blue.example.", "a.blue.example."]);
    check(None, None, Some("lue.example."), &[]);
    check(None, None, Some("test."), &["blueish.test.", "x\\.y.test."]);
    check(None, None, Some("."), &names(&*store, &ZoneFilter::default(), 9).iter().map(|n| &**n).collect::<Vec<_>>());
    check(Some("alpha"), Some("blue"), None, &["blue.example.", "blueish.test."]);
    check(Some("alpha"), Some("blue"), Some("example."), &["blue.example."]);
    check(Some(""), Some("y"), Some("test."), &["x\\.y.test."]);
    // A zone changes hands, and one goes.
    let moved = ZoneMeta { account: "beta".to_owned(), ..ZoneMeta::default() };
    model.append(&*store, &[Step::Meta(name("blue.example."), moved), Step::Delete(name("green.example."))]);
    check(Some("alpha"), None, None, &["blueish.test."]);
    check(Some("beta"), None, None, &["blue.example.", "a.blue.example."]);
    model.check(&*store);
}

/// While one thread goes through the list again and again, another adds and removes zones between those that
/// stay: these are met exactly once each time, and no other more than once.
pub(super) fn a_cursor_meets_every_zone_once(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    let stays: Vec<String> = (0..60).map(|n| format!("s{n:02}.example.")).collect();
    let steps: Vec<Step> = stays.iter().map(|zone| create(zone)).collect();
    model.append(&*store, &steps);
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let _done = SetOnDrop(&done);
            for round in 0..40 {
                let passing: Vec<String> =
                    (0..5).map(|n| format!("s{:02}-{round}.example.", (round + n * 11) % 60)).collect();
                let steps: Vec<Step> = passing.iter().map(|zone| create(zone)).collect();
                model.append(&*store, &steps);
                let steps: Vec<Step> = passing.iter().map(|zone| Step::Delete(name(zone))).collect();
                model.append(&*store, &steps);
            }
        });
        let mut rounds = 0;
        while rounds < 2 || !done.load(Ordering::Acquire) {
            let mut met: BTreeMap<Name, u32> = BTreeMap::new();
            for record in list(&*store, &ZoneFilter::default(), 4) {
                *met.entry(record.name).or_default() += 1;
            }
            assert!(met.values().all(|&times| times == 1), "a zone was met twice");
            assert!(stays.iter().all(|zone| met.contains_key(&name(zone))), "a zone was passed over");
            rounds += 1;
        }
    });
    model.check(&*store);
}
