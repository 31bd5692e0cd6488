//! Zones built by steps equal zones built at once, whatever the steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use rokko_wire::query::FoldedName;
use rokko_wire::{KeyBuf, Name, Rtype};
use rokko_zone::{Catalog, CatalogReader, Delta, Edit, Match, Page, Revision, Rrset, Ttl, Zone};

fn apex() -> Name {
    "example.".parse().unwrap()
}

fn owner() -> impl Strategy<Value = Name> {
    let label = prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("*".to_owned()), "[a-z0-9]{1,9}"];
    proptest::collection::vec(label, 0..4)
        .prop_map(|labels| labels.iter().fold(apex(), |name, label| name.child(label.as_bytes()).unwrap()))
}

fn rtype() -> impl Strategy<Value = Rtype> {
    prop::sample::select(vec![Rtype::A, Rtype::TXT, Rtype::NSEC3, Rtype::RRSIG, Rtype(65_280)])
}

fn rrset() -> impl Strategy<Value = Rrset> {
    let rdatas = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 1..5);
    (owner(), rtype(), 0..1000_u32, rdatas).prop_map(|(owner, rtype, ttl, rdatas)| Rrset {
        owner,
        rtype,
        ttl: Ttl::new(ttl).unwrap(),
        rdatas: rdatas.into_iter().map(Into::into).collect(),
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => rrset().prop_map(Edit::Replace),
        3 => rrset().prop_map(Edit::Extend),
        2 => (owner(), rtype()).prop_map(|(owner, rtype)| Edit::Delete { owner, rtype }),
        1 => rrset().prop_map(|rrset| Edit::Prune { owner: rrset.owner, rtype: rrset.rtype, rdatas: rrset.rdatas }),
    ]
}

type Flat = BTreeMap<(Name, Rtype), (Ttl, Vec<Vec<u8>>)>;

fn flat(zone: &Zone) -> Flat {
    let rrsets = zone.rrsets();
    rrsets.map(|(name, r)| ((name, r.rtype()), (r.ttl(), r.rdatas().map(<[u8]>::to_vec).collect()))).collect()
}

fn model_apply(model: &mut Flat, edit: &Edit) {
    let (owner, rtype) = edit.target();
    let key = (owner.clone(), rtype);
    let normal = |mut rdatas: Vec<Vec<u8>>| {
        rdatas.sort();
        rdatas.dedup();
        rdatas
    };
    let vecs = |rdatas: &[Box<[u8]>]| rdatas.iter().map(|r| r.to_vec()).collect::<Vec<_>>();
    match edit {
        Edit::Replace(rrset) => {
            model.insert(key, (rrset.ttl, normal(vecs(&rrset.rdatas))));
        }
        Edit::Extend(rrset) => {
            let mut rdatas = model.remove(&key).map_or_else(Vec::new, |(_, rdatas)| rdatas);
            rdatas.extend(vecs(&rrset.rdatas));
            model.insert(key, (rrset.ttl, normal(rdatas)));
        }
        Edit::Delete { .. } => {
            model.remove(&key);
        }
        Edit::Prune { rdatas, .. } => {
            if let Some((_, old)) = model.get_mut(&key) {
                old.retain(|rdata| !rdatas.iter().any(|gone| **gone == **rdata));
                if old.is_empty() {
                    model.remove(&key);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn steps_equal_a_model_and_lead_back(steps in proptest::collection::vec(proptest::collection::vec(edit(), 1..12), 1..12)) {
        let mut zone = Zone::empty(&apex());
        let mut model = Flat::new();
        // What a store keeps: pages by tree and first key.
        let mut stored: [BTreeMap<Box<[u8]>, Page>; 2] = Default::default();
        for (step, edits) in steps.iter().enumerate() {
            let delta = zone.resolve(edits).unwrap();
            prop_assert_eq!(Delta::decode(&delta.encode()), Ok(delta.clone()));
            let (next, pages) = zone.apply(&delta, Revision(step as u64)).unwrap();
            for edit in edits {
                model_apply(&mut model, edit);
            }
            prop_assert_eq!(flat(&next), model.clone());
            for (table, changes) in stored.iter_mut().zip([pages.main, pages.nsec3]) {
                for key in &changes.removed {
                    prop_assert!(table.remove(key).is_some());
                }
                for page in changes.added {
                    prop_assert!(table.insert(page.first_key().into(), page).is_none());
                }
            }
            let reopened = stored.clone().map(|table| {
                table.values().map(|page| Page::open(page.as_bytes()).unwrap()).collect::<Vec<_>>()
            });
            let [main, nsec3] = reopened;
            let loaded = Zone::from_pages(&apex(), next.revision(), main, nsec3);
            prop_assert_eq!(flat(&loaded), model.clone());
            prop_assert_eq!((loaded.records(), loaded.view().marks()), (next.records(), next.view().marks()));
            let (back, _) = next.apply(&delta.inverse(), Revision(0)).unwrap();
            prop_assert_eq!(flat(&back), flat(&zone));
            zone = next;
        }
        let rrsets: Vec<Rrset> = zone.rrsets().map(|(name, rrset)| rokko_zone::zone::to_rrset(name, rrset)).collect();
        let at_once = Zone::build(&apex(), zone.revision(), rrsets).unwrap();
        prop_assert_eq!(flat(&at_once), model);
        prop_assert_eq!(at_once.view().denial(), zone.view().denial());
        let whole = zone.resolve_whole(steps[0].iter().filter_map(|edit| match edit {
            Edit::Extend(rrset) => Some(rrset.clone()),
            _ => None,
        })).unwrap();
        let (other, _) = zone.apply(&whole, Revision(0)).unwrap();
        let mut model = Flat::new();
        for edit in steps[0].iter().filter(|edit| matches!(edit, Edit::Extend(_))) {
            model_apply(&mut model, edit);
        }
        let sets = |flat: &Flat| flat.iter().map(|(k, (_, r))| (k.clone(), r.clone())).collect::<Vec<_>>();
        prop_assert_eq!(sets(&flat(&other)), sets(&model));
    }

    #[test]
    fn search_finds_the_neighbours(names in proptest::collection::btree_set(owner(), 1..300), asked in owner()) {
        let rrsets = names.iter().map(|owner| Rrset {
            owner: owner.clone(), rtype: Rtype::TXT, ttl: Ttl::new(5).unwrap(), rdatas: vec![vec![40; 41].into()],
        });
        let zone = Zone::build(&apex(), Revision(1), rrsets).unwrap();
        let key = KeyBuf::below(&asked, &apex()).unwrap();
        let name = |node| zone.view().name_of(node);
        let before = names.range(..asked.clone()).next_back().cloned();
        prop_assert_eq!(zone.view().before(key.as_bytes()).map(name), before.clone());
        match zone.view().search(key.as_bytes()) {
            Match::Exact(node) => prop_assert!(names.contains(&name(node)) && name(node) == asked),
            Match::Gap { before: b, after } => {
                prop_assert!(!names.contains(&asked));
                prop_assert_eq!(b.map(name), before);
                prop_assert_eq!(after.map(name), names.range(asked.clone()..).next().cloned());
            }
        }
        let from: Vec<Name> = zone.view().nodes_from(key.as_bytes()).map(name).collect();
        prop_assert_eq!(from, names.range(asked..).cloned().collect::<Vec<_>>());
    }

    #[test]
    fn damaged_pages_are_never_opened(at in 0..4000_usize, flip in 1..=255_u8) {
        let rrsets = (0..30).map(|i| Rrset {
            owner: apex().child(format!("n{i}").as_bytes()).unwrap(),
            rtype: Rtype::TXT, ttl: Ttl::new(5).unwrap(), rdatas: vec![vec![9; 60].into()],
        });
        let zone = Zone::build(&apex(), Revision(1), rrsets).unwrap();
        let mut bytes = zone.pages().0[0].as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        prop_assert!(Page::open(&bytes).is_err());
        prop_assert!(Page::open(&bytes[..at]).is_err());
    }

    #[test]
    fn any_bytes_with_a_right_checksum_are_judged(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = crc(&body).to_vec();
        bytes.extend_from_slice(&body);
        if let Ok(page) = Page::open(&bytes) {
            for node in page.view().nodes() {
                node.rrsets().for_each(|rrset| assert!(rrset.rdatas().count() == rrset.len()));
            }
        }
        let _ = Delta::decode(&body);
    }
}

fn crc(body: &[u8]) -> [u8; 4] {
    crc32fast::hash(body).to_le_bytes()
}

#[test]
fn a_change_in_a_large_zone_touches_few_pages() {
    let rrsets = (0..50_000).map(|i| Rrset {
        owner: apex().child(format!("name-{i}").as_bytes()).unwrap(),
        rtype: Rtype::A,
        ttl: Ttl::new(300).unwrap(),
        rdatas: vec![Box::from([192, 0, 2, 1])],
    });
    let zone = Zone::build(&apex(), Revision(1), rrsets).unwrap();
    assert_eq!(zone.records(), 50_000);
    for i in (0..50_000).step_by(7) {
        let key = |text: String| KeyBuf::below(&apex().child(text.as_bytes()).unwrap(), &apex()).unwrap();
        let exact = key(format!("name-{i}"));
        assert_eq!(zone.view().node(exact.as_bytes()).map(rokko_zone::NodeRef::key), Some(exact.as_bytes()));
        let after = key(format!("name-{i}!"));
        assert!(zone.view().node(after.as_bytes()).is_none());
        assert_eq!(zone.view().before(after.as_bytes()).map(rokko_zone::NodeRef::key), Some(exact.as_bytes()));
    }
    let gone = Edit::Delete { owner: "name-777.example.".parse().unwrap(), rtype: Rtype::A };
    let delta = zone.resolve(&[gone]).unwrap();
    let (after, pages) = zone.apply(&delta, Revision(2)).unwrap();
    assert_eq!(after.records(), 49_999);
    assert!(pages.main.added.len() <= 2 && pages.main.removed.len() <= 2);
    assert_eq!(delta.owners().count(), 1);
}

#[test]
fn the_catalog_built_by_steps_equals_the_one_built_at_once() {
    let names: Vec<Name> = (0..500).map(|i| format!("zone{}.example{}.", i % 100, i / 100).parse().unwrap()).collect();
    let zone = |name: &Name| Some(Zone::empty(name));
    let (steps, once) = (Catalog::new(1), Catalog::new(2));
    for name in &names {
        steps.publish([(name.clone(), zone(name))]);
        steps.publish([(name.clone(), None)]);
        steps.publish([(name.clone(), zone(name))]);
    }
    once.publish(names.iter().map(|name| (name.clone(), zone(name))));
    assert_eq!((steps.len(), once.len()), (500, 500));
    let (steps, once) = (CatalogReader::new(Arc::new(steps)), CatalogReader::new(Arc::new(once)));
    for name in &names {
        let mut below = FoldedName::default();
        below.load(name.child(b"www").unwrap().as_bytes()).unwrap();
        for catalog in [&steps, &once] {
            assert_eq!(catalog.find(&below).zone.unwrap().apex(), *name);
        }
    }
}
