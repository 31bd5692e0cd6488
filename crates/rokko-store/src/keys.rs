//! Signing keys as a store keeps them, and the record of their movements.
//!
//! A store never sees private octets: what it keeps of a key is wrapped by whoever puts it there.

use std::fmt;
use std::str::FromStr;

use rokko_model::UnixMillis;
use rokko_wire::Name;

use crate::StoreError;

/// Names a signing key: 16 octets that are chosen at random. Written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SigningKeyId(pub [u8; 16]);

impl fmt::Display for SigningKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for SigningKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeyId({self})")
    }
}

impl FromStr for SigningKeyId {
    type Err = SigningKeyIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let octets: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        let octets = octets.filter(|_| rest.is_empty()).and_then(|octets| octets.try_into().ok());
        octets.map(Self).ok_or(SigningKeyIdError)
    }
}

/// A text is not the id of a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of a signing key: one has 32 hexadecimal digits")]
pub struct SigningKeyIdError;

/// A signing key of a zone.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its id.
    pub id: SigningKeyId,
    /// The zone that it signs, whether it exists or not.
    pub zone: Name,
    /// When it was made, or came here.
    pub made_at: UnixMillis,
    /// The data of its DNSKEY record (RFC 4034, section 2.1).
    pub public: Vec<u8>,
    /// Its private part under the master key, or where a token has it. Opaque to the store.
    pub wrapped: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, zone, made_at, .. } = self;
        f.debug_struct("SigningKey")
            .field("id", id)
            .field("zone", zone)
            .field("made_at", made_at)
            .finish_non_exhaustive()
    }
}

/// What was done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAction {
    /// It was made here.
    Generate,
    /// It came in, in BIND's format.
    Import,
    /// It went out, in BIND's format.
    Export,
    /// It went out, sealed for a recipient.
    Seal,
    /// It came in from a seal.
    Open,
    /// It went out in shares.
    Split,
    /// It came in from shares.
    Combine,
    /// It was wrapped under another master key.
    Rewrap,
    /// It was deleted.
    Delete,
}

impl KeyAction {
    const ALL: [Self; 9] = [
        Self::Generate,
        Self::Import,
        Self::Export,
        Self::Seal,
        Self::Open,
        Self::Split,
        Self::Combine,
        Self::Rewrap,
        Self::Delete,
    ];

    /// Its name in the store and in listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Import => "import",
            Self::Export => "export",
            Self::Seal => "seal",
            Self::Open => "open",
            Self::Split => "split",
            Self::Combine => "combine",
            Self::Rewrap => "rewrap",
            Self::Delete => "delete",
        }
    }

    /// The action of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

/// One movement of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAudit {
    /// When.
    pub at: UnixMillis,
    /// Who, as in the log.
    pub actor: String,
    /// What was done.
    pub action: KeyAction,
    /// The key's zone; `None` where it was about the master key.
    pub zone: Option<Name>,
    /// The key; `None` where it was about the master key.
    pub key: Option<SigningKeyId>,
    /// Where it went or came from: a recipient of a seal, a file, a set of shares. Empty if it stayed.
    pub recipient: String,
}

/// What happens to keys at once.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// Keys that are added, or take the place of those with the same id.
    pub put: Vec<SigningKey>,
    /// Keys that go for good. One that is not there is no error.
    pub delete: Vec<SigningKeyId>,
    /// What is to be remembered of it, in this order.
    pub audit: Vec<KeyAudit>,
}

/// Keeps signing keys beside the log. All calls block until they are done.
pub trait KeyStore: Send + Sync {
    /// Carries out all of a change or nothing. Durable on return, so that a commit that uses a new key can follow.
    ///
    /// The octets of a key that goes, or that another takes the place of, are overwritten as far as the store's medium lets them.
    fn change_signing_keys(&self, change: &KeyChange) -> Result<(), StoreError>;

    /// One key.
    fn signing_key(&self, id: &SigningKeyId) -> Result<Option<SigningKey>, StoreError>;

    /// All keys of a zone by their ids.
    fn signing_keys_of(&self, zone: &Name) -> Result<Vec<SigningKey>, StoreError>;

    /// Up to `limit` keys of all zones after an id, by their ids.
    fn signing_keys(&self, after: Option<&SigningKeyId>, limit: usize) -> Result<Vec<SigningKey>, StoreError>;

    /// Up to `limit` movements behind the first `skip`, oldest first. Nothing takes one away again.
    fn key_audit(&self, skip: u64, limit: usize) -> Result<Vec<KeyAudit>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal() {
        let id = SigningKeyId(*b"\x00\x01\x0f\x10\xffabcdefghijk");
        assert_eq!(id.to_string(), "00010f10ff6162636465666768696a6b");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for bad in [
            "",
            "00",
            "00010f10ff6162636465666768696a6",
            "00010f10ff6162636465666768696a6b00",
            "+0010f10ff6162636465666768696a6b",
        ] {
            assert_eq!(bad.parse::<SigningKeyId>(), Err(SigningKeyIdError), "{bad}");
        }
    }

    #[test]
    fn actions_have_names() {
        for action in KeyAction::ALL {
            assert_eq!(KeyAction::from_name(action.as_str()), Some(action));
        }
        assert_eq!(KeyAction::from_name("Seal"), None);
    }
}
