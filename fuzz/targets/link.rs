//! What comes from strangers to the port of the fleet: tokens, frames of messages, certificates and requests for them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rokko_link::{Fingerprint, FrameReader, Framed, Identity, RenewalRequest, SigningRequest, Token};

const MESSAGE_OCTETS_MAX: usize = 1 << 16;

fuzz_target!(|input: &[u8]| {
    let Some((kind, input)) = input.split_first() else { return };
    match kind % 4 {
        0 => token(input),
        1 => frames(input),
        2 => {
            let _ = Identity::read(&input.to_vec().into());
            let _ = SigningRequest::read(input);
        }
        _ => {
            if let Ok(request) = RenewalRequest::decode(input) {
                assert_eq!(request.encode(), input);
            }
        }
    }
});

/// The contents of a token, with the check that belongs to them.
fn token(body: &[u8]) {
    let check = Fingerprint::of(body).0;
    let octets = [body, &check[..4]].concat();
    let text = format!("rokko-join:{}", data_encoding::BASE64URL_NOPAD.encode(&octets));
    if let Ok(token) = text.parse::<Token>() {
        assert_eq!(token.to_string(), text);
    }
    let _ = String::from_utf8_lossy(body).parse::<Token>();
}

/// Frames in pieces whose length the first octet says.
fn frames(input: &[u8]) {
    let Some((step, octets)) = input.split_first() else { return };
    let mut reader = FrameReader::new(MESSAGE_OCTETS_MAX);
    for piece in octets.chunks(usize::from(*step).max(1)) {
        reader.push(piece);
        loop {
            match reader.message() {
                Ok(Some(message)) => again(&message),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

fn again(message: &[u8]) {
    assert!(message.len() <= MESSAGE_OCTETS_MAX);
    let mut reader = FrameReader::new(MESSAGE_OCTETS_MAX);
    reader.push(Framed::new(message).octets());
    assert_eq!(reader.message().unwrap().as_deref(), Some(message));
    assert!(!reader.midway());
}
