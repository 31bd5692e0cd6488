//! Keys that a hardware token keeps (PKCS#11 2.40 and later): made in it, never out of it.
//!
//! ```text
//! session   sessions, logged in again after the token was gone
//! object    keys in the token: made, found, used, deleted
//! ```
//!
//! A key has the octets of its id as `CKA_ID`, on its public and on its private object, and `rokko ZONE ALGORITHM` as label. Private
//! objects are sensitive and not extractable. What the store keeps of one is the token's serial number and that id, wrapped like any
//! other key.

mod object;
mod session;

use std::path::PathBuf;

use zeroize::Zeroizing;

pub(crate) use object::TokenSigner;
pub use session::Token;

/// Where a token is, and how it is opened.
#[derive(Clone)]
pub struct TokenOptions {
    /// The library of the token's maker.
    pub library: PathBuf,
    /// The token's label or serial number.
    pub token: String,
    /// The PIN of its user.
    pub pin: Zeroizing<String>,
    /// The most sessions at once, which sign beside each other; at least 1.
    pub sessions_max: usize,
}

impl std::fmt::Debug for TokenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenOptions({} by {})", self.token, self.library.display())
    }
}

/// Why a token did not do something.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The library cannot be used.
    #[error("the token's library {} cannot be used", path.display())]
    Library {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: Box<cryptoki::error::Error>,
    },
    /// There is no such token, or it was taken away.
    #[error("there is no token `{0}`: it is not plugged in, not reachable or not initialised")]
    Absent(String),
    /// The PIN is wrong or locked.
    #[error("the token `{token}` does not let its user in")]
    Login {
        /// The token.
        token: String,
        /// Why.
        source: Box<cryptoki::error::Error>,
    },
    /// The key is not in the token.
    #[error("the token `{token}` has no key {id}")]
    NoKey {
        /// The token.
        token: String,
        /// The `CKA_ID` in hexadecimal digits.
        id: String,
    },
    /// The key is in another token.
    #[error("the key is in the token with serial number {needed}, and the one here is {here}")]
    OtherToken {
        /// The token's serial number.
        needed: String,
        /// Of the one that is there.
        here: String,
    },
    /// No token is configured.
    #[error("the key is in the token with serial number {0}, and no token is configured")]
    NotConfigured(String),
    /// The token refused.
    #[error("the token `{token}` failed at {doing}")]
    Refused {
        /// The token.
        token: String,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: Box<cryptoki::error::Error>,
    },
    /// The token gave something that is no key.
    #[error("the token `{0}` gave something that is no public key")]
    Malformed(String),
}
