//! What the control plane and the carrier of the feed ask of each other.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use data_encoding::HEXLOWER;
use rokko_api::state::{FleetLink, MadeToken};
use rokko_control::fleet::{self, PopReport};
use rokko_control::{Control, Identity};
use rokko_feed::message::{Command, News, Path, RefuseCode, Report};
use rokko_link::{
    Admission, Authority, Credentials, Downstream, Feed, FeedParts, Fingerprint, Fleet, JoinRefusal, Listener,
    ListenerLimits, NodeName, Role, SecretHash, ShownCertificate, Token, Views, heads,
};
use rokko_mirror::Mirror;
use rokko_mirror::feed::Source;
use rokko_model::UnixMillis;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::keep::Wanted;
use super::{chain, unix_s};
use crate::config::Config;
use crate::failure::Failure;

/// How long the end of the connections may take.
const STOP_TIME: Duration = Duration::from_secs(3);
/// How often it is made durable when each PoP was last heard of.
const CONTACTS_EVERY: Duration = Duration::from_secs(60);
/// The folder with the authority in the control node's data folder.
const FOLDER: &str = "fleet";
/// What the control node is called in its certificate.
const CONTROL_NAME: &str = "control";

/// The feed as it is served to PoPs.
pub(crate) struct FeedServer {
    feed: Arc<Feed>,
    addresses: Vec<SocketAddr>,
    shown: Option<ShownCertificate>,
    stop: watch::Sender<()>,
    serving: Vec<JoinHandle<()>>,
}

impl FeedServer {
    /// The control node's.
    pub(crate) fn control(
        config: &Config,
        control: &Control,
        wanted: &Wanted,
        runtime: &Runtime,
    ) -> Result<(Self, Arc<dyn FleetLink>), Failure> {
        let authority =
            Authority::open(&config.data_dir.join(FOLDER), unix_s()).map_err(|error| Failure::failed(chain(&error)))?;
        let authority = Arc::new(authority);
        let name: NodeName =
            CONTROL_NAME.parse().map_err(|error: rokko_link::NameError| Failure::failed(error.to_string()))?;
        let members = Arc::new(Members { control: control.clone(), feed: OnceLock::new() });
        let digests = control.clone();
        let feed = Feed::new(FeedParts {
            data: Arc::new(
                Source::new(Arc::clone(control.mirror())).with_digests(move |revision| digests.digest_at(revision)),
            ),
            views: views_of(control.mirror()),
            heads: heads(control.mirror()),
            fleet: Arc::clone(&members) as Arc<dyn Fleet>,
            authority: Some(Arc::clone(&authority)),
            age: Arc::new(|| 0),
            snapshot_wanted: wanted.asker(),
        });
        // Set once, here.
        let _ = members.feed.set(Arc::downgrade(&feed));
        let mut listeners = Vec::new();
        for address in &config.fleet_listen {
            let tcp = bind(address, "--fleet-listen", runtime)?;
            let fleet = Arc::clone(&members) as Arc<dyn Fleet>;
            let limits = ListenerLimits::default();
            let bound = tcp.local_addr().map_err(|error| Failure::io("listen for PoPs", &error))?;
            let listener = Listener::control(tcp, &name, Arc::clone(&authority), fleet, control.set(), limits)
                .map_err(|error| Failure::failed(chain(&error)))?;
            listeners.push((bound, listener));
        }
        let mut server = Self::serve(feed, listeners, runtime);
        server.serving.push(runtime.spawn(keep_contacts(control.clone(), server.stop.subscribe())));
        let door = Door {
            authority: authority.fingerprint(),
            addresses: if config.fleet_addresses.is_empty() {
                server.addresses.iter().map(ToString::to_string).collect()
            } else {
                config.fleet_addresses.clone()
            },
            control: control.clone(),
            feed: Arc::clone(&server.feed),
        };
        Ok((server, Arc::new(door)))
    }

    /// A relay's.
    pub(crate) fn relay(
        listen: &[SocketAddr],
        credentials: &Credentials,
        downstream: &Arc<Downstream>,
        mirror: &Arc<Mirror>,
        wanted: &Wanted,
        runtime: &Runtime,
    ) -> Result<Self, Failure> {
        let age = Arc::clone(downstream);
        let feed = Feed::new(FeedParts {
            data: Arc::new(Source::new(Arc::clone(mirror))),
            views: views_of(mirror),
            heads: heads(mirror),
            fleet: Arc::clone(downstream) as Arc<dyn Fleet>,
            authority: None,
            age: Arc::new(move || age.age_ms()),
            snapshot_wanted: wanted.asker(),
        });
        let mut listeners = Vec::new();
        for address in listen {
            let tcp = bind(address, "--relay-listen", runtime)?;
            let bound = tcp.local_addr().map_err(|error| Failure::io("listen for PoPs", &error))?;
            let fleet = Arc::clone(downstream) as Arc<dyn Fleet>;
            let listener = Listener::relay(tcp, credentials, fleet, ListenerLimits::default())
                .map_err(|error| Failure::failed(chain(&error)))?;
            listeners.push((bound, listener));
        }
        Ok(Self::serve(feed, listeners, runtime))
    }

    fn serve(feed: Arc<Feed>, listeners: Vec<(SocketAddr, Listener)>, runtime: &Runtime) -> Self {
        let stop = watch::Sender::new(());
        let shown = listeners.first().map(|(_, listener)| listener.shown());
        let (mut addresses, mut serving) = (Vec::new(), Vec::new());
        for (address, listener) in listeners {
            let feed = Arc::clone(&feed);
            let run = listener.run(move |peer, stream| Arc::clone(&feed).serve(peer, stream), stop.subscribe());
            serving.push(runtime.spawn(run));
            addresses.push(address);
        }
        Self { feed, addresses, shown, stop, serving }
    }

    pub(crate) fn feed(&self) -> Arc<Feed> {
        Arc::clone(&self.feed)
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Through which the certificate that is shown is renewed.
    pub(crate) fn shown(&self) -> Option<ShownCertificate> {
        self.shown.clone()
    }

    pub(crate) fn stop(self, runtime: &Runtime) {
        let _ = self.stop.send(());
        for serving in self.serving {
            let _ = runtime.block_on(async { tokio::time::timeout(STOP_TIME, serving).await });
        }
    }
}

/// Makes durable now and then, and at the end, when each PoP was last heard of.
async fn keep_contacts(control: Control, mut stopping: watch::Receiver<()>) {
    let mut is_over = false;
    while !is_over {
        is_over = tokio::time::timeout(CONTACTS_EVERY, stopping.changed()).await.is_ok();
        let control = control.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || control.keep_contacts()).await {
            tracing::warn!("it could not be kept when the PoPs were last heard of: {}", chain(&error));
        }
    }
}

/// States of a mirror for audits.
pub(crate) fn views_of(mirror: &Arc<Mirror>) -> Views {
    let mirror = Arc::clone(mirror);
    Arc::new(move || Box::new(mirror.view()))
}

fn bind(address: &SocketAddr, flag: &str, runtime: &Runtime) -> Result<TcpListener, Failure> {
    runtime.block_on(TcpListener::bind(address)).map_err(|error| {
        Failure::failed(format!("cannot listen on {address}: {error}; choose another address with {flag}"))
    })
}

/// Who belongs to the fleet, as the carrier asks for it.
struct Members {
    control: Control,
    /// Set before the first connection.
    feed: OnceLock<Weak<Feed>>,
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Members")
    }
}

impl Fleet for Members {
    fn admit(&self, secret: &SecretHash, key: &Fingerprint, _now_s: u64) -> Result<Admission, JoinRefusal> {
        let joined =
            self.control.join_fleet(&Fingerprint(secret.0).to_string(), &key.to_string()).map_err(|error| {
                tracing::error!("a node could not join the fleet: {}", chain(&error));
                JoinRefusal::Unavailable
            })?;
        let record = joined.map_err(|refusal| match refusal {
            fleet::JoinRefusal::Unknown => JoinRefusal::Unknown,
            fleet::JoinRefusal::Used => JoinRefusal::Used,
            fleet::JoinRefusal::Expired => JoinRefusal::Expired,
        })?;
        let name = record.name.parse().map_err(|_| JoinRefusal::Unavailable)?;
        Ok(Admission { name, role: if record.relay { Role::Relay } else { Role::Pop } })
    }

    fn is_revoked(&self, identity: &rokko_link::Identity) -> bool {
        self.control.is_revoked(identity.name.as_str(), &identity.fingerprint.to_string())
    }

    fn issued(&self, identity: &rokko_link::Identity) {
        let expires_at = UnixMillis(identity.not_after_s * 1000);
        let noted =
            self.control.certificate_issued(identity.name.as_str(), &identity.fingerprint.to_string(), expires_at);
        if let Err(error) = noted {
            tracing::error!("a certificate that was issued could not be noted: {}", chain(&error));
        }
    }

    fn revoked(&self) -> Vec<Fingerprint> {
        let hexadecimal = self.control.revoked_certificates();
        let octets = hexadecimal.iter().filter_map(|text| HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok());
        octets.map(Fingerprint).collect()
    }

    fn news(&self, path: &Path, news: News) {
        if let (News::Connected { .. }, Some(name)) = (&news, path.last())
            && let Some(record) = self.control.pop_record(name)
            && let Some(feed) = self.feed.get().and_then(Weak::upgrade)
        {
            // It may have been drained while it could not be told.
            feed.command(name, Command::Drain(record.drained));
        }
        note(&self.control, path, news);
    }
}

/// Tells the control plane what is new of a PoP; the path ends with its name, and relays stand before it.
fn note(control: &Control, path: &[Box<str>], news: News) {
    let Some((name, relays)) = path.split_last() else { return };
    match news {
        News::Connected { .. } => control.pop_connected(name, relays.last().map(AsRef::as_ref)),
        News::Refused { code: RefuseCode::Ahead | RefuseCode::Forked, revision } => {
            control.pop_is_ahead(name, revision);
        }
        // The carrier answers requests for certificates; other refusals are in its log. Who is gone is not heard of soon.
        News::Disconnected | News::Refused { .. } | News::Renew(_) => {}
        News::Ack(ack) => control.pop_acknowledged(name, ack.revision, ack.digest, UnixMillis(ack.at_ms)),
        News::Report(report) => control.pop_reported(name, report_of(report)),
        News::Differ(zones) => control.pop_differs(name, zones.iter().map(ToString::to_string).collect()),
        News::Verified(verified) => {
            control.pop_verified(name, verified.revision, verified.digest, verified.zones, verified.octets);
        }
    }
}

fn report_of(report: Report) -> PopReport {
    PopReport {
        version: report.program.into(),
        responses: report.responses.into_iter().collect(),
        age_ms: report.age_ms,
        zones_missing: report.missing,
        zones: report.zones,
        certificate_expires: UnixMillis(report.certificate_expires_ms),
    }
}

/// What the API asks of the fleet.
struct Door {
    /// The hash of the authority's certificate.
    authority: Fingerprint,
    /// Where PoPs reach this node.
    addresses: Vec<String>,
    control: Control,
    feed: Arc<Feed>,
}

impl FleetLink for Door {
    fn token(
        &self,
        name: &str,
        relay: bool,
        expires_at: UnixMillis,
        address: Option<&str>,
    ) -> Result<MadeToken, String> {
        let name: NodeName = name.parse().map_err(|error: rokko_link::NameError| error.to_string())?;
        let addresses = address.map_or_else(|| self.addresses.clone(), |address| vec![address.to_owned()]);
        let token = Token::make(name, relay, expires_at.0 / 1000, self.authority, addresses);
        let token = token.map_err(|error| error.to_string())?;
        Ok(MadeToken { text: token.to_string(), hash: Fingerprint(token.secret_hash().0).to_string() })
    }

    fn verify(&self) {
        for status in self.control.fleet(&Identity::local()).unwrap_or_default() {
            self.feed.command(&status.record.name, Command::Verify);
        }
    }

    fn changed(&self, name: &str) {
        let Some(record) = self.control.pop_record(name) else { return };
        if record.revoked_at.is_some() {
            self.feed.membership_changed();
        } else {
            self.feed.command(name, Command::Drain(record.drained));
        }
    }
}
