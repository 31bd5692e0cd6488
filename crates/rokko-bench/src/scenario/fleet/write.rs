//! Makes changes on the node that takes them: at a steady rate one by one, or many at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::super::change::changer;
use super::watch::Committed;
use crate::data::Set;
use crate::netns;
use crate::peers::{API_KEY, Fleet, Peer, agent};

/// A prime that is no divisor of usual numbers of zones: changes come to zones all over the set, to each one once before
/// any has a second one.
const STRIDE: usize = 15_485_863;

/// Changes that are to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) set: Set,
    /// The number of the first one.
    pub(super) first: usize,
    /// How many a second; as fast as it goes without it.
    pub(super) rate: Option<f64>,
    /// How many are made in one request.
    pub(super) batch: usize,
    pub(super) writers: usize,
    /// Ends when so many were made.
    pub(super) changes: usize,
    /// Ends after this time.
    pub(super) duration: Duration,
    /// The least time between two changes that are watched; all are without it.
    pub(super) mark_every: Duration,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Written {
    pub(super) changes: usize,
    pub(super) seconds: f64,
    /// Milliseconds of each request until it was acknowledged; at a fixed rate from when it was due.
    pub(super) acknowledged_ms: Vec<f64>,
}

/// One change: a zone, a name in it, and the address that the name gets.
struct Change {
    zone: String,
    name: String,
    address: [u8; 4],
}

impl Plan {
    fn change(&self, number: usize) -> Change {
        let index = number.wrapping_mul(STRIDE) % self.set.count();
        let [.., a, b, c] = number.to_be_bytes();
        Change { zone: self.set.apex(index), name: self.set.host(index), address: [10, a, b, c] }
    }
}

/// Carries out a plan; those changes that are to be watched are sent as soon as they are acknowledged.
pub(super) fn write(fleet: &Fleet, plan: &Plan, marks: &Sender<Committed>) -> Result<Written> {
    let (start, next) = (Instant::now(), AtomicUsize::new(0));
    let last_mark = Mutex::new(None);
    let done = Mutex::new(Written::default());
    let writer = |marks: Sender<Committed>| -> Result<()> {
        if let Some(netns) = &fleet.control.netns {
            netns::stay(netns)?;
        }
        let mut apply = applier(fleet)?;
        loop {
            let from = next.fetch_add(plan.batch, Ordering::Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 changes")]
            let due = plan.rate.map(|rate| Duration::from_secs_f64(from as f64 / rate));
            // A server that falls behind does not get the rest after the end.
            if from >= plan.changes || due.unwrap_or_default().max(start.elapsed()) >= plan.duration {
                return Ok(());
            }
            let begin = due.unwrap_or_else(|| start.elapsed());
            std::thread::sleep(begin.saturating_sub(start.elapsed()));
            let changes: Vec<Change> =
                (from..from + plan.batch).map(|number| plan.change(plan.first + number)).collect();
            apply(&changes)?;
            let at = Instant::now();
            let Ok(mut done) = done.lock() else { bail!("another writer panicked") };
            done.changes += changes.len();
            done.acknowledged_ms.push((at - start).saturating_sub(begin).as_secs_f64() * 1e3);
            drop(done);
            if let Ok(mut last) = last_mark.lock()
                && last.is_none_or(|last| at.saturating_duration_since(last) >= plan.mark_every)
                && let Some(Change { name, address, .. }) = changes.into_iter().last()
            {
                *last = Some(at);
                marks.send(Committed { name, address, at }).context("nobody watches")?;
            }
        }
    };
    std::thread::scope(|scope| -> Result<()> {
        let start = |_| {
            let marks = marks.clone();
            scope.spawn(|| writer(marks))
        };
        let threads: Vec<_> = (0..plan.writers).map(start).collect();
        for thread in threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a thread that makes changes panicked"),
            }
        }
        Ok(())
    })?;
    let mut done = done.into_inner().unwrap_or_default();
    done.seconds = start.elapsed().as_secs_f64();
    Ok(done)
}

/// Makes some changes in one request if the server can.
type Applier = dyn FnMut(&[Change]) -> Result<()>;

fn applier(fleet: &Fleet) -> Result<Box<Applier>> {
    let control = if fleet.peer == Peer::Rokko { Peer::Rokko } else { Peer::Knot };
    let mut one = changer(control, &fleet.control)?.context("the control node can be changed")?;
    let (api, agent) = (fleet.control.api, agent());
    Ok(Box::new(move |changes| match (api, changes) {
        (Some(api), [_, _, ..]) => batch(&agent, api, changes),
        _ => changes.iter().try_for_each(|change| one(&change.zone, &change.name, change.address)),
    }))
}

/// Changes of many zones in one request.
fn batch(agent: &ureq::Agent, api: SocketAddr, changes: &[Change]) -> Result<()> {
    let change = |change: &Change| {
        let address = Ipv4Addr::from(change.address).to_string();
        let edit =
            json!({"op": "replace", "name": format!("{}.", change.name), "type": "A", "ttl": 60, "records": [address]});
        json!({"zone": change.zone, "op": "edit", "edits": [edit]})
    };
    let body = json!({"changes": changes.iter().map(change).collect::<Vec<_>>()});
    let mut response = agent.post(format!("http://{api}/v1/batches")).header("X-API-Key", API_KEY).send_json(&body)?;
    let status = response.status();
    let text = response.body_mut().read_to_string()?;
    ensure!(status == 200, "POST /v1/batches was answered with {status}: {text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_zone_has_its_turn() {
        let plan = Plan {
            set: Set::Small(1000),
            first: 70_000,
            rate: None,
            batch: 1,
            writers: 1,
            changes: 1,
            duration: Duration::ZERO,
            mark_every: Duration::ZERO,
        };
        let zones: std::collections::HashSet<String> = (0..1000).map(|number| plan.change(number).zone).collect();
        assert_eq!(zones.len(), 1000);
        assert_eq!(plan.change(66_051).address, [10, 1, 2, 3]);
    }
}
