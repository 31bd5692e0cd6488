//! Takes connections and serves HTTP/1.1 and HTTP/2 on them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::guard::Guarded;
use super::{BoundListener, Limits};
use crate::auth::Peer;
use crate::state::ApiState;

/// How many requests one HTTP/2 connection may have open at once.
const STREAMS_MAX: u32 = 128;
/// How often an HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// The pause after the system refused a connection, as when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The largest head of a request in octets.
const HEAD_MAX: usize = 64 << 10;

pub(super) struct Acceptor {
    router: Router,
    state: ApiState,
    limits: Limits,
    graceful: Arc<GracefulShutdown>,
    slots: Arc<Semaphore>,
    clients: Arc<Clients>,
}

impl Acceptor {
    pub(super) fn new(router: Router, state: ApiState, limits: Limits, graceful: Arc<GracefulShutdown>) -> Self {
        let slots = Arc::new(Semaphore::new(limits.connections_max));
        Self { router, state, limits, graceful, slots, clients: Arc::default() }
    }

    /// Takes connections until `stopping` changes.
    pub(super) async fn accept(self: Arc<Self>, listener: BoundListener, mut stopping: watch::Receiver<()>) {
        let tls = listener.certificate.as_ref().map(|certificate| TlsAcceptor::from(certificate.server_config()));
        loop {
            let accepted = tokio::select! {
                accepted = listener.listener.accept() => accepted,
                _ = stopping.changed() => return,
            };
            match accepted {
                Ok((stream, client)) => self.take(stream, client, tls.clone()),
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, address = %listener.address, "the API could not take a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, client: SocketAddr, tls: Option<TlsAcceptor>) {
        let slot = self.slots.clone().try_acquire_owned().ok();
        let place = Clients::enter(&self.clients, client.ip(), self.limits.connections_per_client_max);
        let (Some(slot), Some(place)) = (slot, place) else {
            self.state.metrics.connections_refused.inc();
            return;
        };
        let Ok(local) = stream.local_addr() else { return };
        // Answers are small and whole; waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        self.state.metrics.connections.inc();
        let open = Open { state: self.state.clone(), _slot: slot, _place: place };
        let connection = Connection {
            router: self.router.clone(),
            peer: Peer { client, local },
            limits: self.limits,
            watcher: self.graceful.watcher(),
            open,
        };
        tokio::spawn(async move {
            match tls {
                Some(tls) => connection.serve_tls(stream, tls).await,
                None => connection.serve(stream).await,
            }
        });
    }
}

/// Whether the error is that of one connection, which the client has given up.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// What an open connection takes; given back when dropped.
struct Open {
    state: ApiState,
    _slot: OwnedSemaphorePermit,
    _place: Place,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.state.metrics.connections.dec();
    }
}

struct Connection {
    router: Router,
    peer: Peer,
    limits: Limits,
    watcher: Watcher,
    open: Open,
}

impl Connection {
    async fn serve_tls(self, stream: TcpStream, tls: TlsAcceptor) {
        match tokio::time::timeout(self.limits.header_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            _ => {
                self.open.state.metrics.handshakes_failed.inc();
            }
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let Self { router, peer, limits, watcher, open } = self;
        let stream = Guarded::new(stream, limits.header_timeout, limits.stall_timeout);
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request)
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(HEAD_MAX)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(limits.header_timeout);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, client = %peer.client, "an API connection broke off");
        }
        drop(open);
    }
}

/// How many connections each client address has open. As long as a row has one, so the table is bounded by the
/// limit on connections.
#[derive(Default)]
struct Clients(Mutex<HashMap<IpAddr, usize>>);

impl Clients {
    fn enter(this: &Arc<Self>, address: IpAddr, limit: usize) -> Option<Place> {
        let mut table = this.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.get(&address).copied().unwrap_or(0) >= limit {
            return None;
        }
        *table.entry(address).or_default() += 1;
        Some(Place { clients: this.clone(), address })
    }
}

struct Place {
    clients: Arc<Clients>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = table.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.address);
            }
        }
    }
}
