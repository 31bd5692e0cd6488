//! Load over `AF_XDP`: frames written here, past the kernel's network stack on this side.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rokko_net::xdp::{Headers, Interface, Redirect, Socket, SocketOptions};

use super::flow::Flow;
use super::{LINGER, Outcome, Pace, nanos, whole};
use crate::data::Queries;

/// After so long a query counts as lost.
const LOST_AFTER: Duration = Duration::from_millis(500);
/// Frames that are sent with one system call.
const BATCH: usize = 64;

/// A load over `AF_XDP` on queue 0 of an interface, which nothing else may use so.
#[derive(Clone, Debug)]
pub(crate) struct XdpLoad {
    pub(crate) interface: String,
    pub(crate) source: SocketAddr,
    pub(crate) server: SocketAddr,
    /// The hardware address that leads to the server.
    pub(crate) server_mac: [u8; 6],
    pub(crate) pace: Pace,
    pub(crate) duration: Duration,
}

/// Asks `queries` in turn.
pub(crate) fn run(load: &XdpLoad, queries: &Queries) -> Result<Outcome> {
    let interface = Interface::find(&load.interface)?;
    let mut redirect = Redirect::attach(&interface)?;
    let socket = Socket::open(&interface, 0, &SocketOptions { batch: BATCH, ..SocketOptions::default() })?;
    redirect.set_destinations(&[load.source])?;
    redirect.add_socket(0, &socket)?;
    let headers = Headers::new(interface.mac, load.server_mac, load.source, load.server)
        .context("the server and the source have addresses of different families")?;
    let in_flight_max = match load.pace {
        Pace::Closed(in_flight) => in_flight,
        Pace::Open(_) => usize::from(u16::MAX),
    };
    let flow = Flow::new(in_flight_max, LOST_AFTER);
    let work = Work { load, queries, headers, socket, flow, outcome: Outcome::new() };
    let outcome = work.run()?;
    if outcome.answered == 0 {
        bail!("{} answered nothing over AF_XDP", load.server);
    }
    Ok(outcome)
}

struct Work<'a> {
    load: &'a XdpLoad,
    queries: &'a Queries,
    headers: Headers,
    socket: Socket,
    flow: Flow,
    outcome: Outcome,
}

impl Work<'_> {
    /// The loop does not sleep: its core has nothing else to do.
    fn run(mut self) -> Result<Outcome> {
        let start = Instant::now();
        let mut now = Duration::ZERO;
        while now < self.load.duration {
            let due = match self.load.pace {
                Pace::Closed(in_flight) => in_flight.saturating_sub(self.flow.in_flight()),
                Pace::Open(rate) => whole(now.as_secs_f64() * rate).saturating_sub(self.flow.sent()),
            };
            self.send(due.min(BATCH), now)?;
            self.receive(nanos(start.elapsed()));
            now = start.elapsed();
            self.flow.expire(nanos(now), &mut self.outcome);
        }
        let end = start.elapsed();
        while self.flow.in_flight() > 0 && start.elapsed() < end + LINGER {
            self.receive(nanos(start.elapsed()));
        }
        self.flow.finish(&mut self.outcome);
        self.outcome.seconds = end.as_secs_f64();
        Ok(self.outcome)
    }

    fn send(&mut self, due: usize, now: Duration) -> Result<()> {
        for _ in 0..due {
            let Some(frame) = self.socket.room() else { break };
            let (query, rcode) = self.queries.message(self.flow.sent());
            let start = self.headers.bytes();
            let frame = &mut frame[..start + query.len()];
            frame[start..].copy_from_slice(query);
            let id = self.flow.send(nanos(now), rcode, &mut self.outcome);
            frame[start..start + 2].copy_from_slice(&id);
            let len = frame.len();
            if !self.headers.write(frame) || !self.socket.queue(len) {
                bail!("a query of {} octets does not fit a frame", query.len());
            }
        }
        if due > 0 || self.socket.under_way() > 0 {
            self.socket.flush().context("sending frames failed")?;
        }
        Ok(())
    }

    fn receive(&mut self, now_ns: u64) {
        for index in 0..self.socket.receive() {
            match Headers::parse(self.socket.received(index)) {
                Ok((_, content)) => {
                    let message = &self.socket.received(index)[content];
                    self.flow.receive(message, now_ns, &mut self.outcome);
                }
                Err(_) => self.outcome.stray += 1,
            }
        }
        self.socket.release();
    }
}
