//! Rokko itself, serving the same zone files as its peers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rokko_answer::{Answerer, AnyPolicy, Client, CookieSecrets, Settings};
use rokko_net::{Config, Handler, Peer, Server};
use rokko_zone::file::{Options, load};
use rokko_zone::{Catalog, Revision, Zone};

use super::names::Name;

/// What Rokko is set to in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    /// Whether it leaves additional records out that are not needed.
    pub(super) minimal: bool,
    /// Whether it gives all RRsets to a query for type ANY over TCP.
    pub(super) full_any: bool,
}

pub(super) struct Subject {
    server: Server,
}

impl Subject {
    pub(super) fn start(setup: Setup, folder: &Path, zones: &[(Name, String)]) -> Self {
        let catalog = Arc::new(Catalog::new(7));
        for (apex, file) in zones {
            let text = std::fs::read(folder.join(file)).unwrap();
            let options = Options { file, origin: Some(apex.to_string().parse().unwrap()), ..Options::default() };
            let loaded = load(&text, options);
            let errors: Vec<String> = loaded
                .diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.severity == rokko_zone::file::Severity::Error)
                .map(ToString::to_string)
                .collect();
            assert!(errors.is_empty(), "{apex} in {file}: {errors:#?}");
            let zone = Zone::build(loaded.apex.clone().unwrap(), Revision(1), loaded.rrsets).unwrap();
            catalog.publish([(loaded.apex.unwrap(), Some(zone))]);
        }
        let config = Config {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            threads: 1,
            pin: false,
            ..Config::default()
        };
        let settings = Settings {
            minimal: setup.minimal,
            any: if setup.full_any { AnyPolicy::FullOverTcp } else { AnyPolicy::OneRrset },
            ..Settings::default()
        };
        let server = Server::start(config, |_| Adapter {
            answerer: Answerer::new(settings.clone(), CookieSecrets::default()),
            catalog: Arc::clone(&catalog),
        });
        Self { server: server.unwrap() }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.server.local_addrs()[0]
    }
}

struct Adapter {
    answerer: Answerer,
    catalog: Arc<Catalog>,
}

impl Handler for Adapter {
    fn answer(&mut self, query: &[u8], peer: &Peer, now_s: u32, out: &mut [u8]) -> usize {
        let transport = match peer.transport {
            rokko_net::Transport::Udp => rokko_answer::Transport::Udp,
            rokko_net::Transport::Tcp => rokko_answer::Transport::Tcp,
        };
        let client = Client { addr: peer.addr.ip(), transport, now_s };
        self.answerer.answer(&self.catalog, query, &client, out)
    }
}
