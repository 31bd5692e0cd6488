//! Serving the feed: one task per node that follows.
//!
//! ```text
//! mirror ─ new revision ─► task ─ Serving says what comes next ─► link ─► PoP
//!                           ▲ │
//!              orders, jobs ┘ └─► news ─► fleet
//! ```
//!
//! A task holds no frames: while its link has room it asks its session what comes next, and a new revision wakes it. So whoever is slow
//! waits for himself only, and a change is on its way to all others without a pause.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rokko_feed::audit::{Done, Job, View};
use rokko_feed::message::{Command, FROM_POP_OCTETS_MAX, FromPop, FromServer, News, Path, RefuseCode};
use rokko_feed::serve::{History, INSTALL_MS_MAX, Outgoing, ServeEvent, ServeOptions, Serving};
use rokko_mirror::Mirror;
use rokko_zone::Revision;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::ca::Authority;
use crate::certificate::{Identity, Role};
use crate::fleet::Fleet;
use crate::framing::{Framed, FramedOnce};
use crate::listener::Peer;
use crate::name::NodeName;
use crate::pace::Pace;
use crate::stream::{Event, Limits, Link, LinkError};
use crate::tls;

/// How often a session looks after what is due.
const TICK: Duration = Duration::from_millis(250);
/// How long the end of a connection may take.
const CLOSE_TIME: Duration = Duration::from_secs(2);
/// How long a node with an expired certificate has to ask for a new one, and the authority to answer.
const RENEWAL_TIME: Duration = Duration::from_secs(30);
/// How many orders wait for one session.
const ORDERS_MAX: usize = 64;
/// A session notices by itself who is silent, and allows for the time that a snapshot takes; this is for what is left.
const PATIENCE: Duration = Duration::from_millis(INSTALL_MS_MAX);
const LIMITS: Limits = Limits { message_octets_max: FROM_POP_OCTETS_MAX, stall: PATIENCE, silence: PATIENCE };

/// Makes views of all zones as they are at that moment, for audits.
pub type Views = Arc<dyn Fn() -> Box<dyn View + Send> + Send + Sync>;

/// Tells of each new revision of a mirror.
pub fn heads(mirror: &Mirror) -> watch::Receiver<Revision> {
    let (sender, heads) = watch::channel(mirror.revision());
    mirror.on_revision(move |revision| {
        sender.send_replace(revision);
    });
    heads
}

/// How old a node's data are, in milliseconds: always 0 on the control node.
pub type Age = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a server of the feed is made of.
pub struct FeedParts {
    /// What it has.
    pub data: Arc<dyn History + Send + Sync>,
    /// The same for audits.
    pub views: Views,
    /// Changes with each new revision.
    pub heads: watch::Receiver<Revision>,
    /// Who belongs to the fleet, and who hears what is new of them.
    pub fleet: Arc<dyn Fleet>,
    /// Signs renewals; a relay has none and passes them on.
    pub authority: Option<Arc<Authority>>,
    /// How old the data are.
    pub age: Age,
    /// Called when a follower needs a newer snapshot than there is. It must not wait.
    pub snapshot_wanted: Arc<dyn Fn() + Send + Sync>,
}

/// Serves the feed to all who follow this node.
pub struct Feed {
    parts: FeedParts,
    sessions: Mutex<HashMap<Box<str>, Session>>,
    /// The way to each node that is connected, here or behind a relay.
    ways: Mutex<HashMap<Box<str>, Path>>,
    next_session: AtomicU64,
    /// Audits read everything: one at a time.
    jobs: Arc<Semaphore>,
    framed: FramedOnce,
}

/// A connection of a node. There is one per node: a newer one ends the one before.
struct Session {
    number: u64,
    orders: mpsc::Sender<Order>,
}

enum Order {
    Command(Path, Command),
    /// The list of revoked certificates has changed.
    Membership,
    /// The node has connected anew.
    End,
}

/// The most nodes whose ways are known.
const WAYS_MAX: usize = 65_536;

impl Feed {
    /// A server with nobody to serve yet.
    pub fn new(parts: FeedParts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            sessions: Mutex::default(),
            ways: Mutex::default(),
            next_session: AtomicU64::new(0),
            jobs: Arc::new(Semaphore::new(1)),
            framed: FramedOnce::default(),
        })
    }

    /// Serves one connection until it ends. For [`crate::Listener::run`].
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self: Arc<Self>, peer: Peer, stream: S) {
        let Peer { identity, address, pace } = peer;
        let (number, orders) = self.enter(&identity);
        let link = Link::new(stream, LIMITS);
        let ended = if identity.expired(crate::now_s()) {
            self.serve_renewal(&identity, link, orders).await
        } else {
            Conversation::new(&self, (&identity, &pace), link, orders, number).run().await
        };
        self.leave(&identity, number);
        match ended {
            Ok(why) => {
                tracing::info!(name = %identity.name, %address, why, "a node of the fleet is not served any more");
            }
            Err(error) => tracing::info!(name = %identity.name, %address, %error, "a node of the fleet is gone"),
        }
    }

    /// Gives a command to a node, wherever it is connected. Returns whether it was sent on its way.
    pub fn command(&self, name: &str, command: Command) -> bool {
        let way = lock(&self.ways).get(name).cloned();
        way.is_some_and(|way| self.forward(way, command))
    }

    /// Gives a command to the node at the end of a path, whose first node is connected here.
    pub fn forward(&self, mut path: Path, command: Command) -> bool {
        if path.is_empty() {
            return false;
        }
        let first = path.remove(0);
        let sessions = lock(&self.sessions);
        sessions.get(&first).is_some_and(|session| session.orders.try_send(Order::Command(path, command)).is_ok())
    }

    /// Someone was put out of the fleet: ends their connections and tells all others.
    pub fn membership_changed(&self) {
        for session in lock(&self.sessions).values() {
            // A session with so many orders looks for itself soon.
            let _ = session.orders.try_send(Order::Membership);
        }
    }

    /// Ends the connection of a node, which will connect again. Returns whether there was one.
    pub fn disconnect(&self, name: &NodeName) -> bool {
        let sessions = lock(&self.sessions);
        sessions.get(name.as_str()).is_some_and(|session| session.orders.try_send(Order::End).is_ok())
    }

    /// How many nodes are connected here.
    pub fn connected(&self) -> usize {
        lock(&self.sessions).len()
    }

    fn enter(&self, identity: &Identity) -> (u64, mpsc::Receiver<Order>) {
        let number = self.next_session.fetch_add(1, Ordering::Relaxed);
        let (orders, receiver) = mpsc::channel(ORDERS_MAX);
        let before = lock(&self.sessions).insert(identity.name.as_str().into(), Session { number, orders });
        if let Some(before) = before {
            // If it does not hear of this it finds the end of its orders.
            let _ = before.orders.try_send(Order::End);
        }
        (number, receiver)
    }

    fn is_current(&self, name: &str, number: u64) -> bool {
        lock(&self.sessions).get(name).is_some_and(|session| session.number == number)
    }

    fn leave(&self, identity: &Identity, number: u64) {
        let mut sessions = lock(&self.sessions);
        if sessions.get(identity.name.as_str()).is_some_and(|session| session.number == number) {
            sessions.remove(identity.name.as_str());
        }
    }

    fn revoked(&self) -> Vec<[u8; 32]> {
        self.parts.fleet.revoked().into_iter().map(|certificate| certificate.0).collect()
    }

    /// Takes what is new of a node.
    fn news(self: &Arc<Self>, path: Path, news: News) {
        let Some(name) = path.last() else { return };
        match &news {
            News::Connected { .. } => {
                let mut ways = lock(&self.ways);
                if ways.len() < WAYS_MAX || ways.contains_key(name) {
                    ways.insert(name.clone(), path.clone());
                }
            }
            News::Disconnected => lock(&self.ways).retain(|_, way| !way.starts_with(&path)),
            News::Renew(request) if self.parts.authority.is_some() => return self.renew(path, request.clone()),
            _ => {}
        }
        self.parts.fleet.news(&path, news);
    }

    /// Has a certificate renewed and sends it back on the way that the request came.
    fn renew(self: &Arc<Self>, path: Path, request: Vec<u8>) {
        let Some(authority) = self.parts.authority.clone() else { return };
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let fleet = &this.parts.fleet;
            let renewed = authority.renew(&request, crate::now_s(), |identity| fleet.is_revoked(identity));
            let (old, chain) = match renewed {
                Ok(renewed) => renewed,
                Err(error) => {
                    let name = path.last().map_or("", |name| name);
                    tracing::warn!(name, %error, "a certificate was not renewed");
                    return;
                }
            };
            if let Some(identity) = chain.first().and_then(|leaf| Identity::read(leaf).ok()) {
                tracing::info!(name = %old.name, "a certificate was renewed");
                fleet.issued(&identity);
            }
            let pem: String = chain.iter().map(tls::certificate_pem).collect();
            this.forward(path, Command::Certificate(pem.into_bytes()));
        });
    }

    /// Serves a node whose certificate has expired: all that it can have is a new one.
    async fn serve_renewal<S: AsyncRead + AsyncWrite + Unpin>(
        self: &Arc<Self>,
        identity: &Identity,
        mut link: Link<S>,
        mut orders: mpsc::Receiver<Order>,
    ) -> Result<&'static str, LinkError> {
        let answered = async {
            loop {
                let Event::Message(message) = link.event().await? else { continue };
                let Ok(FromPop::Renew(request)) = FromPop::decode(&message) else {
                    let code = RefuseCode::Expired;
                    return Ok(FromServer::Refuse { code, text: code.text().into() });
                };
                self.news(vec![identity.name.as_str().into()], News::Renew(request));
                while let Some(order) = orders.recv().await {
                    if let Order::Command(path, command @ Command::Certificate(_)) = order {
                        return Ok(FromServer::Command { path, command });
                    }
                }
                return Err(LinkError::Closed);
            }
        };
        let late = || LinkError::Io(io::ErrorKind::TimedOut.into());
        let answer = timeout(RENEWAL_TIME, answered).await.map_err(|_| late())??;
        link.send(Framed::new(&answer.encode()));
        link.close(CLOSE_TIME).await;
        Ok("its certificate has expired")
    }
}

/// The session with one node on its link.
struct Conversation<'a, S> {
    feed: &'a Arc<Feed>,
    identity: &'a Identity,
    pace: &'a Pace,
    number: u64,
    link: Link<S>,
    serving: Serving,
    orders: mpsc::Receiver<Order>,
    done: (mpsc::Sender<Done>, mpsc::Receiver<Done>),
    out: Vec<ServeEvent>,
    /// Whether the session has said hello and was taken.
    is_welcome: bool,
    /// Why the connection is to be closed when all was said.
    over: Option<&'static str>,
    /// Why it is to be closed now: nothing more is for this node.
    cut: Option<&'static str>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Conversation<'a, S> {
    fn new(
        feed: &'a Arc<Feed>,
        (identity, pace): (&'a Identity, &'a Pace),
        link: Link<S>,
        orders: mpsc::Receiver<Order>,
        number: u64,
    ) -> Self {
        let options = ServeOptions {
            name: identity.name.as_str().into(),
            is_origin: feed.parts.authority.is_some(),
            may_relay: identity.role == Role::Relay,
        };
        let serving = Serving::new(options, crate::now_ms());
        let (done, out) = (mpsc::channel(1), Vec::new());
        Self {
            feed,
            identity,
            pace,
            number,
            link,
            serving,
            orders,
            done,
            out,
            is_welcome: false,
            over: None,
            cut: None,
        }
    }

    async fn run(mut self) -> Result<&'static str, LinkError> {
        let ended = self.converse().await;
        // Who has connected anew is still there.
        if self.feed.is_current(self.identity.name.as_str(), self.number) {
            self.serving.closed(&mut self.out);
            self.take_events();
        }
        let why = ended?;
        self.link.close(CLOSE_TIME).await;
        Ok(why)
    }

    async fn converse(&mut self) -> Result<&'static str, LinkError> {
        let mut heads = self.feed.parts.heads.clone();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.take_events();
            if let Some(why) = self.cut {
                return Ok(why);
            }
            while self.link.has_room() {
                let Some(next) = self.serving.next(&*self.feed.parts.data) else { break };
                match &next {
                    Outgoing::Message(FromServer::SnapshotStart(_)) => self.pace.bulk(),
                    Outgoing::Message(FromServer::SnapshotEnd) => self.pace.steady(),
                    _ => {}
                }
                self.link.send(self.feed.framed.message(next));
            }
            if let Some(why) = self.over {
                return Ok(why);
            }
            tokio::select! {
                event = self.link.event() => match event? {
                    Event::Message(message) => self.receive(&message),
                    Event::Room => {}
                },
                Ok(()) = heads.changed() => self.tick(),
                order = self.orders.recv() => self.obey(order),
                Some(done) = self.done.1.recv() => self.serving.job_done(done, crate::now_ms(), &mut self.out),
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    fn receive(&mut self, message: &[u8]) {
        match FromPop::decode(message) {
            Ok(message) => {
                self.serving.receive(message, crate::now_ms(), &*self.feed.parts.data, &mut self.out);
            }
            Err(error) => {
                tracing::warn!(name = %self.identity.name, %error, "a node sent a message that can't be read");
                self.cut = Some(RefuseCode::Protocol.text());
            }
        }
    }

    fn tick(&mut self) {
        let age_ms = (self.feed.parts.age)();
        self.serving.tick(crate::now_ms(), age_ms, &*self.feed.parts.data, &mut self.out);
        self.check_membership();
    }

    fn check_membership(&mut self) {
        if self.feed.parts.fleet.is_revoked(self.identity) {
            self.cut = Some(RefuseCode::Revoked.text());
            let code = RefuseCode::Revoked;
            self.link.send(Framed::new(&FromServer::Refuse { code, text: code.text().into() }.encode()));
        } else if self.identity.expired(crate::now_s()) {
            self.cut = Some(RefuseCode::Expired.text());
        }
    }

    fn obey(&mut self, order: Option<Order>) {
        match order {
            Some(Order::Command(path, command)) => self.serving.command(path, command, &mut self.out),
            Some(Order::Membership) => {
                self.check_membership();
                self.tell_revoked();
            }
            Some(Order::End) | None => self.cut = Some("it has connected anew"),
        }
    }

    fn take_events(&mut self) {
        for event in std::mem::take(&mut self.out) {
            match event {
                ServeEvent::News { path, news } => {
                    let is_welcome = path.len() == 1 && matches!(news, News::Connected { .. });
                    self.feed.news(path, news);
                    if is_welcome {
                        self.is_welcome = true;
                        self.tell_revoked();
                    }
                }
                ServeEvent::Job(job) => self.start(job),
                ServeEvent::SnapshotWanted => (self.feed.parts.snapshot_wanted)(),
                ServeEvent::Close(why) => self.over = Some(why),
            }
        }
    }

    fn tell_revoked(&mut self) {
        if self.is_welcome {
            self.serving.revoked(self.feed.revoked(), &mut self.out);
        }
    }

    fn start(&self, job: Job) {
        let (views, jobs, done) = (self.feed.parts.views.clone(), self.feed.jobs.clone(), self.done.0.clone());
        tokio::spawn(async move {
            let Ok(turn) = jobs.acquire_owned().await else { return };
            let worked = tokio::task::spawn_blocking(move || job.run(&*views())).await;
            drop(turn);
            if let Ok(worked) = worked {
                // The session may have ended meanwhile.
                let _ = done.send(worked).await;
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
