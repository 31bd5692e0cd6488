//! A node's own key and certificate, and how it asks for a new one.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificate::{CertificateProblem, Fingerprint, Identity, key_fingerprint};
use crate::files;
use crate::tls;

/// The file in a node's folder: its private key, its certificate, and that of the authority.
const FILE: &str = "node.key";
/// The file of a key that has no certificate yet.
const PENDING: &str = "joining.key";
/// What the signature of a renewal is about, so that it counts for nothing else.
const RENEWAL_CONTEXT: &[u8] = b"rokko fleet renewal 1\0";
/// The form of a renewal request.
const RENEWAL_VERSION: u8 = 1;

/// What is wrong with a node's key or certificate.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file can't be read or written.
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
    /// The file is not what it should be.
    #[error("{} does not hold a node's private key, its certificate and that of its fleet", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// The chain is not a node's certificate and that of its authority, or the key is another's.
    #[error("the certificate does not belong to the key or to the fleet")]
    Mismatch,
    /// A key or a request could not be made.
    #[error("no key could be made")]
    Make(#[from] rcgen::Error),
    /// The certificate does not say whose it is.
    #[error(transparent)]
    Certificate(#[from] CertificateProblem),
    /// A renewal request can't be read.
    #[error("the renewal request is malformed")]
    Malformed,
    /// The certificate was not issued by this fleet's authority.
    #[error("the certificate is not of this fleet")]
    Foreign,
    /// The sender of a renewal request does not have the key of the certificate.
    #[error("the renewal request is not signed by the certificate's key")]
    Signature,
    /// The certificate was revoked.
    #[error("the certificate was revoked")]
    Revoked,
}

/// A private key, the certificate for it, and that of the fleet's authority.
pub struct Credentials {
    key: KeyPair,
    chain: Vec<CertificateDer<'static>>,
    identity: Identity,
}

impl Credentials {
    /// Puts together a key and the chain that was issued for it: the node's certificate, then the authority's.
    pub(crate) fn new(key: KeyPair, chain: Vec<CertificateDer<'static>>) -> Result<Self, CredentialsError> {
        let [leaf, _] = chain.as_slice() else { return Err(CredentialsError::Mismatch) };
        let identity = Identity::read(leaf)?;
        if tls::public_key(leaf).as_deref() != Some(key.public_key_raw()) {
            return Err(CredentialsError::Mismatch);
        }
        Ok(Self { key, chain, identity })
    }

    /// Reads what a folder keeps; `None` if the node has not joined yet.
    pub fn open(folder: &Path) -> Result<Option<Self>, CredentialsError> {
        let path = folder.join(FILE);
        let read = files::read_private(&path);
        let text = read.map_err(|source| CredentialsError::File { path: path.clone(), doing: "read", source })?;
        let Some(text) = text else { return Ok(None) };
        let parse = || {
            let key = read_key(&text)?;
            let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>().ok()?;
            Self::new(key, chain).ok()
        };
        parse().map(Some).ok_or(CredentialsError::Content { path })
    }

    /// Keeps key and certificates in a folder, in one file that only its owner can read. A key that waited for its certificate
    /// is gone afterwards.
    pub fn store(&self, folder: &Path) -> Result<(), CredentialsError> {
        let path = folder.join(FILE);
        let mut text = self.key.serialize_pem();
        for certificate in &self.chain {
            text.push_str(&tls::certificate_pem(certificate));
        }
        let written = files::make_folder(folder).and_then(|()| files::write_private(&path, text.as_bytes()));
        written.map_err(|source| CredentialsError::File { path, doing: "written", source })?;
        let pending = folder.join(PENDING);
        match std::fs::remove_file(&pending) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(CredentialsError::File { path: pending, doing: "removed", source })
            }
            _ => Ok(()),
        }
    }

    /// Whose they are, and until when.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The digest of the public key.
    pub fn key(&self) -> Fingerprint {
        key_fingerprint(self.key.public_key_raw())
    }

    /// The authority's certificate.
    pub fn authority(&self) -> &CertificateDer<'static> {
        &self.chain[1]
    }

    /// The digest of the authority's certificate: which fleet this is.
    pub fn fleet(&self) -> Fingerprint {
        Fingerprint::of(self.authority())
    }

    /// Key and chain as TLS wants them.
    pub(crate) fn certified(&self) -> Result<CertifiedKey, CredentialsError> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).map_err(|_| CredentialsError::Mismatch)?;
        CertifiedKey::from_der(self.chain.clone(), key, &tls::provider()).map_err(|_| CredentialsError::Mismatch)
    }

    /// Begins a renewal: gives a new key, and the request for its certificate, signed by the old key.
    pub fn begin_renewal(&self) -> Result<(PendingKey, Vec<u8>), CredentialsError> {
        let pending = PendingKey::make()?;
        let request = RenewalRequest::sign(self, pending.signing_request()?)?;
        Ok((pending, request.encode()))
    }
}

/// A key whose certificate is still to come.
pub struct PendingKey(KeyPair);

impl PendingKey {
    /// Makes a key.
    pub fn make() -> Result<Self, CredentialsError> {
        Ok(Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?))
    }

    /// The key that a folder keeps for a join, made if there is none. A join that was broken off can be asked for again with the
    /// same key, even if the control node has issued the certificate already.
    pub fn open(folder: &Path) -> Result<Self, CredentialsError> {
        let path = folder.join(PENDING);
        let failed = |doing, source| CredentialsError::File { path: path.clone(), doing, source };
        if let Some(text) = files::read_private(&path).map_err(|source| failed("read", source))? {
            return read_key(&text).map(Self).ok_or(CredentialsError::Content { path });
        }
        let made = Self::make()?;
        let written =
            files::make_folder(folder).and_then(|()| files::write_private(&path, made.0.serialize_pem().as_bytes()));
        written.map_err(|source| failed("written", source))?;
        Ok(made)
    }

    /// The request for a certificate in DER.
    pub fn signing_request(&self) -> Result<Vec<u8>, CredentialsError> {
        let request = CertificateParams::default().serialize_request(&self.0)?;
        Ok(request.der().to_vec())
    }

    /// Puts key and certificates together. The authority must be the one with this digest, and must have issued the certificate.
    pub fn complete(
        self,
        chain: Vec<CertificateDer<'static>>,
        fleet: Fingerprint,
        now_s: u64,
    ) -> Result<Credentials, CredentialsError> {
        let credentials = Credentials::new(self.0, chain)?;
        if credentials.fleet() != fleet {
            return Err(CredentialsError::Foreign);
        }
        tls::verify_holder(&credentials.chain[0], credentials.authority(), now_s)
            .map_err(|_| CredentialsError::Foreign)?;
        Ok(credentials)
    }
}

fn read_key(text: &[u8]) -> Option<KeyPair> {
    KeyPair::from_pem_and_sign_algo(std::str::from_utf8(text).ok()?, &PKCS_ECDSA_P256_SHA256).ok()
}

/// A request for a new certificate that shows the old one and is signed by its key.
///
/// Version (1 octet), length and octets of the old certificate, length and octets of the signing request (both lengths 2 octets,
/// network order), and to the end the ECDSA signature in ASN.1 form.
pub struct RenewalRequest {
    certificate: CertificateDer<'static>,
    pub(crate) signing_request: Vec<u8>,
    signature: Vec<u8>,
}

impl RenewalRequest {
    fn sign(credentials: &Credentials, signing_request: Vec<u8>) -> Result<Self, CredentialsError> {
        let certificate = credentials.chain[0].clone();
        let signature = credentials.key.sign(&signed_octets(&certificate, &signing_request))?;
        Ok(Self { certificate, signing_request, signature })
    }

    /// The request as octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = vec![RENEWAL_VERSION];
        put_parts(&mut octets, &self.certificate, &self.signing_request);
        octets.extend_from_slice(&self.signature);
        octets
    }

    /// Reads a request. Nothing in it is checked yet.
    pub fn decode(octets: &[u8]) -> Result<Self, CredentialsError> {
        let (&version, rest) = octets.split_first().ok_or(CredentialsError::Malformed)?;
        if version != RENEWAL_VERSION {
            return Err(CredentialsError::Malformed);
        }
        let (certificate, rest) = take_part(rest).ok_or(CredentialsError::Malformed)?;
        let (signing_request, signature) = take_part(rest).ok_or(CredentialsError::Malformed)?;
        Ok(Self {
            certificate: CertificateDer::from(certificate.to_vec()),
            signing_request: signing_request.to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// Checks that the old certificate is of this authority, may have expired, and that its key signed the request. Gives whose it
    /// is.
    pub(crate) fn verify(&self, authority: &CertificateDer<'static>, now_s: u64) -> Result<Identity, CredentialsError> {
        let identity =
            tls::verify_holder(&self.certificate, authority, now_s).map_err(|_| CredentialsError::Foreign)?;
        let public = tls::public_key(&self.certificate).ok_or(CredentialsError::Malformed)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public)
            .verify(&signed_octets(&self.certificate, &self.signing_request), &self.signature)
            .map_err(|_| CredentialsError::Signature)?;
        Ok(identity)
    }
}

fn signed_octets(certificate: &[u8], signing_request: &[u8]) -> Vec<u8> {
    let mut octets = RENEWAL_CONTEXT.to_vec();
    put_parts(&mut octets, certificate, signing_request);
    octets
}

fn put_parts(octets: &mut Vec<u8>, certificate: &[u8], signing_request: &[u8]) {
    for part in [certificate, signing_request] {
        let len =
            u16::try_from(part.len()).expect("certificates and signing requests of ours have some hundred octets");
        octets.extend_from_slice(&len.to_be_bytes());
        octets.extend_from_slice(part);
    }
}

fn take_part(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}
