//! Load over UDP, TCP and `AF_XDP`, and what came of it.

mod flood;
mod flow;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod xdp;

use std::time::Duration;

use hdrhistogram::Histogram;

pub(crate) use flood::flood;
pub(crate) use tcp::{TcpLoad, run as run_tcp};
pub(crate) use udp::{UdpLoad, run as run_udp};
pub(crate) use xdp::{XdpLoad, run as run_xdp};

/// The longest latency that is told apart, in nanoseconds.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// When the next query goes out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// So many are in flight, the next one goes when an answer is back.
    Closed(usize),
    /// So many a second, whatever comes back.
    Open(f64),
}

/// What came of a load.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// Queries without an answer in time.
    pub(crate) lost: u64,
    /// Answers with another rcode than expected.
    pub(crate) wrong: u64,
    /// Messages that answer no query that is waited for.
    pub(crate) stray: u64,
    pub(crate) seconds: f64,
    /// From the sending of a query, or from when it was due in an open loop, to its answer, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Outcome {
    pub(crate) fn new() -> Self {
        let latency = Histogram::new_with_max(LATENCY_NS_MAX, 3).expect("three digits and a maximum above 2 are valid");
        Self { sent: 0, answered: 0, lost: 0, wrong: 0, stray: 0, seconds: 0.0, latency }
    }

    /// Adds what another socket did at the same time.
    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.stray += other.stray;
        self.seconds = self.seconds.max(other.seconds);
        // Both have the same maximum, so that every value fits.
        let _ = self.latency.add(&other.latency);
    }

    /// Adds what came of a later load.
    pub(crate) fn then(&mut self, later: &Self) {
        let seconds = self.seconds + later.seconds;
        self.add(later);
        self.seconds = seconds;
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 queries")]
    pub(crate) fn rate(&self) -> f64 {
        self.answered as f64 / self.seconds
    }

    /// The share of queries without an answer, in percent.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 queries")]
    pub(crate) fn lost_percent(&self) -> f64 {
        self.lost as f64 * 100.0 / (self.answered + self.lost).max(1) as f64
    }

    /// The latency below which a share of the answers lies, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "far less than 2^52 ns")]
    pub(crate) fn latency_us(&self, share: f64) -> f64 {
        self.latency.value_at_quantile(share) as f64 / 1e3
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"sent": self.sent, "answered": self.answered, "lost": self.lost, "wrong": self.wrong,
            "stray": self.stray, "seconds": self.seconds, "rate": self.rate(),
            "latency_us": {"p50": self.latency_us(0.5), "p90": self.latency_us(0.9), "p99": self.latency_us(0.99),
                "p99.9": self.latency_us(0.999), "max": self.latency_us(1.0)}})
    }
}

/// How long after its end a load still takes answers.
const LINGER: Duration = Duration::from_millis(200);

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count that is not negative")]
fn whole(number: f64) -> usize {
    number as usize
}
