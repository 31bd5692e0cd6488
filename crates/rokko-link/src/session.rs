//! One session of a follower on its link.

use std::time::Duration;

use rokko_feed::audit::Done;
use rokko_feed::follow::{FollowEvent, Following};
use rokko_feed::message::{FromServer, RefuseCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::certificate::{Fingerprint, Identity};
use crate::client::{CLOSE_TIME, Ended, Follower, describe};
use crate::framing::Framed;
use crate::relay::Downstream;
use crate::stream::{Event, Link, LinkError};

/// How often a session looks after what is due.
const TICK: Duration = Duration::from_millis(250);
/// How often this node says how it is, in ticks.
const REPORT_TICKS: u32 = 4;
/// After a request for a certificate that was not answered, the next.
const RENEWAL_PAUSE: Duration = Duration::from_secs(600);
/// How many messages are taken before they are applied.
const MESSAGES_AT_ONCE: usize = 256;
/// How many jobs that are done wait to be told.
const DONE_MAX: usize = 4;

/// One session on its link.
pub(crate) struct Session<'a, S> {
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

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    pub(crate) fn new(follower: &'a mut Follower, link: Link<S>, address: &str, server: &Identity) -> Self {
        let parts = &mut follower.parts;
        let behind = parts.relay.then(|| parts.downstream.begin());
        let (now_ms, fresh_ms) = (crate::now_ms(), parts.downstream.fresh_ms());
        let following = Following::new(&mut *parts.local, &parts.program, behind.as_ref(), now_ms, fresh_ms);
        let (name, address) = (server.name.to_string(), address.to_owned());
        let (out, done, renewal_at) = (Vec::new(), mpsc::channel(DONE_MAX), Instant::now());
        Self { follower, following, link, out, done, name, address, renewal_at, ended: None }
    }

    /// Follows until the connection breaks off, is refused, or there is a new certificate.
    pub(crate) async fn run(mut self) -> Result<Ended, LinkError> {
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
                    self.tick(count.is_multiple_of(REPORT_TICKS));
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
        // What the server said last explains why it closed the connection.
        if self.ended.is_some() { Ok(()) } else { received }
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
        self.look_after_suspects();
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

    /// Tells when zones that differed have been put right. Each of them would be told of too often.
    fn look_after_suspects(&mut self) {
        if self.follower.has_suspects && self.follower.parts.local.suspects().is_empty() {
            self.follower.has_suspects = false;
            tracing::info!("all zones are as the feed says again");
        }
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
                if !std::mem::replace(&mut self.follower.has_suspects, true) {
                    tracing::warn!(
                        ?zones,
                        "zones differ from what the feed says; they and others that do are asked for anew"
                    );
                }
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
