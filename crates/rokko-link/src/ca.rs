//! The fleet's certificate authority, which the control node keeps.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;

use crate::certificate::{Fingerprint, Identity, Role, key_fingerprint, uri};
use crate::credentials::{Credentials, CredentialsError, RenewalRequest};
use crate::files;
use crate::name::NodeName;
use crate::tls;

const DAY_S: u64 = 86_400;
/// How long the authority's own certificate is valid.
const AUTHORITY_DAYS: u64 = 20 * 365;
/// How long a node's certificate is valid.
const NODE_DAYS: u64 = 90;
/// A certificate is valid from a day before it was made, so that a node whose clock is slow can use it at once.
const BACKDATE_S: u64 = DAY_S;
/// The file in the authority's folder: its private key, and after it its certificate.
const FILE: &str = "ca.key";
/// The largest signing request in octets.
const REQUEST_OCTETS_MAX: usize = 4096;

/// Why the authority can't be opened, or does not issue a certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its file can't be read or written.
    #[error("{} can't be {doing}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was being done to it.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Its file is not what it should be.
    #[error("{} does not hold the private key of a fleet's authority and its certificate; restore it from a backup", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// A certificate could not be made.
    #[error("no certificate could be made")]
    Make(#[from] rcgen::Error),
    /// The entropy for a serial number could not be had.
    #[error("the system gave no random octets")]
    Entropy(#[source] getrandom::Error),
    /// A signing request is malformed, is not signed by the key that it is for, or is for another kind of key.
    #[error("the signing request is not one for an ECDSA P-256 key")]
    Request,
    /// A renewal was asked for with a certificate that does not count.
    #[error("the renewal is refused")]
    Renewal(#[source] CredentialsError),
}

/// Issues the certificates of a fleet. There is one per fleet, and its private key never leaves the control node.
pub struct Authority {
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// Opens the authority that is kept in a folder, and makes it if there is none.
    pub fn open(folder: &Path, now_s: u64) -> Result<Self, AuthorityError> {
        let path = folder.join(FILE);
        let failed = |doing, source| AuthorityError::File { path: path.clone(), doing, source };
        if let Some(text) = files::read_private(&path).map_err(|source| failed("read", source))? {
            return Self::read(&text).ok_or(AuthorityError::Content { path });
        }
        let made = Self::make(now_s)?;
        files::make_folder(folder).map_err(|source| failed("written", source))?;
        files::write_private(&path, made.to_pem().as_bytes()).map_err(|source| failed("written", source))?;
        Ok(made)
    }

    /// Makes a new authority that is kept nowhere.
    pub fn make(now_s: u64) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        // Each authority has a name of its own, so that a certificate of another is told from a damaged one.
        let mark = key_fingerprint(key.public_key_raw()).to_string();
        params.distinguished_name = named(&format!("Rokko fleet {}", &mark[..16]));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        set_validity(&mut params, now_s, AUTHORITY_DAYS);
        params.serial_number = Some(random_serial()?);
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self { key, certificate })
    }

    fn read(text: &[u8]) -> Option<Self> {
        let key = KeyPair::from_pem_and_sign_algo(std::str::from_utf8(text).ok()?, &PKCS_ECDSA_P256_SHA256).ok()?;
        let certificate = CertificateDer::from_pem_slice(text).ok()?;
        let public = tls::public_key(&certificate)?;
        (public == key.public_key_raw()).then_some(Self { key, certificate })
    }

    fn to_pem(&self) -> String {
        format!("{}{}", self.key.serialize_pem(), tls::certificate_pem(&self.certificate))
    }

    /// The authority's certificate, the root that all nodes trust.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The SHA-256 digest of its certificate, which tokens carry.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// A new key and certificate for the control node's own listener. They are kept in memory only.
    pub fn control_credentials(&self, name: &NodeName, now_s: u64) -> Result<Credentials, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = self.sign(name, Role::Control, &key, now_s)?;
        Credentials::new(key, vec![leaf, self.certificate.clone()]).map_err(AuthorityError::Renewal)
    }

    /// Issues a certificate for the key of a signing request. Of the request only the key counts.
    ///
    /// Gives the node's certificate and after it the authority's.
    pub fn issue(
        &self,
        name: &NodeName,
        role: Role,
        request: &SigningRequest,
        now_s: u64,
    ) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        let leaf = self.sign(name, role, &request.0.public_key, now_s)?;
        Ok(vec![leaf, self.certificate.clone()])
    }

    /// Issues a new certificate to the holder of an old one, expired or not, unless `revoked` says so of it. Name and role stay.
    ///
    /// The request shows that its sender has the old key, so it counts from whomever it was passed on by.
    /// Gives whose it is, and the new certificate and after it the authority's.
    pub fn renew(
        &self,
        request: &[u8],
        now_s: u64,
        revoked: impl FnOnce(&Identity) -> bool,
    ) -> Result<(Identity, Vec<CertificateDer<'static>>), AuthorityError> {
        let request = RenewalRequest::decode(request).map_err(AuthorityError::Renewal)?;
        let identity = request.verify(&self.certificate, now_s).map_err(AuthorityError::Renewal)?;
        if revoked(&identity) {
            return Err(AuthorityError::Renewal(CredentialsError::Revoked));
        }
        let signing = SigningRequest::read(&request.signing_request)?;
        let chain = self.issue(&identity.name, identity.role, &signing, now_s)?;
        Ok((identity, chain))
    }

    fn sign(
        &self,
        name: &NodeName,
        role: Role,
        public_key: &impl PublicKeyData,
        now_s: u64,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name.as_str());
        params.subject_alt_names = vec![SanType::URI(uri(role, name).try_into()?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if role.follows() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if role.serves() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now_s, NODE_DAYS);
        params.serial_number = Some(random_serial()?);
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key)?;
        Ok(params.signed_by(public_key, &issuer)?.der().clone())
    }
}

/// A request for a certificate (RFC 2986), signed by the key that it is for.
pub struct SigningRequest(CertificateSigningRequestParams);

impl SigningRequest {
    /// Reads a request in DER and checks its signature. Keys are ECDSA P-256.
    pub fn read(der: &[u8]) -> Result<Self, AuthorityError> {
        if der.len() > REQUEST_OCTETS_MAX {
            return Err(AuthorityError::Request);
        }
        let parsed = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der));
        let parsed = parsed.map_err(|_| AuthorityError::Request)?;
        if parsed.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(AuthorityError::Request);
        }
        Ok(Self(parsed))
    }

    /// The digest of the public key.
    pub fn key(&self) -> Fingerprint {
        key_fingerprint(self.0.public_key.der_bytes())
    }
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn set_validity(params: &mut CertificateParams, now_s: u64, days: u64) {
    let at = |seconds: u64| {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    params.not_before = at(now_s.saturating_sub(BACKDATE_S));
    params.not_after = at(now_s.saturating_add(days * DAY_S));
}

/// 127 random bits: positive, as RFC 5280, section 4.1.2.2 wants it.
fn random_serial() -> Result<SerialNumber, AuthorityError> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).map_err(AuthorityError::Entropy)?;
    octets[0] = octets[0] & 0x7F | 0x40;
    Ok(SerialNumber::from_slice(&octets))
}
