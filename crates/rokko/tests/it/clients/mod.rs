//! The clients that people have today, unmodified, against the real binary.
//!
//! ```text
//! program   runs them, with nothing of the environment of the tests; python: those that come in a virtual environment
//! octodns, acme                 change zones by the PowerDNS-compatible API
//! dig, dnspython, nsupdate      ask and try to change by DNS;  validate: delv, with a trust anchor
//! kill                          kill -9 under changes from HTTP clients
//! ```

mod acme;
mod dig;
mod dnspython;
mod kill;
mod nsupdate;
mod octodns;
pub(crate) mod pdns;
pub(crate) mod program;
pub(crate) mod python;
mod signed;
pub(crate) mod validate;
