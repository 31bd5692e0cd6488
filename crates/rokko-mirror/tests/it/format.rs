//! What is on the disk is what the documents say, and what an earlier version wrote.

use std::path::Path;
use std::sync::Arc;

use rokko_feed::frame::FrameWriter;
use rokko_mirror::{SetId, segment, sim::SimDisk, snapshot};
use rokko_wire::Rtype;
use rokko_zone::{Digest, Revision, Rrset, Ttl, Zone};

use crate::origin::{Origin, compact, frames_after, open, open_with, options};

/// The octets of the first code block after `heading`, of which each line is octets, two spaces, and what they are. What
/// stands in brackets is left out.
fn example(heading: &str) -> Vec<Option<u8>> {
    let document = include_str!("../../../../docs/formats/mirror.md");
    let rest = &document[document.find(heading).unwrap()..];
    let block = rest.split("```").nth(1).unwrap();
    let mut octets = Vec::new();
    for line in block.lines() {
        for word in line.split("  ").next().unwrap().split_whitespace() {
            match word.strip_prefix('[') {
                Some(count) => octets.extend(vec![None; count.trim_end_matches(']').parse().unwrap()]),
                None => octets.push(Some(u8::from_str_radix(word, 16).unwrap())),
            }
        }
    }
    octets
}

fn assert_is(bytes: &[u8], heading: &str) {
    let octets = example(heading);
    assert_eq!(bytes.len(), octets.len(), "{heading}: {bytes:02x?}");
    for (at, (octet, expected)) in bytes.iter().zip(&octets).enumerate() {
        assert!(expected.is_none_or(|expected| expected == *octet), "{heading}, octet {at} of {bytes:02x?}");
    }
}

#[test]
fn the_example_of_the_document_is_true() {
    let disk = SimDisk::new(1);
    let (mirror, _) = open_with(&disk, options());
    let apex = "a.".parse().unwrap();
    let rrset = Rrset {
        owner: "www.a.".parse().unwrap(),
        rtype: Rtype::A,
        ttl: Ttl::from_wire(300),
        rdatas: vec![Box::from([192, 0, 2, 1])],
    };
    let empty = Zone::empty(&apex);
    let delta = empty.resolve_whole([rrset]).unwrap();
    let (zone, _) = empty.apply(&delta, Revision(1)).unwrap();
    let mut digest = Digest::default();
    digest.add_zone(zone.view());
    let mut writer = FrameWriter::new(SetId(*b"0123456789abcdef"), Revision(0));
    writer.push(&apex, None, Some(&delta)).unwrap();
    mirror.apply(&[Arc::from(writer.finish(1_790_000_000_000, digest.short()))]).unwrap();
    let log = disk.contents("log-00000000000000000000.rkl").unwrap();
    compact(&mirror);
    let snapshot = disk.contents("snapshot-00000000000000000001.rks").unwrap();
    assert_is(&log, "The segment `log-00000000000000000000.rkl`");
    assert_is(&snapshot, "The snapshot `snapshot-00000000000000000001.rks`");
}

#[test]
fn headers_are_as_long_as_the_document_says() {
    let lens = (snapshot::HEADER_LEN, snapshot::BLOCK_HEADER_LEN, segment::HEADER_LEN, segment::RECORD_HEADER_LEN);
    assert_eq!(lens, (2152, 16, 48, 28));
}

/// The mirror in `tests/fixtures/mirror-1`: [`Origin`] 31 with 12 names, of which every sixth is large; 8 frames of 3, a snapshot,
/// a repair of what is right, a zone that is said to be gone and put back, and 2 frames of 5.
fn scene() -> (Origin, SimDisk) {
    let disk = SimDisk::new(1);
    let mut origin = Origin::new(31, 12, 6);
    let (mirror, _) = open_with(&disk, options());
    for _ in 0..8 {
        mirror.apply(&[origin.frame(3)]).unwrap();
    }
    compact(&mirror);
    let (name, zone) = origin.zones.first_key_value().unwrap();
    mirror.repair(origin.revision(), vec![(name.clone(), None)]).unwrap();
    mirror.repair(origin.revision(), vec![(name.clone(), Some(zone.clone()))]).unwrap();
    for _ in 0..2 {
        mirror.apply(&[origin.frame(5)]).unwrap();
    }
    (origin, disk)
}

#[test]
fn the_first_version_is_read() {
    let (origin, _) = scene();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mirror-1");
    let disk = SimDisk::new(1);
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        disk.put(&entry.file_name().into_string().unwrap(), &std::fs::read(entry.path()).unwrap());
    }
    let (mirror, report) = open(&disk);
    assert_eq!(report.damages.list, []);
    assert_eq!((report.snapshot, report.frames, report.is_whole), (Some(Revision(24)), 2, true));
    origin.check(&mirror);
    assert_eq!(frames_after(&mirror, Revision(24)).unwrap(), origin.frames[8..]);
    mirror.snapshot().unwrap();
}

#[test]
fn make_fixture() {
    let (_, disk) = scene();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mirror-1");
    std::fs::create_dir_all(&folder).unwrap();
    for name in disk.files().into_keys() {
        std::fs::write(folder.join(&name), disk.contents(&name).unwrap()).unwrap();
    }
}
