//! A body of the HTTP API. The first octet selects which call it is for. JSON becomes the call's own type, and its RRsets
//! become records; a type that was read is written to JSON that reads back to the same.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use rokko_api::body::from_json;
use rokko_api::pdns::patch_len;
use rokko_api::rrset::Parser;
use rokko_api::v1::dto::{Batch, Edit, Edits, NewKey, NewZone, Rrset, RrsetContents, ZonePatch};
use rokko_wire::Name;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|bytes: &[u8]| {
    let Some((selector, body)) = bytes.split_first() else { return };
    match selector % 7 {
        0 => {
            let new = read::<NewZone>(body);
            records(new.and_then(|new| new.rrsets).unwrap_or_default());
        }
        1 => drop(read::<ZonePatch>(body)),
        2 => {
            let contents = read::<RrsetContents>(body);
            records(contents.map(|RrsetContents { ttl, records }| Rrset {
                name: "@".to_owned(),
                rtype: "TXT".to_owned(),
                ttl,
                records,
            }));
        }
        3 => edits(read::<Edits>(body).map(|edits| edits.edits).unwrap_or_default()),
        4 => {
            for change in read::<Batch>(body).map(|batch| batch.changes).unwrap_or_default() {
                records(change.rrsets.unwrap_or_default());
                edits(change.edits.unwrap_or_default());
            }
        }
        5 => drop(read::<NewKey>(body)),
        _ => drop(patch_len(&zone(), body, 1_800_000_000)),
    }
});

fn read<T: DeserializeOwned + Serialize + PartialEq + Debug>(body: &[u8]) -> Option<T> {
    let value: T = from_json(body).ok()?;
    let again = serde_json::to_vec(&value).expect("a value of ours has a form in JSON");
    assert_eq!(from_json::<T>(&again).ok().as_ref(), Some(&value));
    Some(value)
}

fn edits(edits: Vec<Edit>) {
    records(edits.into_iter().map(|edit| Rrset {
        name: edit.name,
        rtype: edit.rtype,
        ttl: edit.ttl.unwrap_or(0),
        records: edit.records.unwrap_or_default(),
    }));
}

/// Each RRset is read, or there is an item that says why not.
fn records(rrsets: impl IntoIterator<Item = Rrset>) {
    let zone = zone();
    let (mut relative, mut absolute) = (Parser::relative_to(&zone), Parser::absolute(&zone));
    let (mut refused, mut total) = (0, 0);
    for Rrset { name, rtype, ttl, records } in rrsets {
        for parser in [&mut relative, &mut absolute] {
            let records = records.iter().map(String::as_str);
            refused += usize::from(parser.rrset(&name, &rtype, ttl, records).is_none());
            total += 1;
        }
    }
    let items = relative.into_items().len() + absolute.into_items().len();
    assert!(items >= refused && refused <= total);
}

fn zone() -> Name {
    "example.com.".parse().expect("this is a name")
}
