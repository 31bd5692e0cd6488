//! A response of another server is read. What is read of it is within its limits, and its names are names.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rokko_wire::response::{Question, RECORDS_MAX, Response};
use rokko_wire::{Name, Rtype};

static QUESTION: LazyLock<Question> =
    LazyLock::new(|| Question { name: "example.".parse().expect("this is a name"), rtype: Rtype::NS });

fuzz_target!(|message: &[u8]| {
    let Some(response) = Response::read(message, 7, &QUESTION) else { return };
    assert!(response.records.len() <= RECORDS_MAX && (!response.truncated || response.records.is_empty()));
    for record in &response.records {
        assert!(record.rdata.len() < message.len() && record.ttl_s >> 31 == 0);
        assert_eq!(record.target.is_some(), record.rtype == Rtype::NS);
        for name in [Some(&record.owner), record.target.as_ref()].into_iter().flatten() {
            assert_eq!(Name::from_wire(name.as_bytes()), Ok((name.clone(), name.as_bytes().len())));
        }
    }
});
