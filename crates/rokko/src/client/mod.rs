//! HTTP to the API of a running node.

mod path;
mod tls;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rokko_api::v1::dto::{ProblemDocument, ProblemItem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::header::{CONTENT_TYPE, IF_MATCH};
use ureq::http::{Method, Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};

use crate::args::ApiArgs;
use crate::failure::{Failure, Kind};
use crate::output;
pub(crate) use path::Path as UrlPath;
use tls::{Fingerprint, PinnedConnector};

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take from its start to the end of its response. Importing a zone of millions of records
/// takes the longest.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);
/// Connections that wait for the next request.
pub(crate) const CONNECTIONS_KEPT_MAX: usize = 8;
/// Octets of the longest response that is read: a zone file of tens of millions of records.
const RESPONSE_BYTES_MAX: u64 = 8 << 30;
/// Where a node started in this folder keeps its administrator's key.
const LOCAL_KEY_FILE: &str = "rokko-data/admin.key";

/// A connection to one API with one key.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    key: String,
}

/// What a request carries.
pub(crate) enum Body<'a> {
    Empty,
    Json(String),
    ZoneFile(&'a str),
}

impl Client {
    pub(crate) fn new(args: &ApiArgs) -> Result<Self, Failure> {
        let base = args.api.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(Failure::usage(format!(
                "`{base}` is not the address of an API: it starts with http:// or https://, as in {}",
                crate::args::DEFAULT_API
            )));
        }
        Ok(Self { agent: agent(args)?, base, key: key(args)? })
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, path: &UrlPath) -> Result<T, Failure> {
        self.json(Method::GET, path, Body::Empty, None)
    }

    /// The zone file or other text that stands at `path`.
    pub(crate) fn get_text(&self, path: &UrlPath) -> Result<String, Failure> {
        self.text(Method::GET, path, Body::Empty, None)
    }

    /// Sends `body` as JSON and reads the response as JSON.
    pub(crate) fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &UrlPath,
        body: &impl Serialize,
        if_version: Option<u64>,
    ) -> Result<T, Failure> {
        let body = serde_json::to_string(body)
            .map_err(|error| Failure::failed(format!("cannot write the request as JSON: {error}")))?;
        self.json(method, path, Body::Json(body), if_version)
    }

    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &UrlPath,
        body: Body<'_>,
        if_version: Option<u64>,
    ) -> Result<T, Failure> {
        let text = self.text(method, path, body, if_version)?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::failed(format!(
                "{}{path} sent a response that this program does not understand ({error}): is it a Rokko API of the \
                 same version?",
                self.base
            ))
        })
    }

    pub(crate) fn text(
        &self,
        method: Method,
        path: &UrlPath,
        body: Body<'_>,
        if_version: Option<u64>,
    ) -> Result<String, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        request = request.header("X-API-Key", &self.key);
        if let Some(version) = if_version {
            request = request.header(IF_MATCH, format!("\"{version}\""));
        }
        let sent = match body {
            Body::Empty => request.body(()).map(|request| self.agent.run(request)),
            Body::Json(text) => {
                request.header(CONTENT_TYPE, "application/json").body(text).map(|request| self.agent.run(request))
            }
            Body::ZoneFile(text) => {
                request.header(CONTENT_TYPE, "text/dns").body(text).map(|request| self.agent.run(request))
            }
        };
        let sent = sent.map_err(|error| Failure::usage(format!("{} is not a usable address: {error}", self.base)))?;
        let mut response = sent.map_err(|error| self.unreachable(&error))?;
        let text = response.body_mut().with_config().limit(RESPONSE_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(text) } else { Err(refused(&response, &text)) }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let hint = match error {
            ureq::Error::BadUri(_) => {
                return Failure::usage(format!("{} is not a usable address: {error}", self.base));
            }
            ureq::Error::Timeout(_) => "it did not answer in time",
            ureq::Error::HostNotFound => "the host name is not known",
            _ if is_about_tls(error) => {
                "its certificate is not trusted; give the fingerprint that the node printed at its start with \
                 --api-fingerprint, or its certificate with --api-ca"
            }
            _ => "is the node running (`rokko up`), and is --api or ROKKO_API right?",
        };
        let mut text = error.to_string();
        if let Some(rest) = text.strip_prefix("io: ") {
            text = rest.to_owned();
        }
        Failure::new(Kind::Unreachable, format!("cannot reach the API at {}: {text}: {hint}", self.base))
    }
}

/// An error of the handshake may come wrapped in one of the connection.
fn is_about_tls(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => true,
        ureq::Error::Io(error) => matches!(error.get_ref(), Some(inner) if inner.is::<rustls::Error>()),
        _ => false,
    }
}

fn refused(response: &Response<ureq::Body>, text: &str) -> Failure {
    let status = response.status();
    let kind = match status.as_u16() {
        401 | 403 => Kind::NotAllowed,
        404 => Kind::NotFound,
        412 => Kind::Stale,
        _ => Kind::Failed,
    };
    let Ok(problem) = serde_json::from_str::<ProblemDocument>(text) else {
        return Failure::new(kind, format!("the API answered with status {status}"));
    };
    let mut message = problem.detail;
    if status.as_u16() == 401 {
        message.push_str("\n  Set ROKKO_API_KEY, or name a file with the key by --api-key-file.");
    }
    if let Some(current) = problem.current_version.filter(|&current| kind == Kind::Stale && current > 0) {
        let note =
            format!("\n  The current version is {current}: read the zone again, then use --if-version {current}.");
        message.push_str(&note);
    }
    // One item is what the detail says already.
    for item in problem.errors.iter().filter(|_| problem.errors.len() > 1) {
        message.push_str("\n  ");
        message.push_str(&describe(item));
    }
    Failure::new(kind, message)
}

fn describe(item: &ProblemItem) -> String {
    let mut text = String::new();
    if let Some(line) = item.line {
        text = format!("line {line}: ");
    }
    if !item.name.is_empty() {
        let rtype = item.rtype.as_ref().map_or_else(String::new, |rtype| format!(" {rtype}"));
        let record = item.record.as_ref().map_or_else(String::new, |record| format!(" {record}"));
        text = format!("{text}{}{rtype}{record}: ", item.name);
    }
    text + &item.message
}

fn agent(args: &ApiArgs) -> Result<Agent, Failure> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(REQUEST_TIMEOUT))
        .proxy(None)
        .max_idle_connections_per_host(CONNECTIONS_KEPT_MAX)
        .user_agent(concat!("rokko/", env!("CARGO_PKG_VERSION")));
    if let Some(file) = &args.api_ca {
        let tls = TlsConfig::builder().root_certs(RootCerts::from(certificates(file)?)).build();
        config = config.tls_config(tls);
    }
    let config = config.build();
    let Some(text) = &args.api_fingerprint else { return Ok(config.new_agent()) };
    let fingerprint = Fingerprint::parse(text).ok_or_else(|| {
        Failure::usage("--api-fingerprint takes a SHA-256 fingerprint: 64 hexadecimal digits, colons allowed")
    })?;
    let pinned =
        PinnedConnector::new(fingerprint).map_err(|error| Failure::failed(format!("TLS cannot be set up: {error}")))?;
    let connector = Connector::<()>::chain(TcpConnector::default(), pinned);
    Ok(Agent::with_parts(config, connector, DefaultResolver::default()))
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let pem = std::fs::read(file).map_err(|error| Failure::io(format_args!("read {}", file.display()), &error))?;
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(Failure::usage(format!("{} is not a PEM file: {error}", file.display()))),
        }
    }
    if found.is_empty() {
        return Err(Failure::usage(format!("{} has no certificate in it", file.display())));
    }
    Ok(found)
}

fn key(args: &ApiArgs) -> Result<String, Failure> {
    let from_file = |file: &Path| match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(Failure::io(format_args!("read the API key from {}", file.display()), &error)),
    };
    if let Some(file) = &args.api_key_file {
        return from_file(file);
    }
    if let Some(key) = std::env::var("ROKKO_API_KEY").ok().filter(|key| !key.trim().is_empty()) {
        return Ok(key.trim().to_owned());
    }
    let local = PathBuf::from(LOCAL_KEY_FILE);
    if local.exists() {
        if output::is_watched() {
            output::note(format_args!("Using the administrator's key in ./{LOCAL_KEY_FILE}."));
        }
        return from_file(&local);
    }
    Err(Failure::new(
        Kind::NotAllowed,
        "there is no API key: set ROKKO_API_KEY, or name a file with the key by --api-key-file. The node's first start \
         wrote the administrator's key to admin.key in its data folder.",
    ))
}
