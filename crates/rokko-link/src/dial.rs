//! A node's way to a server of the feed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificate::Identity;
use crate::credentials::Credentials;
use crate::fleet::Fleet;
use crate::pace::Pace;
use crate::stream::{LinkError, broken};
use crate::tls;

/// How long one address gets, from the look-up of its name to the end of the handshake.
pub const DIAL_TIME: Duration = Duration::from_secs(10);

/// Connects to servers of the fleet with a node's own certificate.
#[derive(Clone)]
pub struct Dialer {
    config: Arc<ClientConfig>,
}

impl Dialer {
    /// A dialer with these credentials, which refuses servers whose certificate was revoked.
    ///
    /// # Errors
    /// If TLS can't be set up with them.
    pub fn new(credentials: &Credentials, fleet: Arc<dyn Fleet>) -> Result<Self, rustls::Error> {
        Ok(Self { config: tls::feed_client_config(credentials, fleet)? })
    }

    /// Connects to `host:port`. Gives the connection and who is at the other end: a control node or a relay.
    pub async fn dial(&self, address: &str) -> Result<(TlsStream<TcpStream>, Identity), LinkError> {
        match timeout(DIAL_TIME, connect(address, self.config.clone())).await {
            Ok(connected) => connected,
            Err(_) => Err(LinkError::Io(io::ErrorKind::TimedOut.into())),
        }
    }
}

/// Connects within no limit of time.
pub(crate) async fn connect(
    address: &str,
    config: Arc<ClientConfig>,
) -> Result<(TlsStream<TcpStream>, Identity), LinkError> {
    let tcp = TcpStream::connect(address).await.map_err(LinkError::Io)?;
    // Acknowledgements are small; waiting for more to send only delays them.
    let _ = tcp.set_nodelay(true);
    Pace::new(&tcp);
    let stream = TlsConnector::from(config).connect(tls::server_name(), tcp).await.map_err(broken)?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let identity = certificate.and_then(|certificate| Identity::read(certificate).ok());
    let identity = identity.ok_or_else(|| LinkError::Io(io::ErrorKind::PermissionDenied.into()))?;
    Ok((stream, identity))
}
