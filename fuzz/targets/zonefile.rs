//! A zone file is read and checked. What has no error is written in canonical form, which reads back to the same text
//! without an error, as a list of RRsets and as a zone.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rokko_zone::file::{Loaded, Options, load, write_rrsets, write_snapshot};
use rokko_zone::{Revision, Zone};

const INCLUDED: &[u8] = b"included 60 IN TXT \"from another file\"\n";

fn read(text: &[u8]) -> Loaded {
    let mut include = |path: &[u8]| match path {
        b"no" => Err("there is no such file".to_owned()),
        _ => Ok(INCLUDED.to_vec()),
    };
    load(text, Options { include: Some(&mut include), generate_max: 500, ..Options::default() })
}

fn write(loaded: &Loaded) -> Option<String> {
    let apex = loaded.apex.as_ref().filter(|_| !loaded.has_errors())?;
    let mut text = String::new();
    write_rrsets(apex, &loaded.rrsets, &mut text).expect("a string takes all text");
    Some(text)
}

fuzz_target!(|bytes: &[u8]| {
    let loaded = read(bytes);
    let Some(text) = write(&loaded) else { return };
    let again = read(text.as_bytes());
    assert_eq!(write(&again).as_ref(), Some(&text), "{:?}", again.diagnostics);
    let apex = loaded.apex.expect("a zone that was written has an apex");
    let zone = Zone::build(&apex, Revision(1), loaded.rrsets).expect("what was checked makes a zone");
    let mut snapshot = String::new();
    write_snapshot(&zone, &mut snapshot).expect("a string takes all text");
    assert_eq!(snapshot, text);
});
