//! The parts of a PoP, put together.

use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rokko_answer::{CookieSecrets, RateTable, Service, Settings};
use rokko_mirror::{Durability, Mirror};
use tokio::runtime::Runtime;

use super::Started;
use super::feed::Feed;
use super::state::{Isolation, State, unix_ms};
use super::status::{self, Sources};
use crate::config::Config;
use crate::failure::Failure;
use crate::up::chain;
use crate::up::dns::DnsShared;
use crate::up::keep::{self, Compactor};
use crate::up::node::{random_seed, usable_addresses};
use crate::up::signals::Running;

/// How often it is looked at what the PoP may answer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A running PoP.
pub(crate) struct PopNode {
    config: Config,
    mirror: Arc<Mirror>,
    state: Arc<State>,
    settings: Arc<std::sync::Mutex<Settings>>,
    dns: Arc<DnsShared>,
    net: rokko_net::Server,
    feed: Feed,
    compactor: Compactor,
    watch: tokio::task::JoinHandle<()>,
}

impl PopNode {
    /// Starts all parts. Answers come from the copy on the disk at once; where there is none yet, they are SERVFAIL until the
    /// feed has brought one.
    pub(super) fn start(config: Config, token: Option<&str>, runtime: &Runtime) -> Result<(Self, Started), Failure> {
        let start = Instant::now();
        let config = Config { net: usable_addresses(&config), ..config };
        let pop = &config.pop;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&pop.data_dir).map_err(|error| {
            let folder = pop.data_dir.display();
            Failure::failed(format!(
                "cannot make the data folder {folder}: {error}; choose another one with --data-dir"
            ))
        })?;
        let (mirror, report) = keep::open(&pop.data_dir, Durability::Synced)?;
        let took_ms = start.elapsed().as_millis();
        let damages = report.damages.list.len() as u64 + report.damages.more;
        let state = Arc::new(State::load(&pop.data_dir, pop.isolation));
        if mirror.revision().0 < state.had() {
            let (folder, ends) = (pop.data_dir.display(), mirror.revision());
            let had = state.had();
            tracing::error!(
                "the mirror in {folder} is damaged: it ends at revision {ends}, and there was revision {had}"
            );
        }
        let credentials = super::feed::credentials(&config, token, &state, &mirror, runtime)?;
        let compactor = Compactor::start(Arc::clone(&mirror))?;
        let settings = Arc::new(std::sync::Mutex::new(config.answer.clone()));
        let rates = match config.rate_entries {
            Some(entries) => Some(RateTable::new(entries, [random_seed()?, random_seed()?])),
            None => None,
        };
        let first = Settings { service: service(&mirror, &state), ..config.answer.clone() };
        let secrets = CookieSecrets { current: secret()?, previous: None };
        let dns = Arc::new(DnsShared::new(Arc::clone(mirror.catalog()), first, secrets, rates));
        let net = rokko_net::Server::start(config.net.clone(), |thread| dns.handler(thread))
            .map_err(|error| Failure::failed(chain(&error)))?;
        let counters = net.counters();
        let sources = Sources {
            mirror: Arc::clone(&mirror),
            state: Arc::clone(&state),
            dns: Arc::clone(&dns),
            counters: Arc::new(move || counters.values()),
        };
        let pages = status::serve(&pop.status_listen, &sources, runtime)?;
        let feed = Feed::start(&config, credentials, &sources, damages, compactor.wanted(), runtime)?;
        let watch = runtime.spawn(watch(Arc::clone(&settings), sources));
        let started = Started {
            name: state.name(),
            zones: report.zones,
            revision: report.revision.0,
            took_ms,
            dns: net.local_addrs().to_vec(),
            status: pages,
            relay: feed.relay_addresses().to_vec(),
        };
        Ok((Self { config, mirror, state, settings, dns, net, feed, compactor, watch }, started))
    }

    /// Finishes what is under way, then ends.
    pub(super) fn stop(self, runtime: &Runtime) {
        self.watch.abort();
        self.feed.stop(runtime);
        self.net.stop(Duration::from_secs(self.config.stop_grace_s));
        self.compactor.stop();
        self.state.keep();
        if let Err(error) = self.mirror.sync() {
            tracing::warn!("the mirror could not be written to the disk: {error}");
        }
    }
}

impl Running for PopNode {
    fn reload(&mut self, config: Config) {
        *lock(&self.settings) = config.answer.clone();
        self.dns.set_settings(Settings { service: service(&self.mirror, &self.state), ..config.answer });
        tracing::info!("the settings for answers were loaded again; all others need a restart");
    }

    fn each_minute(&mut self) {}
}

/// What the PoP can answer for now.
fn service(mirror: &Mirror, state: &State) -> Service {
    let (_, _, expected, digest) = mirror.position();
    if state.isolation(unix_ms()) == Isolation::Servfail {
        Service::Suspended
    } else if mirror.set().is_none() || expected != digest || mirror.revision().0 < state.had() {
        Service::Incomplete
    } else {
        Service::Full
    }
}

/// Keeps what is answered to what the PoP can answer for.
async fn watch(settings: Arc<std::sync::Mutex<Settings>>, sources: Sources) {
    let mut now = service(&sources.mirror, &sources.state);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let next = service(&sources.mirror, &sources.state);
        if next == now {
            continue;
        }
        match next {
            Service::Full => tracing::info!("all zones are answered for"),
            Service::Incomplete => {
                tracing::warn!("zones are missing or differ: names in no zone are answered with SERVFAIL");
            }
            Service::Suspended => tracing::error!(
                "there was no word from the control plane for longer than pop.isolation_limit_s: every answer is SERVFAIL"
            ),
        }
        now = next;
        let settings = lock(&settings).clone();
        sources.dns.set_settings(Settings { service: now, ..settings });
    }
}

fn lock(settings: &std::sync::Mutex<Settings>) -> std::sync::MutexGuard<'_, Settings> {
    settings.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A secret for DNS cookies, which lasts as long as this process.
fn secret() -> Result<[u8; 16], Failure> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|error| Failure::failed(format!("the system has no randomness: {error}")))?;
    Ok(secret)
}
