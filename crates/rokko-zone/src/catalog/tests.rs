use super::*;
use crate::Revision;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn reader(zones: &[&str]) -> CatalogReader {
    let catalog = Catalog::new(7);
    catalog.publish(zones.iter().map(|text| (name(text), Some(Zone::empty(&name(text))))));
    CatalogReader::new(Arc::new(catalog))
}

fn folded(name: &Name) -> FoldedName {
    let mut folded = FoldedName::default();
    folded.load(name.as_bytes()).unwrap();
    folded
}

fn found(lookup: Lookup<'_>) -> Option<String> {
    lookup.zone.map(|zone| zone.apex().to_string())
}

#[test]
fn the_deepest_zone_is_found() {
    let mut reader = reader(&["com.", "example.com.", "a.b.example.com."]);
    for (qname, zone, above) in [
        ("www.example.com.", Some("example.com."), Some("example.com.")),
        ("example.com.", Some("example.com."), Some("com.")),
        ("x.a.b.example.com.", Some("a.b.example.com."), Some("a.b.example.com.")),
        ("a.b.example.com.", Some("a.b.example.com."), Some("example.com.")),
        ("1.2.3.4.5.6.7.8.9.10.11.12.example.com.", Some("example.com."), Some("example.com.")),
        ("com.", Some("com."), None),
        ("net.", None, None),
        (".", None, None),
    ] {
        assert_eq!(found(reader.find(&folded(&name(qname)))).as_deref(), zone, "{qname}");
        assert_eq!(found(reader.find_above(&folded(&name(qname)))).as_deref(), above, "{qname}");
        let Lookup { zone, name_hash, apex_hash } = reader.find(&folded(&name(qname)));
        assert_eq!([reader.hash(&folded(&name(qname))), reader.hint(&folded(&name(qname))).name_hash], [name_hash; 2]);
        assert_eq!(apex_hash, zone.map_or(0, |zone| reader.hash(&folded(&zone.apex()))));
    }
    reader.catalog.publish([(name("."), Some(Zone::empty(&name("."))))]);
    assert_eq!(found(reader.find(&folded(&name("net.")))), None, "nothing changes before the refresh");
    reader.refresh();
    assert_eq!(found(reader.find(&folded(&name("net.")))).as_deref(), Some("."));
    assert_eq!(found(reader.find_above(&folded(&name("com.")))).as_deref(), Some("."));
}

#[test]
fn an_old_hint_finds_what_is_there_now() {
    let mut reader = reader(&["example.com.", "b.example.com."]);
    let qname = folded(&name("x.a.b.example.com."));
    let hint = reader.hint(&qname);
    assert_eq!(found(reader.find_by_hint(&qname, hint)).as_deref(), Some("b.example.com."));
    reader.catalog.publish([(name("b.example.com."), None)]);
    reader.refresh();
    assert_eq!(found(reader.find_by_hint(&qname, hint)).as_deref(), Some("example.com."));
    assert_eq!(found(reader.find_by_hint(&qname, Hint::default())).as_deref(), Some("example.com."));
    reader.catalog.publish([(name("example.com."), None), (name("."), Some(Zone::empty(&name("."))))]);
    reader.refresh();
    assert_eq!(found(reader.find_by_hint(&qname, hint)).as_deref(), Some("."));
}

#[test]
fn zones_come_and_go_under_a_reader() {
    let mut reader = reader(&["example.com."]);
    let catalog = Arc::clone(&reader.catalog);
    let held = catalog.zone(&name("example.com.")).unwrap();
    catalog.publish([(name("example.com."), None)]);
    assert!(catalog.zone(&name("example.com.")).is_none());
    assert_eq!((catalog.len(), held.revision()), (0, Revision(0)));
    // More shards change than a reader can take over one by one.
    for round in 0..3 {
        let names: Vec<Name> = (0..60_000).map(|i| name(&format!("z{i}.example."))).collect();
        catalog.publish(names.iter().map(|name| (name.clone(), Some(Zone::empty(name)))));
        assert_eq!(catalog.len(), 60_000);
        reader.refresh();
        for name in &names {
            assert_eq!(reader.find(&folded(name)).zone.unwrap().apex(), *name);
        }
        catalog.publish(names.iter().skip(round).map(|name| (name.clone(), None)));
        assert_eq!(catalog.len(), round);
        reader.refresh();
        assert_eq!(names.iter().filter(|name| reader.find(&folded(name)).zone.is_some()).count(), round);
    }
}

#[test]
fn a_fill_is_as_many_changes() {
    let catalog = Arc::new(Catalog::new(7));
    let zone = |i: u64, revision| Zone::empty(&name(&format!("z{i}.example."))).with_revision(Revision(revision));
    catalog.publish([(zone(3, 1).apex(), Some(zone(3, 1)))]);
    let mut reader = CatalogReader::new(Arc::clone(&catalog));
    let mut fills = vec![catalog.start_fill(), catalog.start_fill()];
    (0..50_000).for_each(|i| fills[usize::from(i % 2 == 0)].push(zone(i, 2)));
    fills[0].push(zone(4, 3));
    catalog.fill(fills);
    assert_eq!(reader.find(&folded(&zone(5, 0).apex())).zone.map(ZoneRef::revision), None);
    reader.refresh();
    assert_eq!(catalog.len(), 50_000);
    for i in 0..50_000 {
        assert!(reader.find(&folded(&zone(i, 0).apex())).zone.unwrap().revision() >= Revision(2));
    }
    let listed: usize = (0..CatalogReader::PARTS).map(|part| reader.zones_in(part).count()).sum();
    assert_eq!(listed, 50_000);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is the caller who owns the threads")]
fn a_reader_keeps_up_with_a_writer() {
    let mut reader = reader(&[]);
    let catalog = Arc::clone(&reader.catalog);
    let count = 20_000_u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for revision in 1..=count {
                let zone = name(&format!("z{}.example.", revision % 7000));
                catalog.publish([(zone.clone(), Some(Zone::empty(&zone).with_revision(Revision(revision))))]);
            }
        });
        // What is seen never goes back.
        let watched = folded(&name("z5.example."));
        let mut last = Revision(0);
        while last.0 + 7000 <= count {
            reader.refresh();
            let seen = reader.find(&watched).zone.map_or(Revision(0), ZoneRef::revision);
            assert!(seen >= last);
            last = seen;
            let hints = [reader.hint(&watched), Hint::default()];
            reader.touch_ways(hints.into_iter());
            reader.touch_zones(hints.into_iter());
        }
    });
    reader.refresh();
    for index in 0..7000 {
        let zone = name(&format!("z{index}.example."));
        let newest = (1..=count).rev().find(|revision| revision % 7000 == index).unwrap();
        assert_eq!(reader.find(&folded(&zone)).zone.map(ZoneRef::revision), Some(Revision(newest)));
    }
}
