//! A fleet for a test: authority, listener, nodes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rokko_feed::SetId;
use rokko_link::{
    Admission, Authority, Credentials, Dialer, Event, Framed, Identity, Limits, Link, LinkError, Listener,
    ListenerLimits, MemoryFleet, PendingKey, Role, SigningRequest, Token,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) const DAY_S: u64 = 86_400;
pub(crate) const SET: SetId = SetId([5; 16]);
pub(crate) const LIMITS: Limits =
    Limits { message_octets_max: 4 << 20, stall: Duration::from_secs(20), silence: Duration::from_secs(20) };

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An authority and who belongs to its fleet.
pub(crate) struct TestFleet {
    pub(crate) authority: Arc<Authority>,
    pub(crate) members: Arc<MemoryFleet>,
}

/// A listener that runs until this is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    _stop: watch::Sender<()>,
}

impl TestFleet {
    pub(crate) fn new() -> Self {
        Self { authority: Arc::new(Authority::make(now_s()).unwrap()), members: Arc::default() }
    }

    /// A control node that answers each message with itself, after the name of who sent it.
    pub(crate) async fn control(&self) -> Running {
        let (tcp, address) = bind().await;
        let name = "control".parse().unwrap();
        let limits = ListenerLimits::default();
        run(Listener::control(tcp, &name, self.authority.clone(), self.members.clone(), SET, limits).unwrap(), address)
    }

    /// The same with a node's certificate.
    pub(crate) async fn relay(&self, credentials: &Credentials) -> Running {
        let (tcp, address) = bind().await;
        let limits = ListenerLimits::default();
        run(Listener::relay(tcp, credentials, self.members.clone(), limits).unwrap(), address)
    }

    /// A token for a node that may join.
    pub(crate) fn token(&self, name: &str, role: Role, address: SocketAddr) -> Token {
        let (expires_s, relay) = (now_s() + 60, role == Role::Relay);
        let addresses = vec![address.to_string()];
        let token =
            Token::make(name.parse().unwrap(), relay, expires_s, self.authority.fingerprint(), addresses).unwrap();
        self.members.offer(token.secret_hash(), Admission { name: name.parse().unwrap(), role }, expires_s);
        token
    }

    /// A node that joined at some time.
    pub(crate) fn node(&self, name: &str, role: Role, joined_s: u64) -> Credentials {
        let key = PendingKey::make().unwrap();
        let request = SigningRequest::read(&key.signing_request().unwrap()).unwrap();
        let chain = self.authority.issue(&name.parse().unwrap(), role, &request, joined_s).unwrap();
        key.complete(chain, self.authority.fingerprint(), now_s()).unwrap()
    }
}

pub(crate) async fn bind() -> (TcpListener, SocketAddr) {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    (tcp, address)
}

fn run(listener: Listener, address: SocketAddr) -> Running {
    let (stop, stopping) = watch::channel(());
    tokio::spawn(listener.run(
        async |peer, stream| {
            let _ = echo(peer.identity, Link::new(stream, LIMITS)).await;
        },
        stopping,
    ));
    Running { address, _stop: stop }
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(identity: Identity, mut link: Link<S>) -> Result<(), LinkError> {
    loop {
        if let Event::Message(message) = link.event().await? {
            let mut answer = format!("{} {}: ", identity.role, identity.name).into_bytes();
            answer.extend_from_slice(&message);
            link.send(Framed::new(&answer));
        }
    }
}

/// Says something to the server at an address, and gives what comes back.
pub(crate) async fn say(credentials: &Credentials, address: SocketAddr, text: &str) -> Result<String, LinkError> {
    let dialer = Dialer::new(credentials, Arc::new(MemoryFleet::default())).unwrap();
    let (stream, _) = dialer.dial(&address.to_string()).await?;
    let mut link = Link::new(stream, LIMITS);
    link.send(Framed::new(text.as_bytes()));
    loop {
        if let Event::Message(answer) = link.event().await? {
            return Ok(String::from_utf8(answer).unwrap());
        }
    }
}

/// An error and those that led to it.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
