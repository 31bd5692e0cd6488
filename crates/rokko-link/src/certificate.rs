//! What stands in a certificate of the fleet.

use std::fmt;

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::name::NodeName;

/// The scheme of the URI that carries role and name as a subject alternative name: `rokko-fleet:ROLE/NAME`.
const SCHEME: &str = "rokko-fleet:";

/// What a certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A point of presence: takes the feed and serves it to nobody.
    Pop,
    /// A point of presence that also serves the feed to others.
    Relay,
    /// The control node: serves the feed and lets nodes join.
    Control,
}

impl Role {
    /// Whether it may serve the feed.
    pub fn serves(self) -> bool {
        matches!(self, Role::Relay | Role::Control)
    }

    /// Whether it may take the feed.
    pub fn follows(self) -> bool {
        matches!(self, Role::Pop | Role::Relay)
    }

    /// The role as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Pop => "pop",
            Role::Relay => "relay",
            Role::Control => "control",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The SHA-256 digest of a certificate in DER, or of a public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The digest of some octets.
    pub fn of(octets: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, octets);
        let mut value = [0; 32];
        value.copy_from_slice(digest.as_ref());
        Self(value)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Whose a certificate is, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node.
    pub name: NodeName,
    /// What it may do.
    pub role: Role,
    /// The certificate's digest, by which it is revoked.
    pub fingerprint: Fingerprint,
    /// From when it is valid, in seconds since 1970.
    pub not_before_s: u64,
    /// Until when it is valid, in seconds since 1970.
    pub not_after_s: u64,
}

/// Why a certificate is not one of the fleet's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// It can't be read.
    #[error("the certificate is malformed")]
    Malformed,
    /// It does not say whose it is.
    #[error("the certificate names no role and node of a fleet")]
    Unnamed,
}

impl Identity {
    /// Reads a certificate. Who issued it is not checked here.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, CertificateProblem> {
        let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateProblem::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateProblem::Malformed);
        }
        let names = parsed.subject_alternative_name().map_err(|_| CertificateProblem::Malformed)?;
        let names = names.ok_or(CertificateProblem::Unnamed)?;
        let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
            return Err(CertificateProblem::Unnamed);
        };
        let (role, name) = parse_uri(uri).ok_or(CertificateProblem::Unnamed)?;
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        Ok(Self {
            name,
            role,
            fingerprint: Fingerprint::of(certificate),
            not_before_s: seconds(parsed.validity().not_before),
            not_after_s: seconds(parsed.validity().not_after),
        })
    }

    /// Whether its time is over.
    pub fn expired(&self, now_s: u64) -> bool {
        now_s > self.not_after_s
    }

    /// When its holder should ask for a new one: after a third of its time, so that two thirds are left to reach someone who
    /// signs.
    pub fn renew_at_s(&self) -> u64 {
        self.not_before_s + self.not_after_s.saturating_sub(self.not_before_s) / 3
    }
}

/// The subject alternative name of a node's certificate.
pub(crate) fn uri(role: Role, name: &NodeName) -> String {
    format!("{SCHEME}{role}/{name}")
}

fn parse_uri(uri: &str) -> Option<(Role, NodeName)> {
    let (role, name) = uri.strip_prefix(SCHEME)?.split_once('/')?;
    let role = [Role::Pop, Role::Relay, Role::Control].into_iter().find(|candidate| candidate.as_str() == role)?;
    Some((role, name.parse().ok()?))
}

/// The public key of a certificate or of a signing request, as its digest: what a join is tied to.
pub(crate) fn key_fingerprint(subject_public_key: &[u8]) -> Fingerprint {
    Fingerprint::of(subject_public_key)
}
