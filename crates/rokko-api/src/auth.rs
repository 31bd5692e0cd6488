//! Who asks: the key of a request, the client's address, and a limit on failed attempts.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use rokko_control::Identity;

use crate::problem::Problem;
use crate::state::ApiState;

/// How many failed attempts in a row a client address has before it must wait.
pub const FAILURES_BURST: u32 = 100;
/// How many more it gets each second.
pub const FAILURES_PER_SECOND: u32 = 10;
/// How many client addresses are watched at once; the rest share one allowance.
pub const ADDRESSES_MAX: usize = 16_384;
/// The longest key that is looked at, in octets.
pub const KEY_LEN_MAX: usize = 512;

/// The two ends of the connection that a request came over. The server adds it to every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The client's end.
    pub client: SocketAddr,
    /// The server's end.
    pub local: SocketAddr,
}

impl Peer {
    /// The peer of a request; all zeros where no connection is behind it.
    pub fn of(parts: &Parts) -> Self {
        let unknown = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        parts.extensions.get().copied().unwrap_or(Self { client: unknown, local: unknown })
    }
}

/// The key of a request: `X-API-Key`, else `Authorization: Bearer`. `None` if there is neither.
pub fn key_of(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get("x-api-key") {
        return value.to_str().ok();
    }
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Finds out who asks; 401 without a working key, 429 after too many failed attempts from the client's address.
pub fn identify(parts: &Parts, state: &ApiState) -> Result<Identity, Problem> {
    let address = Peer::of(parts).client.ip().to_canonical();
    let Some(key) = key_of(&parts.headers) else {
        let detail = "this needs a key: send it as X-API-Key or as Authorization: Bearer";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "no-key", detail));
    };
    if !state.failures.may_try(address, Instant::now()) {
        let detail = "too many failed attempts with wrong keys came from this address: wait and use a working key";
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-failures", detail);
        return Err(Problem { retry_after_s: Some(1), ..problem });
    }
    let shown = if address.is_unspecified() { String::new() } else { address.to_string() };
    let found = (key.len() <= KEY_LEN_MAX).then(|| state.control.authenticate(key, &shown));
    let found = found.unwrap_or(Err(rokko_control::ControlError::BadKey));
    found.map_err(|error| {
        if matches!(error, rokko_control::ControlError::BadKey) {
            state.failures.note(address, Instant::now());
        }
        Problem::from(error)
    })
}

/// Who asks, for handlers of `/v1`.
pub struct Caller(pub Identity);

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        identify(parts, state).map(Self)
    }
}

/// Counts failed attempts by client address, IPv6 by /64, in a table that never has more than [`ADDRESSES_MAX`] rows.
#[derive(Default)]
pub struct Failures(Mutex<HashMap<IpAddr, Bucket>>);

struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + elapsed * f64::from(FAILURES_PER_SECOND)).min(f64::from(FAILURES_BURST));
        self.at = now;
    }
}

impl Failures {
    fn may_try(&self, address: IpAddr, now: Instant) -> bool {
        let mut table = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = if table.contains_key(&network_of(address)) { network_of(address) } else { OTHERS };
        table.get_mut(&key).is_none_or(|bucket| {
            bucket.refill(now);
            bucket.left >= 1.0
        })
    }

    fn note(&self, address: IpAddr, now: Instant) {
        let mut table = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut key = network_of(address);
        if table.len() >= ADDRESSES_MAX && !table.contains_key(&key) {
            let full_again = Duration::from_secs(u64::from(FAILURES_BURST / FAILURES_PER_SECOND));
            table.retain(|_, bucket| now.saturating_duration_since(bucket.at) < full_again);
            if table.len() >= ADDRESSES_MAX {
                key = OTHERS;
            }
        }
        let bucket = table.entry(key).or_insert(Bucket { left: f64::from(FAILURES_BURST), at: now });
        bucket.refill(now);
        bucket.left = (bucket.left - 1.0).max(0.0);
    }
}

/// The row that addresses share when the table is full.
const OTHERS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::BROADCAST);

fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(number))
    }

    #[test]
    fn failures_use_up_an_allowance_that_grows_back() {
        let (failures, start) = (Failures::default(), Instant::now());
        for _ in 0..FAILURES_BURST {
            assert!(failures.may_try(address(1), start));
            failures.note(address(1), start);
        }
        assert!(!failures.may_try(address(1), start));
        assert!(failures.may_try(address(2), start));
        assert!(failures.may_try(address(1), start + Duration::from_millis(150)));
    }

    #[test]
    fn the_table_is_bounded_and_what_is_beyond_shares_one_row() {
        let (failures, start) = (Failures::default(), Instant::now());
        for number in 0..40_000 {
            failures.note(address(number), start);
        }
        assert!(failures.0.lock().unwrap().len() <= ADDRESSES_MAX + 1);
        assert!(!failures.may_try(address(1_000_000), start));
        failures.note(address(1_000_000), start + Duration::from_secs(60));
        assert_eq!(failures.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_v6_client_is_its_network() {
        let (failures, start) = (Failures::default(), Instant::now());
        for host in 0..FAILURES_BURST {
            failures.note(format!("2001:db8::{host:x}").parse().unwrap(), start);
        }
        assert!(!failures.may_try("2001:db8::ffff".parse().unwrap(), start));
        assert!(failures.may_try("2001:db8:0:1::1".parse().unwrap(), start));
    }

    #[test]
    fn keys_come_from_either_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(key_of(&headers), None);
        headers.insert(header::AUTHORIZATION, "bearer  abc".parse().unwrap());
        assert_eq!(key_of(&headers), Some("abc"));
        headers.insert("x-api-key", "def".parse().unwrap());
        assert_eq!(key_of(&headers), Some("def"));
        headers.clear();
        headers.insert(header::AUTHORIZATION, "Basic abc".parse().unwrap());
        assert_eq!(key_of(&headers), None);
    }
}
