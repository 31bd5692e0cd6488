//! A snapshot file: the input is its blocks, each behind its length and the place of its first image (two octets each); headers
//! and checksums are made to match. Whatever is in the blocks, zones that are read are written to what is read the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rokko_mirror::snapshot::{BLOCK_HEADER_LEN, Header, close_block, encode_places};
use rokko_mirror::{SetId, read_snapshot};
use rokko_zone::image::image;
use rokko_zone::{Digest, ImageReader, Revision};

fuzz_target!(|bytes: &[u8]| {
    let (mut blocks, mut places, mut rest) = (Vec::new(), Vec::new(), bytes);
    let start = rokko_mirror::snapshot::HEADER_LEN;
    while let Some((&[a, b, c, d], tail)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_le_bytes([a, b])).min(tail.len());
        let first = u32::from(u16::from_le_bytes([c, d])).min(u32::try_from(len).expect("it has two octets"));
        let mut block = vec![0; BLOCK_HEADER_LEN];
        block.extend_from_slice(&tail[..len]);
        close_block(&mut block, u32::try_from(places.len()).expect("inputs are short"), first);
        places.push((start + blocks.len()) as u64);
        blocks.extend(block);
        rest = &tail[len..];
    }
    let digest = Digest::default();
    let header = Header {
        set: SetId([1; 16]),
        revision: Revision(1),
        at_ms: 0,
        zones: 0,
        blocks: places.len() as u64,
        octets: blocks.len() as u64,
        expected: digest.short(),
        digest,
    };
    let head = header.encode();
    assert_eq!(Header::decode(&head), Ok(Some(header)));
    let file = [&head[..], &blocks, &encode_places(&places), &head].concat();
    let (zones, damages) = read_snapshot(&file, Revision(1)).expect("the version is known");
    assert!(damages.is_empty() || damages.list.iter().all(|damage| damage.offset >= start as u64));
    for zone in zones {
        let octets = image(zone.view());
        let (mut reader, mut again) = (ImageReader::default(), Vec::new());
        reader.read(&octets, &mut |zone| again.push(image(zone.view()))).expect("it was written here");
        assert!(reader.is_between_images() && again == [octets]);
    }
});
