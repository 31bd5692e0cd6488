//! `wait=insync`: the answer to a change comes when all PoPs have it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rokko_zone::Revision;

use crate::problem::Problem;
use crate::state::ApiState;

/// The longest wait in milliseconds.
const WAIT_MS_MAX: u64 = 60_000;
/// How long the wait is if nothing is said, in milliseconds.
const WAIT_MS_DEFAULT: u64 = 10_000;
/// How often the wait looks.
const STEP: Duration = Duration::from_millis(2);
/// Says of a change that was waited for whether all PoPs have it: `insync` or `pending`, and its revision.
const HEADER: &str = "rokko-change";

tokio::task_local! {
    /// The last revision that the request made.
    static MADE: Cell<u64>;
}

/// Notes a revision that the current request made.
pub(crate) fn note(revision: Revision) {
    // Where nobody waits, nobody asks.
    let _ = MADE.try_with(|made| made.set(made.get().max(revision.0)));
}

/// Takes `wait` and `wait_ms` out of the query of a request that changes something, and waits after it.
pub(super) async fn settle(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    if request.method() == Method::GET || request.method() == Method::HEAD {
        return next.run(request).await;
    }
    let wait = match take_wait(request.uri()) {
        Ok(None) => return next.run(request).await,
        Ok(Some((wait, uri))) => {
            *request.uri_mut() = uri;
            wait
        }
        Err(problem) => return problem.into_response(),
    };
    let (mut response, made) = MADE
        .scope(Cell::new(0), async {
            let response = next.run(request).await;
            (response, Revision(MADE.try_with(Cell::get).unwrap_or(0)))
        })
        .await;
    if made == Revision(0) {
        return response;
    }
    let end = Instant::now() + wait;
    while state.control.in_sync() < made && Instant::now() < end {
        tokio::time::sleep(STEP).await;
    }
    let outcome = if state.control.in_sync() >= made { "insync" } else { "pending" };
    if let Ok(value) = HeaderValue::try_from(format!("{outcome}; revision={made}")) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// How long to wait, and the URL without that.
fn take_wait(uri: &Uri) -> Result<Option<(Duration, Uri)>, Problem> {
    let Some(query) = uri.query().filter(|query| query.split('&').any(|part| part.starts_with("wait"))) else {
        return Ok(None);
    };
    let (mut wait, mut wait_ms, mut rest) = (None, None, Vec::new());
    for part in query.split('&') {
        match part.split_once('=') {
            Some(("wait", value)) => wait = Some(value),
            Some(("wait_ms", value)) => wait_ms = Some(value),
            _ => rest.push(part),
        }
    }
    if wait != Some("insync") {
        let detail = format!("found wait={}, expected wait=insync", wait.unwrap_or(""));
        return Err(Problem::bad_request("bad-wait", detail));
    }
    let number = wait_ms.map_or(Some(WAIT_MS_DEFAULT), |text| text.parse().ok());
    let Some(number) = number.filter(|number| *number <= WAIT_MS_MAX) else {
        let detail = format!("wait_ms is not a number from 0 to {WAIT_MS_MAX}");
        return Err(Problem::bad_request("bad-wait", detail));
    };
    let path = if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), rest.join("&")) };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    let uri = Uri::from_parts(parts).map_err(|error| Problem::bad_request("bad-query", error.to_string()))?;
    Ok(Some((Duration::from_millis(number), uri)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_taken_out_of_the_query() {
        let take = |uri: &str| {
            take_wait(&uri.parse().unwrap()).map(|taken| taken.map(|(wait, uri)| (wait.as_millis(), uri.to_string())))
        };
        assert!(matches!(take("/v1/zones?reason=x"), Ok(None)));
        assert_eq!(take("/v1/zones?wait=insync").unwrap(), Some((10_000, "/v1/zones".to_owned())));
        let both = take("http://h/v1/zones?reason=x&wait=insync&wait_ms=5").unwrap();
        assert_eq!(both, Some((5, "http://h/v1/zones?reason=x".to_owned())));
        for bad in ["/z?wait=applied", "/z?wait_ms=4", "/z?wait=insync&wait_ms=-1", "/z?wait=insync&wait_ms=60001"] {
            assert!(take(bad).is_err(), "{bad}");
        }
    }
}
