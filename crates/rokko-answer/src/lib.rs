//! From a catalog and the bytes of a query to the bytes of a response.
//!
//! ```text
//! ahead      the questions of a batch, and where the memory for them is
//! answerer   header, opcode, question, EDNS → which kind of response; flags, OPT, truncation
//!   chaos      version.bind and its like
//!   resolve    RFC 1034 §4.3.2 over the hosted zones: answers, CNAME chains, DNAME, negative answers
//!     locate     where a name stands in one zone: node, cut, DNAME, empty non-terminal, wildcard, nowhere
//!     referral   NS, DS and glue
//!     denial     NSEC and NSEC3 records that prove what is not there
//!   cookie     RFC 7873 and RFC 9018
//!   rate       response rate limiting by client prefix and kind of response
//! ```
//!
//! Pure: no socket, file, clock, randomness, thread or async runtime. No allocation, lock or log per query.

mod ahead;
mod answerer;
mod chaos;
mod cookie;
mod counters;
mod denial;
mod edns;
mod locate;
mod rate;
mod referral;
mod reply;
mod resolve;
mod settings;

pub use answerer::Answerer;
pub use cookie::CookieSecrets;
pub use counters::{Counters, QTYPES_COUNTED, RCODES_COUNTED};
pub use rate::{
    Prefix, RATE_CLASSES, RATE_ENTRIES_MAX, RATE_ENTRIES_MIN, RATE_MAX, RateClass, RateLimits, RateTable, Shed,
};
pub use settings::{AnyPolicy, Client, CookieMode, Service, Settings, Transport};
