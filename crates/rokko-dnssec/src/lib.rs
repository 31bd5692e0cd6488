//! DNSSEC: signing, denial of existence, validation, zone digests and the life of keys.
//!
//! Pure: no socket, file, clock, randomness, thread or async runtime. Private keys are elsewhere: what is to be signed goes
//! out as octets and comes back as signatures.

pub mod algorithm;

pub use algorithm::{Algorithm, DigestType, PublicKey, key_tag};
