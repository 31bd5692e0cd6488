//! A DNS message is answered over UDP and TCP from a fixed catalog. Every response is a whole, well-formed message within
//! its limit that repeats ID and question.

#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use domain::base::Message;
use domain::rdata::AllRecordData;
use libfuzzer_sys::fuzz_target;
use rokko_answer::{Answerer, Client, CookieSecrets, Settings, Transport};
use rokko_wire::Name;
use rokko_wire::query::{Additional, FoldedName, HEADER_LEN, Header, MESSAGE_LEN_MAX, Question};
use rokko_zone::file::{Options, load};
use rokko_zone::{Catalog, CatalogReader, Revision, Zone};

const ZONES: &[(&str, &str)] = &[
    (".", include_str!("../zones/root.zone")),
    ("plain.example.", include_str!("../zones/plain.example.zone")),
    ("nsec.example.", include_str!("../zones/nsec.example.zone")),
    ("nsec3.example.", include_str!("../zones/nsec3.example.zone")),
];

struct Server {
    catalog: CatalogReader,
    answerer: Answerer,
    out: Vec<u8>,
}

thread_local! {
    static SERVER: RefCell<Server> = RefCell::new(server());
}

fn server() -> Server {
    let catalog = Catalog::new(1);
    for (apex, text) in ZONES {
        let apex: Name = apex.parse().unwrap();
        let loaded = load(text.as_bytes(), Options { origin: Some(apex.clone()), ..Options::default() });
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        catalog.publish([(apex.clone(), Some(Zone::build(&apex, Revision(1), loaded.rrsets).unwrap()))]);
    }
    let settings = Settings {
        nsid: b"fuzz".to_vec(),
        version: Some("1".to_owned()),
        identity: Some("fuzz".to_owned()),
        minimal: false,
        ..Settings::default()
    };
    let secrets = CookieSecrets { current: [1; 16], previous: Some([2; 16]) };
    let catalog = CatalogReader::new(Arc::new(catalog));
    Server { catalog, answerer: Answerer::new(settings, secrets), out: vec![0; MESSAGE_LEN_MAX] }
}

fuzz_target!(|query: &[u8]| {
    SERVER.with_borrow_mut(|server| {
        for (transport, len_max) in [(Transport::Udp, 1232), (Transport::Tcp, MESSAGE_LEN_MAX)] {
            let client = Client { addr: [192, 0, 2, 1].into(), transport, now_ms: 1_800_000_000_000 };
            let len = server.answerer.answer(&server.catalog, query, &client, &mut server.out);
            assert!(len <= len_max);
            check(query, &server.out[..len]);
        }
    });
});

fn check(query: &[u8], response: &[u8]) {
    let asked = Header::parse(query).filter(|header| !header.is_response());
    let Some(asked) = asked else { return assert!(response.is_empty()) };
    let header = Header::parse(response).expect("a query gets a response");
    assert!(header.is_response() && header.id == asked.id && header.opcode() == asked.opcode());
    let mut end = HEADER_LEN;
    if header.counts[0] > 0 {
        assert_eq!(header.counts[0], 1);
        end = Question::parse(response, &mut FoldedName::default()).expect("the question is whole").end;
        assert_eq!(response[HEADER_LEN..end], query[HEADER_LEN..end]);
    }
    Additional::parse(response, &header, end).expect("the records are whole");
    let message = Message::from_octets(response).expect("there is a header");
    for record in message.iter() {
        let (record, _) = record.expect("the record's head is whole");
        record.into_record::<AllRecordData<_, _>>().expect("the record's data is whole");
    }
}
