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

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rokko_feed::audit::Done;
use rokko_feed::follow::{FollowEvent, Following, Local, Position};
use rokko_feed::message::{Command, FROM_SERVER_OCTETS_MAX, FromPop, FromServer, Path, RefuseCode, Report};
use rokko_feed::serve::INSTALL_MS_MAX;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::certificate::{Fingerprint, Identity};
use crate::credentials::{Credentials, CredentialsError, PendingKey};
use crate::dial::Dialer;
use crate::framing::Framed;
use crate::listener::ShownCertificate;
use crate::relay::Downstream;
use crate::server::Views;
use crate::stream::{Event, Limits, Link, LinkError};

/// How often a session looks after what is due.
const TICK: Duration = Duration::from_millis(250);
/// How often this node says how it is, in ticks.
const REPORT_TICKS: u32 = 4;
/// The first pause after all addresses were tried, and the longest. Pauses double, and vary by half.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A session that lasted so long was a good one: the next pause is a first one.
const GOOD: Duration = Duration::from_secs(10);
/// After a request for a certificate that was not answered, the next.
const RENEWAL_PAUSE: Duration = Duration::from_secs(600);
/// How long a renewal may take where nothing else can be done.
const RENEWAL_TIME: Duration = Duration::from_secs(40);
/// How many messages are taken before they are applied.
const MESSAGES_AT_ONCE: usize = 256;
/// How long the end of a connection may take.
const CLOSE_TIME: Duration = Duration::from_secs(2);
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
    parts: FollowerParts,
    status: watch::Sender<FollowerStatus>,
    pending: Option<PendingKey>,
    /// The server says that the certificate has expired, whatever this machine's clock says.
    must_renew: bool,
}

/// How a session ended.
enum Ended {
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
        Self { parts, status: watch::Sender::new(status), pending: None, must_renew: false }
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

    fn note_trouble(&self, address: &str, why: String) {
        let is_new = self.status.borrow().trouble.as_ref() != Some(&why);
        if is_new {
            tracing::warn!(address, why, "this node does not follow the feed now; it goes on with what it has");
        }
        self.status.send_modify(|status| {
            status.server = None;
            status.address = address.to_owned();
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
        self.follow(link, address, &server).await
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

    async fn follow<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        link: Link<S>,
        address: &str,
        server: &Identity,
    ) -> Result<Ended, LinkError> {
        let parts = &mut self.parts;
        let behind = parts.relay.then(|| parts.downstream.begin());
        let (now_ms, fresh_ms) = (crate::now_ms(), parts.downstream.fresh_ms());
        let following = Following::new(&mut *parts.local, &parts.program, behind.as_ref(), now_ms, fresh_ms);
        let name = server.name.to_string();
        let renewal_at = Instant::now();
        let (done, out) = (mpsc::channel(4), Vec::new());
        let session = Session {
            follower: self,
            following,
            link,
            out,
            done,
            name,
            address: address.to_owned(),
            renewal_at,
            ended: None,
        };
        session.run().await
    }

    fn begin_renewal(&mut self) -> Result<Vec<u8>, CredentialsError> {
        let (pending, request) = self.parts.credentials.begin_renewal()?;
        self.pending = Some(pending);
        Ok(request)
    }

    /// Takes a new certificate (and after it the authority's, in PEM), if it is one for the key that waits.
    fn take_certificate(&mut self, pem: &[u8]) -> bool {
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

/// One session on its link.
struct Session<'a, S> {
    follower: &'a mut Follower,
    following: Following,
    link: Link<S>,
    out: Vec<FollowEvent>,
    done: (mpsc::Sender<Done>, mpsc::Receiver<Done>),
    name: String,
    address: String,
    /// When to ask for a certificate next, if it is time for a new one.
    renewal_at: Instant,
    ended: Option<Ended>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    async fn run(mut self) -> Result<Ended, LinkError> {
        let ended = self.converse().await;
        let parts = &mut self.follower.parts;
        parts.local.give_up();
        parts.downstream.set_fresh(self.following.fresh_ms());
        if ended.is_ok() {
            self.link.close(CLOSE_TIME).await;
        }
        ended
    }

    async fn converse(&mut self) -> Result<Ended, LinkError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = 0_u32;
        let downstream = self.follower.parts.downstream.clone();
        loop {
            self.take_events();
            if let Some(ended) = self.ended.take() {
                return Ok(ended);
            }
            while self.link.has_room() {
                let Some(message) = self.following.next_message() else { break };
                self.link.send(Framed::new(&message.encode()));
            }
            tokio::select! {
                event = self.link.event() => match event? {
                    Event::Message(message) => self.receive_all(&message)?,
                    Event::Room => {}
                },
                Some(done) = self.done.1.recv() => self.following.job_done(done, crate::now_ms()),
                () = downstream.waiting() => self.relay(&downstream),
                _ = ticks.tick() => {
                    self.tick(count % REPORT_TICKS == 0);
                    count = count.wrapping_add(1);
                }
            }
        }
    }

    /// Takes a message and those that came with it, and then applies what was in them.
    fn receive_all(&mut self, first: &[u8]) -> Result<(), LinkError> {
        self.receive(first);
        let mut received = Ok(());
        for _ in 1..MESSAGES_AT_ONCE {
            match self.link.message_at_hand() {
                Ok(Some(message)) => self.receive(&message),
                Ok(None) => break,
                Err(error) => {
                    received = Err(error);
                    break;
                }
            }
        }
        let local = &mut *self.follower.parts.local;
        self.following.settle(crate::now_ms(), local, &mut self.out);
        let now_ms = crate::now_ms();
        self.follower.status.send_if_modified(|status| {
            status.heard_ms = Some(now_ms);
            false
        });
        if received.is_err() {
            self.take_events();
        }
        received
    }

    fn receive(&mut self, message: &[u8]) {
        match FromServer::decode(message) {
            Ok(message) => {
                if let FromServer::Ping { head, .. } = &message {
                    let head = head.0;
                    self.follower.status.send_modify(|status| status.head = head);
                }
                let local = &mut *self.follower.parts.local;
                self.following.receive(message, crate::now_ms(), local, &mut self.out);
            }
            Err(error) => self.end(format!("a message can't be read: {error}")),
        }
    }

    fn tick(&mut self, is_report: bool) {
        let now_ms = crate::now_ms();
        let parts = &mut self.follower.parts;
        self.following.tick(now_ms, &mut *parts.local, &mut self.out);
        parts.downstream.set_fresh(self.following.fresh_ms());
        if !self.following.is_served() {
            return;
        }
        if is_report {
            let position = parts.local.position();
            let mut report = parts.node.report();
            report.revision = position.revision;
            report.age_ms = parts.downstream.age_ms();
            report.certificate_expires_ms = parts.credentials.identity().not_after_s.saturating_mul(1000);
            self.following.report(report);
        }
        self.renew_if_due();
    }

    fn renew_if_due(&mut self) {
        let renew_at_s = self.follower.parts.credentials.identity().renew_at_s();
        if crate::now_s() < renew_at_s || Instant::now() < self.renewal_at {
            return;
        }
        self.renewal_at = Instant::now() + RENEWAL_PAUSE;
        match self.follower.begin_renewal() {
            Ok(request) => self.following.renew(request),
            Err(error) => tracing::error!(error = describe(&error), "this node can't ask for a new certificate"),
        }
    }

    fn relay(&mut self, downstream: &Downstream) {
        match downstream.take() {
            Some(news) => news.into_iter().for_each(|(path, news)| self.following.relay(path, news)),
            None => self.end("too much is new of the nodes behind this one: all is said anew".to_owned()),
        }
    }

    fn end(&mut self, why: String) {
        self.ended.get_or_insert(Ended::Broken(why));
    }

    fn take_events(&mut self) {
        for event in std::mem::take(&mut self.out) {
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: FollowEvent) {
        let parts = &mut self.follower.parts;
        match event {
            FollowEvent::Welcomed(welcome) => {
                tracing::info!(server = self.name, address = self.address, "this node follows the feed");
                self.follower.status.send_modify(|status| {
                    (status.server, status.trouble) = (Some(self.name.clone()), None);
                    status.address.clone_from(&self.address);
                    status.head = welcome.head.0;
                });
            }
            FollowEvent::Refused(code, text) => {
                self.follower.must_renew |= code == RefuseCode::Expired;
                self.end(format!("{} refuses this node: {text}", self.name));
            }
            FollowEvent::Applied(position) => {
                parts.node.applied(&position);
                self.follower.status.send_modify(|status| status.revision = position.revision.0);
            }
            FollowEvent::Suspects(zones) => {
                tracing::warn!(?zones, "zones differ from what the feed says and are asked for anew");
            }
            FollowEvent::Job(job) => {
                let (views, done) = (parts.views.clone(), self.done.0.clone());
                tokio::task::spawn_blocking(move || {
                    // The session may have ended meanwhile.
                    let _ = done.blocking_send(job.run(&*views()));
                });
            }
            FollowEvent::Drain(drained) => parts.node.drain(drained),
            FollowEvent::Certificate(chain) => {
                if self.follower.take_certificate(&chain) {
                    self.ended.get_or_insert(Ended::Renewed);
                }
            }
            FollowEvent::Forward { path, command } => parts.node.forward(path, command),
            FollowEvent::Revoked(certificates) => {
                parts.downstream.revoked().replace(certificates.into_iter().map(Fingerprint));
                parts.node.membership_changed();
            }
            FollowEvent::Stuck(why) => tracing::warn!(why, "changes can't be kept now; they are tried again"),
            FollowEvent::Close(why) => self.end(why),
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
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
