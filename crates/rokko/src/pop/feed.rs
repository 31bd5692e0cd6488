//! The feed of a PoP: joining, following, and serving others if it is a relay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rokko_feed::follow::Position;
use rokko_feed::message::{Command, Path, Report};
use rokko_link::{Credentials, Downstream, Follower, FollowerParts, FollowerStatus, JoinError, Node, Token};
use rokko_mirror::Mirror;
use rokko_mirror::feed::Copy;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::state::{State, unix_ms};
use super::status::Sources;
use crate::config::Config;
use crate::failure::Failure;
use crate::up::fleet::{FeedServer, views_of};
use crate::up::keep::Wanted;
use crate::up::{chain, unix_s};

/// The folder with key and certificate in the data folder.
const FOLDER: &str = "fleet";
/// How often it is looked how the feed stands, if nothing says that this has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The running feed.
pub(super) struct Feed {
    stop: watch::Sender<()>,
    follower: JoinHandle<()>,
    relay: Option<FeedServer>,
}

/// The key and certificate of this PoP: those that it has, or new ones for a token.
pub(super) fn credentials(
    config: &Config,
    token: Option<&str>,
    state: &State,
    mirror: &Mirror,
    runtime: &Runtime,
) -> Result<Credentials, Failure> {
    let folder = config.pop.data_dir.join(FOLDER);
    let kept = Credentials::open(&folder).map_err(|error| Failure::failed(chain(&error)))?;
    let Some(text) = token else {
        return kept.ok_or_else(|| {
            let folder = config.pop.data_dir.display();
            Failure::usage(format!(
                "the PoP in {folder} belongs to no fleet yet: make a token with `rokko fleet token --name NAME` on the control node, \
                 and start with --join TOKEN"
            ))
        });
    };
    let token: Token = text.parse().map_err(|error: rokko_link::TokenError| Failure::usage(chain(&error)))?;
    let joined = match token.clone().in_time(unix_s()) {
        Ok(token) => runtime.block_on(rokko_link::join(&token, &folder)),
        Err(error) if kept.is_none() => return Err(Failure::failed(chain(&error))),
        Err(_) => Err(JoinError::Refused(rokko_link::JoinRefusal::Expired)),
    };
    match (joined, kept) {
        (Ok(joined), _) => {
            mirror.claim(joined.set).map_err(|error| {
                let folder = config.pop.data_dir.display();
                Failure::failed(format!("{}: choose another --data-dir than {folder}", chain(&error)))
            })?;
            state.joined(joined.credentials.identity().name.as_str(), &token.addresses);
            tracing::info!(name = %joined.credentials.identity().name, "joined the fleet");
            Ok(joined.credentials)
        }
        (Err(error), Some(kept)) if kept.fleet() == token.authority => {
            tracing::info!(
                "the token was not needed, or is not good any more; this PoP goes on as {}: {}",
                kept.identity().name,
                chain(&error)
            );
            Ok(kept)
        }
        (Err(error), _) => Err(Failure::failed(format!("cannot join the fleet: {}", chain(&error)))),
    }
}

impl Feed {
    /// Follows from now on, and serves others where the configuration says so.
    pub(super) fn start(
        config: &Config,
        credentials: Credentials,
        sources: &Sources,
        damages: u64,
        wanted: &Wanted,
        runtime: &Runtime,
    ) -> Result<Self, Failure> {
        let pop = &config.pop;
        let addresses = if pop.from.is_empty() { sources.state.from() } else { pop.from.clone() };
        if addresses.is_empty() {
            return Err(Failure::usage("it is not known where the feed comes from: say so with --from HOST:PORT"));
        }
        let may_relay = credentials.identity().role.serves();
        if !pop.relay_listen.is_empty() && !may_relay {
            let name = &credentials.identity().name;
            return Err(Failure::usage(format!(
                "{name} must not serve the feed to others: join with a token that was made with --relay, or leave out --relay-listen"
            )));
        }
        let downstream = Arc::new(Downstream::default());
        let relay = match &pop.relay_listen[..] {
            [] => None,
            listen => Some(FeedServer::relay(listen, &credentials, &downstream, &sources.mirror, wanted, runtime)?),
        };
        let (stop, stopping) = watch::channel(());
        let mirror = Arc::clone(&sources.mirror);
        let me = Me { sources: sources.clone(), damages, relay: relay.as_ref().map(FeedServer::feed) };
        let follower = Follower::new(FollowerParts {
            folder: pop.data_dir.join(FOLDER),
            credentials,
            addresses,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            local: Box::new(Copy::new(Arc::clone(&mirror), unix_ms)),
            views: views_of(&mirror),
            node: Box::new(me),
            downstream: Arc::clone(&downstream),
            relay: relay.is_some(),
            shown: relay.as_ref().and_then(FeedServer::shown),
        });
        runtime.spawn(note(follower.status(), downstream, Arc::clone(&sources.state)));
        let follower = follower.spawn(stopping).map_err(|error| Failure::io("start the thread of the feed", &error))?;
        Ok(Self { stop, follower, relay })
    }

    /// Where others are served.
    pub(super) fn relay_addresses(&self) -> &[SocketAddr] {
        self.relay.as_ref().map_or(&[], |relay| relay.addresses())
    }

    pub(super) fn stop(self, runtime: &Runtime) {
        if let Some(relay) = self.relay {
            relay.stop(runtime);
        }
        // The follower is gone only if it panicked, and that was reported.
        let _ = self.stop.send(());
        let _ = self.follower.join();
    }
}

/// This PoP, as its follower sees it.
struct Me {
    sources: Sources,
    /// How many damages its copy had when it was opened.
    damages: u64,
    relay: Option<Arc<rokko_link::Feed>>,
}

impl Node for Me {
    fn report(&mut self) -> Report {
        let Sources { mirror, state, dns, .. } = &self.sources;
        let responses = (0..).zip(dns.counters().by_rcode).filter(|&(_, count)| count > 0).collect();
        let (_, _, expected, digest) = mirror.position();
        let suspects = mirror.suspects().len() as u64;
        Report {
            program: env!("CARGO_PKG_VERSION").into(),
            responses,
            zones: mirror.catalog().len() as u64,
            missing: if expected == digest { 0 } else { suspects.max(1) },
            damages: self.damages,
            drained: state.is_drained(),
            ..Report::default()
        }
    }

    fn drain(&mut self, drained: bool) {
        self.sources.state.set_drained(drained);
    }

    fn applied(&mut self, _: &Position) {}

    fn forward(&mut self, path: Path, command: Command) {
        if let Some(relay) = &self.relay {
            relay.forward(path, command);
        }
    }

    fn membership_changed(&mut self) {
        if let Some(relay) = &self.relay {
            relay.membership_changed();
        }
    }
}

/// Keeps note of how the feed stands.
async fn note(mut status: watch::Receiver<FollowerStatus>, downstream: Arc<Downstream>, state: Arc<State>) {
    loop {
        let now = status.borrow_and_update().clone();
        state.heard(now.server.is_some(), downstream.fresh_ms(), now.head, now.revision);
        state.set_certificate_expires_s(now.certificate_expires_s);
        let changed = tokio::time::timeout(LOOK_EVERY, status.changed()).await;
        if matches!(changed, Ok(Err(_))) {
            state.heard(false, downstream.fresh_ms(), 0, now.revision);
            return;
        }
    }
}
