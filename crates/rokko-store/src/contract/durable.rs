//! What outlives the one who wrote it.

use std::sync::atomic::{AtomicBool, Ordering};

use rokko_model::{ApiKey, KeyId, Scope, UnixMillis, ZonePattern};
use rokko_zone::Revision;

use super::Harness;
use super::change::{create, edit};
use super::concurrent::SetOnDrop;
use super::model::{Model, Step, check_whole, name};
use crate::VersionBefore;

pub(super) fn everything_survives_a_restart(harness: &mut dyn Harness) {
    let mut store = harness.fresh();
    let mut model = Model::default();
    for round in 0..10 {
        let zone = format!("z{round}.example.");
        model.append(&*store, &[create(&zone)]);
        model.append(&*store, &[edit(&zone, "changed")]);
        if round % 3 == 2 {
            model.append(&*store, &[Step::Delete(name(&zone))]);
        }
        store = harness.reopen(store);
        model.check(&*store);
    }
}

pub(super) fn revisions_are_never_used_again(harness: &mut dyn Harness) {
    let mut store = harness.fresh();
    let mut model = Model::default();
    model.append(&*store, &[create("a.")]);
    model.append(&*store, &[Step::Delete(name("a."))]);
    store = harness.reopen(store);
    assert_eq!(store.head().expect("head"), Revision(2));
    // A refused change uses none up.
    let mut commits = model.clone().plan(&[create("b.")]);
    commits[0].before = VersionBefore::At(Revision(1));
    assert!(store.append(&commits).is_err());
    assert_eq!(model.append(&*store, &[create("a.")]), Revision(3));
    let store = harness.reopen(store);
    model.check(&*store);
}

pub(super) fn keys_and_settings_are_kept(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let zones = vec![ZonePattern::Below(name("example.")), ZonePattern::Exact(name("x\\.y.test."))];
    let limited = Scope { zones, types: vec!["TXT".to_owned()], read_only: true, ..Scope::default() };
    let key = |id: &str, scope: Scope| ApiKey {
        id: KeyId(id.to_owned()),
        name: format!("key of {id}"),
        hash: ApiKey::hash_of(id),
        scope,
        created_at: UnixMillis(5),
        expires_at: Some(UnixMillis(u64::from(u32::MAX) * 1000)),
        revoked_at: None,
    };
    let (mut one, two) = (key("one", limited), key("two", Scope::administrator()));
    store.put_key(&two).expect("put_key");
    store.put_key(&one).expect("put_key");
    one.revoked_at = Some(UnixMillis(9));
    store.put_key(&one).expect("put_key");
    store.put_setting("secret", &[0, 255, 0]).expect("put_setting");
    store.put_setting("empty", b"").expect("put_setting");
    store.put_setting("secret", &[1; 5000]).expect("put_setting");
    let check = |store: &dyn crate::Store| {
        let mut keys = store.keys().expect("keys");
        keys.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(keys, [one.clone(), two.clone()]);
        assert_eq!(store.setting("secret").expect("setting"), Some(vec![1; 5000]));
        assert_eq!(store.setting("empty").expect("setting"), Some(Vec::new()));
        assert_eq!(store.setting("Secret").expect("setting"), None);
        assert_eq!(store.head().expect("head"), Revision(0));
    };
    check(&*store);
    check(&*harness.reopen(store));
}

pub(super) fn a_backup_is_one_state(harness: &mut dyn Harness) {
    let store = harness.fresh();
    let mut model = Model::default();
    let steps: Vec<Step> = (0..200).map(|n| create(&format!("z{n}."))).collect();
    model.append(&*store, &steps);
    store.put_setting("kept", b"yes").expect("put_setting");
    let path = harness.new_path();
    let (started, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let _started = SetOnDrop(&started);
            for round in 0..2_000 {
                if stop.load(Ordering::Acquire) {
                    break;
                }
                let text = round.to_string();
                model.append(&*store, &[edit("z1.", &text), edit("z100.", &text)]);
                started.store(true, Ordering::Release);
            }
        });
        while !started.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        let mut reports = Vec::new();
        let done = store.backup(&path, &mut |done, all| reports.push((done, all)));
        stop.store(true, Ordering::Release);
        done.expect("backup");
        let last = reports.last().expect("progress was reported");
        assert!(last.0 == last.1 && last.1 > 0, "the backup ends when all parts are done");
        assert!(reports.is_sorted_by_key(|(done, _)| *done), "progress went back");
    });
    // It never replaces a file.
    let size = std::fs::metadata(&path).expect("the backup exists").len();
    assert!(store.backup(&path, &mut |_, _| {}).is_err());
    assert_eq!(std::fs::metadata(&path).expect("the backup exists").len(), size);
    let restored = harness.restore(&path);
    let zones = check_whole(&*restored);
    assert_eq!(zones.len(), 200);
    let head = restored.head().expect("head");
    assert!(head > Revision(200) && head.0.is_multiple_of(2), "the backup has half a change");
    assert_eq!(restored.setting("kept").expect("setting"), Some(b"yes".to_vec()));
    // Up to its last revision it has the same log, and it goes on from there.
    model.log.truncate(usize::try_from(head.0).expect("a small number"));
    assert_eq!(
        restored.entries(Revision(0), usize::MAX).expect("entries"),
        model.log.iter().map(|(e, _)| e.clone()).collect::<Vec<_>>()
    );
    let commits = Model::default().plan(&[create("new.")]);
    assert_eq!(restored.append(&commits).expect("append"), head.next());
    check_whole(&*restored);
    check_whole(&*store);
}
