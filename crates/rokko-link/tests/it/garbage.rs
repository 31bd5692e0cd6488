//! What is no fleet's business, on its port.

use proptest::prelude::any;
use proptest::strategy::{Strategy, ValueTree};
use rokko_link::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{TestFleet, now_s, say};

/// The octets of a TLS client's first message that offers a protocol.
fn client_hello(protocol: &[u8]) -> Vec<u8> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = "fleet.invalid".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut octets = Vec::new();
    client.write_tls(&mut octets).unwrap();
    octets
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let fleet = TestFleet::new();
    let control = fleet.control().await;
    let pop = fleet.node("tyo1", Role::Pop, now_s());
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let noise = proptest::collection::vec(any::<u8>(), 1..400);
    for round in 0..200 {
        let mut octets = noise.new_tree(&mut runner).unwrap().current();
        let hello = client_hello([&b"rokko-feed/1"[..], b"rokko-join/1", b"h2"][round % 3]);
        match round % 4 {
            0 => {}
            1 => octets = [hello, octets].concat(),
            2 => octets = [&hello[..octets.len().min(hello.len())], &octets].concat(),
            _ => {
                let mut changed = hello;
                let at = 5 + usize::from(octets[0]) % (changed.len() - 5);
                changed[at] ^= octets.last().unwrap() | 1;
                octets = changed;
            }
        }
        let mut stream = TcpStream::connect(control.address).await.unwrap();
        // The other side may be gone before all of it is written.
        let _ = stream.write_all(&octets).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    assert_eq!(say(&pop, control.address, "hello").await.unwrap(), "pop tyo1: hello");
}

#[tokio::test]
async fn a_client_without_a_certificate_or_a_protocol_gets_nothing() {
    let fleet = TestFleet::new();
    let control = fleet.control().await;
    for protocol in [&b"h2"[..], b""] {
        let mut stream = TcpStream::connect(control.address).await.unwrap();
        let hello = client_hello(if protocol.is_empty() { b"x" } else { protocol });
        stream.write_all(&hello).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{answer:?}");
    }
}
