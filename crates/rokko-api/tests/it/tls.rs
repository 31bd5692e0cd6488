//! Keys never cross a network in the clear.

use std::net::SocketAddr;

use rokko_api::{ApiConfig, ApiError, Limits, Listen, TlsSource};

use crate::support::Server;

#[test]
fn a_self_signed_certificate_serves_and_its_fingerprint_is_told() {
    let server = Server::start_with(Limits::default(), true);
    let zone = server.make_zone("tls.test");
    assert_eq!(server.get("/v1/zones/tls.test").expect(200)["version"], zone);
    let told = server.fingerprint.clone().unwrap();
    let file = server.folder.path().join("api.crt");
    let output = std::process::Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(file)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.trim().split_once('=').unwrap().1, told);
    let plain = format!("http://{}/v1/health", server.address);
    assert!(ureq::get(&plain).call().is_err(), "plain HTTP must not be served here");
}

fn bind(address: &str, tls: Option<TlsSource>) -> Result<rokko_api::Bound, ApiError> {
    let listen = Listen { address: address.parse::<SocketAddr>().unwrap(), tls };
    let config = ApiConfig { listen: vec![listen], limits: Limits::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(rokko_api::bind(config))
}

#[test]
fn plain_http_is_refused_beyond_loopback() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let Err(error) = bind(address, None) else { panic!("{address} was bound") };
        let text = error.to_string();
        assert!(matches!(error, ApiError::PlainBeyondLoopback(_)), "{text}");
        assert!(text.contains("self-signed") && text.contains("127.0.0.1"), "{text}");
    }
    bind("127.0.0.2:0", None).unwrap();
}

#[test]
fn a_certificate_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("missing.pem");
    let source = TlsSource::Files { certificate: certificate.clone(), key: folder.path().join("key.pem") };
    let Err(error) = bind("127.0.0.1:0", Some(source)) else { panic!("it was bound") };
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, format!("{} can't be read", certificate.display()));
}

#[test]
fn a_given_certificate_can_be_renewed_while_serving() {
    let folder = tempfile::tempdir().unwrap();
    let own = TlsSource::SelfSigned { folder: folder.path().to_owned(), names: Vec::new() };
    rokko_api::Certificate::open(own.clone()).unwrap();
    let (certificate, key) = (folder.path().join("api.crt"), folder.path().join("api.key"));
    let files = TlsSource::Files { certificate: certificate.clone(), key };
    let bound = bind("127.0.0.1:0", Some(files)).unwrap();
    let served = bound.listeners()[0].certificate.clone().unwrap();
    let before = served.fingerprint();
    std::fs::remove_file(&certificate).unwrap();
    let after = rokko_api::Certificate::open(own).unwrap().fingerprint();
    assert_eq!(served.fingerprint(), before);
    served.reload().unwrap();
    assert_eq!(served.fingerprint(), after);
    assert_ne!(before, after);
}
