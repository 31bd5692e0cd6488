//! A frame, or a message of the feed: what decodes is encoded to the same bytes.
//!
//! The first octet says what the rest is: 0 a frame, 1 a message from a PoP, all else one to a PoP.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rokko_feed::frame::Frame;
use rokko_feed::message::{FromPop, FromServer};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind {
        0 => frame(bytes),
        1 => {
            let Ok(message) = FromPop::decode(bytes) else { return };
            assert_eq!(message.encode(), bytes);
        }
        _ => {
            let Ok(message) = FromServer::decode(bytes) else { return };
            assert_eq!(message.encode(), bytes);
            if let FromServer::Frame { bytes, .. } = message {
                frame(&bytes);
            }
        }
    }
});

fn frame(bytes: &[u8]) {
    let Ok(head) = Frame::peek(bytes) else { return };
    let Ok(frame) = Frame::decode(bytes) else { return };
    assert_eq!((head.set, head.after, head.last), (frame.set, frame.after, frame.last));
    assert_eq!(frame.entries.len() as u64, frame.last.0 - frame.after.0);
    assert_eq!(Frame::decode(&frame.encode().expect("what was read has room")), Ok(frame));
}
