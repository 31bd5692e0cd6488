//! The port of the fleet: takes connections, finds out who they are, and hands them on.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rokko_feed::SetId;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use crate::ca::Authority;
use crate::certificate::Identity;
use crate::credentials::{Credentials, CredentialsError};
use crate::fleet::Fleet;
use crate::join::{Doorkeeper, JOIN_TIME};
use crate::name::NodeName;
use crate::pace::Pace;
use crate::stream::linger;
use crate::tls::{self, ALPN_FEED, ALPN_JOIN, Shown};

/// The pause after the system refused a connection, as when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client that is refused has to read why.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
/// How often the control node looks whether its own certificate should be renewed.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(3600);

/// How much a listener takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// How many connections are open at once, handshakes among them. More are closed at once.
    pub connections_max: usize,
    /// How many of them have not yet shown who they are.
    pub strangers_max: usize,
    /// How many of those come from one address.
    pub strangers_per_address_max: usize,
    /// How long a handshake may take.
    pub handshake_time: Duration,
}

impl Default for ListenerLimits {
    /// 4,096 connections; 512 strangers, 64 from one address; 10 s.
    fn default() -> Self {
        Self {
            connections_max: 4096,
            strangers_max: 512,
            strangers_per_address_max: 64,
            handshake_time: Duration::from_secs(10),
        }
    }
}

/// A node that has shown a certificate of the fleet.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Whose certificate it is. It may have expired, see [`Identity::expired`]; then it is good for a renewal only.
    pub identity: Identity,
    /// Where it comes from.
    pub address: SocketAddr,
    /// How fast may be sent to it.
    pub(crate) pace: Arc<Pace>,
}

/// The port of the fleet.
pub struct Listener {
    tcp: TcpListener,
    shown: Arc<Shown>,
    feed: Arc<ServerConfig>,
    join: Option<JoinSide>,
    limits: ListenerLimits,
}

#[derive(Clone)]
struct JoinSide {
    config: Arc<ServerConfig>,
    keeper: Doorkeeper,
    name: NodeName,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// There is no certificate to show.
    #[error("there is no certificate for the fleet's port")]
    Certificate(#[from] crate::ca::AuthorityError),
    /// The certificate can't be used.
    #[error("the certificate for the fleet's port can't be used")]
    Credentials(#[from] CredentialsError),
    /// TLS can't be set up.
    #[error("TLS for the fleet's port can't be set up")]
    Tls(#[from] rustls::Error),
}

impl Listener {
    /// The control node's: also lets nodes join. Its certificate is made now and renewed while it runs.
    pub fn control(
        tcp: TcpListener,
        name: &NodeName,
        authority: Arc<Authority>,
        fleet: Arc<dyn Fleet>,
        set: SetId,
        limits: ListenerLimits,
    ) -> Result<Self, ListenerError> {
        let credentials = authority.control_credentials(name, crate::now_s())?;
        let shown = Arc::new(Shown::new(&credentials)?);
        let feed = tls::feed_server_config(shown.clone(), authority.certificate(), fleet.clone())?;
        let config = tls::join_server_config(shown.clone())?;
        let join = JoinSide { config, keeper: Doorkeeper { authority, fleet, set }, name: name.clone() };
        Ok(Self { tcp, shown, feed, join: Some(join), limits })
    }

    /// A relay's: shows the relay's own certificate.
    pub fn relay(
        tcp: TcpListener,
        credentials: &Credentials,
        fleet: Arc<dyn Fleet>,
        limits: ListenerLimits,
    ) -> Result<Self, ListenerError> {
        let shown = Arc::new(Shown::new(credentials)?);
        let feed = tls::feed_server_config(shown.clone(), credentials.authority(), fleet)?;
        Ok(Self { tcp, shown, feed, join: None, limits })
    }

    /// Through which the certificate that is shown can be changed while the listener runs.
    pub fn shown(&self) -> ShownCertificate {
        ShownCertificate(self.shown.clone())
    }

    /// Takes connections until `stopping` changes. Each node that has shown its certificate goes to `serve`; what that gives runs as a
    /// task, which ends with this call at the latest.
    pub async fn run<S, F>(self, serve: S, mut stopping: watch::Receiver<()>)
    where
        S: Fn(Peer, TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let door = Door {
            feed: self.feed.clone(),
            join: self.join.clone(),
            limits: self.limits,
            connections: Arc::new(Semaphore::new(self.limits.connections_max)),
            strangers: Arc::new(Semaphore::new(self.limits.strangers_max)),
            addresses: Arc::default(),
        };
        let mut tasks = JoinSet::new();
        let mut renewal = interval(CERTIFICATE_INTERVAL);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = self.tcp.accept() => match accepted {
                    Ok((tcp, address)) => door.open(tcp, address, serve.clone(), &mut tasks),
                    Err(error) if is_of_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "the fleet's port could not take a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = tasks.join_next() => {}
                _ = renewal.tick() => self.renew(),
                _ = stopping.changed() => return,
            }
        }
    }

    /// Renews the control node's own certificate if it is time.
    fn renew(&self) {
        let Some(join) = &self.join else { return };
        let now_s = crate::now_s();
        if self.shown.identity().is_none_or(|identity| now_s < identity.renew_at_s()) {
            return;
        }
        match join.keeper.authority.control_credentials(&join.name, now_s) {
            Ok(credentials) => {
                if let Err(error) = self.shown.replace(&credentials) {
                    tracing::error!(%error, "the certificate of the fleet's port can't be renewed");
                }
            }
            Err(error) => tracing::error!(%error, "the certificate of the fleet's port can't be renewed"),
        }
    }
}

/// The certificate that a listener shows.
#[derive(Clone)]
pub struct ShownCertificate(Arc<Shown>);

impl ShownCertificate {
    /// Shows another certificate to those who connect from now on.
    pub fn replace(&self, credentials: &Credentials) -> Result<(), CredentialsError> {
        self.0.replace(credentials)
    }
}

struct Door {
    feed: Arc<ServerConfig>,
    join: Option<JoinSide>,
    limits: ListenerLimits,
    connections: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    addresses: Arc<Addresses>,
}

impl Door {
    fn open<S, F>(&self, tcp: TcpStream, address: SocketAddr, serve: S, tasks: &mut JoinSet<()>)
    where
        S: Fn(Peer, TlsStream<TcpStream>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let slot = self.connections.clone().try_acquire_owned().ok();
        let stranger = self.strangers.clone().try_acquire_owned().ok();
        let place = Addresses::enter(&self.addresses, address.ip(), self.limits.strangers_per_address_max);
        let (Some(slot), Some(stranger), Some(place)) = (slot, stranger, place) else {
            tracing::debug!(%address, "too many connections to the fleet's port: one was closed");
            return;
        };
        // Changes are small; waiting for more to send only delays them.
        let _ = tcp.set_nodelay(true);
        let pace = Arc::new(Pace::new(&tcp));
        let guest = Guest { feed: self.feed.clone(), join: self.join.clone(), address, pace };
        let time = self.limits.handshake_time;
        tasks.spawn(async move {
            let _slot = slot;
            match timeout(time, guest.shake_hands(tcp)).await {
                Ok(Ok(Some(Known::Node(peer, stream)))) => {
                    drop((stranger, place));
                    serve(peer, stream).await;
                }
                Ok(Ok(Some(Known::Newcomer(keeper, stream)))) => {
                    join_one(keeper, stream, address, (stranger, place)).await;
                }
                Ok(Ok(None)) => {
                    tracing::debug!(%address, "a connection to the fleet's port asked for nothing that is served");
                }
                Ok(Err(error)) => tracing::debug!(%address, %error, "a connection to the fleet's port was refused"),
                Err(_) => tracing::debug!(%address, "a connection to the fleet's port took too long to begin"),
            }
        });
    }
}

async fn join_one(
    keeper: Doorkeeper,
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
    _places: (OwnedSemaphorePermit, Place),
) {
    if !matches!(timeout(JOIN_TIME, keeper.serve(stream)).await, Ok(Ok(()))) {
        tracing::debug!(%address, "a join broke off");
    }
}

enum Known {
    Node(Peer, TlsStream<TcpStream>),
    Newcomer(Doorkeeper, TlsStream<TcpStream>),
}

struct Guest {
    feed: Arc<ServerConfig>,
    join: Option<JoinSide>,
    address: SocketAddr,
    pace: Arc<Pace>,
}

impl Guest {
    /// `None` if the client asks for a protocol that is not served here.
    async fn shake_hands(self, tcp: TcpStream) -> io::Result<Option<Known>> {
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
        let hello = start.client_hello();
        let asks = |protocol: &[u8]| hello.alpn().is_some_and(|mut offered| offered.any(|one| one == protocol));
        if asks(ALPN_FEED) {
            let stream = accept(start, self.feed).await?;
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let identity = certificate.and_then(|certificate| Identity::read(certificate).ok());
            let identity = identity.ok_or(io::ErrorKind::PermissionDenied)?;
            return Ok(Some(Known::Node(Peer { identity, address: self.address, pace: self.pace }, stream)));
        }
        match self.join {
            Some(join) if asks(ALPN_JOIN) => {
                let stream = accept(start, join.config).await?;
                Ok(Some(Known::Newcomer(join.keeper, stream)))
            }
            _ => Ok(None),
        }
    }
}

/// Ends the handshake. Who is refused gets to read why.
async fn accept(start: StartHandshake<TcpStream>, config: Arc<ServerConfig>) -> io::Result<TlsStream<TcpStream>> {
    match start.into_stream(config).into_fallible().await {
        Ok(stream) => Ok(stream),
        Err((error, mut tcp)) => {
            // How that goes makes no difference.
            let _ = timeout(REFUSAL_TIME, linger(&mut tcp)).await;
            Err(error)
        }
    }
}

/// Whether the error is that of one connection, which the client has given up.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// How many strangers each address has. As long as a row has one, so the table is bounded by the limit on strangers.
#[derive(Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

impl Addresses {
    fn enter(this: &Arc<Self>, address: IpAddr, limit: usize) -> Option<Place> {
        let mut table = this.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.get(&address).copied().unwrap_or(0) >= limit {
            return None;
        }
        *table.entry(address).or_default() += 1;
        Some(Place { addresses: this.clone(), address })
    }
}

struct Place {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = table.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.address);
            }
        }
    }
}
