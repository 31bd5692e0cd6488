//! Random octets and random queries: no panic, no overrun, and each response is a message.

use std::sync::Arc;

use domain::base::Message;
use domain::rdata::AllRecordData;
use proptest::prelude::*;
use rokko_answer::{Answerer, Client, CookieSecrets, Settings, Transport};
use rokko_zone::{Catalog, CatalogReader};

use crate::zonefile::zone;

const ZONE: &str = "\
@ 3600 SOA ns hostmaster 1 7200 3600 1209600 300
@ 3600 NS ns
@ 3600 MX 10 mail.a.b
ns 60 A 192.0.2.1
a.b 60 CNAME c
c 60 CNAME a.b
*.a 60 CNAME x.a
d 60 DNAME d.d
sub 60 NS ns.sub
sub 60 NS ns.other
ns.sub 60 AAAA 2001:db8::1
ns.other 60 A 192.0.2.2
";

fn check(query: &[u8], transport: Transport, room: usize) -> Result<(), TestCaseError> {
    let catalog = Catalog::new(3);
    let zone = zone(ZONE, "x.");
    catalog.publish([(zone.apex(), Some(zone))]);
    let catalog = CatalogReader::new(Arc::new(catalog));
    let mut answerer = Answerer::new(Settings::default(), CookieSecrets::default());
    let client = Client { addr: "2001:db8::1".parse().unwrap(), transport, now_ms: 0 };
    let mut out = vec![0xaa; room];
    let len = answerer.answer(&catalog, query, &client, &mut out);
    prop_assert!(len <= room);
    if len == 0 {
        return Ok(());
    }
    let message = Message::from_octets(&out[..len]).unwrap();
    let (_, answer, authority, additional) = message.sections().unwrap();
    for section in [answer, authority, additional] {
        for record in section.limit_to::<AllRecordData<_, _>>() {
            prop_assert!(record.is_ok());
        }
    }
    let end = message.additional().unwrap().last().map(|record| record.unwrap());
    prop_assert!(end.is_some() || message.header_counts().arcount() == 0);
    Ok(())
}

fn label() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec!["a", "b", "c", "d", "*", "sub", "ns", "other", "X", "x"])
            .prop_map(|label| label.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..64),
    ]
}

fn query() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::collection::vec(label(), 0..8);
    let tail = prop::collection::vec(any::<u8>(), 0..20);
    let qtype = prop_oneof![Just(1_u16), Just(255), Just(6), Just(43), Just(46), any::<u16>()];
    (name, qtype, any::<u16>(), prop_oneof![Just(1_u16), any::<u16>()], 0..3_u16, tail).prop_map(
        |(labels, qtype, flags, class, records, tail)| {
            let mut octets: Vec<u8> =
                [7, flags & 0x7fff, 1, 0, 0, records].into_iter().flat_map(u16::to_be_bytes).collect();
            for label in labels.into_iter().chain([b"x".to_vec()]) {
                octets.push(u8::try_from(label.len()).unwrap());
                octets.extend(label);
            }
            octets.push(0);
            octets.extend([qtype, class].into_iter().flat_map(u16::to_be_bytes));
            match records {
                1 => {
                    octets.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00");
                    octets.extend(u16::try_from(tail.len()).unwrap().to_be_bytes());
                    octets.extend(tail);
                }
                2 => octets.extend(tail),
                _ => {}
            }
            octets
        },
    )
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Udp), Just(Transport::Tcp)]
}

proptest! {
    #[test]
    fn any_octets(octets in prop::collection::vec(any::<u8>(), 0..600), transport in transport(), room in 0..1500_usize) {
        check(&octets, transport, room)?;
    }

    #[test]
    fn likely_queries(octets in query(), transport in transport(), room in 0..1500_usize) {
        check(&octets, transport, room)?;
    }
}
