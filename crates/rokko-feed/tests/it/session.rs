//! Two ends and a wire without delay between them.

use rokko_feed::SetId;
use rokko_feed::follow::{Behind, FollowEvent, Following, Trouble};
use rokko_feed::message::{Ack, Command, FromPop, FromServer, News, RefuseCode, Report};
use rokko_feed::serve::{ServeEvent, ServeOptions, Serving};
use rokko_zone::{Revision, ShortDigest};

use crate::data::{Origin, Replica, SET, Seen, digest_of, name, zone};

pub(crate) enum Said {
    Pop(FromPop),
    Server(FromServer),
}

pub(crate) struct Wire {
    pub(crate) serving: Serving,
    pub(crate) following: Following,
    pub(crate) now_ms: u64,
    pub(crate) served: Vec<ServeEvent>,
    pub(crate) followed: Vec<FollowEvent>,
    pub(crate) said: Vec<Said>,
}

impl Wire {
    pub(crate) fn new(replica: &mut Replica, is_origin: bool) -> Self {
        let options = ServeOptions { name: "fra1".into(), is_origin, may_relay: true };
        let serving = Serving::new(options, 10_000);
        let following = Following::new(replica, "test", Some(&Behind::default()), 10_000, 0);
        Self { serving, following, now_ms: 10_000, served: vec![], followed: vec![], said: vec![] }
    }

    /// Lets both say all that they have to say.
    pub(crate) fn run(&mut self, origin: &Origin, replica: &mut Replica) {
        loop {
            let Self { serving, following, now_ms, served, followed, said } = self;
            replica.now_ms = *now_ms;
            if let Some(message) = following.next_message() {
                serving.receive(FromPop::decode(&message.encode()).unwrap(), *now_ms, origin, served);
                said.push(Said::Pop(message));
            } else if let Some(message) = serving.next_message(origin) {
                following.receive(FromServer::decode(&message.encode()).unwrap(), *now_ms, replica, followed);
                said.push(Said::Server(message));
            } else if !self.work(origin, replica) {
                return;
            }
        }
    }

    /// Applies frames and does jobs; whether there was anything.
    fn work(&mut self, origin: &Origin, replica: &mut Replica) -> bool {
        let before = replica.revision;
        self.following.settle(self.now_ms, replica, &mut self.followed);
        let mut has_worked = replica.revision > before;
        for event in std::mem::take(&mut self.served) {
            if let ServeEvent::Job(job) = event {
                let done = job.run(&Seen(&origin.zones, origin.head()));
                self.serving.job_done(done, self.now_ms, &mut self.served);
                has_worked = true;
            } else {
                self.served.push(event);
            }
        }
        for event in std::mem::take(&mut self.followed) {
            if let FollowEvent::Job(job) = event {
                self.following.job_done(job.run(&Seen(&replica.zones, replica.revision)), self.now_ms);
                has_worked = true;
            } else {
                self.followed.push(event);
            }
        }
        has_worked
    }

    /// Lets time pass, in steps of half a second.
    pub(crate) fn pass(&mut self, ms: u64, origin: &Origin, replica: &mut Replica) {
        for _ in 0..ms / 500 {
            self.now_ms += 500;
            replica.now_ms = self.now_ms;
            self.serving.tick(self.now_ms, 0, origin, &mut self.served);
            self.following.tick(self.now_ms, replica, &mut self.followed);
            self.run(origin, replica);
        }
    }

    fn news(&self) -> Vec<&News> {
        let mut all = Vec::new();
        for event in &self.served {
            if let ServeEvent::News { news, .. } = event {
                all.push(news);
            }
        }
        all
    }

    fn refusal(&self) -> Option<RefuseCode> {
        let code = |event: &FollowEvent| if let FollowEvent::Refused(code, _) = event { Some(*code) } else { None };
        self.followed.iter().find_map(code)
    }

    fn is_closed(&self) -> bool {
        self.followed.iter().any(|event| matches!(event, FollowEvent::Close(_)))
            || self.served.iter().any(|event| matches!(event, ServeEvent::Close(_)))
    }
}

pub(crate) fn three() -> Origin {
    let mut origin = Origin::new();
    for zone in ["a.", "b.", "c."] {
        origin.commit(zone, Some(1));
    }
    origin
}

pub(crate) fn connect(origin: &Origin, replica: &mut Replica) -> Wire {
    let mut wire = Wire::new(replica, true);
    wire.run(origin, replica);
    wire
}

fn in_sync(origin: &Origin, replica: &Replica) -> bool {
    replica.revision == origin.head() && digest_of(&replica.zones) == digest_of(&origin.zones)
}

#[test]
fn frames_are_followed_and_acknowledged() {
    let (mut origin, mut replica) = (three(), Replica::default());
    let mut wire = connect(&origin, &mut replica);
    assert!(in_sync(&origin, &replica));
    origin.commit("b.", None);
    wire.run(&origin, &mut replica);
    assert!(in_sync(&origin, &replica) && replica.zones.len() == 2);
    let last = Ack { revision: Revision(4), digest: digest_of(&origin.zones), at_ms: 10_000 };
    assert_eq!(wire.news().last(), Some(&&News::Ack(last)));
    // Frames that come together are applied together.
    let acks = wire.news().into_iter().filter(|news| matches!(news, News::Ack(_))).count();
    assert_eq!(acks, 3);
    wire.serving.closed(&mut wire.served);
    assert_eq!(wire.news().last(), Some(&&News::Disconnected));
}

#[test]
fn others_data_and_other_histories_are_refused() {
    let origin = three();
    let refused = |replica: &mut Replica| {
        let before = (replica.revision, digest_of(&replica.zones));
        let wire = connect(&origin, replica);
        assert!(wire.is_closed());
        assert_eq!((replica.revision, digest_of(&replica.zones)), before);
        wire.refusal()
    };
    let mut good = Replica::default();
    connect(&origin, &mut good);
    let like_good = || Replica { set: good.set, zones: good.zones.clone(), ..Replica::default() };
    assert_eq!(refused(&mut Replica { set: Some(SetId([9; 16])), ..Replica::default() }), Some(RefuseCode::OtherSet));
    assert_eq!(refused(&mut Replica { revision: Revision(4), ..like_good() }), Some(RefuseCode::Ahead));
    let expected = Some(ShortDigest([1; 32]));
    assert_eq!(refused(&mut Replica { revision: Revision(2), expected, ..like_good() }), Some(RefuseCode::Forked));
}

#[test]
fn a_relay_that_is_behind_catches_up_first() {
    let (mut relay, mut ahead) = (three(), Replica::default());
    let mut control = three();
    control.commit("d.", Some(4));
    connect(&control, &mut ahead);
    let mut wire = Wire::new(&mut ahead, false);
    wire.run(&relay, &mut ahead);
    wire.pass(1_000, &relay, &mut ahead);
    assert!(!wire.is_closed() && ahead.revision == Revision(4));
    relay.commit("d.", Some(4));
    relay.commit("e.", Some(5));
    wire.pass(1_000, &relay, &mut ahead);
    assert!(in_sync(&relay, &ahead));
    // One that comes to another history gives nothing.
    let (mut relay, mut ahead) = (three(), Replica::default());
    connect(&control, &mut ahead);
    let mut wire = Wire::new(&mut ahead, false);
    wire.run(&relay, &mut ahead);
    relay.commit("x.", Some(4));
    wire.pass(1_000, &relay, &mut ahead);
    assert_eq!(wire.refusal(), Some(RefuseCode::Forked));
    assert_eq!(ahead.revision, Revision(4));
}

#[test]
fn a_snapshot_comes_where_frames_are_gone_and_goes_on_where_it_was_broken_off() {
    let (mut origin, mut replica) = (three(), Replica::default());
    origin.floor = Revision(2);
    let mut wire = connect(&origin, &mut replica);
    assert_eq!(replica.revision, Revision(0));
    wire.pass(500, &origin, &mut replica);
    assert!(wire.served.contains(&ServeEvent::SnapshotWanted));
    origin.take_snapshot();
    origin.commit("d.", Some(4));
    wire.run(&origin, &mut replica);
    assert!(in_sync(&origin, &replica) && !wire.is_closed());

    let (_, blocks) = origin.snapshot.clone().unwrap();
    let start = origin.snapshot.as_ref().unwrap().0;
    let mut replica = Replica { receiving: Some((start, blocks[..2].to_vec())), ..Replica::default() };
    let wire = connect(&origin, &mut replica);
    assert!(in_sync(&origin, &replica));
    let sent = |said: &&Said| matches!(said, Said::Server(FromServer::SnapshotBlock { .. }));
    assert_eq!(wire.said.iter().filter(sent).count(), 1);
}

#[test]
fn what_differs_is_found_named_and_sent_again() {
    let (mut origin, mut replica) = (three(), Replica::default());
    let mut wire = connect(&origin, &mut replica);
    replica.zones.insert(name("b."), zone("b.", 2, 9));
    replica.zones.remove(&name("c."));
    replica.zones.insert(name("ghost."), zone("ghost.", 1, 1));
    wire.pass(5_000, &origin, &mut replica);
    assert!(in_sync(&origin, &replica) && !wire.is_closed());
    let mut named = Vec::new();
    for news in wire.news() {
        if let News::Differ(names) = news {
            named.extend(names.iter().map(ToString::to_string));
        }
    }
    assert_eq!(named, ["b.", "c.", "ghost."]);

    // A change that does not fit makes a suspect, which is asked for at once.
    replica.zones.remove(&name("a."));
    origin.commit("a.", Some(7));
    origin.commit("b.", Some(8));
    wire.run(&origin, &mut replica);
    assert!(in_sync(&origin, &replica) && replica.suspects.is_empty());
    assert!(wire.followed.contains(&FollowEvent::Suspects(vec![name("a.")])));
}

#[test]
fn what_breaks_the_rules_ends_the_connection_and_changes_nothing() {
    let origin = three();
    let frame = |origin: &Origin, after| {
        let rokko_feed::serve::Next::Frame { bytes, .. } =
            rokko_feed::serve::History::frame_after(origin, Revision(after))
        else {
            panic!("no frame")
        };
        FromServer::Frame { more: false, bytes: bytes.to_vec() }
    };
    let mut foreign = Origin::new();
    foreign.set = SetId([9; 16]);
    foreign.commit("x.", Some(1));
    let cases = [
        frame(&origin, 2),
        frame(&foreign, 0),
        FromServer::Frame { more: false, bytes: vec![1; 100] },
        FromServer::SnapshotEnd,
        FromServer::SnapshotBlock { index: 0, bytes: vec![] },
        FromServer::ZoneImage { revision: Revision(0), more: false, bytes: vec![9; 9] },
        FromServer::ZoneGone { revision: Revision(2), zone: name("a.") },
    ];
    for message in cases {
        let mut replica = Replica { set: Some(SET), ..Replica::default() };
        let mut wire = connect(&Origin::new(), &mut replica);
        wire.following.receive(message.clone(), 10_000, &mut replica, &mut wire.followed);
        wire.following.settle(10_000, &mut replica, &mut wire.followed);
        assert!(wire.is_closed(), "{message:?}");
        assert_eq!((replica.revision, replica.zones.len()), (Revision(0), 0));
    }
    let mut replica = Replica::default();
    let mut wire = connect(&origin, &mut replica);
    let ack = Ack { revision: Revision(4), digest: digest_of(&origin.zones), at_ms: 0 };
    wire.serving.receive(FromPop::Ack(ack), 10_000, &origin, &mut wire.served);
    assert!(wire.is_closed());
}

#[test]
fn a_full_disk_is_tried_again() {
    let (mut origin, mut replica) = (three(), Replica::default());
    let mut wire = connect(&origin, &mut replica);
    replica.trouble = Some(Trouble::Later("no space".to_owned()));
    origin.commit("a.", Some(2));
    wire.run(&origin, &mut replica);
    wire.pass(5_000, &origin, &mut replica);
    assert_eq!(wire.followed.iter().filter(|event| matches!(event, FollowEvent::Stuck(_))).count(), 1);
    assert!(!wire.is_closed() && replica.revision == Revision(3));
    replica.trouble = None;
    wire.pass(500, &origin, &mut replica);
    assert!(in_sync(&origin, &replica));
}

#[test]
fn silence_ends_a_connection() {
    let (origin, mut replica) = (three(), Replica::default());
    let mut wire = connect(&origin, &mut replica);
    wire.serving.tick(25_000, 0, &origin, &mut wire.served);
    wire.following.tick(25_000, &mut replica, &mut wire.followed);
    assert!(!wire.is_closed());
    wire.serving.tick(25_001, 0, &origin, &mut wire.served);
    assert!(wire.served.iter().any(|event| matches!(event, ServeEvent::Close(_))));
    wire.following.tick(25_001, &mut replica, &mut wire.followed);
    assert!(wire.followed.iter().any(|event| matches!(event, FollowEvent::Close(_))));
}

#[test]
fn a_relay_passes_on_what_is_new_and_commands_find_their_way() {
    let (origin, mut replica) = (three(), Replica::default());
    let mut wire = connect(&origin, &mut replica);
    let ack = |revision, at_ms| Ack { revision: Revision(revision), digest: digest_of(&origin.zones), at_ms };
    let behind = vec![Box::from("ams1")];
    for news in [News::Ack(ack(1, 5)), News::Ack(ack(3, 6)), News::Report(Report::default())] {
        wire.following.relay(behind.clone(), news);
    }
    wire.served.clear();
    wire.run(&origin, &mut replica);
    let path: Vec<Box<str>> = vec!["fra1".into(), "ams1".into()];
    let of = |news| ServeEvent::News { path: path.clone(), news };
    // The relay's clock is not known yet, so the time is that of the message.
    assert_eq!(wire.served, [of(News::Ack(ack(3, 10_000))), of(News::Report(Report::default()))]);

    wire.serving.command(behind.clone(), Command::Verify, &mut wire.served);
    wire.serving.command(Vec::new(), Command::Verify, &mut wire.served);
    wire.serving.command(Vec::new(), Command::Drain(true), &mut wire.served);
    wire.run(&origin, &mut replica);
    assert!(wire.followed.contains(&FollowEvent::Forward { path: behind, command: Command::Verify }));
    assert!(wire.followed.contains(&FollowEvent::Drain(true)));
    let verified = wire.news().into_iter().any(|news| matches!(news, News::Verified(verified) if verified.zones == 3));
    assert!(verified);
}
