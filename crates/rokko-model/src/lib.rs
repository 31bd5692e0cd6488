//! What the control plane speaks of: actors, keys, scopes, change requests and zone metadata.
//!
//! Pure: no socket, file, clock, randomness, thread or async runtime.

pub mod key;
pub mod meta;
pub mod request;
pub mod soa;

pub use key::{ApiKey, KeyId, Permission, Refusal, Scope, ZonePattern};
pub use meta::{Annotation, Comment, DisabledRecord, Dnssec, SoaEdit, ZoneKind, ZoneMeta};
pub use request::{Actor, ChangeKind, Expect, Request, SignStep, Signing, UnixMillis};
