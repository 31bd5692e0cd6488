//! DNSSEC: signing, denial of existence, validation, zone digests and the life of keys.
//!
//! Pure: no socket, file, clock, randomness, thread or async runtime. Private keys are elsewhere: what is to be signed goes
//! out as octets and comes back as signatures.

pub mod algorithm;
pub mod conform;
mod hash;
pub mod life;
pub mod plan;
pub mod record;
mod topology;
pub mod verify;
pub mod zonemd;

pub use algorithm::{Algorithm, DigestType, PublicKey, key_tag};
pub use conform::{ConformError, Conformed, Cursor, Walk, conform_range, conform_touched};
pub use plan::{NoSigner, OptOut, Plan, Sign, SignError, Signer, Timing, ToSign, Wanted};
pub use record::NSEC3PARAM_RDATA;
