//! How a PoP is, over plain HTTP: `/metrics` for Prometheus, `/healthz` for whatever announces its addresses.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use rokko_mirror::Mirror;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::state::{Isolation, State, unix_ms};
use crate::failure::Failure;
use crate::up::dns::DnsShared;
use crate::up::metrics;

/// The media type of the text format that Prometheus reads.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the pages show.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) mirror: Arc<Mirror>,
    pub(super) state: Arc<State>,
    pub(super) dns: Arc<DnsShared>,
    pub(super) counters: Arc<dyn Fn() -> rokko_net::CounterValues + Send + Sync>,
}

/// Serves the pages from now on, and returns where.
pub(super) fn serve(listen: &[SocketAddr], sources: &Sources, runtime: &Runtime) -> Result<Vec<SocketAddr>, Failure> {
    let router = Router::new().route("/metrics", get(show)).route("/healthz", get(health)).with_state(sources.clone());
    let mut bound = Vec::new();
    for address in listen {
        let failed = |error: &std::io::Error| {
            Failure::failed(format!("cannot listen on {address}: {error}; choose another address with --status-listen"))
        };
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(|error| failed(&error))?;
        bound.push(listener.local_addr().map_err(|error| failed(&error))?);
        let router = router.clone();
        runtime.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the status pages ended");
            }
        });
    }
    Ok(bound)
}

/// 200 where the PoP wants queries; 503 with the reason where it does not.
async fn health(Shared(sources): Shared<Sources>) -> (StatusCode, String) {
    match reason_against(&sources) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn reason_against(sources: &Sources) -> Option<&'static str> {
    let (_, _, expected, digest) = sources.mirror.position();
    if sources.state.is_drained() {
        Some("drained")
    } else if sources.state.isolation(unix_ms()) != Isolation::None {
        Some("no word from the control plane for too long")
    } else if sources.mirror.set().is_none() {
        Some("no data yet")
    } else if expected != digest || sources.mirror.revision().0 < sources.state.had() {
        Some("zones are missing or differ")
    } else {
        None
    }
}

async fn show(Shared(sources): Shared<Sources>) -> impl IntoResponse {
    let mut text = String::new();
    metrics::write(&sources.dns.counters(), sources.dns.shed_prefixes(), &(sources.counters)(), &mut text);
    let (state, mirror) = (&sources.state, &sources.mirror);
    let (revision, _, expected, digest) = mirror.position();
    let seconds = |ms: u64| std::time::Duration::from_millis(ms).as_secs_f64();
    let number = |value: u64| value.to_string();
    let flag = |value: bool| u8::from(value).to_string();
    for (name, help, value) in [
        ("rokko_applied_revision", "The last revision that is answered", number(revision.0)),
        ("rokko_zones", "Zones that are answered for", number(mirror.catalog().len() as u64)),
        (
            "rokko_pop_lag_revisions",
            "Revisions that the control plane has and this PoP has not, as last told",
            number(state.head().saturating_sub(revision.0)),
        ),
        (
            "rokko_pop_age_seconds",
            "Time since the data was last known to be the newest",
            seconds(state.age_ms(unix_ms())).to_string(),
        ),
        ("rokko_pop_connected", "Whether the feed is connected", flag(state.is_connected())),
        (
            "rokko_pop_digest_good",
            "Whether all zones come to the digest that they ought to have",
            flag(expected == digest),
        ),
        (
            "rokko_pop_suspect_zones",
            "Zones that differ and wait to be sent anew",
            number(mirror.suspects().len() as u64),
        ),
        ("rokko_pop_drained", "Whether the PoP is drained", flag(state.is_drained())),
        (
            "rokko_pop_certificate_expires_seconds",
            "When the certificate expires, in seconds since 1970",
            number(state.certificate_expires_s()),
        ),
        ("rokko_pop_in_service", "Whether the PoP wants queries", flag(reason_against(&sources).is_none())),
    ] {
        metrics::gauge(&mut text, name, help, &value);
    }
    text.push_str("# EOF\n");
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text)
}
