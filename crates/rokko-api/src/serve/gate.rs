//! What every request passes: the limit on how many there are, the limit on their time, and the metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::Limits;
use crate::metrics::NO_ROUTE;
use crate::problem::Problem;
use crate::state::ApiState;

#[derive(Clone)]
pub(super) struct Gate {
    state: ApiState,
    slots: Arc<Semaphore>,
    timeout: Duration,
}

impl Gate {
    pub(super) fn new(state: ApiState, limits: &Limits) -> Self {
        Self { state, slots: Arc::new(Semaphore::new(limits.requests_max)), timeout: limits.request_timeout }
    }
}

pub(super) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let in_flight = InFlight::new(&gate.state);
    let mut response = pass_limits(&gate, &route, request, next).await;
    drop(in_flight);
    gate.state.metrics.count(&method, &route, response.status().as_u16(), started.elapsed());
    // Answers are about what is now, and some hold keys.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Counts a request as long as it lives; it ends early if the client goes away.
struct InFlight(ApiState);

impl InFlight {
    fn new(state: &ApiState) -> Self {
        state.metrics.in_flight.inc();
        Self(state.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.metrics.in_flight.dec();
    }
}

async fn pass_limits(gate: &Gate, route: &str, request: Request, next: Next) -> Response {
    let Ok(_slot) = gate.slots.try_acquire() else {
        let detail = "too many requests are being worked on: try again in a second";
        return Problem::unavailable("too-many-requests", detail, 1).into_response();
    };
    let working = next.run(request);
    if matches!(route, crate::v1::BACKUPS_PATH | crate::v1::EVENTS_PATH) {
        return working.await;
    }
    let timed = tokio::time::timeout(gate.timeout, working).await;
    timed.unwrap_or_else(|_| {
        let detail =
            "the request took too long; a change that it asked for may still be carried out: read before repeating it";
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", detail).into_response()
    })
}
