//! Counts and times of requests, for Prometheus.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use rokko_control::fleet::{PopState, PopStatus};
use rokko_control::{Control, Identity};

/// The route's name of requests that no route matches.
pub const NO_ROUTE: &str = "none";

/// Bounded: routes are those of the program, methods those that it knows, and statuses those that it sends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

/// Counts and times of requests.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    /// Requests that are being worked on.
    pub(crate) in_flight: Gauge,
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Connections that were closed at once because there were too many.
    pub(crate) connections_refused: Counter,
    /// TLS handshakes that failed.
    pub(crate) handshakes_failed: Counter<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Mutex::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 18))),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            handshakes_failed: Counter::default(),
        };
        let mut registry = Registry::with_prefix("rokko_api");
        registry.register("requests", "Requests by route and status", metrics.requests.clone());
        registry.register("request_seconds", "Time until the response's headers", metrics.seconds.clone());
        registry.register("in_flight", "Requests being worked on", metrics.in_flight.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        let refused = metrics.connections_refused.clone();
        registry.register("connections_refused", "Connections closed because there were too many", refused);
        let failed = metrics.handshakes_failed.clone();
        registry.register("handshakes_failed", "TLS handshakes that failed", failed);
        *metrics.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = registry;
        metrics
    }
}

impl Metrics {
    /// Counts a request that was answered.
    pub(crate) fn count(&self, method: &axum::http::Method, route: &str, status: u16, took: Duration) {
        let method = method_label(method);
        self.requests.get_or_create(&RequestLabels { method, route: route.to_owned(), status }).inc();
        self.seconds.get_or_create(&RouteLabels { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    /// Appends all in the text format of `OpenMetrics`, without the closing line.
    pub(crate) fn write(&self, out: &mut String) {
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        encode_registry(out, &registry).expect("writing to a string does not fail");
    }
}

fn method_label(method: &axum::http::Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// Appends the control plane's numbers.
pub(crate) fn write_control(control: &Control, zones: Option<u64>, head: Option<u64>, out: &mut String) {
    let numbers = control.statistics();
    let mut counter = |name: &str, help: &str, value: u64| {
        write_metric(out, name, help, "counter", &value.to_string());
    };
    counter("rokko_control_jobs_done", "Change sets carried out", numbers.jobs_done);
    counter("rokko_control_jobs_refused", "Change sets refused for what they asked", numbers.jobs_refused);
    counter("rokko_control_jobs_shed", "Change sets turned away because of load", numbers.jobs_shed);
    counter("rokko_control_commits", "Revisions made", numbers.commits);
    counter("rokko_control_appends", "Appends to the store", numbers.appends);
    counter("rokko_control_appends_failed", "Appends that the store refused", numbers.appends_failed);
    counter("rokko_dnssec_signatures", "Signatures made", numbers.signatures);
    counter(
        "rokko_dnssec_failures",
        "How often a zone could not be signed or its keys not moved",
        numbers.signing_failures,
    );
    let seconds = Duration::from_micros(numbers.append_us).as_secs_f64();
    write_metric(out, "rokko_control_append_seconds", "Time spent in appends", "counter", &seconds.to_string());
    let mut gauge = |name: &str, help: &str, value: Option<u64>| {
        if let Some(value) = value {
            write_metric(out, name, help, "gauge", &value.to_string());
        }
    };
    gauge("rokko_control_queue_depth", "Change sets that wait", Some(numbers.queue_depth));
    gauge("rokko_zones", "Zones in the store", zones);
    gauge(
        "rokko_dnssec_first_expiration_seconds",
        "When the first signature of all zones expires, in Unix time",
        numbers.signatures_expire_first,
    );
    gauge("rokko_revision", "The last durable revision", head);
    gauge("rokko_applied_revision", "The last revision that is answered", Some(control.applied().0));
    gauge(
        "rokko_fleet_insync_revision",
        "The last revision that all PoPs have that are heard of",
        Some(control.in_sync().0),
    );
    write_fleet(control, out);
}

/// The fleet as the control node sees it, a line for each PoP.
fn write_fleet(control: &Control, out: &mut String) {
    let pops = control.fleet(&Identity::local()).unwrap_or_default();
    let pops: Vec<&PopStatus> = pops.iter().filter(|pop| pop.state != PopState::Revoked).collect();
    let mut family = |name: &str, help: &str, value: &dyn Fn(&PopStatus) -> Option<String>| {
        write!(out, "# HELP {name} {help}.\n# TYPE {name} gauge\n").expect("writing to a string does not fail");
        for pop in &pops {
            if let Some(value) = value(pop) {
                writeln!(out, "{name}{{pop=\"{}\"}} {value}", pop.record.name)
                    .expect("writing to a string does not fail");
            }
        }
    };
    let flag = |value: bool| Some(u8::from(value).to_string());
    let seconds = |ms: u64| Some(Duration::from_millis(ms).as_secs_f64().to_string());
    family("rokko_fleet_pop_up", "Whether the PoP is heard of", &|pop| {
        flag(!matches!(pop.state, PopState::Unreachable | PopState::Expected))
    });
    family("rokko_fleet_pop_ahead", "Whether the PoP has revisions that the log has not", &|pop| {
        flag(pop.state == PopState::Ahead)
    });
    family("rokko_fleet_pop_revision", "The last revision that the PoP answers with", &|pop| {
        Some(pop.revision.0.to_string())
    });
    family("rokko_fleet_pop_lag_revisions", "By how many revisions the PoP lags", &|pop| Some(pop.lag.to_string()));
    family("rokko_fleet_pop_lag_seconds", "For how long the PoP has lagged", &|pop| seconds(pop.lag_ms));
    family("rokko_fleet_pop_age_seconds", "How old the PoP's data is, as it says", &|pop| {
        seconds(pop.report.as_ref()?.age_ms)
    });
    family("rokko_fleet_pop_digest_good", "Whether the digest of all that the PoP answers with is right", &|pop| {
        flag(pop.digest_good?)
    });
    family("rokko_fleet_pop_zones_missing", "Zones that the PoP cannot answer for", &|pop| {
        Some(pop.report.as_ref()?.zones_missing.to_string())
    });
    family("rokko_fleet_pop_drained", "Whether the PoP is drained", &|pop| flag(pop.record.drained));
    family(
        "rokko_fleet_pop_certificate_expires_seconds",
        "When the PoP's certificate expires, in seconds since 1970",
        &|pop| Some((pop.report.as_ref()?.certificate_expires.0 / 1000).to_string()),
    );
}

fn write_metric(out: &mut String, name: &str, help: &str, kind: &str, value: &str) {
    let suffix = if kind == "counter" { "_total" } else { "" };
    writeln!(out, "# HELP {name} {help}.\n# TYPE {name} {kind}\n{name}{suffix} {value}")
        .expect("writing to a string does not fail");
}
