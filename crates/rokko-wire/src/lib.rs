//! Names, messages and EDNS in wire form: parsed from and composed into a caller's buffer.
//!
//! Pure: no socket, file, clock, randomness, thread or async runtime.

pub mod code;
pub mod compose;
pub mod edns;
pub mod key;
pub mod name;
pub mod query;
pub mod response;
pub mod rtype;

pub use code::{Ede, Opcode, Rcode};
pub use key::KeyBuf;
pub use name::{Name, NameError};
pub use rtype::Rtype;
