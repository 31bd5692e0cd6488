//! Serving the feed to one PoP.
//!
//! ```text
//!            Hello                 caught up                  frames gone
//! Greeting ─────────► Streaming ◄───────────── Waiting    Streaming ─────► Snapshot ─────► Streaming
//!     │                                           ▲                      all blocks sent
//!     ├── the PoP has more than this relay ───────┘
//!     └── refused ──► Over
//! ```
//!
//! A session keeps no queue of frames: it has a cursor, and takes what comes next from the [`History`] when the carrier has
//! room ([`Serving::next_message`]). So a slow PoP costs its cursor and one message, and nobody else waits for it.

mod repair;
mod source;

use std::collections::VecDeque;
use std::sync::Arc;

use rokko_wire::Name;
use rokko_zone::{Revision, ShortDigest, Zone};

use crate::SetId;
use crate::audit::{Done, Job};
use crate::clock::Clock;
use crate::message::{
    Ack, Command, FromPop, FromServer, Hello, News, PATH_LEN_MAX, PROTOCOL_VERSION, Path, RefuseCode, SnapshotStart,
    Welcome,
};
use repair::{Audit, Repair};
use source::Source;

/// How often a PoP is pinged, in milliseconds.
pub const PING_MS: u64 = 1_000;
/// After how many milliseconds without a message a connection is given up.
pub const SILENCE_MS_MAX: u64 = 15_000;
/// The same while the other takes over a snapshot that it has received.
pub const INSTALL_MS_MAX: u64 = 600_000;
/// The most messages that wait beside frames: above, the connection is given up.
const URGENT_MAX: usize = 256;

/// What follows a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The frame with the revision after it. It may begin with revisions before.
    Frame {
        /// Its last revision.
        last: Revision,
        /// Its bytes.
        bytes: Arc<[u8]>,
    },
    /// Nothing yet.
    Nothing,
    /// Frames that are not kept any more: a snapshot is needed.
    TooOld,
}

/// What a node has for those that it serves.
pub trait History {
    /// Whose data; `None`: none yet.
    fn set(&self) -> Option<SetId>;
    /// The last revision.
    fn head(&self) -> Revision;
    /// Whether all zones are as they ought to be.
    fn is_whole(&self) -> bool;
    /// The digest that all data have at a revision; `None` if it is not remembered.
    fn digest_at(&self, revision: Revision) -> Option<ShortDigest>;
    /// The frame that leads on from a revision.
    fn frame_after(&self, revision: Revision) -> Next;
    /// The newest snapshot that can be sent.
    fn snapshot(&self) -> Option<Box<dyn Snapshot>>;
    /// The snapshot of one revision, to go on with a transfer.
    fn snapshot_at(&self, revision: Revision) -> Option<Box<dyn Snapshot>>;
    /// Zones as they are at the head, and the head.
    fn zones(&self, names: &[Name]) -> (Revision, Vec<(Name, Option<Zone>)>);
}

/// A snapshot to be sent.
pub trait Snapshot: Send {
    /// What it is; from its first block.
    fn start(&self) -> SnapshotStart;
    /// A block, header and all; `None` if it can't be read.
    fn block(&self, index: u64) -> Option<Vec<u8>>;
}

/// What goes to the PoP next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A message for this PoP.
    Message(FromServer),
    /// A frame that fits into one message: the same for all PoPs, so that it is worth being made into octets only once.
    Frame(Arc<[u8]>),
}

impl Outgoing {
    /// The message.
    pub fn into_message(self) -> FromServer {
        match self {
            Self::Message(message) => message,
            Self::Frame(bytes) => FromServer::Frame { more: false, bytes: bytes.to_vec() },
        }
    }
}

/// What comes of a session beside messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServeEvent {
    /// Something is new of the PoP, or of one behind it. Times are by this node's clock.
    News {
        /// The relays on the way to the PoP, and the PoP.
        path: Path,
        /// What is new.
        news: News,
    },
    /// Something is to be worked out from all zones, and given to [`Serving::job_done`].
    Job(Job),
    /// A snapshot is needed that is newer than what there is.
    SnapshotWanted,
    /// The connection is to be closed once [`Serving::next_message`] gives nothing more.
    Close(&'static str),
}

/// What a session needs to know of the two nodes.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The name of the PoP, as its certificate says.
    pub name: Box<str>,
    /// Whether this is the control node, which has every revision that there is.
    pub is_origin: bool,
    /// Whether the PoP's certificate lets it serve others.
    pub may_relay: bool,
}

/// The session with one PoP.
pub struct Serving {
    options: ServeOptions,
    state: State,
    urgent: VecDeque<FromServer>,
    source: Source,
    repair: Repair,
    audit: Audit,
    clock: Clock,
    /// When something came from the PoP last, and when it was pinged last.
    heard_ms: u64,
    pinged_ms: u64,
    is_installing: bool,
    /// What the PoP said that it has.
    has: Option<Ack>,
}

#[derive(Debug)]
enum State {
    Greeting,
    /// The PoP has more than this relay.
    Waiting {
        expected: ShortDigest,
    },
    Streaming,
    Over,
}

impl Serving {
    /// A session on a connection that has just been made.
    pub fn new(options: ServeOptions, now_ms: u64) -> Self {
        Self {
            options,
            state: State::Greeting,
            urgent: VecDeque::new(),
            source: Source::default(),
            repair: Repair::default(),
            audit: Audit::default(),
            clock: Clock::default(),
            heard_ms: now_ms,
            pinged_ms: 0,
            is_installing: false,
            has: None,
        }
    }

    /// The name of the PoP.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Takes a message.
    pub fn receive(&mut self, message: FromPop, now_ms: u64, history: &dyn History, out: &mut Vec<ServeEvent>) {
        self.heard_ms = now_ms;
        match (&self.state, message) {
            (State::Over, _) => {}
            (State::Greeting, FromPop::Hello(hello)) => self.hello(&hello, now_ms, history, out),
            (State::Greeting, _) => self.fail("the first message was not a hello", out),
            (_, FromPop::Hello(_)) => self.fail("a second hello", out),
            (_, FromPop::Ack(ack)) => self.acknowledged(ack, now_ms, history, out),
            (_, FromPop::Pong { server_ms, pop_ms }) => self.clock.measured(server_ms, pop_ms, now_ms),
            (_, FromPop::Report(report)) => self.news(News::Report(report), out),
            (_, FromPop::NeedZones(names)) => {
                if !names.is_empty() {
                    self.news(News::Differ(names.clone()), out);
                }
                self.repair.want(names);
            }
            (_, FromPop::Sums { sums, .. }) => self.audit.sums(sums, out),
            (_, FromPop::Marks { revision, more, marks }) => {
                if !self.audit.marks(revision, more, marks, out) {
                    self.fail("marks that were not asked for, or too many", out);
                }
            }
            (_, FromPop::Verified(mut verified)) => {
                verified.at_ms = self.clock.here(verified.at_ms, now_ms);
                self.news(News::Verified(verified), out);
            }
            (_, FromPop::Renew(request)) => self.news(News::Renew(request), out),
            (_, FromPop::Relayed { path, news }) => self.relayed(path, news, now_ms, out),
        }
    }

    /// Time has passed; to be called some times a second, and when there is a new revision. `age_ms` says how long ago this
    /// node heard from the control node.
    pub fn tick(&mut self, now_ms: u64, age_ms: u64, history: &dyn History, out: &mut Vec<ServeEvent>) {
        if matches!(self.state, State::Over) {
            return;
        }
        let silence_max = if self.is_installing { INSTALL_MS_MAX } else { SILENCE_MS_MAX };
        if now_ms.saturating_sub(self.heard_ms) > silence_max {
            return self.fail("nothing came for too long", out);
        }
        if matches!(self.state, State::Greeting) {
            return;
        }
        if let State::Waiting { expected } = self.state
            && history.head() >= self.source.cursor
        {
            self.state = State::Streaming;
            if let Some(code) = fork(history, self.source.cursor, expected) {
                return self.refuse(code, out);
            }
        }
        if now_ms.saturating_sub(self.pinged_ms) >= PING_MS && !self.has_ping() {
            self.pinged_ms = now_ms;
            self.say(FromServer::Ping { server_ms: now_ms, head: history.head(), age_ms }, out);
        }
        if self.source.wants_snapshot() {
            out.push(ServeEvent::SnapshotWanted);
        }
        self.consider_audit(now_ms, history, out);
    }

    /// The next message for the carrier, which has room for it.
    pub fn next_message(&mut self, history: &dyn History) -> Option<FromServer> {
        self.next(history).map(Outgoing::into_message)
    }

    /// As [`Serving::next_message`], with frames as they are.
    pub fn next(&mut self, history: &dyn History) -> Option<Outgoing> {
        if let Some(message) = self.urgent.pop_front() {
            return Some(Outgoing::Message(message));
        }
        if !matches!(self.state, State::Streaming) {
            return None;
        }
        // Nothing of a zone comes between the parts of a frame or a snapshot.
        if self.source.is_between()
            && !self.repair.is_idle()
            && history.is_whole()
            && let Some(message) = self.repair.next(self.source.cursor, history)
        {
            return Some(Outgoing::Message(message));
        }
        let next = self.source.next(history);
        self.is_installing |= matches!(next, Some(Outgoing::Message(FromServer::SnapshotEnd)));
        next
    }

    /// A job has come to something.
    pub fn job_done(&mut self, done: Done, now_ms: u64, out: &mut Vec<ServeEvent>) {
        match done {
            Done::Sums { sums, .. } => {
                if let Some(message) = self.audit.own_sums(&sums, now_ms) {
                    self.say(message, out);
                }
            }
            Done::Compared { names, unknown } => {
                self.audit.compared(now_ms);
                for names in names.chunks(crate::message::NAMES_MAX) {
                    self.news(News::Differ(names.to_vec()), out);
                }
                self.repair.want(names);
                for unknown in unknown.chunks(crate::message::NAMES_MAX).take(URGENT_MAX / 4) {
                    self.say(FromServer::AskNames(unknown.to_vec()), out);
                }
            }
            Done::Marks { .. } | Done::Names(_) | Done::Verified(_) => {}
        }
    }

    /// Sends a command to the PoP, or to one behind it: the path leads on from the PoP.
    pub fn command(&mut self, path: Path, command: Command, out: &mut Vec<ServeEvent>) {
        self.say(FromServer::Command { path, command }, out);
    }

    /// Tells the PoP which keys are revoked.
    pub fn revoked(&mut self, keys: Vec<[u8; 32]>, out: &mut Vec<ServeEvent>) {
        self.urgent.retain(|message| !matches!(message, FromServer::Revoked(_)));
        self.say(FromServer::Revoked(keys), out);
    }

    /// The connection is gone. Not to be called when the PoP has another session by now: then it is not disconnected.
    pub fn closed(&mut self, out: &mut Vec<ServeEvent>) {
        if self.has.take().is_some() {
            self.news(News::Disconnected, out);
        }
        self.state = State::Over;
    }

    /// The PoP's clock against this node's.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    fn hello(&mut self, hello: &Hello, now_ms: u64, history: &dyn History, out: &mut Vec<ServeEvent>) {
        let Hello { version, set, revision, expected, digest, partial, program, relay } = hello;
        self.source.cursor = *revision;
        let own = match history.set() {
            _ if *version != PROTOCOL_VERSION => return self.refuse(RefuseCode::Version, out),
            None => return self.refuse(RefuseCode::Busy, out),
            Some(own) if set.is_some_and(|set| set != own) => return self.refuse(RefuseCode::OtherSet, out),
            Some(own) => own,
        };
        let head = history.head();
        if *revision > head && self.options.is_origin {
            return self.refuse(RefuseCode::Ahead, out);
        }
        if let Some(code) = fork(history, *revision, *expected) {
            return self.refuse(code, out);
        }
        let name = self.options.name.clone();
        self.state = if *revision > head { State::Waiting { expected: *expected } } else { State::Streaming };
        self.source.partial = *partial;
        self.say(
            FromServer::Welcome(Welcome { version: PROTOCOL_VERSION, set: own, head, server_ms: now_ms, name }),
            out,
        );
        let relay = *relay && self.options.may_relay;
        self.news(News::Connected { relay, program: program.clone() }, out);
        self.acknowledged(Ack { revision: *revision, digest: *digest, at_ms: now_ms }, now_ms, history, out);
    }

    fn acknowledged(&mut self, ack: Ack, now_ms: u64, history: &dyn History, out: &mut Vec<ServeEvent>) {
        if ack.revision > self.source.cursor {
            return self.fail("a revision was acknowledged that was not sent", out);
        }
        self.is_installing &= ack.revision < self.source.cursor;
        let ack = Ack { at_ms: self.clock.here(ack.at_ms, now_ms), ..ack };
        self.has = Some(ack);
        let differs = history.digest_at(ack.revision).is_some_and(|digest| digest != ack.digest);
        self.audit.digest_is(!differs, now_ms);
        self.news(News::Ack(ack), out);
    }

    /// Asks for sums if the PoP's digest has been wrong for a while, and nothing is on its way that may put it right.
    fn consider_audit(&mut self, now_ms: u64, history: &dyn History, out: &mut Vec<ServeEvent>) {
        let is_quiet = matches!(self.state, State::Streaming) && self.source.is_between() && self.repair.is_idle();
        if is_quiet && self.audit.is_due(now_ms) && history.is_whole() {
            self.audit.ask(now_ms);
            self.say(FromServer::AskSums, out);
        }
    }

    fn relayed(&mut self, path: Path, news: News, now_ms: u64, out: &mut Vec<ServeEvent>) {
        if !self.options.may_relay || path.is_empty() {
            return self.fail("news of others from a node that is no relay", out);
        }
        if path.len() >= PATH_LEN_MAX {
            return;
        }
        let news = match news {
            News::Ack(ack) => News::Ack(Ack { at_ms: self.clock.here(ack.at_ms, now_ms), ..ack }),
            News::Verified(mut verified) => {
                verified.at_ms = self.clock.here(verified.at_ms, now_ms);
                News::Verified(verified)
            }
            other => other,
        };
        let path = std::iter::once(self.options.name.clone()).chain(path).collect();
        out.push(ServeEvent::News { path, news });
    }

    fn news(&self, news: News, out: &mut Vec<ServeEvent>) {
        out.push(ServeEvent::News { path: vec![self.options.name.clone()], news });
    }

    fn has_ping(&self) -> bool {
        self.urgent.iter().any(|message| matches!(message, FromServer::Ping { .. }))
    }

    fn say(&mut self, message: FromServer, out: &mut Vec<ServeEvent>) {
        if self.urgent.len() >= URGENT_MAX {
            return self.fail("the PoP takes no messages", out);
        }
        self.urgent.push_back(message);
    }

    fn refuse(&mut self, code: RefuseCode, out: &mut Vec<ServeEvent>) {
        self.urgent.push_back(FromServer::Refuse { code, text: code.text().into() });
        self.news(News::Refused { code, revision: self.source.cursor }, out);
        self.state = State::Over;
        out.push(ServeEvent::Close(code.text()));
    }

    fn fail(&mut self, why: &'static str, out: &mut Vec<ServeEvent>) {
        self.state = State::Over;
        self.urgent.clear();
        out.push(ServeEvent::Close(why));
    }
}

/// Whether another history than the node's leads to this digest.
fn fork(history: &dyn History, revision: Revision, expected: ShortDigest) -> Option<RefuseCode> {
    history.digest_at(revision).filter(|digest| *digest != expected).map(|_| RefuseCode::Forked)
}
