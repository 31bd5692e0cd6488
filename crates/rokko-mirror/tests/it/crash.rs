//! A machine that stops at any step, and disks that fill up and fail.

use std::sync::Arc;

use rokko_mirror::sim::SimDisk;
use rokko_mirror::{Announced, Mirror, MirrorError, Options};
use rokko_zone::{Catalog, Revision};

use crate::origin::{Origin, compact, open_with, options};

/// What a node does in its life. Stops at the first error.
fn live(
    mirror: &Arc<Mirror>,
    source: &Arc<Mirror>,
    origin: &Origin,
    acknowledged: &mut Revision,
) -> Result<(), MirrorError> {
    let start = mirror.revision();
    for (number, frames) in origin.frames.chunks(3).enumerate() {
        let last = rokko_feed::frame::Frame::peek(frames.last().unwrap()).unwrap().last;
        if last <= start {
            continue;
        }
        *acknowledged = mirror.apply(frames)?.revision;
        if number % 3 == 1 {
            let mut compaction = mirror.start_compaction()?.unwrap();
            while !compaction.step(1000)? {}
        }
        if number % 4 == 2 {
            let zones = origin.states[usize::try_from(last.0).unwrap()].0.clone();
            let zone = zones.into_iter().next().unwrap();
            mirror.repair(last, vec![(zone.0, Some(zone.1))])?;
        }
    }
    let snapshot = source.snapshot().unwrap();
    if snapshot.header().revision > start {
        let mut installer = mirror.install(&Announced::of(snapshot.header()))?;
        for number in installer.blocks()..snapshot.header().blocks {
            installer.block(number, &snapshot.block(source, number)?)?;
        }
        *acknowledged = installer.finish()?;
    }
    Ok(())
}

/// A life of about a hundred steps, and where it ends: the frames lead to one revision, and a snapshot to a later one.
fn scene() -> (Origin, Origin, Arc<Mirror>) {
    let mut all = Origin::new(11, 12, 6);
    let mut known = Origin::new(11, 12, 6);
    for _ in 0..24 {
        all.frame(2);
        known.frame(2);
    }
    all.frame(4);
    let (source, _) = open_with(&SimDisk::new(9), options());
    source.apply(&all.frames).unwrap();
    compact(&source);
    (all, known, source)
}

#[test]
fn nothing_acknowledged_is_lost_whenever_the_power_fails() {
    let (all, known, source) = scene();
    let small = Options { segment_octets_max: 4_000, ..options() };
    let mut steps = 0;
    for stop in 0.. {
        let disk = SimDisk::new(stop);
        let (mirror, _) = open_with(&disk, small.clone());
        disk.stop_after(stop);
        let mut acknowledged = Revision(0);
        let ended = live(&mirror, &source, &known, &mut acknowledged);
        drop(mirror);
        if ended.is_ok() {
            break;
        }
        steps += 1;
        if stop % 2 == 0 {
            disk.crash();
        } else {
            disk.kill();
        }
        // The start after it is cut off, too, now and then.
        if stop % 3 == 0 {
            disk.stop_after(stop / 3 % 5);
            drop(Mirror::open(Arc::new(disk.clone()), Arc::new(Catalog::new(1)), small.clone()));
            disk.crash();
        }
        let (mirror, report) = open_with(&disk, small.clone());
        assert!(report.damages.is_empty(), "stopped at {stop}: {:?}", report.damages);
        assert!(report.is_whole && report.revision >= acknowledged, "stopped at {stop}: {report:?} {acknowledged}");
        all.check(&mirror);
        live(&mirror, &source, &known, &mut acknowledged).unwrap();
        assert_eq!(mirror.revision(), all.revision(), "stopped at {stop}");
        all.check(&mirror);
        let (mirror, _) = open_with(&disk, small.clone());
        all.check(&mirror);
    }
    assert!(steps > 80, "{steps}");
}

#[test]
fn a_full_disk_loses_nothing() {
    let (all, known, source) = scene();
    for capacity in (0..200).map(|number| number * 700) {
        let disk = SimDisk::new(capacity);
        disk.set_capacity(Some(capacity));
        let (mirror, _) = open_with(&disk, options());
        let mut acknowledged = Revision(0);
        let ended = live(&mirror, &source, &known, &mut acknowledged);
        let Err(error) = ended else {
            all.check(&mirror);
            continue;
        };
        assert!(error.is_full(), "{error:?}");
        assert_eq!(mirror.revision(), acknowledged);
        all.check(&mirror);
        // There is room again: it goes on, or starts again and goes on.
        disk.set_capacity(None);
        let mirror = if capacity % 1400 == 0 {
            disk.crash();
            open_with(&disk, options()).0
        } else {
            mirror
        };
        all.check(&mirror);
        live(&mirror, &source, &known, &mut acknowledged).unwrap();
        all.check(&mirror);
        all.check(&open_with(&disk, options()).0);
    }
}

#[test]
fn a_failed_sync_counts_as_not_written() {
    let (all, known, _) = scene();
    for failures in 1..4 {
        let disk = SimDisk::new(u64::from(failures));
        let (mirror, _) = open_with(&disk, options());
        for frame in &known.frames {
            disk.fail_syncs(failures);
            for _ in 0..failures {
                let before = mirror.revision();
                assert!(mirror.apply(&[Arc::clone(frame)]).is_err());
                assert_eq!(mirror.revision(), before);
                all.check(&mirror);
            }
            mirror.apply(&[Arc::clone(frame)]).unwrap();
        }
        disk.crash();
        let (mirror, report) = open_with(&disk, options());
        assert!(report.damages.is_empty() && report.revision == known.revision());
        all.check(&mirror);
    }
}
