//! A feed of version 1 as it was recorded once: later versions must read it, and come to the same.
//!
//! Each message is its side (0: the PoP, 1: the server), the number of its octets (4, little-endian), and its octets.
//! `ROKKO_RECORD=1` writes it anew, which is right only together with a new version of the protocol.

use rokko_feed::follow::Following;
use rokko_feed::message::{Command, FromPop, FromServer, Report};
use rokko_zone::Revision;

use crate::data::{Replica, digest_of, name, zone};
use crate::session::{Said, connect, three};

const RECORDED: &[u8] = include_bytes!("../data/feed-1.bin");

/// A session in which nearly every message comes.
fn record() -> (Vec<u8>, Replica) {
    let (mut origin, mut replica) = (three(), Replica::default());
    (origin.floor, replica.now_ms) = (Revision(3), 10_000);
    origin.take_snapshot();
    let mut wire = connect(&origin, &mut replica);
    origin.commit("d.", Some(4));
    origin.commit("a.", Some(5));
    origin.commit("b.", None);
    wire.following.report(Report { program: "rokko 0.1.0".into(), responses: vec![(0, 9)], ..Report::default() });
    wire.following.renew(vec![0x30, 0]);
    wire.pass(1_000, &origin, &mut replica);
    replica.zones.remove(&name("c."));
    replica.zones.insert(name("ghost."), zone("ghost.", 1, 1));
    wire.pass(5_000, &origin, &mut replica);
    wire.serving.command(Vec::new(), Command::Verify, &mut wire.served);
    wire.serving.command(Vec::new(), Command::Certificate(b"chain".to_vec()), &mut wire.served);
    wire.serving.revoked(vec![[7; 32]], &mut wire.served);
    wire.run(&origin, &mut replica);
    let mut bytes = Vec::new();
    for said in &wire.said {
        let (side, message) = match said {
            // A megabyte of zeros and some numbers proves no more than the rest.
            Said::Pop(FromPop::Sums { .. }) => continue,
            Said::Pop(message) => (0, message.encode()),
            Said::Server(message) => (1, message.encode()),
        };
        bytes.push(side);
        bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&message);
    }
    (bytes, replica)
}

#[expect(clippy::disallowed_methods, reason = "a person may have the recording made anew")]
fn write_anew(bytes: &[u8]) {
    if std::env::var("ROKKO_RECORD").is_ok() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/feed-1.bin"), bytes).unwrap();
    }
}

fn messages(mut rest: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut messages = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<5>() {
        let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        let (message, tail) = tail.split_at(len as usize);
        messages.push((head[0], message.to_vec()));
        rest = tail;
    }
    assert!(rest.is_empty());
    messages
}

#[test]
fn a_recorded_feed_is_read_and_followed() {
    let (bytes, ended) = record();
    write_anew(&bytes);
    let mut replica = Replica::default();
    let mut following = Following::new(&mut replica, "test", None, 10_000, 0);
    let (mut events, mut kinds) = (Vec::new(), [0, 0]);
    for (side, bytes) in messages(RECORDED) {
        kinds[usize::from(side)] |= 1 << bytes[0];
        if side == 0 {
            assert_eq!(FromPop::decode(&bytes).unwrap().encode(), bytes);
            continue;
        }
        let message = FromServer::decode(&bytes).unwrap();
        assert_eq!(message.encode(), bytes);
        // What happened to the copy that was recorded happens to this one, too.
        if message == FromServer::AskSums {
            replica.zones.remove(&name("c."));
            replica.zones.insert(name("ghost."), zone("ghost.", 1, 1));
        }
        following.receive(message, 10_000, &mut replica, &mut events);
        following.settle(10_000, &mut replica, &mut events);
    }
    let closed = events.iter().find(|event| matches!(event, rokko_feed::follow::FollowEvent::Close(_)));
    assert_eq!(closed, None);
    assert_eq!((replica.revision, digest_of(&replica.zones)), (ended.revision, digest_of(&ended.zones)));
    assert_eq!(replica.zones.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a.", "c.", "d."]);
    // All kinds of messages but sums and a relay's, and all but a refusal.
    assert_eq!(kinds, [0b011_1011_1110, 0b111_1111_1111_1010]);
}

#[test]
fn this_version_says_what_was_recorded() {
    assert!(record().0 == RECORDED, "the messages of a session are not what they were");
}
