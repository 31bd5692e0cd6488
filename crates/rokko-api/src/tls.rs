//! Certificates of the API: given ones, and one of our own for a first start.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring as provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// How many days a certificate of our own is valid.
const SELF_SIGNED_DAYS: i64 = 3650;

/// Where a listener's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSource {
    /// From PEM files.
    Files {
        /// The certificate and after it those that lead to the root.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// A self-signed one of our own (`api.crt`, `api.key`), made if the folder has none.
    SelfSigned {
        /// Where it is kept.
        folder: PathBuf,
        /// The host names and addresses that a new one is for.
        names: Vec<String>,
    },
}

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file can't be read or written.
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
    /// A file is not what it should be.
    #[error("{} holds no usable {expected} in PEM form", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was expected in it.
        expected: &'static str,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No certificate could be made.
    #[error("no certificate could be made")]
    Make(#[from] rcgen::Error),
}

/// A certificate that connections are served with. It can be read anew while they go on.
#[derive(Debug)]
pub struct Certificate {
    source: TlsSource,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads the certificate, or makes it.
    pub fn open(source: TlsSource) -> Result<Self, CertificateError> {
        let current = ArcSwap::from_pointee(load(&source)?);
        Ok(Self { source, current })
    }

    /// Reads the files anew; new connections get what is in them. After an error the old certificate stays.
    pub fn reload(&self) -> Result<(), CertificateError> {
        self.current.store(Arc::new(load(&self.source)?));
        Ok(())
    }

    /// The SHA-256 fingerprint of the certificate now in use: pairs of hexadecimal digits with colons between.
    pub fn fingerprint(&self) -> String {
        let current = self.current.load();
        let der = current.cert.first().map_or(&[][..], |certificate| certificate.as_ref());
        let digest = ring::digest::digest(&ring::digest::SHA256, der);
        let pairs: Vec<String> = digest.as_ref().iter().map(|octet| format!("{octet:02X}")).collect();
        pairs.join(":")
    }

    /// What a TLS acceptor needs.
    pub(crate) fn server_config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let versions = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for TLS 1.2 and 1.3");
        let mut config = versions.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn load(source: &TlsSource) -> Result<CertifiedKey, CertificateError> {
    match source {
        TlsSource::Files { certificate, key } => load_files(certificate, key),
        TlsSource::SelfSigned { folder, names } => {
            let (certificate, key) = (folder.join("api.crt"), folder.join("api.key"));
            if !certificate.exists() || !key.exists() {
                make(&certificate, &key, names)?;
            }
            load_files(&certificate, &key)
        }
    }
}

fn load_files(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let bad = |path: &Path, expected, source: Box<dyn std::error::Error + Send + Sync>| CertificateError::Content {
        path: path.to_owned(),
        expected,
        source,
    };
    let bad_certificate = |source| bad(certificate, "certificate", source);
    let text = read(certificate)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| bad_certificate(Box::new(error)))?;
    if chain.is_empty() {
        return Err(bad_certificate("there is no certificate in it".into()));
    }
    let private =
        PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| bad(key, "private key", Box::new(error)))?;
    CertifiedKey::from_der(chain, private, &provider::default_provider())
        .map_err(|error| bad(key, "private key of that certificate", Box::new(error)))
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::File { path: path.to_owned(), doing: "read", source })
}

/// Makes a key that only its owner can read, and a certificate.
fn make(certificate: &Path, key: &Path, names: &[String]) -> Result<(), CertificateError> {
    let mut wanted = vec!["localhost".to_owned()];
    wanted.extend(names.iter().cloned());
    let mut params = rcgen::CertificateParams::new(wanted)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "Rokko API");
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::days(1);
    params.not_after = now + time::Duration::days(SELF_SIGNED_DAYS);
    let pair = rcgen::KeyPair::generate()?;
    let made = params.self_signed(&pair)?;
    write(key, &pair.serialize_pem(), 0o600)?;
    write(certificate, &made.pem(), 0o644)
}

/// Writes a file under another name first, so that a crash leaves either nothing or the whole file.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertificateError> {
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |source| CertificateError::File { path: path.to_owned(), doing: "written", source };
    let partial = path.with_extension("partial");
    // A file left over from a crash may have been made with other rights.
    if partial.exists() {
        fs::remove_file(&partial).map_err(failed)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&partial, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_certificate_of_our_own_is_made_once_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let source = TlsSource::SelfSigned { folder: folder.path().to_owned(), names: vec!["192.0.2.1".to_owned()] };
        let first = Certificate::open(source.clone()).unwrap();
        assert_eq!(first.fingerprint().len(), 95);
        let again = Certificate::open(source).unwrap();
        assert_eq!(first.fingerprint(), again.fingerprint());
        let mode = fs::metadata(folder.path().join("api.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_file(folder.path().join("api.crt")).unwrap();
        first.reload().unwrap();
        assert_ne!(first.fingerprint(), again.fingerprint());
    }

    #[test]
    fn a_reload_that_fails_keeps_what_there_was() {
        let folder = tempfile::tempdir().unwrap();
        let source = TlsSource::SelfSigned { folder: folder.path().to_owned(), names: Vec::new() };
        let certificate = Certificate::open(source).unwrap();
        let before = certificate.fingerprint();
        fs::write(folder.path().join("api.crt"), "nothing").unwrap();
        let error = certificate.reload().unwrap_err().to_string();
        assert!(error.ends_with("api.crt holds no usable certificate in PEM form"), "{error}");
        assert_eq!(certificate.fingerprint(), before);
    }
}
