//! Load over UDP with sendmmsg and recvmmsg.
//!
//! Nothing in the loop allocates: headers, messages and buffers are made before it.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;

use super::flow::Flow;
use super::{LINGER, Outcome, Pace, nanos, whole};
use crate::data::{QUERY_LEN_MAX, Queries};

/// Datagrams per system call.
const BATCH: usize = 32;
/// Of a response only the header is looked at.
const RESPONSE_LEN_MAX: usize = 64;
/// After so long a query counts as lost.
const LOST_AFTER: Duration = Duration::from_millis(500);
/// The most that may be in flight in an open loop.
const OPEN_IN_FLIGHT_MAX: usize = 1 << 16;
/// Up to so long a wait is not slept through: waking up takes about as long, and would count as the server's latency.
const SPIN_MAX: Duration = Duration::from_micros(200);
/// Octets of a socket's buffers.
const BUFFER_BYTES: usize = 4 << 20;

/// A load over UDP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UdpLoad {
    pub(crate) server: SocketAddr,
    /// Where queries come from; any address if `None`.
    pub(crate) source: Option<IpAddr>,
    /// Sockets, each with a thread. They share the pace.
    pub(crate) sockets: usize,
    pub(crate) pace: Pace,
    pub(crate) duration: Duration,
}

impl UdpLoad {
    /// 128 queries in flight on one socket.
    pub(crate) fn closed(server: SocketAddr, duration: Duration) -> Self {
        Self { server, source: None, sockets: 1, pace: Pace::Closed(128), duration }
    }

    /// So many queries a second on one socket.
    pub(crate) fn open(server: SocketAddr, rate: f64, duration: Duration) -> Self {
        Self { server, source: None, sockets: 1, pace: Pace::Open(rate), duration }
    }
}

/// Asks `queries` in turn, each socket from another place on.
pub(crate) fn run(load: &UdpLoad, queries: &Queries) -> Result<Outcome> {
    let sockets = load.sockets.max(1);
    #[expect(clippy::cast_precision_loss, reason = "a few sockets")]
    let pace = match load.pace {
        Pace::Closed(in_flight) => Pace::Closed(in_flight.div_ceil(sockets)),
        Pace::Open(rate) => Pace::Open(rate / sockets as f64),
    };
    let mut whole = Outcome::new();
    std::thread::scope(|scope| -> Result<()> {
        let one = |index: usize| {
            let first = queries.len() / sockets * index;
            Loop::open(load, pace)?.run(queries, first, load.duration)
        };
        let threads: Vec<_> = (0..sockets).map(|index| scope.spawn(move || one(index))).collect();
        for thread in threads {
            let Ok(outcome) = thread.join() else { bail!("a thread of the load panicked") };
            whole.add(&outcome?);
        }
        Ok(())
    })?;
    Ok(whole)
}

struct Loop {
    socket: UdpSocket,
    pace: Pace,
    flow: Flow,
    outcome: Outcome,
    send_headers: MultiHeaders<()>,
    receive_headers: MultiHeaders<()>,
    messages: Box<[[u8; QUERY_LEN_MAX]; BATCH]>,
    lens: [usize; BATCH],
    responses: Box<[[u8; RESPONSE_LEN_MAX]; BATCH]>,
}

impl Loop {
    fn open(load: &UdpLoad, pace: Pace) -> Result<Self> {
        let any: IpAddr = if load.server.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        let socket = UdpSocket::bind((load.source.unwrap_or(any), 0))?;
        socket.connect(load.server)?;
        setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES)?;
        setsockopt(&socket, sockopt::SndBuf, &BUFFER_BYTES)?;
        let in_flight_max = match pace {
            Pace::Closed(in_flight) => in_flight,
            Pace::Open(_) => OPEN_IN_FLIGHT_MAX,
        };
        Ok(Self {
            socket,
            pace,
            flow: Flow::new(in_flight_max, LOST_AFTER),
            outcome: Outcome::new(),
            send_headers: MultiHeaders::preallocate(BATCH, None),
            receive_headers: MultiHeaders::preallocate(BATCH, None),
            messages: Box::new([[0; QUERY_LEN_MAX]; BATCH]),
            lens: [0; BATCH],
            responses: Box::new([[0; RESPONSE_LEN_MAX]; BATCH]),
        })
    }

    fn run(mut self, queries: &Queries, first: usize, duration: Duration) -> Result<Outcome> {
        let start = Instant::now();
        let mut now = Duration::ZERO;
        while now < duration {
            let due = self.due(now);
            if due > 0 {
                self.send(queries, first, due, now)?;
            }
            self.receive(self.wait(now), start)?;
            now = start.elapsed();
            self.flow.expire(nanos(now), &mut self.outcome);
        }
        let end = start.elapsed();
        while self.flow.in_flight() > 0 && start.elapsed() < end + LINGER {
            self.receive(Duration::from_millis(20), start)?;
        }
        self.flow.finish(&mut self.outcome);
        self.outcome.seconds = end.as_secs_f64();
        if self.outcome.answered == 0 {
            bail!("{} answered nothing", self.socket.peer_addr()?);
        }
        Ok(self.outcome)
    }

    /// How many queries go out now, up to a batch.
    fn due(&self, now: Duration) -> usize {
        let due = match self.pace {
            Pace::Closed(in_flight) => in_flight.saturating_sub(self.flow.in_flight()),
            Pace::Open(rate) => whole(now.as_secs_f64() * rate).saturating_sub(self.flow.sent()),
        };
        due.min(BATCH)
    }

    /// How long to wait for answers before it is time to send again.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 queries")]
    fn wait(&self, now: Duration) -> Duration {
        match self.pace {
            Pace::Closed(in_flight) if self.flow.in_flight() < in_flight => Duration::ZERO,
            Pace::Closed(_) => Duration::from_millis(20),
            Pace::Open(rate) => {
                let next = Duration::from_secs_f64((self.flow.sent() + 1) as f64 / rate);
                next.saturating_sub(now)
            }
        }
    }

    fn send(&mut self, queries: &Queries, first: usize, due: usize, now: Duration) -> Result<()> {
        for slot in 0..due {
            let (query, rcode) = queries.message(first + self.flow.sent());
            let at = match self.pace {
                Pace::Closed(_) => nanos(now),
                // From when it was due: a load that was kept from sending must not hide what clients would have seen.
                #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 queries")]
                Pace::Open(rate) => nanos(Duration::from_secs_f64(self.flow.sent() as f64 / rate)).min(nanos(now)),
            };
            let message = &mut self.messages[slot][..query.len()];
            message.copy_from_slice(query);
            message[..2].copy_from_slice(&self.flow.send(at, rcode, &mut self.outcome));
            self.lens[slot] = query.len();
        }
        let slices: [[IoSlice<'_>; 1]; BATCH] =
            std::array::from_fn(|slot| [IoSlice::new(&self.messages[slot][..self.lens[slot]])]);
        let mut done = 0;
        while done < due {
            let to = [None::<()>; BATCH];
            let flags = MsgFlags::empty();
            let sent = sendmmsg(
                self.socket.as_raw_fd(),
                &mut self.send_headers,
                &slices[done..due],
                &to[done..due],
                [],
                flags,
            );
            match sent {
                Ok(sent) => done += sent.count(),
                // A message of an earlier query: nobody listened.
                Err(Errno::ECONNREFUSED | Errno::EINTR) => {}
                Err(Errno::ENOBUFS | Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error).context("sending queries failed"),
            }
        }
        Ok(())
    }

    /// Takes what has come, waiting for it if nothing has.
    fn receive(&mut self, wait: Duration, start: Instant) -> Result<()> {
        if wait > SPIN_MAX {
            let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match ppoll(&mut polled, Some(TimeSpec::from_duration(wait)), None) {
                Ok(0) | Err(Errno::EINTR) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error).context("waiting for answers failed"),
            }
        }
        loop {
            let mut lens = [0_usize; BATCH];
            let mut responses = self.responses.iter_mut();
            let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(responses.next().map_or(&mut [], |buffer| &mut buffer[..]))]);
            let flags = MsgFlags::MSG_DONTWAIT;
            let received = recvmmsg(self.socket.as_raw_fd(), &mut self.receive_headers, slices.iter_mut(), flags, None);
            let count = match received {
                Ok(received) => received.zip(&mut lens).map(|(message, len)| *len = message.bytes).count(),
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(()),
                Err(error) => return Err(error).context("receiving answers failed"),
            };
            let now = nanos(start.elapsed());
            for (response, len) in self.responses.iter().zip(&lens[..count]) {
                self.flow.receive(&response[..(*len).min(RESPONSE_LEN_MAX)], now, &mut self.outcome);
            }
            if count < BATCH {
                return Ok(());
            }
        }
    }
}
