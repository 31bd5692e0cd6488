//! Why something could not be done with a key.

use rokko_dnssec::Algorithm;

use crate::{MasterKeyId, TokenError};

/// Why something could not be done with a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The operating system gives no random octets.
    #[error("the system has no randomness")]
    Random(#[from] getrandom::Error),
    /// The key is wrapped with another master key.
    #[error("the key is wrapped with the master key {needed}, and the master key here is {here}")]
    WrongMasterKey {
        /// The master key that wrapped it.
        needed: MasterKeyId,
        /// The one that is there.
        here: MasterKeyId,
    },
    /// Wrapped octets have a form that is newer than this program.
    #[error("the key is wrapped in form {0}, which this program does not know: use a newer program")]
    Version(u8),
    /// Wrapped octets were changed, or belong to another key or zone.
    #[error("the wrapped key is damaged, or belongs to another key or zone")]
    Damaged,
    /// Private and public key do not belong together, or the private key is not valid.
    #[error("the private key is not valid for its public key ({0})")]
    Mismatch(Algorithm),
    /// An RSA key has a size that is not supported.
    #[error("an RSA key of {0} bits is not supported: use 2048, 3072 or 4096")]
    RsaSize(usize),
    /// A private key cannot be had in the clear, because a token keeps it.
    #[error("a token keeps the key and does not give it away")]
    InToken,
    /// The token that keeps the key, or is to make one, failed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A key is to be made in a token, and none is configured.
    #[error("no token is configured, in which the key could be made")]
    NoToken,
    /// The key cannot sign.
    #[error("signing failed")]
    Sign,
    /// A signer that was not given.
    #[error("there is no signer {0}")]
    NoSigner(usize),
}
