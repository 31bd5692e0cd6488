use std::sync::mpsc::channel;

use rokko_control::{ChangeState, ControlError};
use rokko_model::{Annotation, ChangeKind, Comment, Signing};
use rokko_zone::Serial;

use super::*;

const ZONE: &str = "example.com.";

#[test]
fn a_change_is_answered_and_survives_a_restart() {
    let node = Node::new();
    let created = node.submit(create(ZONE)).unwrap();
    assert_eq!((created.revision, created.serial), (Revision(1), Some(Serial(2_026_112_301))));
    let done = node.submit(edit(ZONE, vec![set("www.example.com.", Rtype::A, &["192.0.2.1", "192.0.2.2"])])).unwrap();
    assert_eq!((done.revision, done.serial, done.changed), (Revision(2), Some(Serial(2_026_112_302)), true));
    let status = node.control.change(&Identity::local(), Revision(2)).unwrap();
    assert_eq!((status.state, status.applied_at), (ChangeState::InSync, Some(node.control.now())));
    let node = node.restart();
    let expected = (300, vec!["192.0.2.1".to_owned(), "192.0.2.2".to_owned()]);
    assert_eq!(node.rrset(ZONE, "www.example.com.", Rtype::A), Some(expected));
    assert_eq!(node.zone(ZONE).unwrap().revision(), Revision(2));
    assert_eq!(node.control.change(&Identity::local(), Revision(2)).unwrap().applied_at, None);
}

#[test]
fn a_stale_change_is_told_what_is_current() {
    let node = Node::new();
    let first = node.submit(create(ZONE)).unwrap().revision;
    let www = |address| vec![set("www.example.com.", Rtype::A, &[address])];
    node.submit(edit_at(ZONE, first, www("192.0.2.1"))).unwrap();
    let stale = node.submit(edit_at(ZONE, first, www("192.0.2.2")));
    assert!(matches!(stale, Err(ControlError::Stale { current: Some(Revision(2)), .. })));
    assert_eq!(node.rrset(ZONE, "www.example.com.", Rtype::A).unwrap().1, ["192.0.2.1"]);
}

#[test]
fn a_change_that_changes_nothing_makes_no_revision() {
    let node = Node::new();
    node.submit(create(ZONE)).unwrap();
    let again = edit(ZONE, vec![Edit::Delete { owner: name("nothing.example.com."), rtype: Rtype::A }]);
    let done = node.submit(again).unwrap();
    assert_eq!((done.revision, done.changed), (Revision(1), false));
}

#[test]
fn a_change_set_is_all_or_nothing() {
    let node = Node::new();
    node.submit(create(ZONE)).unwrap();
    let good = edit(ZONE, vec![set("a.example.com.", Rtype::A, &["192.0.2.1"])]);
    let new = create("other.example.");
    let bad = edit(ZONE, vec![set("a.example.com.", Rtype::CNAME, &["b.example.com."])]);
    let refused = node.control.submit_wait(&Identity::local(), "", vec![good.clone(), new, bad]);
    let Err(ControlError::Invalid { findings, .. }) = refused else { panic!("was not refused as invalid") };
    assert!(findings.iter().any(|finding| finding.code == "cname-and-other-data"));
    assert_eq!(node.rrset(ZONE, "a.example.com.", Rtype::A), None);
    assert!(node.zone("other.example.").is_none());
    assert_eq!(node.submit(good).unwrap().revision, Revision(2));
}

#[test]
fn an_address_becomes_an_alias_in_one_change() {
    let node = Node::new();
    node.submit(create(ZONE)).unwrap();
    node.submit(edit(ZONE, vec![set("a.example.com.", Rtype::A, &["192.0.2.1"])])).unwrap();
    let swap = vec![
        Edit::Delete { owner: name("a.example.com."), rtype: Rtype::A },
        set("a.example.com.", Rtype::CNAME, &["b.example.com."]),
    ];
    node.submit(edit(ZONE, swap)).unwrap();
    assert_eq!(node.rrset(ZONE, "a.example.com.", Rtype::CNAME).unwrap().1, ["b.example.com."]);
}

#[test]
fn the_apex_keeps_its_soa_and_its_name_servers() {
    let node = Node::new();
    node.submit(create(ZONE)).unwrap();
    for rtype in [Rtype::SOA, Rtype::NS] {
        let refused = node.submit(edit(ZONE, vec![Edit::Delete { owner: name(ZONE), rtype }]));
        assert!(matches!(refused, Err(ControlError::Invalid { .. })), "{rtype}");
    }
    let outside = node.submit(edit(ZONE, vec![set("www.example.org.", Rtype::A, &["192.0.2.1"])]));
    assert!(matches!(outside, Err(ControlError::Edit { .. })));
}

#[test]
fn the_serial_never_goes_back() {
    let node = Node::new();
    node.submit(create(ZONE)).unwrap();
    let soa = |serial: u32| {
        let text = format!("ns1.hosting.example. hostmaster.example.com. {serial} 1 2 3 4");
        edit(ZONE, vec![Edit::Replace(rrset(ZONE, Rtype::SOA, 60, &[&text]))])
    };
    assert_eq!(node.submit(soa(2_030_010_100)).unwrap().serial, Some(Serial(2_030_010_100)));
    assert_eq!(node.submit(soa(5)).unwrap().serial, Some(Serial(2_030_010_101)));
    assert_eq!(node.zone(ZONE).unwrap().serial(), Serial(2_030_010_101));
}

#[test]
fn a_rollback_is_a_new_revision_with_old_content() {
    let node = Node::new();
    node.submit(create(ZONE)).unwrap();
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        let www = set("www.example.com.", Rtype::A, &[address]);
        let extra = set(&format!("x{}.example.com.", &address[8..]), Rtype::TXT, &["\"x\""]);
        node.submit(edit(ZONE, vec![www, extra])).unwrap();
    }
    let back = |to| Request::Rollback { zone: name(ZONE), expect: Expect::Any, to: Revision(to) };
    let done = node.submit(back(2)).unwrap();
    assert_eq!((done.revision, done.serial), (Revision(5), Some(Serial(2_026_112_305))));
    assert_eq!(node.rrset(ZONE, "www.example.com.", Rtype::A).unwrap().1, ["192.0.2.1"]);
    assert!(node.rrset(ZONE, "x1.example.com.", Rtype::TXT).is_some());
    assert!(node.rrset(ZONE, "x2.example.com.", Rtype::TXT).is_none());
    node.submit(back(4)).unwrap();
    assert_eq!(node.rrset(ZONE, "www.example.com.", Rtype::A).unwrap().1, ["192.0.2.3"]);
    assert!(matches!(node.submit(back(0)), Err(ControlError::NothingToRestore { .. })));
    let kinds: Vec<ChangeKind> =
        node.control.history(&Identity::local(), &name(ZONE), None, 10).unwrap().iter().map(|e| e.kind).collect();
    assert_eq!(
        kinds,
        [
            ChangeKind::Rollback,
            ChangeKind::Rollback,
            ChangeKind::Edit,
            ChangeKind::Edit,
            ChangeKind::Edit,
            ChangeKind::Create
        ]
    );
}

#[test]
fn a_deleted_zone_comes_back_with_its_metadata() {
    let node = Node::new();
    let meta = ZoneMeta { account: "customer-7".to_owned(), ..ZoneMeta::default() };
    let contents = vec![rrset(ZONE, Rtype::NS, 60, &["ns.example."])];
    node.submit(Request::Create { zone: name(ZONE), meta: meta.clone(), contents, signing: Signing::Off }).unwrap();
    node.submit(edit(ZONE, vec![set("www.example.com.", Rtype::A, &["192.0.2.1"])])).unwrap();
    let delete = Request::Delete { zone: name(ZONE), expect: Expect::Any };
    assert_eq!(node.submit(delete.clone()).unwrap().serial, None);
    assert!(node.zone(ZONE).is_none());
    assert!(matches!(node.submit(delete), Err(ControlError::NotFound { .. })));
    let back = |to| Request::Rollback { zone: name(ZONE), expect: Expect::Any, to: Revision(to) };
    assert!(matches!(node.submit(back(3)), Err(ControlError::NothingToRestore { .. })));
    node.submit(back(2)).unwrap();
    assert!(node.rrset(ZONE, "www.example.com.", Rtype::A).is_some());
    assert_eq!(node.control.zone(&Identity::local(), &name(ZONE)).unwrap().record.meta, meta);
}

#[test]
fn an_import_replaces_everything_and_moves_the_serial() {
    let node = Node::new();
    node.submit(create(ZONE)).unwrap();
    node.submit(edit(ZONE, vec![set("old.example.com.", Rtype::A, &["192.0.2.1"])])).unwrap();
    let contents = vec![
        rrset(ZONE, Rtype::SOA, 60, &["ns. h. 1 2 3 4 5"]),
        rrset(ZONE, Rtype::NS, 60, &["ns.example."]),
        rrset("new.example.com.", Rtype::A, 60, &["192.0.2.9"]),
    ];
    let import = Request::Import { zone: name(ZONE), expect: Expect::Any, contents };
    let done = node.submit(import.clone()).unwrap();
    assert_eq!(done.serial, Some(Serial(2_026_112_303)));
    assert!(node.rrset(ZONE, "old.example.com.", Rtype::A).is_none());
    assert!(node.rrset(ZONE, "new.example.com.", Rtype::A).is_some());
    let repeated = node.submit(import).unwrap();
    assert!(!repeated.changed, "the same file again is no change");
}

#[test]
fn a_serial_that_was_signed_elsewhere_stays() {
    let node = Node::new();
    node.submit(create(ZONE)).unwrap();
    let signature = |covered: &str| {
        let rest = "13 2 60 20380101000000 20200101000000 12345 example.com. AAAA";
        rrset(ZONE, Rtype::RRSIG, 60, &[&format!("{covered} {rest}")])
    };
    let contents = vec![
        rrset(ZONE, Rtype::SOA, 60, &["ns. h. 1 2 3 4 5"]),
        rrset(ZONE, Rtype::NS, 60, &["ns.example."]),
        signature("SOA"),
    ];
    // The file's serial is an older one, but it is the one that was signed.
    let import = Request::Import { zone: name(ZONE), expect: Expect::Any, contents };
    assert_eq!(node.submit(import).unwrap().serial, Some(Serial(1)));
    let www = |address| edit(ZONE, vec![set("www.example.com.", Rtype::A, &[address])]);
    assert_eq!(node.submit(www("192.0.2.1")).unwrap().serial, Some(Serial(1)));
    let other = edit(ZONE, vec![Edit::Replace(signature("NS"))]);
    assert_eq!(node.submit(other).unwrap().serial, Some(Serial(2_026_112_301)));
    assert_eq!(node.submit(www("192.0.2.2")).unwrap().serial, Some(Serial(2_026_112_302)));
}

#[test]
fn annotations_travel_with_the_change() {
    let node = Node::new();
    node.submit(create(ZONE)).unwrap();
    let comment = Comment { content: "why".to_owned(), account: "me".to_owned(), modified_at: 1 };
    let annotation = Annotation { comments: vec![comment], ..Annotation::default() };
    let key = "www.example.com. A".to_owned();
    let request = |annotation| Request::Edit {
        zone: name(ZONE),
        expect: Expect::Any,
        edits: vec![set("www.example.com.", Rtype::A, &["192.0.2.1"])],
        annotations: vec![(key.clone(), annotation)],
    };
    node.submit(request(annotation.clone())).unwrap();
    let meta = || node.control.zone(&Identity::local(), &name(ZONE)).unwrap().record.meta;
    assert_eq!(meta().annotations.get(&key), Some(&annotation));
    node.submit(request(Annotation::default())).unwrap();
    assert!(meta().annotations.is_empty());
}

#[test]
fn many_writers_lose_nothing() {
    let node = Node::new();
    let (send, receive) = channel();
    for zone in 0..8 {
        node.submit(create(&format!("z{zone}.example."))).unwrap();
    }
    for step in 0..400_u32 {
        let zone = format!("z{}.example.", step % 8);
        let owner = format!("n{step}.{zone}");
        let request = edit(&zone, vec![set(&owner, Rtype::A, &["192.0.2.1"])]);
        let send = send.clone();
        node.control.submit(&Identity::local(), "", vec![request], move |outcome| {
            send.send((step, outcome.map(|done| done[0].revision))).unwrap();
        });
    }
    drop(send);
    let mut revisions: Vec<u64> = receive.iter().map(|(_, outcome)| outcome.unwrap().0).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (9..409).collect::<Vec<u64>>());
    let statistics = node.control.statistics();
    assert_eq!((statistics.commits, statistics.queue_depth), (408, 0));
    let node = node.restart();
    let records: u64 = (0..8).map(|zone| node.zone(&format!("z{zone}.example.")).unwrap().records()).sum();
    assert_eq!(records, 8 * 3 + 400);
}

#[test]
fn a_full_queue_sheds_and_a_stopped_node_refuses() {
    let limits = Limits { queue_max: 1, ..Limits::default() };
    let node = Node::open(tempfile::tempdir().unwrap(), limits);
    let (send, receive) = channel();
    for zone in 0..500 {
        let send = send.clone();
        let request = create(&format!("z{zone}.example."));
        node.control
            .submit(&Identity::local(), "", vec![request], move |outcome| send.send(outcome.map(drop)).unwrap());
    }
    drop(send);
    let outcomes: Vec<_> = receive.iter().collect();
    assert_eq!(outcomes.len(), 500);
    let shed = outcomes.iter().filter(|outcome| matches!(outcome, Err(ControlError::Overloaded))).count();
    assert_eq!(shed as u64, node.control.statistics().jobs_shed);
    assert!(shed > 0 && outcomes.iter().all(|o| matches!(o, Ok(()) | Err(ControlError::Overloaded))));
    node.control.stop();
    assert!(matches!(node.submit(create("late.example.")), Err(ControlError::Stopping)));
}

#[test]
fn a_limit_keeps_zones_small() {
    let limits = Limits { zone_records_max: 5, ..Limits::default() };
    let node = Node::open(tempfile::tempdir().unwrap(), limits);
    node.submit(create(ZONE)).unwrap();
    let two = set("www.example.com.", Rtype::A, &["192.0.2.1", "192.0.2.2"]);
    node.submit(edit(ZONE, vec![two])).unwrap();
    let more = set("more.example.com.", Rtype::A, &["192.0.2.1"]);
    assert!(matches!(node.submit(edit(ZONE, vec![more])), Err(ControlError::TooLarge { limit: 5, .. })));
}
