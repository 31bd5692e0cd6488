//! HTTP: the PowerDNS-compatible API under `/api` and the native one under `/v1`.
//!
//! Handlers turn JSON into requests of the control plane and its answers into JSON; there are no rules in here.

pub mod auth;
pub mod body;
pub mod metrics;
pub mod pdns;
pub mod problem;
pub mod rrset;
pub mod serve;
pub mod state;
pub mod stream;
pub mod task;
pub mod timestamp;
pub mod tls;
pub mod v1;

pub use problem::Problem;
pub use serve::{ApiConfig, ApiError, Bound, Limits, Listen, bind, serve};
pub use state::ApiState;
pub use tls::{Certificate, TlsSource};
