//! Filling a running Rokko over its HTTP API: millions of zones without a file each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::data::{small_zone, small_zone_text};
use crate::report::progress;

/// The key that the benchmark uses for HTTP APIs.
pub(crate) const API_KEY: &str = "benchmark-key-0123456789";

/// Zones of one request.
const BATCH_ZONES: usize = 2000;
/// Requests under way at once: one is parsed while another one is stored.
const CLIENTS: usize = 2;

/// A client that keeps its connections and gives failures as answers.
pub(crate) fn agent() -> ureq::Agent {
    let config =
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(600)));
    config.build().into()
}

/// Makes the small zones from `first` up to, but not including, `end`; returns the seconds that it took.
pub(super) fn fill(api: SocketAddr, first: usize, end: usize) -> Result<f64> {
    let (start, next) = (Instant::now(), AtomicUsize::new(first));
    let client = || -> Result<()> {
        let agent = agent();
        loop {
            let from = next.fetch_add(BATCH_ZONES, Ordering::Relaxed);
            if from >= end {
                return Ok(());
            }
            post(&agent, api, from, (from + BATCH_ZONES).min(end))?;
            if (from / BATCH_ZONES).is_multiple_of(100) {
                progress(&format!("{from} zones after {:.0} s", start.elapsed().as_secs_f64()));
            }
        }
    };
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for thread in threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a thread that fills the server panicked"),
            }
        }
        Ok(())
    })?;
    Ok(start.elapsed().as_secs_f64())
}

fn post(agent: &ureq::Agent, api: SocketAddr, from: usize, end: usize) -> Result<()> {
    let change = |index| json!({"zone": small_zone(index), "op": "import", "zone_file": small_zone_text(index)});
    let body = json!({"changes": (from..end).map(change).collect::<Vec<_>>()});
    let request = agent.post(format!("http://{api}/v1/batches")).header("X-API-Key", API_KEY);
    let mut response = request.send_json(&body).context("the API could not be reached")?;
    let status = response.status();
    let text = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
    ensure!(
        status == 200,
        "POST /v1/batches was answered with {status}: {}",
        text.chars().take(500).collect::<String>()
    );
    Ok(())
}
