//! The HTTP API as a part of the node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rokko_api::serve::BoundListener;
use rokko_api::state::{ExtraMetrics, FleetLink};
use rokko_api::{ApiConfig, ApiState, Certificate, Limits, Listen, TlsSource};
use rokko_control::Control;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::chain;
use crate::config::Config;
use crate::failure::Failure;

/// The folder for backups in the data folder.
const BACKUPS: &str = "backups";
/// How much longer than its own limit a stop of the API is waited for.
const STOP_SLACK: Duration = Duration::from_secs(1);

/// The running API.
pub(crate) struct ApiServer {
    urls: Vec<String>,
    certificates: Vec<Arc<Certificate>>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    stop_timeout: Duration,
}

impl ApiServer {
    pub(crate) fn start(
        control: Control,
        config: &Config,
        extra: ExtraMetrics,
        fleet: Option<Arc<dyn FleetLink>>,
        runtime: &Runtime,
    ) -> Result<Self, Failure> {
        let stop_timeout = Duration::from_secs(config.stop_grace_s);
        let listen = config.api_listen.iter().map(|&address| {
            let tls = (!address.ip().is_loopback()).then(|| tls_source(config));
            Listen { address, tls }
        });
        let api = ApiConfig { listen: listen.collect(), limits: Limits { stop_timeout, ..Limits::default() } };
        let bound = runtime.block_on(rokko_api::bind(api)).map_err(|error| Failure::failed(chain(&error)))?;
        let urls = bound.listeners().iter().map(BoundListener::url).collect();
        let certificates = bound.listeners().iter().filter_map(|listener| listener.certificate.clone()).collect();
        let mut state = ApiState::new(control, config.data_dir.join(BACKUPS), extra);
        state.fleet = fleet;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = runtime.spawn(bound.serve(state, async {
            // An error says that the sender is gone, which means the same.
            let _ = stopped.await;
        }));
        Ok(Self { urls, certificates, stop, served, stop_timeout })
    }

    /// Where the API is served.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.urls.clone()
    }

    /// SHA-256 of the certificate, if there is one.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        self.certificates.first().map(|certificate| certificate.fingerprint())
    }

    /// Reads the certificates' files again.
    pub(crate) fn reload_certificates(&self) -> Result<(), Failure> {
        for certificate in &self.certificates {
            certificate.reload().map_err(|error| Failure::failed(chain(&error)))?;
        }
        Ok(())
    }

    /// Takes no more connections, finishes the requests under way, and returns.
    pub(crate) fn stop(self, runtime: &Runtime) {
        let Self { stop, served, stop_timeout, .. } = self;
        let _ = stop.send(());
        let ended = runtime.block_on(async { tokio::time::timeout(stop_timeout + STOP_SLACK, served).await });
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the API ended badly"),
            Err(_) => tracing::warn!("the API did not end in time"),
        }
    }
}

/// The configured certificate, else one that the node makes for itself.
fn tls_source(config: &Config) -> TlsSource {
    if let Some(files) = &config.tls {
        return TlsSource::Files { certificate: files.certificate.clone(), key: files.key.clone() };
    }
    let addresses = config.api_listen.iter().map(SocketAddr::ip);
    let addresses = addresses.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
    let names = config.tls_names.iter().cloned().chain(addresses).collect();
    TlsSource::SelfSigned { folder: config.data_dir.clone(), names }
}
