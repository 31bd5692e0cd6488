//! The main road: frames in, a restart, history, compaction, a transfer to another node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rokko_mirror::sim::SimDisk;
use rokko_mirror::{Announced, Durability, Folder, Mirror, MirrorError, Next, Options, SetId};
use rokko_zone::{Catalog, Revision, Zone};

use crate::origin::{Origin, SET, compact, frames_after, open, open_with, options, served};

#[test]
fn what_was_applied_is_there_after_a_restart() {
    let disk = SimDisk::new(1);
    let mut origin = Origin::new(1, 40, 10);
    let (mirror, report) = open(&disk);
    assert!(report.is_whole && report.snapshot.is_none() && mirror.set().is_none());
    for round in 0..60 {
        let applied = mirror.apply(&[origin.frame(1 + round % 4)]).unwrap();
        assert!(applied.matches && applied.suspects.is_empty());
        assert_eq!(applied.revision, origin.revision());
    }
    origin.check(&mirror);
    disk.crash();
    let (again, report) = open(&disk);
    assert_eq!((report.revision, report.frames, report.is_whole), (origin.revision(), 60, true));
    assert!(report.damages.is_empty() && again.set() == Some(SET));
    origin.check(&again);
    // And it goes on.
    again.apply(&[origin.frame(2), origin.frame(1)]).unwrap();
    origin.check(&again);
}

#[test]
fn it_works_in_a_real_folder_with_threads() {
    let path = tempfile::tempdir().unwrap();
    let mut origin = Origin::new(2, 1000, 50);
    let open = || {
        let disk = Arc::new(Folder::open(path.path()).unwrap());
        let options = Options { threads: 3, ..options() };
        let (mirror, report) = Mirror::open(disk, Arc::new(Catalog::new(9)), options).unwrap();
        (Arc::new(mirror), report)
    };
    let (mirror, _) = open();
    for _ in 0..20 {
        mirror.apply(&[origin.frame(60)]).unwrap();
    }
    compact(&mirror);
    mirror.apply(&[origin.frame(100)]).unwrap();
    drop(mirror);
    let (mirror, report) = open();
    assert_eq!((report.snapshot, report.frames), (Some(Revision(1200)), 1));
    assert!(report.damages.is_empty());
    origin.check(&mirror);
}

#[test]
fn frames_in_the_wrong_order_are_refused() {
    let disk = SimDisk::new(1);
    let mut origin = Origin::new(3, 10, 5);
    let frames: Vec<_> = (0..4).map(|_| origin.frame(2)).collect();
    let (mirror, _) = open(&disk);
    assert!(matches!(mirror.apply(&frames[1..2]), Err(MirrorError::Gap { .. })));
    mirror.apply(&frames[..2]).unwrap();
    assert!(matches!(mirror.apply(&frames[1..2]), Err(MirrorError::Old { .. })));
    assert!(matches!(mirror.apply(&frames[3..]), Err(MirrorError::Gap { .. })));
    assert!(matches!(mirror.apply(&[frames[2][..20].into()]), Err(MirrorError::Frame(_))));
    let mut other = frames[2].to_vec();
    other[1] ^= 1;
    assert!(matches!(mirror.apply(&[other.into()]), Err(MirrorError::OtherSet { .. })));
    assert!(matches!(mirror.claim(SetId([0; 16])), Err(MirrorError::OtherSet { .. })));
    assert_eq!(mirror.revision(), Revision(4));
    // A repetition among new ones does no harm.
    mirror.apply(&frames[1..]).unwrap();
    origin.check(&mirror);
}

#[test]
fn a_frame_that_overlaps_adds_what_is_new() {
    let mut origin = Origin::new(4, 10, 5);
    let frames: Vec<_> = (0..3).map(|_| origin.frame(3)).collect();
    let mut same = Origin::new(4, 10, 5);
    let cut = same.frame(2);
    for cut_first in [false, true] {
        let disk = SimDisk::new(1);
        let (mirror, _) = open(&disk);
        if cut_first {
            // The digest of another cut is another revision's, and nothing else is.
            mirror.apply(&[Arc::clone(&cut)]).unwrap();
        }
        mirror.apply(&frames).unwrap();
        origin.check(&mirror);
        let (again, _) = open(&disk);
        origin.check(&again);
        let Next::Frame { last, .. } = again.frame_after(Revision(2)) else { panic!() };
        assert_eq!(last, Revision(3));
    }
}

#[test]
fn followers_are_told_and_find_every_frame() {
    let disk = SimDisk::new(1);
    let mut origin = Origin::new(5, 100, 20);
    // Only a few frames stay in memory, and segments are small.
    let small = Options { recent_octets_max: 20_000, segment_octets_max: 100_000, ..options() };
    let (mirror, _) = open_with(&disk, small.clone());
    let told = Arc::new(AtomicU64::new(0));
    let hook = Arc::clone(&told);
    mirror.on_revision(move |revision| hook.store(revision.0, Ordering::Release));
    for _ in 0..300 {
        mirror.apply(&[origin.frame(3)]).unwrap();
        assert_eq!(told.load(Ordering::Acquire), origin.revision().0);
    }
    assert!(disk.files().len() > 3, "{:?}", disk.files());
    assert_eq!(frames_after(&mirror, Revision(0)).unwrap(), origin.frames);
    assert_eq!(frames_after(&mirror, Revision(298)).unwrap(), origin.frames[99..]);
    let (mirror, _) = open_with(&disk, small.clone());
    assert_eq!(frames_after(&mirror, Revision(0)).unwrap(), origin.frames);
    // After two compactions what came before the first is gone; what came between is there, after a restart, too.
    compact(&mirror);
    let first = origin.revision();
    (0..50).for_each(|_| drop(mirror.apply(&[origin.frame(1)]).unwrap()));
    compact(&mirror);
    let second = origin.revision();
    (0..50).for_each(|_| drop(mirror.apply(&[origin.frame(1)]).unwrap()));
    compact(&mirror);
    let (again, _) = open_with(&disk, small);
    for mirror in [mirror, again] {
        assert_eq!(mirror.frame_after(first), Next::TooOld);
        assert_eq!(frames_after(&mirror, second).unwrap(), origin.frames[350..]);
        assert_eq!(mirror.frame_after(origin.revision()), Next::Nothing);
        origin.check(&mirror);
    }
}

#[test]
fn compaction_goes_on_beside_changes() {
    let disk = SimDisk::new(1);
    let mut origin = Origin::new(6, 1000, 10);
    let (mirror, _) = open_with(&disk, Options { compaction_octets_min: 2_000_000, ..options() });
    assert!(!mirror.wants_compaction() && mirror.start_compaction().unwrap().is_none());
    while !mirror.wants_compaction() {
        mirror.apply(&[origin.frame(50)]).unwrap();
    }
    let at = origin.revision();
    let mut compaction = mirror.start_compaction().unwrap().unwrap();
    assert!(mirror.start_compaction().unwrap().is_none());
    let mut steps = 0;
    while !compaction.step(1).unwrap() {
        mirror.apply(&[origin.frame(5)]).unwrap();
        steps += 1;
    }
    assert!(steps > 2, "{steps}");
    drop(compaction);
    disk.crash();
    let (again, report) = open(&disk);
    assert_eq!((report.snapshot, report.frames), (Some(at), steps));
    origin.check(&again);
    // One that is given up leaves nothing.
    drop(again.start_compaction().unwrap().unwrap());
    assert!(disk.files().keys().all(|name| !name.contains("partial")));
    compact(&again);
    assert!(!again.wants_compaction());
}

#[test]
fn a_snapshot_is_sent_and_gone_on_with() {
    let (from, to) = (SimDisk::new(1), SimDisk::new(2));
    let mut origin = Origin::new(7, 1200, 20);
    let (source, _) = open(&from);
    source.apply(&[origin.frame(1500)]).unwrap();
    assert!(source.snapshot().is_none());
    compact(&source);
    let snapshot = source.snapshot().unwrap();
    let announced = Announced::of(snapshot.header());
    assert!(announced.blocks > 5);
    source.apply(&[origin.frame(200)]).unwrap();

    let (target, _) = open(&to);
    let hooked = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&hooked);
    target.on_revision(move |revision| hook.lock().unwrap().push(revision));
    let mut installer = target.install(&announced).unwrap();
    for number in 0..3 {
        installer.block(number, &snapshot.block(&source, number).unwrap()).unwrap();
    }
    let block = snapshot.block(&source, 3).unwrap();
    assert!(matches!(installer.block(4, &block), Err(MirrorError::Block { number: 4 })));
    assert!(matches!(installer.block(3, &block[..block.len() - 1]), Err(MirrorError::Block { number: 3 })));
    drop(installer);
    to.kill();
    let (target, report) = open(&to);
    assert_eq!((report.revision, target.partial().unwrap().blocks), (Revision(0), 3));
    let mut installer = target.install(&announced).unwrap();
    for number in installer.blocks()..announced.blocks {
        installer.block(number, &snapshot.block(&source, number).unwrap()).unwrap();
    }
    assert_eq!(installer.finish().unwrap(), announced.revision);
    assert!(target.partial().is_none());
    origin.check(&target);
    target.apply(&frames_after(&source, announced.revision).unwrap()).unwrap();
    origin.check(&target);
    to.crash();
    let (target, _) = open(&to);
    origin.check(&target);

    // Later the same node, which is far behind, takes a newer one: what is the same stays untouched.
    let kept: Vec<Zone> = served(&target).into_values().collect();
    for _ in 0..3 {
        source.apply(&[origin.frame(300)]).unwrap();
        compact(&source);
    }
    let snapshot = source.snapshot().unwrap();
    let mut installer = target.install(&Announced::of(snapshot.header())).unwrap();
    for number in 0..snapshot.header().blocks {
        installer.block(number, &snapshot.block(&source, number).unwrap()).unwrap();
    }
    installer.finish().unwrap();
    origin.check(&target);
    assert!(kept.iter().any(|zone| target.catalog().zone(&zone.apex()).is_some_and(|now| now.is_same(zone))));
    assert!(matches!(target.install(&announced), Err(MirrorError::Old { .. })));
}

#[test]
fn a_snapshot_with_another_digest_is_given_up() {
    let (from, to) = (SimDisk::new(1), SimDisk::new(2));
    let mut origin = Origin::new(8, 50, 10);
    let (source, _) = open(&from);
    source.apply(&[origin.frame(60)]).unwrap();
    compact(&source);
    let snapshot = source.snapshot().unwrap();
    let mut announced = Announced::of(snapshot.header());
    announced.digest.0[0] ^= 1;
    let (target, _) = open(&to);
    let mut installer = target.install(&announced).unwrap();
    for number in 0..announced.blocks {
        installer.block(number, &snapshot.block(&source, number).unwrap()).unwrap();
    }
    assert!(matches!(installer.finish(), Err(MirrorError::Snapshot { .. })));
    assert!(target.partial().is_none() && target.catalog().is_empty() && target.revision() == Revision(0));
}

#[test]
fn a_control_node_publishes_what_it_has() {
    let disk = SimDisk::new(1);
    let mut origin = Origin::new(9, 50, 10);
    let lazy = Options { durability: Durability::Lazy, ..options() };
    // Data of the time before there was a mirror.
    drop(origin.frame(100));
    let catalog = Arc::new(Catalog::new(1));
    catalog.publish(origin.zones.iter().map(|(name, zone)| (name.clone(), Some(zone.clone()))));
    let (mirror, _) = Mirror::open(Arc::new(disk.clone()), Arc::new(Catalog::new(1)), lazy.clone()).unwrap();
    mirror.catalog().publish(origin.zones.iter().map(|(name, zone)| (name.clone(), Some(zone.clone()))));
    mirror.adopt(SET, origin.revision(), 5, origin.digest.clone()).unwrap();
    let mirror = Arc::new(mirror);
    assert!(mirror.wants_compaction());
    compact(&mirror);
    let publish = |mirror: &Mirror, origin: &mut Origin| {
        let before = origin.zones.clone();
        let bytes = origin.frame(3);
        let mut changes: Vec<_> = origin.zones.iter().map(|(name, zone)| (name.clone(), Some(zone.clone()))).collect();
        changes.extend(before.into_keys().filter(|name| !origin.zones.contains_key(name)).map(|name| (name, None)));
        mirror.publish(bytes, changes, origin.digest.clone()).unwrap().logged
    };
    for _ in 0..10 {
        publish(&mirror, &mut origin).unwrap();
    }
    origin.check(&mirror);
    mirror.sync().unwrap();
    disk.crash();
    let (mirror, _) = open_with(&disk, lazy.clone());
    origin.check(&mirror);

    // A full disk costs the log, and the answers nothing; later a compaction closes the gap.
    disk.set_capacity(Some(0));
    assert!(publish(&mirror, &mut origin).unwrap_err().is_full());
    disk.set_capacity(None);
    assert!(matches!(publish(&mirror, &mut origin), Err(MirrorError::LogGap)));
    origin.check(&mirror);
    assert!(mirror.wants_compaction());
    compact(&mirror);
    publish(&mirror, &mut origin).unwrap();
    let (mirror, report) = open_with(&disk, lazy);
    assert!(report.damages.is_empty());
    origin.check(&mirror);
    assert_eq!(frames_after(&mirror, Revision(origin.revision().0 - 3)).unwrap().len(), 1);
    assert_eq!(mirror.frame_after(Revision(origin.revision().0 - 9)), Next::TooOld);
}
