//! A stored change: what decodes is encoded to something that decodes to the same, and is applied to a zone or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rokko_wire::Name;
use rokko_zone::{Delta, Revision, Zone};

fuzz_target!(|bytes: &[u8]| {
    let Ok(delta) = Delta::decode(bytes) else { return };
    assert_eq!(Delta::decode(&delta.encode()).as_ref(), Ok(&delta));
    assert_eq!(delta.clone().inverse().inverse(), delta);
    let Ok((zone, _)) = Zone::empty(&Name::root()).apply(&delta, Revision(1)) else { return };
    let (empty, _) = zone.apply(&delta.inverse(), Revision(2)).expect("what was done can be undone");
    assert_eq!(empty.records(), 0);
});
