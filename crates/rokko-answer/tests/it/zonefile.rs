//! Zones and expected records from text, read by the crate `domain` so that the tests do not lean on our own reader.

use std::path::Path;

use domain::base::iana::Class;
use domain::base::name::ToName;
use domain::base::rdata::ComposeRecordData;
use domain::base::{Message, MessageBuilder, RecordData};
use domain::rdata::AllRecordData;
use domain::zonefile::inplace::{Entry, ScannedRecord, Zonefile};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Revision, Rrset, Ttl, Zone};

fn records(text: &str, origin: &str) -> Vec<ScannedRecord> {
    let mut file = Zonefile::from(text);
    file.extend_from_slice(b"\n");
    file.set_origin(origin.parse().unwrap());
    file.set_default_class(if text.contains(" CH ") { Class::CH } else { Class::IN });
    let entries = file.map(|entry| match entry.unwrap_or_else(|error| panic!("{error} in:\n{text}")) {
        Entry::Record(record) => record,
        Entry::Include { .. } => panic!("$INCLUDE in a test zone"),
    });
    entries.collect()
}

pub(crate) fn zone(text: &str, apex: &str) -> Zone {
    let rrsets = records(text, apex).into_iter().map(|record| {
        let mut rdata = Vec::new();
        record.data().compose_rdata(&mut rdata).unwrap();
        let owner: domain::base::Name<Vec<u8>> = record.owner().to_name();
        Rrset {
            owner: Name::from_wire(owner.as_slice()).unwrap().0,
            rtype: Rtype(record.data().rtype().to_int()),
            ttl: Ttl::from_wire(record.ttl().as_secs()),
            rdatas: vec![rdata.into()],
        }
    });
    Zone::build(&apex.parse().unwrap(), Revision(1), rrsets).unwrap()
}

pub(crate) fn zone_from_file(file: &str, apex: &str) -> Zone {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zones").join(file);
    zone(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())), apex)
}

/// One record in presentation format, brought into the form that [`lines`] gives.
pub(crate) fn normalised(line: &str) -> String {
    if line.contains(" RRSIG ") && line.split_whitespace().count() == 5 {
        return line.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    let mut builder = MessageBuilder::new_vec().answer();
    for record in records(line, ".") {
        builder.push(record).unwrap();
    }
    let lines = lines(&builder.into_message(), 1);
    assert_eq!(lines.len(), 1, "not one record: {line}");
    lines.into_iter().next().unwrap()
}

/// The records of a section in presentation format, sorted. Signatures are cut after the covered type, and OPT is
/// left out.
pub(crate) fn lines(message: &Message<Vec<u8>>, section: usize) -> Vec<String> {
    let all = match section {
        1 => message.answer(),
        2 => message.authority(),
        _ => message.additional(),
    };
    let mut lines = Vec::new();
    for record in all.unwrap().limit_to::<AllRecordData<_, _>>() {
        let record = record.unwrap();
        match record.data() {
            AllRecordData::Opt(_) => {}
            AllRecordData::Rrsig(signature) => {
                let (ttl, covered) = (record.ttl().as_secs(), signature.type_covered());
                lines.push(format!("{}. {ttl} IN RRSIG {covered}", record.owner()));
            }
            _ => lines.push(record.to_string()),
        }
    }
    lines.sort();
    lines
}
