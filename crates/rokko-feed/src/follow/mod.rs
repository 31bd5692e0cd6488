//! Following a node that serves the feed.
//!
//! ```text
//!           Welcome               SnapshotStart
//! Greeting ─────────► Streaming ─────────────────► Receiving
//!     │                   ▲                            │ SnapshotEnd: checked, and taken over as a whole
//!     │ Refuse            └────────────────────────────┘
//!     └──────► Over
//! ```
//!
//! Nothing of another set, nothing older, and nothing after a gap is taken: the connection is given up, and what the copy has
//! goes on being answered. What is to be said waits in the session, of each kind the last, until the carrier asks for it
//! ([`Following::next_message`]).

mod outbox;
mod relay;

use std::collections::BTreeMap;
use std::sync::Arc;

use rokko_wire::Name;
use rokko_zone::{ImageReader, Revision, ShortDigest, Zone};

use crate::SetId;
use crate::audit::{Done, Job};
use crate::frame::{FRAME_OCTETS_MAX, Frame};
use crate::message::{
    Ack, Command, FromPop, FromServer, Hello, News, PROTOCOL_VERSION, Partial, Path, RefuseCode, Report, SnapshotStart,
    Welcome,
};
use crate::serve::SILENCE_MS_MAX;
use outbox::Outbox;
pub use relay::Behind;

/// How many octets of frames are applied at once at most.
const BATCH_OCTETS_MAX: usize = 4 << 20;
/// How many octets of frames wait while the disk takes none: above, the connection is given up.
const WAITING_OCTETS_MAX: usize = 64 << 20;
/// After how many milliseconds a zone is asked for again.
const ASK_AGAIN_MS: u64 = 10_000;
/// The most zones that are remembered as asked for.
const ASKED_MAX: usize = 100_000;

/// What a copy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The last revision that is answered with.
    pub revision: Revision,
    /// What the digest at it is to be.
    pub expected: ShortDigest,
    /// The digest of what is there.
    pub digest: ShortDigest,
}

/// What applying came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What the copy has now.
    pub position: Position,
    /// Since when it is answered with, by this node's clock in milliseconds since 1970.
    pub at_ms: u64,
    /// Zones that turned out to be other than what a change was made against.
    pub suspects: Vec<Name>,
}

/// Why a copy does not take something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may take it later: the disk is full, say.
    Later(String),
    /// It will never take it.
    Never(String),
}

/// The durable copy that a follower keeps. Whatever is taken is durable, and answered with, when a call returns.
pub trait Local {
    /// Whose data; `None`: none yet.
    fn set(&self) -> Option<SetId>;
    /// Settles whose data it has, before the first come.
    fn claim(&mut self, set: SetId) -> Result<(), Trouble>;
    /// What it has.
    fn position(&self) -> Position;
    /// A snapshot of which it has a part.
    fn partial(&mut self) -> Option<Partial>;
    /// Zones that are known to be other than they ought to be.
    fn suspects(&self) -> Vec<Name>;
    /// Applies frames that follow one another; after an error none of them is applied.
    fn apply(&mut self, frames: &[Arc<[u8]>]) -> Result<Applied, Trouble>;
    /// Puts zones in place as they are at its revision; `None`: there is no such zone.
    fn repair(&mut self, revision: Revision, zones: Vec<(Name, Option<Zone>)>) -> Result<Applied, Trouble>;
    /// Begins to receive a snapshot, or goes on; returns the block that it needs next.
    fn begin(&mut self, set: SetId, start: &SnapshotStart) -> Result<u64, Trouble>;
    /// Takes the next block.
    fn block(&mut self, index: u64, bytes: &[u8]) -> Result<(), Trouble>;
    /// Checks the snapshot and puts it in the place of all that is there.
    fn finish(&mut self) -> Result<Applied, Trouble>;
    /// Gives up the transfer; what has come is kept for another one.
    fn give_up(&mut self);
}

/// What comes of a session beside messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowEvent {
    /// The server takes this node.
    Welcomed(Welcome),
    /// The server does not.
    Refused(RefuseCode, Box<str>),
    /// Something was applied.
    Applied(Position),
    /// Zones were found that differ from what the feed says, and are being asked for.
    Suspects(Vec<Name>),
    /// Something is to be worked out from all zones, and given to [`Following::job_done`].
    Job(Job),
    /// This node is to be drained, or not any more.
    Drain(bool),
    /// This node's new certificate.
    Certificate(Vec<u8>),
    /// A command for a PoP that this node serves, the first of the path.
    Forward {
        /// The way to it.
        path: Path,
        /// What to do.
        command: Command,
    },
    /// The hashes of all certificates that were revoked.
    Revoked(Vec<[u8; 32]>),
    /// The copy takes nothing for now; it is tried again.
    Stuck(String),
    /// The connection is to be closed, and another one made later.
    Close(String),
}

/// A session with the node that is followed.
pub struct Following {
    state: State,
    outbox: Outbox,
    /// Parts of a frame.
    parts: Vec<u8>,
    /// Whole frames that were not applied yet, and their octets.
    frames: Vec<Arc<[u8]>>,
    frames_octets: usize,
    /// The last revision that came.
    incoming: Revision,
    image: Option<ImageReader>,
    asked: BTreeMap<Name, u64>,
    /// What the server was told last.
    told: (Revision, ShortDigest),
    heard_ms: u64,
    /// When the data were known to be the newest that the control plane had, as far as it can be known.
    fresh_ms: u64,
    is_stuck: bool,
}

#[derive(Debug)]
enum State {
    Greeting,
    Streaming { set: SetId },
    Receiving { set: SetId, next: u64 },
    Over,
}

impl Following {
    /// A session on a connection that has just been made. `fresh_ms` is what [`Following::fresh_ms`] was at the end of
    /// the one before; `behind`: the PoPs that this node serves, if it is a relay.
    pub fn new(local: &mut dyn Local, program: &str, behind: Option<&Behind>, now_ms: u64, fresh_ms: u64) -> Self {
        let Position { revision, expected, digest } = local.position();
        let (set, partial) = (local.set(), local.partial());
        let (version, program, relay) = (PROTOCOL_VERSION, program.into(), behind.is_some());
        let hello = Hello { version, set, revision, expected, digest, partial, program, relay };
        let mut outbox = Outbox::new(hello);
        if let Some(behind) = behind {
            outbox.relay_all(behind);
        }
        Self {
            state: State::Greeting,
            outbox,
            parts: Vec::new(),
            frames: Vec::new(),
            frames_octets: 0,
            incoming: revision,
            image: None,
            asked: BTreeMap::new(),
            told: (revision, digest),
            heard_ms: now_ms,
            fresh_ms,
            is_stuck: false,
        }
    }

    /// The next message for the carrier, which has room for it.
    pub fn next_message(&mut self) -> Option<FromPop> {
        self.outbox.next(matches!(self.state, State::Streaming { .. } | State::Receiving { .. }))
    }

    /// Takes a message. Frames wait until [`Following::settle`], so that those that come together are applied together.
    pub fn receive(&mut self, message: FromServer, now_ms: u64, local: &mut dyn Local, out: &mut Vec<FollowEvent>) {
        self.heard_ms = now_ms;
        match (&self.state, message) {
            (State::Over, _) => {}
            (State::Greeting, FromServer::Welcome(welcome)) => self.welcome(welcome, now_ms, local, out),
            (State::Greeting, FromServer::Refuse { code, text }) => {
                self.state = State::Over;
                out.push(FollowEvent::Refused(code, text));
                out.push(FollowEvent::Close(code.text().to_owned()));
            }
            (State::Streaming { set }, FromServer::Frame { more, bytes }) => {
                let set = *set;
                self.part(set, more, bytes, now_ms, local, out);
            }
            (State::Streaming { set }, FromServer::SnapshotStart(start)) => {
                let set = *set;
                self.begin(set, &start, now_ms, local, out);
            }
            (State::Receiving { set, next }, FromServer::SnapshotBlock { index, bytes }) => {
                let (set, next) = (*set, *next);
                match local.block(index, &bytes) {
                    Ok(()) if index == next => self.state = State::Receiving { set, next: next + 1 },
                    Ok(()) => self.fail("a block of a snapshot is missing", local, out),
                    Err(trouble) => self.fail(trouble.text(), local, out),
                }
            }
            // What was sent of it can't be gone on with: the server begins another.
            (State::Receiving { set, .. }, FromServer::SnapshotStart(start)) => {
                let set = *set;
                local.give_up();
                self.begin(set, &start, now_ms, local, out);
            }
            (State::Receiving { set, .. }, FromServer::SnapshotEnd) => {
                let set = *set;
                self.finish(set, now_ms, local, out);
            }
            (State::Streaming { .. }, FromServer::ZoneImage { revision, more, bytes }) => {
                self.image_part(revision, more, &bytes, now_ms, local, out);
            }
            (State::Streaming { .. }, FromServer::ZoneGone { revision, zone }) => {
                self.repair(revision, vec![(zone, None)], now_ms, local, out);
            }
            (State::Streaming { .. } | State::Receiving { .. }, message) => {
                self.other(message, now_ms, local, out);
            }
            (State::Greeting, _) => self.fail("the server did not answer the hello", local, out),
        }
    }

    /// Applies the frames that have come; to be called when nothing more is there at once.
    pub fn settle(&mut self, now_ms: u64, local: &mut dyn Local, out: &mut Vec<FollowEvent>) {
        if self.frames.is_empty() {
            return;
        }
        match local.apply(&self.frames) {
            Ok(applied) => {
                self.drop_frames();
                self.is_stuck = false;
                self.applied(applied, now_ms, out);
            }
            Err(Trouble::Later(text)) if self.frames_octets <= WAITING_OCTETS_MAX => {
                if !std::mem::replace(&mut self.is_stuck, true) {
                    out.push(FollowEvent::Stuck(text));
                }
            }
            Err(trouble) => self.fail(trouble.text(), local, out),
        }
    }

    /// Time has passed; to be called some times a second.
    pub fn tick(&mut self, now_ms: u64, local: &mut dyn Local, out: &mut Vec<FollowEvent>) {
        if matches!(self.state, State::Over) {
            return;
        }
        if now_ms.saturating_sub(self.heard_ms) > SILENCE_MS_MAX {
            return self.fail("nothing came for too long", local, out);
        }
        self.settle(now_ms, local, out);
        if matches!(self.state, State::Streaming { .. }) {
            self.ask(local.suspects(), now_ms);
            let Position { revision, digest, .. } = local.position();
            self.tell(Ack { revision, digest, at_ms: now_ms });
        }
    }

    /// A job has come to something.
    pub fn job_done(&mut self, done: Done, now_ms: u64) {
        match done {
            Done::Sums { revision, sums } => self.outbox.sums = Some(FromPop::Sums { revision, sums }),
            Done::Marks { revision, marks } => self.outbox.set_marks(revision, &marks),
            Done::Names(names) => self.outbox.need(names),
            Done::Verified(mut verified) => {
                verified.at_ms = now_ms;
                self.outbox.verified = Some(verified);
            }
            Done::Compared { .. } => {}
        }
    }

    /// Says how this node is.
    pub fn report(&mut self, report: Report) {
        self.outbox.report = Some(report);
    }

    /// Asks for a new certificate.
    pub fn renew(&mut self, request: Vec<u8>) {
        self.outbox.renew = Some(request);
    }

    /// Passes on what is new of a PoP that this node serves, or of one behind it.
    pub fn relay(&mut self, path: Path, news: News) {
        self.outbox.relay(path, news);
    }

    /// When the data were last known to be what the control plane had, by this node's clock in milliseconds since 1970.
    pub fn fresh_ms(&self) -> u64 {
        self.fresh_ms
    }

    /// Whether the server has taken this node.
    pub fn is_served(&self) -> bool {
        matches!(self.state, State::Streaming { .. } | State::Receiving { .. })
    }

    fn welcome(&mut self, welcome: Welcome, now_ms: u64, local: &mut dyn Local, out: &mut Vec<FollowEvent>) {
        let set = welcome.set;
        if welcome.version != PROTOCOL_VERSION {
            return self.fail(RefuseCode::Version.text(), local, out);
        }
        match local.set() {
            Some(own) if own != set => {
                let code = RefuseCode::OtherSet;
                out.push(FollowEvent::Refused(code, code.text().into()));
                return self.fail(code.text(), local, out);
            }
            Some(_) => {}
            None => {
                if let Err(trouble) = local.claim(set) {
                    return self.fail(trouble.text(), local, out);
                }
            }
        }
        self.state = State::Streaming { set };
        out.push(FollowEvent::Welcomed(welcome));
        self.ask(local.suspects(), now_ms);
    }

    fn part(
        &mut self,
        set: SetId,
        more: bool,
        bytes: Vec<u8>,
        now_ms: u64,
        local: &mut dyn Local,
        out: &mut Vec<FollowEvent>,
    ) {
        if self.parts.len() + bytes.len() > FRAME_OCTETS_MAX {
            return self.fail("a frame is too long", local, out);
        }
        if self.parts.is_empty() {
            self.parts = bytes;
        } else {
            self.parts.extend_from_slice(&bytes);
        }
        if more {
            return;
        }
        let frame: Arc<[u8]> = std::mem::take(&mut self.parts).into();
        match Frame::peek(&frame) {
            Err(error) => return self.fail(&error.to_string(), local, out),
            Ok(head) if head.set != set => return self.fail(RefuseCode::OtherSet.text(), local, out),
            Ok(head) if head.after > self.incoming => return self.fail("revisions are missing", local, out),
            Ok(head) if head.last <= self.incoming => return self.fail("revisions came twice", local, out),
            Ok(head) => self.incoming = head.last,
        }
        self.frames_octets += frame.len();
        self.frames.push(frame);
        if self.frames_octets >= BATCH_OCTETS_MAX {
            self.settle(now_ms, local, out);
        }
    }

    fn begin(
        &mut self,
        set: SetId,
        start: &SnapshotStart,
        now_ms: u64,
        local: &mut dyn Local,
        out: &mut Vec<FollowEvent>,
    ) {
        self.settle(now_ms, local, out);
        if matches!(self.state, State::Over) {
            return;
        }
        if start.revision < self.incoming || !self.frames.is_empty() {
            return self.fail("a snapshot came that is older than what is here", local, out);
        }
        match local.begin(set, start) {
            Ok(next) if next == start.from_block => self.state = State::Receiving { set, next },
            Ok(_) => self.fail("the snapshot does not go on where it was broken off", local, out),
            Err(trouble) => self.fail(trouble.text(), local, out),
        }
    }

    fn finish(&mut self, set: SetId, now_ms: u64, local: &mut dyn Local, out: &mut Vec<FollowEvent>) {
        match local.finish() {
            Ok(applied) => {
                self.state = State::Streaming { set };
                self.incoming = applied.position.revision;
                self.asked.clear();
                self.applied(applied, now_ms, out);
            }
            Err(trouble) => self.fail(trouble.text(), local, out),
        }
    }

    fn image_part(
        &mut self,
        revision: Revision,
        more: bool,
        bytes: &[u8],
        now_ms: u64,
        local: &mut dyn Local,
        out: &mut Vec<FollowEvent>,
    ) {
        let reader = self.image.get_or_insert_default();
        let mut zones = Vec::new();
        let result = reader.read(bytes, &mut |zone| zones.push((zone.apex(), Some(zone))));
        let is_whole = reader.is_between_images();
        match result {
            Err(error) => return self.fail(&error.to_string(), local, out),
            Ok(()) if is_whole == more => return self.fail("the image of a zone is cut off", local, out),
            Ok(()) => {}
        }
        if !more {
            self.image = None;
            self.repair(revision, zones, now_ms, local, out);
        }
    }

    fn repair(
        &mut self,
        revision: Revision,
        zones: Vec<(Name, Option<Zone>)>,
        now_ms: u64,
        local: &mut dyn Local,
        out: &mut Vec<FollowEvent>,
    ) {
        self.settle(now_ms, local, out);
        // While the disk takes no frames, the copy is older than the zone; it is asked for again later.
        if !self.frames.is_empty() || matches!(self.state, State::Over) {
            return;
        }
        if revision != self.incoming {
            return self.fail("a zone came at another revision than the frames before it", local, out);
        }
        let names: Vec<Name> = zones.iter().map(|(name, _)| name.clone()).collect();
        match local.repair(revision, zones) {
            Ok(applied) => {
                self.asked.retain(|name, _| !names.contains(name));
                self.applied(applied, now_ms, out);
            }
            Err(Trouble::Later(text)) => out.push(FollowEvent::Stuck(text)),
            Err(trouble) => self.fail(trouble.text(), local, out),
        }
    }

    fn other(&mut self, message: FromServer, now_ms: u64, local: &mut dyn Local, out: &mut Vec<FollowEvent>) {
        match message {
            FromServer::Ping { server_ms, head, age_ms } => {
                self.outbox.pong(server_ms, now_ms);
                if head <= self.incoming {
                    self.fresh_ms = self.fresh_ms.max(now_ms.saturating_sub(age_ms));
                }
            }
            FromServer::AskSums => out.push(FollowEvent::Job(Job::Sums)),
            FromServer::AskZones(buckets) => out.push(FollowEvent::Job(Job::Marks(buckets.into_iter().collect()))),
            FromServer::AskNames(hashes) => out.push(FollowEvent::Job(Job::Names(hashes.into_iter().collect()))),
            FromServer::Command { path, command } if !path.is_empty() => {
                out.push(FollowEvent::Forward { path, command });
            }
            FromServer::Command { command: Command::Verify, .. } => out.push(FollowEvent::Job(Job::Verify)),
            FromServer::Command { command: Command::Drain(drained), .. } => out.push(FollowEvent::Drain(drained)),
            FromServer::Command { command: Command::Certificate(chain), .. } => {
                out.push(FollowEvent::Certificate(chain));
            }
            FromServer::Revoked(keys) => out.push(FollowEvent::Revoked(keys)),
            FromServer::Refuse { code, text } => {
                out.push(FollowEvent::Refused(code, text));
                self.fail(code.text(), local, out);
            }
            _ => self.fail(RefuseCode::Protocol.text(), local, out),
        }
    }

    fn applied(&mut self, applied: Applied, now_ms: u64, out: &mut Vec<FollowEvent>) {
        let Position { revision, digest, .. } = applied.position;
        // Taking over a snapshot can take longer than a silence may last.
        self.heard_ms = self.heard_ms.max(applied.at_ms);
        self.tell(Ack { revision, digest, at_ms: applied.at_ms });
        out.push(FollowEvent::Applied(applied.position));
        if !applied.suspects.is_empty() {
            self.ask(applied.suspects.clone(), now_ms);
            out.push(FollowEvent::Suspects(applied.suspects));
        }
    }

    /// Acknowledges what is new to the server.
    fn tell(&mut self, ack: Ack) {
        if self.told != (ack.revision, ack.digest) {
            self.told = (ack.revision, ack.digest);
            // One that was not sent yet says since when the revision is answered with.
            let waiting = self.outbox.ack.filter(|waiting| waiting.revision == ack.revision);
            self.outbox.ack = Some(Ack { at_ms: waiting.map_or(ack.at_ms, |waiting| waiting.at_ms), ..ack });
        }
    }

    /// Asks for zones, unless they were asked for a short while ago.
    fn ask(&mut self, names: Vec<Name>, now_ms: u64) {
        for name in names {
            let was_asked = self.asked.get(&name).is_some_and(|at| now_ms.saturating_sub(*at) < ASK_AGAIN_MS);
            if !was_asked && (self.asked.len() < ASKED_MAX || self.asked.contains_key(&name)) {
                self.asked.insert(name.clone(), now_ms);
                self.outbox.need(vec![name]);
            }
        }
    }

    fn drop_frames(&mut self) {
        self.frames.clear();
        self.frames_octets = 0;
    }

    fn fail(&mut self, why: &str, local: &mut dyn Local, out: &mut Vec<FollowEvent>) {
        local.give_up();
        self.drop_frames();
        self.state = State::Over;
        out.push(FollowEvent::Close(why.to_owned()));
    }
}

impl Trouble {
    /// What it is.
    pub fn text(&self) -> &str {
        match self {
            Trouble::Later(text) | Trouble::Never(text) => text,
        }
    }
}
