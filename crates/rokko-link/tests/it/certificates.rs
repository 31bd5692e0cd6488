//! What certificates open, and what they do not.

use std::net::SocketAddr;
use std::sync::Arc;

use rokko_link::{
    ALPN_JOIN, Authority, AuthorityError, Credentials, CredentialsError, Dialer, LinkError, MemoryFleet, PendingKey,
    Role,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::support::{DAY_S, TestFleet, bind, mode, now_s, say, whole};

/// A TLS server for joins that shows a node's certificate, as someone would who has stolen it.
pub(crate) async fn join_listener_with(credentials: &Credentials) -> SocketAddr {
    let folder = tempfile::tempdir().unwrap();
    credentials.store(folder.path()).unwrap();
    let text = std::fs::read(folder.path().join("node.key")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&text).unwrap();
    let chain = rustls_pki_types::CertificateDer::pem_slice_iter(&text).map(Result::unwrap).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![ALPN_JOIN.to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (tcp, address) = bind().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = tcp.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

#[test]
fn an_authority_is_made_once_and_kept_private() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("fleet");
    let made = Authority::open(&home, now_s()).unwrap();
    assert_eq!(made.fingerprint(), Authority::open(&home, now_s()).unwrap().fingerprint());
    assert_eq!(mode(&home.join("ca.key")), 0o600);
    // A damaged file is not a reason to make another fleet.
    std::fs::write(home.join("ca.key"), "nothing").unwrap();
    let refused = Authority::open(&home, now_s()).err().unwrap();
    assert!(matches!(refused, AuthorityError::Content { .. }), "{refused}");
}

#[test]
fn a_key_of_another_authority_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    Authority::open(&one, now_s()).unwrap();
    Authority::open(&two, now_s()).unwrap();
    let text = |home: &std::path::Path| std::fs::read_to_string(home.join("ca.key")).unwrap();
    let (first, second) = (text(&one), text(&two));
    let at = |text: &str| text.find("-----BEGIN CERTIFICATE").unwrap();
    std::fs::write(one.join("ca.key"), format!("{}{}", &first[..at(&first)], &second[at(&second)..])).unwrap();
    assert!(matches!(Authority::open(&one, now_s()), Err(AuthorityError::Content { .. })));
}

#[test]
fn certificates_last_90_days_and_are_renewed_after_a_third() {
    let fleet = TestFleet::new();
    let identity = fleet.node("tyo1", Role::Pop, 1_000 * DAY_S).identity().clone();
    assert_eq!((identity.not_before_s, identity.not_after_s), (999 * DAY_S, 1_090 * DAY_S));
    assert_eq!(identity.renew_at_s(), 999 * DAY_S + 91 * DAY_S / 3);
    assert!(!identity.expired(1_090 * DAY_S) && identity.expired(1_090 * DAY_S + 1));
}

#[tokio::test]
async fn a_relay_serves_and_a_pop_does_not() {
    let fleet = TestFleet::new();
    let (pop, relay) = (fleet.node("tyo1", Role::Pop, now_s()), fleet.node("ber1", Role::Relay, now_s()));
    let serving = fleet.relay(&relay).await;
    assert_eq!(say(&pop, serving.address, "hello").await.unwrap(), "pop tyo1: hello");
    let stolen = fleet.relay(&pop).await;
    let refused = say(&relay, stolen.address, "hello").await.unwrap_err();
    assert!(whole(&refused).contains("does not serve this"), "{}", whole(&refused));
}

#[tokio::test]
async fn another_fleet_is_refused_on_both_sides() {
    let (fleet, other) = (TestFleet::new(), TestFleet::new());
    let control = fleet.control().await;
    let stranger = other.node("tyo1", Role::Pop, now_s());
    let refused = say(&stranger, control.address, "hello").await.unwrap_err();
    assert!(whole(&refused).contains("not of this fleet"), "{}", whole(&refused));
    // One that does not look at the server's certificate gets no further.
    let dialed = careless(&stranger, control.address).await;
    assert!(dialed.is_err(), "{dialed:?}");
}

/// Connects without a look at the server's certificate and reads.
async fn careless(credentials: &Credentials, address: SocketAddr) -> std::io::Result<usize> {
    use tokio::io::AsyncReadExt;
    let folder = tempfile::tempdir().unwrap();
    credentials.store(folder.path()).unwrap();
    let text = std::fs::read(folder.path().join("node.key")).unwrap();
    let chain: Vec<_> = rustls_pki_types::CertificateDer::pem_slice_iter(&text).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(&text).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let blind = Arc::new(Blind(provider));
    let builder = builder.unwrap().dangerous().with_custom_certificate_verifier(blind);
    let mut config = builder.with_client_auth_cert(chain, key).unwrap();
    config.alpn_protocols = vec![rokko_link::ALPN_FEED.to_vec()];
    let tcp = tokio::net::TcpStream::connect(address).await?;
    let name = "fleet.invalid".try_into().unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    stream.read(&mut [0; 1]).await
}

#[derive(Debug)]
struct Blind(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn a_revoked_node_is_told_so() {
    let fleet = TestFleet::new();
    let control = fleet.control().await;
    let pop = fleet.node("tyo1", Role::Pop, now_s());
    say(&pop, control.address, "hello").await.unwrap();
    fleet.members.revoke(pop.identity().fingerprint);
    let refused = say(&pop, control.address, "hello").await.unwrap_err();
    assert!(matches!(refused, LinkError::Revoked), "{}", whole(&refused));
    let other = fleet.node("tyo1", Role::Pop, now_s());
    say(&other, control.address, "hello").await.unwrap();
}

#[tokio::test]
async fn a_revoked_relay_is_left() {
    let fleet = TestFleet::new();
    let (pop, relay) = (fleet.node("tyo1", Role::Pop, now_s()), fleet.node("ber1", Role::Relay, now_s()));
    let serving = fleet.relay(&relay).await;
    let revoked = Arc::new(MemoryFleet::default());
    let dialer = Dialer::new(&pop, revoked.clone()).unwrap();
    assert_eq!(dialer.dial(&serving.address.to_string()).await.unwrap().1, *relay.identity());
    revoked.revoke(relay.identity().fingerprint);
    let refused = dialer.dial(&serving.address.to_string()).await.err().unwrap();
    assert!(whole(&refused).contains("it was revoked"), "{}", whole(&refused));
}

#[tokio::test]
async fn an_expired_certificate_is_renewed_and_nothing_else() {
    let fleet = TestFleet::new();
    let control = fleet.control().await;
    let old = fleet.node("tyo1", Role::Pop, now_s() - 100 * DAY_S);
    assert!(old.identity().expired(now_s()));
    // It is let in, since that is where it would be renewed; the listener's user sees that it has expired.
    say(&old, control.address, "hello").await.unwrap();
    let (pending, request) = old.begin_renewal().unwrap();
    let (identity, chain) = fleet.authority.renew(&request, now_s(), |_| false).unwrap();
    assert_eq!(identity, *old.identity());
    let new = pending.complete(chain, old.fleet(), now_s()).unwrap();
    assert!(!new.identity().expired(now_s()));
    assert_eq!((&new.identity().name, new.identity().role), (&identity.name, identity.role));
    assert_ne!(new.key(), old.key());
    say(&new, control.address, "hello").await.unwrap();
    // One that serves is not accepted after its time.
    let relay = fleet.relay(&fleet.node("ber1", Role::Relay, now_s() - 100 * DAY_S)).await;
    let refused = say(&new, relay.address, "hello").await.unwrap_err();
    assert!(whole(&refused).contains("expired"), "{}", whole(&refused));
}

#[test]
fn a_renewal_needs_the_old_key_and_a_certificate_that_counts() {
    let (fleet, other) = (TestFleet::new(), TestFleet::new());
    let pop = fleet.node("tyo1", Role::Pop, now_s());
    let refused = |fleet: &TestFleet, request: &[u8], revoked: bool| match fleet
        .authority
        .renew(request, now_s(), |_| revoked)
        .err()
        .unwrap()
    {
        AuthorityError::Renewal(error) => error,
        error => panic!("{error}"),
    };
    let (_, request) = pop.begin_renewal().unwrap();
    assert!(matches!(refused(&fleet, &request, true), CredentialsError::Revoked));
    assert!(matches!(refused(&other, &request, false), CredentialsError::Foreign));
    // Someone who passes requests on puts a key of his own in place of the node's.
    let own = PendingKey::make().unwrap().signing_request().unwrap();
    let at = request.windows(2).rposition(|pair| pair == [0x30, 0x81]).unwrap_or(0);
    let mut forged = request.clone();
    let len = request.len();
    forged.splice(len - own.len().min(len).min(at)..len, own);
    assert!(fleet.authority.renew(&forged, now_s(), |_| false).is_err());
    for cut in 0..request.len() {
        assert!(fleet.authority.renew(&request[..cut], now_s(), |_| false).is_err());
    }
    for at in 0..request.len() {
        let mut changed = request.clone();
        changed[at] ^= 1;
        assert!(fleet.authority.renew(&changed, now_s(), |_| false).is_err(), "{at}");
    }
    fleet.authority.renew(&request, now_s(), |_| false).unwrap();
}

#[test]
fn a_chain_that_is_not_this_nodes_or_this_fleets_is_not_taken() {
    let (fleet, other) = (TestFleet::new(), TestFleet::new());
    let issue = |from: &TestFleet, key: &PendingKey| {
        let request = rokko_link::SigningRequest::read(&key.signing_request().unwrap()).unwrap();
        from.authority.issue(&"tyo1".parse().unwrap(), Role::Pop, &request, now_s()).unwrap()
    };
    let key = PendingKey::make().unwrap();
    let chain = issue(&fleet, &PendingKey::make().unwrap());
    let refused = key.complete(chain, fleet.authority.fingerprint(), now_s());
    assert!(matches!(refused, Err(CredentialsError::Mismatch)));
    let key = PendingKey::make().unwrap();
    let chain = issue(&other, &key);
    let refused = key.complete(chain, fleet.authority.fingerprint(), now_s());
    assert!(matches!(refused, Err(CredentialsError::Foreign)));
    let key = PendingKey::make().unwrap();
    let mut chain = issue(&other, &key);
    chain[1] = fleet.authority.certificate().clone();
    let refused = key.complete(chain, fleet.authority.fingerprint(), now_s());
    assert!(matches!(refused, Err(CredentialsError::Foreign)));
}
