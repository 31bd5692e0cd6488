//! The parts of a node, put together.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rokko_answer::RateTable;
use rokko_control::{Control, Options};
use rokko_mirror::{Durability, Mirror};
use rokko_store::{SqliteStore, Store};
use tokio::runtime::Runtime;

use super::api::ApiServer;
use super::banner::Started;
use super::dns::DnsShared;
use super::fleet::FeedServer;
use super::keep::{self, Compactor};
use super::secrets::Secrets;
use super::signals::Running;
use super::{admin, chain, demo, metrics, signing, unix_s};
use crate::config::Config;
use crate::failure::Failure;

/// The store's file in the data folder.
pub(crate) const STORE_FILE: &str = "rokko.db";

/// A running node.
pub(crate) struct Node {
    config: Config,
    store: Arc<dyn Store>,
    secrets: Secrets,
    dns: Arc<DnsShared>,
    net: rokko_net::Server,
    api: ApiServer,
    feed: Option<FeedServer>,
    control: Control,
    mirror: Arc<Mirror>,
    compactor: Compactor,
}

impl Node {
    /// Starts all parts; what has been started is stopped again if a later part fails.
    pub(crate) fn start(config: Config, demo: bool, runtime: &Runtime) -> Result<(Self, Started), Failure> {
        let start = Instant::now();
        let config = Config { net: usable_addresses(&config), ..config };
        let store = open_store(&config.data_dir)?;
        // The store has all that the mirror has.
        let (mirror, _) = keep::open(&config.data_dir, Durability::Lazy)?;
        let control = open_control(Arc::clone(&store), Arc::clone(&mirror), &config, &config.data_dir)?;
        let compactor = Compactor::start(Arc::clone(&mirror))?;
        let key = admin::ensure(&control, &config.data_dir)?;
        if demo {
            demo::make(&control)?;
        }
        let zones = control.zone_count().map_err(|error| Failure::failed(chain(&error)))?;
        let took = start.elapsed();
        let secrets = Secrets::load(&*store, unix_s())?;
        let rates = match config.rate_entries {
            Some(entries) => Some(RateTable::new(entries, [random_seed()?, random_seed()?])),
            None => None,
        };
        let dns = Arc::new(DnsShared::new(Arc::clone(mirror.catalog()), config.answer.clone(), secrets.secrets, rates));
        let net = rokko_net::Server::start(config.net.clone(), |thread| dns.handler(thread))
            .map_err(|error| Failure::failed(chain(&error)))?;
        let (answers, counters) = (Arc::clone(&dns), net.counters());
        let extra = Arc::new(move |out: &mut String| {
            metrics::write(&answers.counters(), answers.shed_prefixes(), &counters.values(), out);
        });
        let (feed, door) = if config.fleet_listen.is_empty() {
            (None, None)
        } else {
            let (feed, door) = FeedServer::control(&config, &control, compactor.wanted(), runtime)?;
            (Some(feed), Some(door))
        };
        let api = ApiServer::start(control.clone(), &config, extra, door, runtime)?;
        let started = Started {
            data_dir: config.data_dir.clone(),
            zones,
            took,
            dns: net.local_addrs().to_vec(),
            xdp: net.xdp().to_vec(),
            api: api.urls(),
            fleet: feed.as_ref().map_or_else(Vec::new, |feed| feed.addresses().to_vec()),
            has_demo: demo::exists(&control),
            fingerprint: api.fingerprint(),
            key,
        };
        Ok((Self { config, store, secrets, dns, net, api, feed, control, mirror, compactor }, started))
    }

    /// Finishes what is under way, then ends.
    pub(crate) fn stop(self, runtime: &Runtime) {
        let grace = Duration::from_secs(self.config.stop_grace_s);
        self.api.stop(runtime);
        self.net.stop(grace);
        if let Some(feed) = self.feed {
            feed.stop(runtime);
        }
        self.control.stop();
        self.compactor.stop();
        if let Err(error) = self.mirror.sync() {
            tracing::warn!(
                "the mirror could not be written to the disk; the next start mends it from the store: {error}"
            );
        }
    }
}

impl Running for Node {
    /// Takes over what can change while the node runs, and says what needs a restart.
    fn reload(&mut self, config: Config) {
        let config = Config { net: usable_addresses(&config), ..config };
        self.dns.set_settings(config.answer.clone());
        if let Err(failure) = self.api.reload_certificates() {
            tracing::error!("the API goes on with the certificate that it has: {}", failure.message());
        }
        let restart = needs_restart(&self.config, &config);
        if !restart.is_empty() {
            tracing::warn!("restart the node to make these settings work: {}", restart.join(", "));
        }
        // What needs a restart stays as it is, so that the next reload warns of it again.
        self.config.answer = config.answer;
        self.config.cookie_secret_s = config.cookie_secret_s;
        self.each_minute();
        tracing::info!("the configuration was loaded again");
    }

    /// Replaces the secret for DNS cookies if it has grown old.
    fn each_minute(&mut self) {
        let now_s = unix_s();
        if !self.secrets.is_due(now_s, self.config.cookie_secret_s) {
            return;
        }
        match self.secrets.rotate(&*self.store, now_s) {
            Ok(secrets) => {
                self.secrets = secrets;
                self.dns.set_secrets(secrets.secrets);
                tracing::info!("the secret for DNS cookies was replaced");
            }
            Err(failure) => tracing::warn!("{}", failure.message()),
        }
    }
}

/// Opens the store in a data folder, which is made if it is not there.
pub(crate) fn open_store(data_dir: &Path) -> Result<Arc<dyn Store>, Failure> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(|error| {
        Failure::failed(format!(
            "cannot make the data folder {}: {error}; choose another one with --data-dir",
            data_dir.display()
        ))
    })?;
    let store = SqliteStore::open(&data_dir.join(STORE_FILE));
    let store = store.map_err(|error| {
        Failure::failed(format!("cannot open the store in {}: {}", data_dir.display(), chain(&error)))
    })?;
    Ok(Arc::new(store))
}

/// Starts the control plane over a store and the mirror beside it.
pub(crate) fn open_control(
    store: Arc<dyn Store>,
    mirror: Arc<Mirror>,
    config: &Config,
    data_dir: &Path,
) -> Result<Control, Failure> {
    let options = Options {
        defaults: config.zone_defaults.clone(),
        limits: config.limits,
        dnssec: Some(signing::options(&*store, config, data_dir)?),
        ..Options::default()
    };
    Control::open(store, mirror, options)
        .map_err(|error| Failure::failed(format!("cannot start the control plane: {}", chain(&error))))
}

/// A seed for the catalog's hash, which clients must not know.
pub(crate) fn random_seed() -> Result<u64, Failure> {
    getrandom::u64().map_err(|error| Failure::failed(format!("the system has no randomness: {error}")))
}

/// The network's configuration, without those default addresses that this machine does not have: a machine without
/// IPv6 is no reason to ask a person for a flag.
pub(crate) fn usable_addresses(config: &Config) -> rokko_net::Config {
    let mut net = config.net.clone();
    if config.dns_listen_is_default {
        let missing = |addr: &SocketAddr| {
            let probe = UdpSocket::bind(SocketAddr::new(addr.ip(), 0)).err().map(|error| error.kind());
            probe == Some(io::ErrorKind::AddrNotAvailable) || probe == Some(io::ErrorKind::Unsupported)
        };
        net.listen.retain(|addr| !missing(addr));
    }
    net
}

fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut check = |name, differs: bool| {
        if differs {
            names.push(name);
        }
    };
    check("data_dir", old.data_dir != new.data_dir);
    check("dns.listen", old.net.listen != new.net.listen);
    check("dns.xdp", old.net.xdp != new.net.xdp);
    let threads_and_limits = |config: &Config| rokko_net::Config {
        listen: Vec::new(),
        xdp: rokko_net::xdp::XdpConfig::default(),
        ..config.net.clone()
    };
    check("dns threads, buffers and TCP limits", threads_and_limits(old) != threads_and_limits(new));
    check("dns.rate.enabled and dns.rate.entries", old.rate_entries != new.rate_entries);
    check("api.listen", old.api_listen != new.api_listen);
    check("api.tls_certificate", old.tls != new.tls);
    check("dns.stop_grace_s", old.stop_grace_s != new.stop_grace_s);
    check("api.tls_names", old.tls_names != new.tls_names);
    check("zones", old.zone_defaults != new.zone_defaults);
    check("limits", old.limits != new.limits);
    check("dnssec", old.dnssec != new.dnssec);
    check("fleet.listen", old.fleet_listen != new.fleet_listen);
    check("log.format", old.log_format != new.log_format);
    names
}
