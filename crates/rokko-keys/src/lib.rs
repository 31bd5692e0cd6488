//! Private signing keys: made, kept under a master key, used, moved.
//!
//! ```text
//! master    the key that wraps all others, and where it comes from
//! wrap      a private key as it is stored
//! private   a private key in memory, for as long as it is needed
//! software  signing with a key in this process
//! bind      keys in BIND's format
//! seal      keys for another site, encrypted for recipients;  shares: the master key for offline backup
//! token     keys that hardware keeps (PKCS#11)
//! keyring   makes, opens and remembers keys; signs with many threads
//! ```
//!
//! Private octets leave this crate wrapped, sealed, or because somebody exported them. None of its types shows them in
//! `Debug`, and what held them is overwritten before its memory is given back (`docs/decisions/0009-key-storage.md` says where
//! that ends).

mod bind;
mod error;
mod file;
mod keyring;
mod master;
mod pkcs8;
mod private;
mod random;
mod rsa;
mod seal;
mod shares;
mod software;
mod token;
mod wrap;

pub use bind::{BIND_FILE_MAX, BindError, BindKey, BindTimes};
pub use error::KeyError;
pub use file::{read_secret, write_secret};
pub use keyring::{KeyRing, KeyRingOptions, KeySpec, NewKey, Signers, StoredKey};
pub use master::{MasterKey, MasterKeyError, MasterKeyId, MasterKeySource};
pub use private::{KeyId, PrivateKey};
pub use seal::{Identity, MovedKey, RECIPIENTS_MAX, Recipient, SealError, Sealer, open_seal};
pub use shares::{Share, ShareError, combine, split};
pub use token::{Token, TokenError, TokenOptions};
pub use wrap::master_key_id_of;
