//! Octets that rot, and files that are cut: never a panic, never a bad octet served, always reported and put right.

use std::collections::BTreeMap;

use rokko_mirror::Fault;
use rokko_mirror::sim::SimDisk;
use rokko_zone::Revision;

use crate::origin::{Origin, compact, frames_after, open};

/// A small mirror: two snapshots, and segments before, between and after them.
fn small(snapshots: u64) -> (Origin, BTreeMap<String, Vec<u8>>) {
    let disk = SimDisk::new(1);
    let mut origin = Origin::new(21, 6, 100);
    let (mirror, _) = open(&disk);
    for _ in 0..snapshots {
        (0..2).for_each(|_| drop(mirror.apply(&[origin.frame(2)]).unwrap()));
        compact(&mirror);
    }
    (0..3).for_each(|_| drop(mirror.apply(&[origin.frame(2)]).unwrap()));
    let names = disk.files();
    let files = names.into_keys().map(|name| (name.clone(), disk.contents(&name).unwrap())).collect();
    (origin, files)
}

fn folder(files: &BTreeMap<String, Vec<u8>>) -> SimDisk {
    let disk = SimDisk::new(1);
    for (name, bytes) in files {
        disk.put(name, bytes);
    }
    disk
}

/// Places in a file: all of a log where there is one snapshot, and some of the others; the forms of both files have tests of
/// their own for every octet.
fn places(snapshots: u64, name: &str, len: usize) -> impl Iterator<Item = usize> {
    let step = match (name.ends_with("rkl"), snapshots) {
        (true, 1) => 1,
        (true, _) => 5,
        (false, _) => 53,
    };
    (0..len).step_by(step)
}

/// Opens a damaged mirror; what it serves was true once, and it can be brought up to what is true now. Returns whether
/// anything was reported and the revision that was served at first.
fn survive(origin: &Origin, disk: &SimDisk, what: &str, heals: bool) -> (bool, Revision) {
    let (mirror, report) = open(disk);
    origin.check_each(&mirror);
    let revision = report.revision;
    assert!(report.is_whole || !report.damages.is_empty(), "{what}: {report:?}");
    if !heals {
        return (!report.damages.list.is_empty(), revision);
    }
    origin.bring_up(&mirror);
    if mirror.wants_compaction() {
        compact(&mirror);
    }
    let (again, after) = open(disk);
    assert!(after.damages.is_empty() && after.is_whole, "{what}: {after:?}");
    origin.check(&again);
    (!report.damages.list.is_empty(), revision)
}

#[test]
fn every_flipped_bit_is_seen_and_put_right() {
    for snapshots in [0, 1, 2] {
        let (origin, files) = small(snapshots);
        let newest = files.keys().rfind(|name| name.ends_with("rks"));
        for (name, bytes) in &files {
            // What only an older start would need is looked at when it is needed.
            let is_needed = Some(name) == newest || files.keys().rfind(|name| name.ends_with("rkl")) == Some(name);
            for at in places(snapshots, name, bytes.len()) {
                let disk = folder(&files);
                assert!(disk.flip(name, at, 1 << (at % 8)));
                let what = format!("{name} octet {at} of {} with {snapshots} snapshots", bytes.len());
                let (reported, revision) = survive(&origin, &disk, &what, at % 20 == 0);
                assert!(reported || !is_needed, "{what}: not reported");
                // The last frame alone can't be told from a write that was not finished.
                assert!(
                    revision.0 + 2 >= origin.revision().0 || snapshots == 1 && name.ends_with("rks"),
                    "{what}: {revision}"
                );
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_seen_and_put_right() {
    for snapshots in [0, 1, 2] {
        let (origin, files) = small(snapshots);
        for (name, bytes) in &files {
            for len in places(snapshots, name, bytes.len()) {
                let disk = folder(&files);
                disk.put(name, &bytes[..len]);
                survive(&origin, &disk, &format!("{name} cut to {len} with {snapshots} snapshots"), len % 20 == 0);
            }
            let disk = folder(&files);
            disk.put(name, &[&bytes[..], b"more"].concat());
            survive(&origin, &disk, &format!("{name} with more at its end"), true);
            let disk = folder(&files);
            disk.take(name);
            survive(&origin, &disk, &format!("without {name}"), true);
        }
    }
}

#[test]
fn a_damaged_block_costs_its_zones_alone() {
    let disk = SimDisk::new(1);
    let mut origin = Origin::new(22, 1200, 20);
    let (mirror, _) = open(&disk);
    mirror.apply(&[origin.frame(1500)]).unwrap();
    compact(&mirror);
    let count = mirror.catalog().len();
    drop(mirror);
    let name = disk.files().into_keys().find(|name| name.ends_with("rks")).unwrap();
    let size = disk.contents(&name).unwrap().len();
    disk.flip(&name, size / 2, 4);
    let (mirror, report) = open(&disk);
    assert!(matches!(&report.damages.list[..], [damage] if damage.what == Fault::Block), "{:?}", report.damages);
    assert!(!report.is_whole && report.zones < count && report.zones > count / 2, "{} of {count}", report.zones);
    compact(&mirror);
    assert!(mirror.snapshot().is_none() && !mirror.wants_compaction());
    origin.bring_up(&mirror);
    assert!(mirror.snapshot().is_none() && mirror.wants_compaction());
    // What was put right is durable, and sent to others only from the next snapshot on.
    disk.crash();
    let (mirror, _) = open(&disk);
    assert_eq!(mirror.catalog().len(), count);
    compact(&mirror);
    assert!(mirror.snapshot().is_some());
    origin.check(&open(&disk).0);
}

#[test]
fn a_lost_change_makes_its_zone_suspect_and_no_other() {
    let (origin, files) = small(1);
    let log = files.keys().rfind(|name| name.ends_with("rkl")).unwrap();
    let disk = folder(&files);
    // The first record of the newest segment.
    disk.flip(log, 100, 1);
    let (mirror, report) = open(&disk);
    assert_eq!(report.revision, origin.revision());
    assert!(report.damages.list.iter().any(|damage| damage.what == Fault::Frames && damage.offset == 48));
    assert!(report.damages.list.iter().any(|damage| damage.what == Fault::Gap));
    origin.check_each(&mirror);
    // Those who follow are not led over the gap.
    assert!(frames_after(&mirror, Revision(4)).is_none());
    assert_eq!(frames_after(&mirror, Revision(6)).unwrap(), origin.frames[3..]);
    origin.bring_up(&mirror);
}
