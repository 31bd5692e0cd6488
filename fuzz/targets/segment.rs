//! A log segment: the first two octets say where it is damaged, and records follow, each behind its kind (one octet) and its
//! length (two octets). Undamaged, all records come back; damaged, all but the one that was hit; and a mirror can start from both.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use rokko_feed::frame::Frame;
use rokko_mirror::segment::{HEADER_LEN, Header, Item, Kind, Records};
use rokko_mirror::sim::SimDisk;
use rokko_mirror::{Mirror, Options, SetId};
use rokko_zone::{Catalog, Revision};

const HEADER: Header = Header { set: SetId(*b"0123456789abcdef"), after: Revision(0), marker: 0x0123_4567_89ab_cdef };

fuzz_target!(|bytes: &[u8]| {
    let Some((place, mut rest)) = bytes.split_first_chunk::<2>() else { return };
    let (mut file, mut bodies) = (HEADER.encode().to_vec(), Vec::new());
    while let Some((&[kind, a, b], tail)) = rest.split_first_chunk::<3>() {
        let len = usize::from(u16::from_le_bytes([a, b])).min(tail.len());
        let kind = [Kind::Frame, Kind::Images, Kind::Gone][usize::from(kind % 3)];
        let synced = file.len() as u64;
        HEADER.write(synced, kind, &tail[..len], &mut file);
        bodies.push(&tail[..len]);
        rest = &tail[len..];
    }
    assert_eq!(records(&file), bodies);
    start(&file, &bodies);
    let at = HEADER_LEN + usize::from(u16::from_le_bytes(*place));
    if at < file.len() {
        file[at] ^= 1;
        assert_eq!(records(&file).len(), bodies.len() - 1);
        start(&file, &bodies);
    }
});

fn records(file: &[u8]) -> Vec<&[u8]> {
    let body = |item| if let Item::Record { body, .. } = item { Some(body) } else { None };
    Records::new(file, &HEADER).filter_map(body).collect()
}

/// Starts a mirror from a segment that has a frame; a second start comes to the same.
fn start(file: &[u8], bodies: &[&[u8]]) {
    if !bodies.iter().any(|body| Frame::decode(body).is_ok_and(|frame| frame.set == HEADER.set)) {
        return;
    }
    let disk = SimDisk::new(1);
    disk.put("log-00000000000000000000.rkl", file);
    let open = || {
        let options = Options { threads: 1, ..Options::default() };
        Mirror::open(Arc::new(disk.clone()), Arc::new(Catalog::new(1)), options)
    };
    let Ok((first, report)) = open() else { return };
    let (second, again) = open().expect("it was opened before");
    assert_eq!((first.position(), report.zones), (second.position(), again.zones));
}
