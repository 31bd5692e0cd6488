//! Following a server of the feed, for ever.
//!
//! ```text
//! Dialing ── connected ──► (Renewing, if the certificate has expired) ──► Following
//!    ▲                                                                       │
//!    └──────────────── after a pause, the next address ◄── broken off ───────┘
//! ```
//!
//! Whatever happens to a connection, what the copy has goes on being answered. The copy works on the disk within the calls of the
//! session, so [`Follower::run`] wants a thread of its own; [`Follower::spawn`] gives it one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rokko_feed::follow::{Local, Position};
use rokko_feed::message::{Command, FROM_SERVER_OCTETS_MAX, FromPop, FromServer, Path, Report};
use rokko_feed::serve::INSTALL_MS_MAX;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::credentials::{Credentials, CredentialsError, PendingKey};
use crate::dial::Dialer;
use crate::framing::Framed;
use crate::listener::ShownCertificate;
use crate::relay::Downstream;
use crate::server::Views;
use crate::session::Session;
use crate::stream::{Event, Limits, Link, LinkError};

/// The first pause after all addresses were tried, and the longest. Pauses double, and vary by half.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A session that lasted so long was a good one: the next pause is a first one.
const GOOD: Duration = Duration::from_secs(10);
/// How many reasons are in the log while there is no server.
const LOGGED_MAX: usize = 32;
/// How long a renewal may take where nothing else can be done.
const RENEWAL_TIME: Duration = Duration::from_secs(40);
/// How long the end of a connection may take.
pub(crate) const CLOSE_TIME: Duration = Duration::from_secs(2);
/// The session notices by itself when the server is silent; this is for what is left.
const PATIENCE: Duration = Duration::from_millis(INSTALL_MS_MAX);
const LIMITS: Limits = Limits { message_octets_max: FROM_SERVER_OCTETS_MAX, stall: PATIENCE, silence: PATIENCE };

/// What a follower asks and tells the node that it works for.
pub trait Node: Send + 'static {
    /// How the node is. Revision, age and the certificate's expiry are filled in by the follower.
    fn report(&mut self) -> Report;
    /// It is to be drained, or not any more.
    fn drain(&mut self, drained: bool);
    /// It answers with another revision.
    fn applied(&mut self, position: &Position);
    /// A command for a node behind this one, if it is a relay.
    fn forward(&mut self, path: Path, command: Command);
    /// Other certificates were revoked than before; the list is in [`Downstream::revoked`].
    fn membership_changed(&mut self);
}

/// What a follower is made of.
pub struct FollowerParts {
    /// Where key and certificate are kept.
    pub folder: PathBuf,
    /// The node's key and certificate.
    pub credentials: Credentials,
    /// Servers as `host:port`, in the order in which they are tried.
    pub addresses: Vec<String>,
    /// The program's version.
    pub program: String,
    /// The copy that is kept.
    pub local: Box<dyn Local + Send>,
    /// The copy as audits read it.
    pub views: Views,
    /// The node.
    pub node: Box<dyn Node>,
    /// What the feed says of the fleet, shared with the relay's own server if there is one.
    pub downstream: Arc<Downstream>,
    /// Whether this node serves the feed to others.
    pub relay: bool,
    /// What the relay's own listener shows, so that it is renewed, too.
    pub shown: Option<ShownCertificate>,
}

/// How a follower is, for the status of its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowerStatus {
    /// Whom it follows now: the name of the control node or relay.
    pub server: Option<String>,
    /// The address that was tried last.
    pub address: String,
    /// Why it follows nobody.
    pub trouble: Option<String>,
    /// When it last heard from a server, in milliseconds since 1970.
    pub heard_ms: Option<u64>,
    /// The last revision that the server is known to have.
    pub head: u64,
    /// The last revision that this node answers with.
    pub revision: u64,
    /// When the certificate expires, in seconds since 1970.
    pub certificate_expires_s: u64,
}

/// Follows servers of the feed.
pub struct Follower {
    pub(crate) parts: FollowerParts,
    pub(crate) status: watch::Sender<FollowerStatus>,
    pending: Option<PendingKey>,
    /// Why there has been no server since the last one.
    logged: BTreeSet<String>,
    /// The server says that the certificate has expired, whatever this machine's clock says.
    pub(crate) must_renew: bool,
    /// Some zones are not as they ought to be.
    pub(crate) has_suspects: bool,
}

/// How a session ended.
pub(crate) enum Ended {
    /// The certificate is a new one.
    Renewed,
    /// It broke off or was refused.
    Broken(String),
}

impl Follower {
    /// A follower that has not connected yet.
    pub fn new(parts: FollowerParts) -> Self {
        let certificate_expires_s = parts.credentials.identity().not_after_s;
        let status = FollowerStatus { certificate_expires_s, ..FollowerStatus::default() };
        let (status, logged) = (watch::Sender::new(status), BTreeSet::new());
        Self { parts, status, pending: None, logged, must_renew: false, has_suspects: false }
    }

    /// How the follower is, and notice of what changes.
    pub fn status(&self) -> watch::Receiver<FollowerStatus> {
        self.status.subscribe()
    }

    /// Follows on a thread of its own until `stopping` changes.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn spawn(self, stopping: watch::Receiver<()>) -> std::io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("follower".to_owned()).spawn(move || runtime.block_on(self.run(stopping)))
    }

    /// Follows until `stopping` changes. Keeps its thread busy while the disk works.
    pub async fn run(mut self, mut stopping: watch::Receiver<()>) {
        tokio::select! {
            () = self.follow_for_ever() => {}
            _ = stopping.changed() => {}
        }
        self.parts.local.give_up();
    }

    async fn follow_for_ever(&mut self) {
        let mut pause = PAUSE;
        loop {
            for at in 0..self.parts.addresses.len() {
                let address = self.parts.addresses[at].clone();
                let begun = Instant::now();
                let ended = match self.connect(&address).await {
                    Ok(ended) => ended,
                    Err(error) => Ended::Broken(describe(&error)),
                };
                match ended {
                    Ended::Renewed => pause = PAUSE,
                    Ended::Broken(why) => self.note_trouble(&address, why),
                }
                if begun.elapsed() >= GOOD {
                    pause = PAUSE;
                    break;
                }
            }
            sleep(vary(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn note_trouble(&mut self, address: &str, why: String) {
        if self.status.borrow().trouble.is_none() {
            self.logged.clear();
        }
        // While nothing works the log has each reason once.
        if self.logged.len() < LOGGED_MAX && self.logged.insert(format!("{address} {why}")) {
            tracing::warn!(address, why, "this node does not follow the feed now; it goes on with what it has");
        }
        self.status.send_modify(|status| {
            status.server = None;
            address.clone_into(&mut status.address);
            status.trouble = Some(why);
        });
    }

    async fn connect(&mut self, address: &str) -> Result<Ended, LinkError> {
        let revoked = self.parts.downstream.clone();
        let dialer = Dialer::new(&self.parts.credentials, revoked);
        let dialer = dialer.map_err(|error| LinkError::Io(std::io::Error::other(error)))?;
        let (stream, server) = dialer.dial(address).await?;
        let link = Link::new(stream, LIMITS);
        if self.must_renew || self.parts.credentials.identity().expired(crate::now_s()) {
            let late = || LinkError::Io(std::io::ErrorKind::TimedOut.into());
            return timeout(RENEWAL_TIME, self.renew_only(link)).await.map_err(|_| late())?;
        }
        Session::new(self, link, address, &server).run().await
    }

    /// Asks for a certificate where this node can have nothing else.
    async fn renew_only<S: AsyncRead + AsyncWrite + Unpin>(&mut self, mut link: Link<S>) -> Result<Ended, LinkError> {
        let request = match self.begin_renewal() {
            Ok(request) => request,
            Err(error) => return Ok(Ended::Broken(describe(&error))),
        };
        link.send(Framed::new(&FromPop::Renew(request).encode()));
        loop {
            let Event::Message(message) = link.event().await? else { continue };
            match FromServer::decode(&message) {
                Ok(FromServer::Command { command: Command::Certificate(chain), .. }) => {
                    return Ok(if self.take_certificate(&chain) {
                        Ended::Renewed
                    } else {
                        Ended::Broken("the new certificate can't be used".to_owned())
                    });
                }
                Ok(FromServer::Refuse { text, .. }) => return Ok(Ended::Broken(text.into())),
                _ => {
                    // A server by whose clock the certificate is good says so by beginning as always.
                    self.must_renew = false;
                    return Ok(Ended::Broken("the server did not renew the certificate".to_owned()));
                }
            }
        }
    }

    pub(crate) fn begin_renewal(&mut self) -> Result<Vec<u8>, CredentialsError> {
        let (pending, request) = self.parts.credentials.begin_renewal()?;
        self.pending = Some(pending);
        Ok(request)
    }

    /// Takes a new certificate (and after it the authority's, in PEM), if it is one for the key that waits.
    pub(crate) fn take_certificate(&mut self, pem: &[u8]) -> bool {
        let Some(pending) = self.pending.take() else { return false };
        let fleet = self.parts.credentials.fleet();
        let taken = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().ok().map(|chain| {
            let credentials = pending.complete(chain, fleet, crate::now_s())?;
            credentials.store(&self.parts.folder)?;
            if let Some(shown) = &self.parts.shown {
                shown.replace(&credentials)?;
            }
            Ok::<_, CredentialsError>(credentials)
        });
        match taken {
            Some(Ok(credentials)) => {
                let expires_s = credentials.identity().not_after_s;
                tracing::info!(expires_s, "this node's certificate was renewed");
                self.status.send_modify(|status| status.certificate_expires_s = expires_s);
                self.parts.credentials = credentials;
                self.must_renew = false;
                true
            }
            Some(Err(error)) => {
                tracing::error!(error = describe(&error), "this node's new certificate can't be used");
                false
            }
            None => false,
        }
    }
}

/// A pause that varies by half, so that nodes which lost a server together do not come back together.
fn vary(pause: Duration) -> Duration {
    let mut octets = [0; 2];
    // Without entropy pauses are all the same, which is no reason to fail.
    let _ = getrandom::fill(&mut octets);
    pause.mul_f64(0.5 + f64::from(u16::from_be_bytes(octets)) / f64::from(u16::MAX))
}

/// An error and what led to it.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
