//! An Ethernet frame from the network is read. What is taken is within the frame, and a reply to it is written that can be
//! read in its turn.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rokko_net::xdp::{HEADER_BYTES_MAX, Headers};

const REPLY: &[u8] = b"a reply";

fuzz_target!(|frame: &[u8]| {
    let Ok((headers, content)) = Headers::parse(frame) else { return };
    assert_eq!(headers.bytes(), content.start);
    assert!(content.end <= frame.len() && content.start <= HEADER_BYTES_MAX);
    assert_eq!(headers.source.is_ipv4(), headers.destination.is_ipv4());
    assert_ne!(headers.source.port(), 0);
    let reply = headers.reply();
    assert_eq!(reply.reply(), headers);
    let mut written = vec![0; reply.bytes()];
    written.extend_from_slice(REPLY);
    assert!(reply.write(&mut written));
    // What was asked of an address that nobody can have, or of port 0, is not read as a reply.
    if let Ok((read, content)) = Headers::parse(&written) {
        assert_eq!((read, &written[content]), (reply, REPLY));
    }
});
