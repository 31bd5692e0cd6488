//! TLS 1.3 between nodes: who accepts whose certificate.
//!
//! Sessions are never resumed: a resumed one would skip the check whether the certificate was revoked.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring as ring_provider, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible,
    RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::{CertificateProblem, Fingerprint, Identity, Role};
use crate::credentials::{Credentials, CredentialsError};
use crate::fleet::Fleet;

/// The protocol of nodes that have joined.
pub const ALPN_FEED: &[u8] = b"rokko-feed/1";
/// The protocol of nodes that join.
pub const ALPN_JOIN: &[u8] = b"rokko-join/1";

/// Why a certificate that is valid as such is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Certificate(CertificateProblem),
    #[error("a certificate with the role {0} does not serve this")]
    Role(Role),
    #[error("the server is not of the fleet that the token is for")]
    OtherFleet,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

pub(crate) fn provider() -> CryptoProvider {
    ring_provider::default_provider()
}

/// The public key in a certificate, as its bit string holds it.
pub(crate) fn public_key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.public_key().subject_public_key.data.to_vec())
}

/// A certificate in PEM form (RFC 7468).
pub(crate) fn certificate_pem(certificate: &CertificateDer<'_>) -> String {
    let base64 = data_encoding::BASE64.encode(certificate);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + "-----END CERTIFICATE-----\n"
}

fn roots(authority: &CertificateDer<'static>) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    Ok(Arc::new(roots))
}

/// Checks that a certificate was issued by the authority to a node that takes the feed. It may have expired.
pub(crate) fn verify_holder(
    certificate: &CertificateDer<'_>,
    authority: &CertificateDer<'static>,
    now_s: u64,
) -> Result<Identity, Error> {
    let issued = client_verifier(authority)?;
    verify_issued(&*issued, certificate, &[], UnixTime::since_unix_epoch(Duration::from_secs(now_s)))
}

fn client_verifier(authority: &CertificateDer<'static>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots(authority)?, Arc::new(provider()));
    builder.build().map_err(|error| Error::General(error.to_string()))
}

fn verify_issued(
    issued: &dyn ClientCertVerifier,
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<Identity, Error> {
    match issued.verify_client_cert(certificate, intermediates, now) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            issued.verify_client_cert(certificate, intermediates, not_after)?;
        }
        checked => {
            checked?;
        }
    }
    let identity = Identity::read(certificate).map_err(Refusal::Certificate)?;
    if identity.role.follows() { Ok(identity) } else { Err(Refusal::Role(identity.role).into()) }
}

/// The certificate that a listener shows. It can be changed while connections go on.
#[derive(Debug)]
pub(crate) struct Shown(RwLock<Arc<CertifiedKey>>);

impl Shown {
    pub(crate) fn new(credentials: &Credentials) -> Result<Self, CredentialsError> {
        Ok(Self(RwLock::new(Arc::new(credentials.certified()?))))
    }

    /// Whose certificate it is.
    pub(crate) fn identity(&self) -> Option<Identity> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        current.cert.first().and_then(|certificate| Identity::read(certificate).ok())
    }

    pub(crate) fn replace(&self, credentials: &Credentials) -> Result<(), CredentialsError> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials.certified()?);
        Ok(())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// The server's side of the feed: clients show a certificate of this fleet that is not revoked. One that has expired is let in, too:
/// what it may do then is the session's business.
pub(crate) fn feed_server_config(
    shown: Arc<Shown>,
    authority: &CertificateDer<'static>,
    fleet: Arc<dyn Fleet>,
) -> Result<Arc<ServerConfig>, Error> {
    let verifier = FeedClients { issued: client_verifier(authority)?, fleet };
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13])?;
    let config = builder.with_client_cert_verifier(Arc::new(verifier)).with_cert_resolver(shown);
    Ok(finish_server(config, ALPN_FEED))
}

/// The server's side of a join: clients have no certificate.
pub(crate) fn join_server_config(shown: Arc<Shown>) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(finish_server(builder.with_no_client_auth().with_cert_resolver(shown), ALPN_JOIN))
}

fn finish_server(mut config: ServerConfig, alpn: &[u8]) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// The client's side of the feed: the server shows a certificate of this fleet whose role is to serve, and which is not known to be
/// revoked.
pub(crate) fn feed_client_config(credentials: &Credentials, fleet: Arc<dyn Fleet>) -> Result<Arc<ClientConfig>, Error> {
    let trust = Trust::Fleet { roots: roots(credentials.authority())?, fleet };
    let builder = client_builder(trust)?;
    let certified = credentials.certified().map_err(|error| Error::General(error.to_string()))?;
    Ok(finish_client(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))), ALPN_FEED))
}

/// The client's side of a join: the server is the control node of the fleet whose authority has this digest.
pub(crate) fn join_client_config(authority: Fingerprint) -> Result<Arc<ClientConfig>, Error> {
    Ok(finish_client(client_builder(Trust::Token { authority })?.with_no_client_auth(), ALPN_JOIN))
}

fn client_builder(trust: Trust) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Error> {
    let provider = Arc::new(provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(FeedServer { trust, algorithms })))
}

fn finish_client(mut config: ClientConfig, alpn: &[u8]) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    // Nodes are known by their certificates, whatever the address that they are reached at.
    config.enable_sni = false;
    Arc::new(config)
}

/// The name that TLS wants of a server; it is neither sent nor compared.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from("fleet.invalid").expect("that is a host name")
}

#[derive(Debug)]
struct FeedClients {
    issued: Arc<dyn ClientCertVerifier>,
    fleet: Arc<dyn Fleet>,
}

impl ClientCertVerifier for FeedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.issued.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let identity = verify_issued(&*self.issued, end_entity, intermediates, now)?;
        if self.fleet.is_revoked(&identity) {
            return Err(CertificateError::Revoked.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.issued.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issued.supported_verify_schemes()
    }
}

#[derive(Debug)]
enum Trust {
    Fleet { roots: Arc<RootCertStore>, fleet: Arc<dyn Fleet> },
    Token { authority: Fingerprint },
}

#[derive(Debug)]
struct FeedServer {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl FeedServer {
    fn verify(
        &self,
        roots: &RootCertStore,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Identity, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, self.algorithms.all)?;
        Ok(Identity::read(end_entity).map_err(Refusal::Certificate)?)
    }
}

impl ServerCertVerifier for FeedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Fleet { roots, fleet } => {
                let identity = self.verify(roots, end_entity, intermediates, now)?;
                if !identity.role.serves() {
                    return Err(Refusal::Role(identity.role).into());
                }
                if fleet.is_revoked(&identity) {
                    return Err(CertificateError::Revoked.into());
                }
            }
            Trust::Token { authority } => {
                let is_root = |candidate: &&CertificateDer<'_>| Fingerprint::of(candidate) == *authority;
                let root = intermediates.iter().find(is_root).ok_or(Refusal::OtherFleet)?;
                let roots = roots(&root.clone().into_owned())?;
                let identity = self.verify(&roots, end_entity, intermediates, now)?;
                if identity.role != Role::Control {
                    return Err(Refusal::Role(identity.role).into());
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
