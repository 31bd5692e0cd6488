//! The HTTP server: listeners, TLS, limits, and a stop that finishes what it has.

mod accept;
mod gate;
mod guard;
mod settle;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use crate::problem::Problem;
use crate::state::ApiState;
use crate::tls::{Certificate, CertificateError, TlsSource};

/// Where the API listens, and what is too much.
#[derive(Clone, Debug, Default)]
pub struct ApiConfig {
    /// The listeners.
    pub listen: Vec<Listen>,
    /// What is too much.
    pub limits: Limits,
}

/// One listener.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// The certificate; only an address of the machine itself may go without.
    pub tls: Option<TlsSource>,
}

/// What is too much for the API.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; further ones are closed at once.
    pub connections_max: usize,
    /// Open connections of one client address; further ones are closed at once.
    pub connections_per_client_max: usize,
    /// Requests being worked on; further ones get 503.
    pub requests_max: usize,
    /// How long a client may take for a TLS handshake, and for the head of a request; also how long a connection may
    /// be idle between two.
    pub header_timeout: Duration,
    /// How long a request may take until its response begins. Backups are exempt.
    pub request_timeout: Duration,
    /// How long a client may go without taking any of a response.
    pub stall_timeout: Duration,
    /// How long requests in flight may take to finish when the server stops.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            connections_per_client_max: 1024,
            requests_max: 1024,
            header_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(120),
            stall_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(30),
        }
    }
}

/// Why the API can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Keys would go over the network in the clear.
    #[error(
        "the API does not listen on {0} without TLS, since keys would cross the network in the clear: give it a certificate, let it make a self-signed one, or listen on 127.0.0.1 or ::1"
    )]
    PlainBeyondLoopback(SocketAddr),
    /// The address can't be listened on.
    #[error("the API can't listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no certificate to serve with.
    #[error("the API has no certificate for {address}")]
    Certificate {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: CertificateError,
    },
}

/// Listeners that are bound, and not served yet.
pub struct Bound {
    listeners: Vec<BoundListener>,
    limits: Limits,
}

/// A listener that is bound.
pub struct BoundListener {
    listener: TcpListener,
    /// Where it listens, with the port that it got.
    pub address: SocketAddr,
    /// Its certificate; `None`: plain HTTP.
    pub certificate: Option<Arc<Certificate>>,
}

impl BoundListener {
    /// The URL under which clients find it.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

/// Binds all listeners. None is served before [`Bound::serve`].
pub async fn bind(config: ApiConfig) -> Result<Bound, ApiError> {
    let refused = config.listen.iter().find(|listen| listen.tls.is_none() && !listen.address.ip().is_loopback());
    if let Some(listen) = refused {
        return Err(ApiError::PlainBeyondLoopback(listen.address));
    }
    let mut listeners = Vec::with_capacity(config.listen.len());
    for Listen { address, tls } in config.listen {
        let certificate = tls.map(|source| Certificate::open(source).map(Arc::new)).transpose();
        let certificate = certificate.map_err(|source| ApiError::Certificate { address, source })?;
        let failed = |source| ApiError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        listeners.push(BoundListener { listener, address, certificate });
    }
    Ok(Bound { listeners, limits: config.limits })
}

/// Binds and serves until `shutdown` is done and requests in flight are finished.
pub async fn serve(config: ApiConfig, state: ApiState, shutdown: impl Future<Output = ()>) -> Result<(), ApiError> {
    bind(config).await?.serve(state, shutdown).await;
    Ok(())
}

impl Bound {
    /// The listeners, in the order of the configuration.
    pub fn listeners(&self) -> &[BoundListener] {
        &self.listeners
    }

    /// Serves until `shutdown` is done; then takes no new connections and finishes the requests in flight, for no
    /// longer than [`Limits::stop_timeout`].
    pub async fn serve(self, state: ApiState, shutdown: impl Future<Output = ()>) {
        let router = router(state.clone(), &self.limits);
        let graceful = Arc::new(GracefulShutdown::new());
        let acceptor = Arc::new(accept::Acceptor::new(router, state, self.limits, graceful.clone()));
        let (stop, stopping) = tokio::sync::watch::channel(());
        let mut tasks = Vec::new();
        for listener in self.listeners {
            tasks.push(tokio::spawn(acceptor.clone().accept(listener, stopping.clone())));
        }
        drop((acceptor, stopping));
        shutdown.await;
        let _ = stop.send(());
        for task in tasks {
            // An accept loop has nothing to return.
            let _ = task.await;
        }
        // The tasks of connections hold watchers only, so this is the last owner now.
        let Some(graceful) = Arc::into_inner(graceful) else { return };
        if tokio::time::timeout(self.limits.stop_timeout, graceful.shutdown()).await.is_err() {
            tracing::warn!("some API requests were cut off, since they did not finish in time");
        }
    }
}

pub(crate) use settle::note;

/// All routes with their limits and metrics.
pub fn router(state: ApiState, limits: &Limits) -> Router {
    let gate = gate::Gate::new(state.clone(), limits);
    Router::new()
        .merge(crate::v1::router())
        .merge(crate::pdns::router(state.clone()))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(axum::middleware::from_fn_with_state(state.clone(), settle::settle))
        .layer(axum::middleware::from_fn_with_state(gate, gate::pass))
        .with_state(state)
}

async fn no_route(uri: axum::http::Uri) -> Problem {
    let detail =
        format!("there is nothing at {}: the native API is under /v1, that of PowerDNS under /api", uri.path());
    Problem::not_found("no-route", detail)
}

async fn no_method(method: axum::http::Method, uri: axum::http::Uri) -> Problem {
    let status = axum::http::StatusCode::METHOD_NOT_ALLOWED;
    let detail = format!("{} has no method {method}: the header Allow lists those that it has", uri.path());
    Problem::new(status, "no-method", detail)
}
