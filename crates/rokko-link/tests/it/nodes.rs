//! Whole nodes for tests: a control node whose zones change, and nodes that follow.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rokko_feed::follow::Position;
use rokko_feed::frame::FrameWriter;
use rokko_feed::message::{Command, Path, Report};
use rokko_link::{
    Credentials, Downstream, Feed, FeedParts, Fleet, Follower, FollowerParts, FollowerStatus, Listener, ListenerLimits,
    Node, ShownCertificate, Views, heads,
};
use rokko_mirror::feed::{Copy, Source};
use rokko_mirror::sim::SimDisk;
use rokko_mirror::{Mirror, Options};
use rokko_wire::{Name, Rtype};
use rokko_zone::image::image;
use rokko_zone::{Catalog, Delta, Digest, Revision, Rrset, Ttl, Zone};
use tokio::sync::watch;

use crate::support::{SET, TestFleet, bind, now_s};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}: not so after {} s", PATIENCE.as_secs());
}

pub(crate) fn open_mirror(disk: &SimDisk) -> Arc<Mirror> {
    let options = Options { threads: 1, seed: 5, ..Options::default() };
    Arc::new(Mirror::open(Arc::new(disk.clone()), Arc::new(Catalog::new(3)), options).unwrap().0)
}

fn now_ms() -> u64 {
    now_s() * 1000
}

/// A control node.
pub(crate) struct Control {
    pub(crate) fleet: TestFleet,
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) address: SocketAddr,
    digest: Mutex<(Digest, u64)>,
    _stop: watch::Sender<()>,
}

impl Control {
    pub(crate) async fn start() -> Self {
        let (fleet, mirror) = (TestFleet::new(), open_mirror(&SimDisk::new(1)));
        mirror.claim(SET).unwrap();
        let (tcp, address) = bind().await;
        let feed = feed_of(&mirror, fleet.members.clone(), Some(&fleet), Arc::new(|| 0));
        let name = "control".parse().unwrap();
        let (authority, members) = (fleet.authority.clone(), fleet.members.clone());
        let listener = Listener::control(tcp, &name, authority, members, SET, ListenerLimits::default()).unwrap();
        let stop = serve(listener, &feed);
        Self { fleet, mirror, feed, address, digest: Mutex::default(), _stop: stop }
    }

    /// Changes a zone: it gets so many RRsets with 200 octets of noise each.
    pub(crate) fn change(&self, name: &str, rrsets: usize) -> Revision {
        let mut kept = self.digest.lock().unwrap();
        let (digest, random) = &mut *kept;
        let name: Name = name.parse().unwrap();
        let old = self.mirror.catalog().zone(&name);
        let mut noise = || {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*random >> 56) as u8
        };
        let mut rrset = |label: String, rtype, len| {
            let rdata: Vec<u8> = std::iter::once(199).chain(std::iter::repeat_with(&mut noise)).take(len).collect();
            let owner = format!("{label}{name}").parse().unwrap();
            Rrset { owner, rtype, ttl: Ttl::from_wire(300), rdatas: vec![rdata.into()] }
        };
        let mut contents = vec![rrset(String::new(), Rtype::A, 4)];
        contents.extend((0..rrsets).map(|number| rrset(format!("n{number}."), Rtype::TXT, 200)));
        let start = old.clone().unwrap_or_else(|| Zone::empty(&name));
        let delta: Delta = start.resolve_whole(contents).unwrap();
        let before = self.mirror.revision();
        let (zone, _) = start.apply(&delta, before.next()).unwrap();
        digest.replace(old.as_ref(), Some(&zone), &delta);
        let mut writer = FrameWriter::new(SET, before);
        writer.push(&name, old.as_ref().map(Zone::revision), Some(&delta)).unwrap();
        let frame: Arc<[u8]> = writer.finish(now_ms(), digest.short()).into();
        let applied = self.mirror.apply(&[frame]).unwrap();
        assert!(applied.matches);
        applied.revision
    }

    /// Writes a snapshot, so that what came before it can go from the log.
    pub(crate) fn compact(&self) {
        let mut compaction = self.mirror.start_compaction().unwrap().unwrap();
        while !compaction.step(1 << 20).unwrap() {}
    }
}

pub(crate) fn feed_of(
    mirror: &Arc<Mirror>,
    members: Arc<dyn Fleet>,
    fleet: Option<&TestFleet>,
    age: rokko_link::Age,
) -> Arc<Feed> {
    Feed::new(FeedParts {
        data: Arc::new(Source::new(mirror.clone())),
        views: views(mirror),
        heads: heads(mirror),
        fleet: members,
        authority: fleet.map(|fleet| fleet.authority.clone()),
        age,
        snapshot_wanted: Arc::new(|| {}),
    })
}

fn views(mirror: &Arc<Mirror>) -> Views {
    let source = Source::new(mirror.clone());
    Arc::new(move || Box::new(source.view()))
}

pub(crate) fn serve(listener: Listener, feed: &Arc<Feed>) -> watch::Sender<()> {
    let (stop, stopping) = watch::channel(());
    let feed = feed.clone();
    tokio::spawn(listener.run(move |peer, stream| feed.clone().serve(peer, stream), stopping));
    stop
}

/// A node that follows.
pub(crate) struct Pop {
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) status: watch::Receiver<FollowerStatus>,
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    pub(crate) downstream: Arc<Downstream>,
    pub(crate) folder: tempfile::TempDir,
    stop: watch::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// How a node that follows is to be.
pub(crate) struct Plan {
    pub(crate) disk: SimDisk,
    pub(crate) credentials: Credentials,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) relay: Option<(Arc<Feed>, Arc<Downstream>, ShownCertificate)>,
    pub(crate) mirror: Option<Arc<Mirror>>,
}

impl Plan {
    pub(crate) fn new(credentials: Credentials, address: SocketAddr) -> Self {
        Self { disk: SimDisk::new(2), credentials, addresses: vec![address], relay: None, mirror: None }
    }

    pub(crate) fn start(self) -> Pop {
        let folder = tempfile::tempdir().unwrap();
        let mirror = self.mirror.unwrap_or_else(|| open_mirror(&self.disk));
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let is_relay = self.relay.is_some();
        let (feed, downstream, shown) = match self.relay {
            Some((feed, downstream, shown)) => (Some(feed), downstream, Some(shown)),
            None => (None, Arc::default(), None),
        };
        let follower = Follower::new(FollowerParts {
            folder: folder.path().to_owned(),
            credentials: self.credentials,
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
            program: "test".to_owned(),
            local: Box::new(Copy::new(mirror.clone(), now_ms)),
            views: views(&mirror),
            node: Box::new(Told { told: told.clone(), feed }),
            downstream: downstream.clone(),
            relay: is_relay,
            shown,
        });
        let status = follower.status();
        let (stop, stopping) = watch::channel(());
        let thread = Some(follower.spawn(stopping).unwrap());
        Pop { mirror, status, told, downstream, folder, stop, thread }
    }
}

impl Pop {
    /// Waits until this node answers with a revision.
    pub(crate) async fn reaches(&self, revision: Revision) {
        until(&format!("revision {revision}, {:?}", self.status.borrow().clone()), || {
            self.mirror.revision() >= revision
        })
        .await;
    }

    /// Whether it has what the control node has.
    pub(crate) fn check(&self, control: &Control) {
        let (ours, theirs) = (self.mirror.position(), control.mirror.position());
        assert_eq!((ours.0, ours.2, ours.3), (theirs.0, theirs.2, theirs.2));
        assert_eq!(self.mirror.catalog().len(), control.mirror.catalog().len());
    }

    pub(crate) fn has(&self, control: &Control, zone: &str) {
        let name: Name = zone.parse().unwrap();
        let find = |mirror: &Mirror| mirror.catalog().zone(&name).map(|zone| image(zone.view()));
        assert!(find(&self.mirror).is_some() && find(&self.mirror) == find(&control.mirror), "{zone}");
    }

    pub(crate) fn trouble(&self) -> String {
        self.status.borrow().trouble.clone().unwrap_or_default()
    }

    pub(crate) fn was_told(&self, what: &str) -> bool {
        self.told.lock().unwrap().iter().any(|text| text == what)
    }
}

impl Drop for Pop {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// What a follower told its node, as text.
struct Told {
    told: Arc<Mutex<Vec<String>>>,
    feed: Option<Arc<Feed>>,
}

impl Node for Told {
    fn report(&mut self) -> Report {
        Report { program: "test".into(), ..Report::default() }
    }

    fn drain(&mut self, drained: bool) {
        self.told.lock().unwrap().push(format!("drain {drained}"));
    }

    fn applied(&mut self, _: &Position) {}

    fn forward(&mut self, path: Path, command: Command) {
        assert!(self.feed.as_ref().unwrap().forward(path, command));
    }

    fn membership_changed(&mut self) {
        if let Some(feed) = &self.feed {
            feed.membership_changed();
        }
    }
}
