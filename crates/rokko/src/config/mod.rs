//! The configuration file: read, checked, documented.
//!
//! ```text
//! file ──► raw (what stands there, unknown keys refused) ──► Config (checked; flags override) ──► the parts of the node
//! ```

pub(crate) mod command;
mod rate;
mod raw;
mod read;
mod reference;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rokko_answer::Settings;
use rokko_control::{Limits, ZoneDefaults};
use rokko_dnssec::life::DnssecPolicy;
use rokko_keys::MasterKeySource;

pub(crate) use raw::{IsolationAction, LogFormat};
pub(crate) use read::load;

/// Where the data folder is if nothing else is said.
pub(crate) const DEFAULT_DATA_DIR: &str = "rokko-data";
/// Where DNS is served if nothing else is said. Port 5300 needs no privilege.
pub(crate) const DEFAULT_DNS_LISTEN: [&str; 2] = ["127.0.0.1:5300", "[::1]:5300"];
/// Where a PoP's data folder is if nothing else is said.
pub(crate) const DEFAULT_POP_DIR: &str = "rokko-pop";
/// Where a PoP shows how it is if nothing else is said.
pub(crate) const DEFAULT_STATUS_LISTEN: &str = "127.0.0.1:8055";
/// Where the API is served if nothing else is said.
pub(crate) const DEFAULT_API_LISTEN: &str = "127.0.0.1:8053";

/// A checked configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The data folder.
    pub(crate) data_dir: PathBuf,
    /// Where DNS is served, and with which limits.
    pub(crate) net: rokko_net::Config,
    /// Whether the DNS addresses are those of the default, so that one that the machine has not may be left out.
    pub(crate) dns_listen_is_default: bool,
    /// How queries are answered.
    pub(crate) answer: Settings,
    /// For how many client prefixes and kinds of responses the rate limits have room; `None` if there are no limits.
    pub(crate) rate_entries: Option<usize>,
    /// How old the secret for DNS cookies becomes, in seconds.
    pub(crate) cookie_secret_s: u64,
    /// Seconds that a stop waits for what is under way.
    pub(crate) stop_grace_s: u64,
    /// Where the API is served.
    pub(crate) api_listen: Vec<SocketAddr>,
    /// Certificate chain and key in PEM.
    pub(crate) tls: Option<TlsFiles>,
    /// Further names of the certificate that the node makes for itself.
    pub(crate) tls_names: Vec<String>,
    /// What new zones get.
    pub(crate) zone_defaults: ZoneDefaults,
    /// What is too much.
    pub(crate) limits: Limits,
    /// How zones are signed.
    pub(crate) dnssec: DnssecConfig,
    /// Where PoPs are served.
    pub(crate) fleet_listen: Vec<SocketAddr>,
    /// Where PoPs reach this node.
    pub(crate) fleet_addresses: Vec<String>,
    /// This node as a PoP.
    pub(crate) pop: PopConfig,
    /// What is logged, as in `RUST_LOG`.
    pub(crate) log_level: String,
    /// How it is logged.
    pub(crate) log_format: LogFormat,
}

/// How zones are signed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DnssecConfig {
    /// Whether new zones are signed if nothing else is said.
    pub(crate) sign_new_zones: bool,
    /// Where the master key comes from; `None`: a file in the data folder.
    pub(crate) master_key: Option<MasterKeySource>,
    /// A hardware token that keeps keys.
    pub(crate) token: Option<TokenConfig>,
    /// Resolvers that find the servers of parent zones; empty: the system's.
    pub(crate) resolvers: Vec<SocketAddr>,
    /// Servers of parent zones that no resolver is asked for.
    pub(crate) parents: BTreeMap<rokko_wire::Name, Vec<SocketAddr>>,
    /// Policies by name.
    pub(crate) policies: BTreeMap<String, DnssecPolicy>,
}

/// A hardware token that keeps keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TokenConfig {
    /// The library of its maker.
    pub(crate) library: PathBuf,
    /// Its label or serial number.
    pub(crate) name: String,
    /// The file with its user's PIN.
    pub(crate) pin_file: PathBuf,
    /// The most sessions at once.
    pub(crate) sessions_max: usize,
    /// Whether new keys are made in it.
    pub(crate) new_keys: bool,
}

/// A point of presence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PopConfig {
    /// The data folder.
    pub(crate) data_dir: PathBuf,
    /// Where the feed comes from; empty: what the token said.
    pub(crate) from: Vec<String>,
    /// Where `/metrics` and `/healthz` are served.
    pub(crate) status_listen: Vec<SocketAddr>,
    /// Where the feed is served to others.
    pub(crate) relay_listen: Vec<SocketAddr>,
    /// After how long without the control plane something is done, and what.
    pub(crate) isolation: Option<(Duration, IsolationAction)>,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The chain, the node's certificate first.
    pub(crate) certificate: PathBuf,
    /// The private key.
    pub(crate) key: PathBuf,
}
