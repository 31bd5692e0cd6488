//! Record data from wire form and from text. The first octet selects the type. Valid data has a text that reads back to the
//! same octets, and a canonical form that is valid and its own canonical form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rokko_wire::{Name, Rtype};
use rokko_zone::rdata;

fuzz_target!(|bytes: &[u8]| {
    let Some((&selector, bytes)) = bytes.split_first() else { return };
    // The types in use lie below 128 and right above 255.
    let rtype = Rtype(if selector < 128 { u16::from(selector) } else { u16::from(selector) + 128 });
    if rdata::check(rtype, bytes).is_ok() {
        check(rtype, bytes);
    } else {
        // Malformed data still has a text, if only the generic one.
        rdata::to_text(rtype, bytes);
        assert!(rdata::names(rtype, bytes).all(|name| Name::from_wire(name).is_ok()));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        for origin in [None, Some(Name::root())] {
            if let Ok(wire) = rdata::from_text(rtype, text, origin.as_ref()) {
                rdata::check(rtype, &wire).expect("what was read from text is valid");
                check(rtype, &wire);
            }
        }
    }
});

fn check(rtype: Rtype, wire: &[u8]) {
    let text = rdata::to_text(rtype, wire);
    let back = rdata::from_text(rtype, &text, None).unwrap_or_else(|error| panic!("{rtype} {text}: {error}"));
    assert_eq!(&*back, wire, "{rtype} {text}");
    let canonical = rdata::canonical(rtype, wire);
    rdata::check(rtype, &canonical).expect("the canonical form is valid");
    assert_eq!(rdata::canonical(rtype, &canonical), canonical);
    for name in rdata::names(rtype, wire) {
        Name::from_wire(name).expect("embedded names are valid");
    }
}
