//! A stored page: the input is a page without its checksum, which is made to match. What opens can be read wholly, and as
//! the only page of a zone too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rokko_wire::Name;
use rokko_zone::{Page, Revision, Zone};

fuzz_target!(|bytes: &[u8]| {
    let mut stored = crc32fast::hash(bytes).to_le_bytes().to_vec();
    stored.extend_from_slice(bytes);
    let Ok(page) = Page::open(&stored) else { return };
    assert_eq!(page.as_bytes(), stored);
    for (index, node) in page.view().nodes().enumerate() {
        assert_eq!(page.view().find(node.key()), Ok(index));
        for rrset in node.rrsets() {
            assert!(rrset.rdatas().count() == rrset.len() && !rrset.is_empty());
            assert!(node.has(rrset.rtype()));
        }
    }
    let apex: Name = "example.".parse().expect("this is a name");
    let zone = Zone::from_pages(&apex, Revision(1), vec![page], Vec::new());
    let records: usize = zone.rrsets().map(|(_, rrset)| rrset.len()).sum();
    assert_eq!(zone.records(), records as u64);
});
