//! Names from wire form and from text: text and sort keys lead back to the same name, and sort keys keep the order.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rokko_wire::key::name_of_key;
use rokko_wire::query::FoldedName;
use rokko_wire::{KeyBuf, Name};

fuzz_target!(|bytes: &[u8]| {
    let mut folded = FoldedName::default();
    let loaded = folded.load(bytes);
    let parsed = Name::from_wire(bytes);
    assert_eq!(loaded.ok(), parsed.as_ref().ok().map(|(_, len)| *len));
    if let Ok((name, len)) = parsed {
        assert_eq!(folded.as_bytes(), name.as_bytes());
        check(&name);
        if let Ok((second, _)) = Name::from_wire(&bytes[len..]) {
            check_order(&name, &second);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        for origin in [None, Some(Name::root())] {
            if let Ok(name) = Name::from_text(text, origin.as_ref()) {
                check(&name);
            }
        }
    }
});

fn check(name: &Name) {
    assert_eq!(name.to_string().parse().as_ref(), Ok(name));
    let mut apex = Some(name.clone());
    while let Some(above) = apex {
        assert!(name.is_in(&above));
        let key = KeyBuf::below(name, &above).expect("a name lies below its parents");
        assert_eq!(name_of_key(key.as_bytes(), &above).as_ref(), Some(name));
        apex = above.parent();
    }
}

fn check_order(a: &Name, b: &Name) {
    let root = Name::root();
    let keys = [a, b].map(|name| KeyBuf::below(name, &root).expect("every name lies below the root"));
    assert_eq!(a.cmp(b), keys[0].as_bytes().cmp(keys[1].as_bytes()));
    assert_eq!(b.is_in(a), keys[1].as_bytes().starts_with(keys[0].as_bytes()));
}
