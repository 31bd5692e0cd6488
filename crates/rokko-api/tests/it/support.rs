//! A node's control plane with its API in this process, and a client for it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rokko_api::{ApiConfig, ApiState, Limits, Listen, TlsSource};
use rokko_control::{Control, Identity, Options};
use rokko_store::sqlite::SqliteStore;
use rokko_zone::Catalog;
use serde_json::Value;
use tokio::sync::oneshot;

/// Longer than any wait that succeeds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    pub(crate) control: Control,
    pub(crate) fingerprint: Option<String>,
    pub(crate) folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    agent: ureq::Agent,
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the status and gives the JSON.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// Checks that this is a problem document of the kind and gives it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let document = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(document["type"], format!("urn:rokko:problem:{code}"), "{document}");
        assert_eq!(document["status"], status);
        assert!(document["detail"].as_str().is_some_and(|text| !text.is_empty()), "{document}");
        document
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(Limits::default(), false)
    }

    pub(crate) fn start_with(limits: Limits, tls: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.sqlite")).unwrap();
        let disk = rokko_mirror::Folder::open(&folder.path().join("mirror")).unwrap();
        let (mirror, _) =
            rokko_mirror::Mirror::open(Arc::new(disk), Arc::new(Catalog::new(1)), rokko_mirror::Options::default())
                .unwrap();
        let control = Control::open(Arc::new(store), Arc::new(mirror), Options::default()).unwrap();
        let key = control.ensure_administrator(None).unwrap().unwrap();
        let extra = Arc::new(|out: &mut String| out.push_str("# TYPE rokko_test gauge\nrokko_test 7\n"));
        let state = ApiState::new(control.clone(), folder.path().join("backups"), extra);
        let source = TlsSource::SelfSigned { folder: folder.path().to_owned(), names: vec!["127.0.0.1".to_owned()] };
        let listen = Listen { address: SocketAddr::from(([127, 0, 0, 1], 0)), tls: tls.then_some(source) };
        let config = ApiConfig { listen: vec![listen], limits };
        let (ready, bound_at) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let bound = rokko_api::bind(config).await.unwrap();
                let listener = &bound.listeners()[0];
                let fingerprint = listener.certificate.as_ref().map(|certificate| certificate.fingerprint());
                ready.send((listener.address, fingerprint)).unwrap();
                bound.serve(state, async { drop(stopped.await) }).await;
            });
        });
        let (address, fingerprint) = bound_at.recv_timeout(PATIENCE).unwrap();
        let agent = agent(tls.then(|| folder.path().join("api.crt")).as_deref());
        Self { address, key, control, fingerprint, folder, stop: Some(stop), thread: Some(thread), agent }
    }

    /// Asks the server to stop and returns at once.
    pub(crate) fn begin_stop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    /// Waits for the end of the server.
    pub(crate) fn wait_end(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.fingerprint.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Sends a request with these headers and nothing else.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = self.agent.run(request.body(body).unwrap()).unwrap();
        let text = response.body_mut().with_config().limit(1 << 30).read_to_string().unwrap();
        Reply { status: response.status().as_u16(), headers: response.headers().clone(), text }
    }

    /// Sends JSON with the administrator's key.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.call_as(&self.key, method, path, body)
    }

    pub(crate) fn call_as(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.call_if(key, None, method, path, body)
    }

    pub(crate) fn call_if(
        &self,
        key: &str,
        version: Option<u64>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Reply {
        let tag = version.map(|version| format!("\"{version}\""));
        let mut headers = vec![("x-api-key", key)];
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        if let Some(tag) = &tag {
            headers.push(("if-match", tag));
        }
        self.send(method, path, &headers, body.map_or_else(Vec::new, |body| body.to_string().into_bytes()))
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None)
    }

    pub(crate) fn put_file(&self, zone: &str, text: &str) -> Reply {
        let headers = [("x-api-key", self.key.as_str()), ("content-type", "text/dns")];
        self.send("PUT", &format!("/v1/zones/{zone}/file"), &headers, text.as_bytes().to_vec())
    }

    /// Makes a zone with a name server and returns its version.
    pub(crate) fn make_zone(&self, name: &str) -> u64 {
        let body = serde_json::json!({"name": name, "nameservers": ["ns1.provider.test", "ns2.provider.test."]});
        self.call("POST", "/v1/zones", Some(body)).expect(201)["version"].as_u64().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.begin_stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
        self.control.stop();
    }
}

/// A client that takes errors as answers, and trusts the certificate in a file.
pub(crate) fn agent(certificate: Option<&Path>) -> ureq::Agent {
    let mut config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
    if let Some(path) = certificate {
        let pem = std::fs::read(path).unwrap();
        let trusted = ureq::tls::Certificate::from_pem(&pem).unwrap();
        let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::new_with_certs(&[trusted])).build();
        config = config.tls_config(tls);
    }
    config.allow_non_standard_methods(true).build().into()
}

/// The administrator on this machine.
pub(crate) fn local() -> Identity {
    Identity::local()
}
