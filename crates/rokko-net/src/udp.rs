//! One UDP thread: its socket of every listen address, one batch of buffers, one handler.
//!
//! Nothing in the loop allocates, locks or logs.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::bind::refuse_more;
use crate::counters::Counters;
use crate::mmsg::Batch;
use crate::shed::{self, SHED_ROUND_MS};
use crate::stop::Stop;
use crate::{ANNOUNCED_MAX, Handler, Peer, Query, Transport, UdpValues, unix_time_ms};

/// Epoll token of the stop signal; the sockets have their index.
const STOP: u64 = u64::MAX;
/// Batches taken from one socket before the others, the clock and the stop signal get their turn.
const ROUNDS_MAX: usize = 16;
/// Longest wait without traffic, so that `tick` comes about once per second.
const WAIT_MS_MAX: u16 = 1000;

/// What one UDP thread owns.
pub(crate) struct UdpWorker<H> {
    sockets: Vec<BoundSocket>,
    epoll: Epoll,
    stop: Arc<Stop>,
    counters: Arc<Counters>,
    thread: usize,
    counted: UdpValues,
    /// Datagrams per system call.
    batch_max: usize,
    /// Source ports whose datagrams are dropped.
    drop_ports: Arc<[u16]>,
    handler: H,
}

struct BoundSocket {
    socket: UdpSocket,
    addr: SocketAddr,
    /// The kernel's count of drops at the last look.
    kernel_drops: u32,
}

impl<H: Handler> UdpWorker<H> {
    /// Prepares thread number `thread` with its sockets and the addresses that they are bound to.
    pub(crate) fn new(
        sockets: Vec<(UdpSocket, SocketAddr)>,
        (batch_max, drop_ports): (usize, Arc<[u16]>),
        thread: usize,
        stop: Arc<Stop>,
        counters: Arc<Counters>,
        handler: H,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        stop.register(&epoll, STOP)?;
        for ((socket, _), token) in sockets.iter().zip(0..) {
            epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        }
        let sockets = sockets.into_iter().map(|(socket, addr)| BoundSocket { socket, addr, kernel_drops: 0 }).collect();
        let counted = UdpValues::default();
        Ok(Self { sockets, epoll, stop, counters, thread, counted, batch_max, drop_ports, handler })
    }

    /// Serves until the stop signal, then answers what the sockets still hold.
    pub(crate) fn run(mut self) {
        // Allocated here, so that the memory is near the core that the thread is pinned to.
        let mut batch = Batch::new(self.batch_max);
        let mut events = vec![EpollEvent::empty(); self.sockets.len() + 1];
        let mut ticked_s = unix_time_ms() / 1000;
        let mut asked = unix_time_ms() / SHED_ROUND_MS;
        while self.stop.deadline().is_none() {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::from(WAIT_MS_MAX)) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => 0,
                Err(error) => {
                    tracing::error!(%error, "a UDP thread cannot wait for datagrams and ends");
                    break;
                }
            };
            for event in &events[..ready] {
                if event.data() != STOP
                    && let Ok(index) = usize::try_from(event.data())
                {
                    self.serve(index, &mut batch);
                }
            }
            let unix_ms = unix_time_ms();
            if unix_ms / 1000 != ticked_s {
                ticked_s = unix_ms / 1000;
                self.tick();
            }
            if unix_ms / SHED_ROUND_MS != asked {
                asked = unix_ms / SHED_ROUND_MS;
                self.shed(unix_ms);
            }
        }
        self.drain(&mut batch);
        self.handler.tick();
    }

    /// What is done about once per second.
    fn tick(&mut self) {
        self.handler.tick();
        for bound in &mut self.sockets {
            if let Ok(drops) = shed::kernel_drops(&bound.socket) {
                self.counted.kernel_dropped += u64::from(drops.wrapping_sub(bound.kernel_drops));
                bound.kernel_drops = drops;
            }
        }
        self.counters.udp_cell(self.thread).add(&mut self.counted);
    }

    /// Has the kernel keep away what the handler says.
    fn shed(&mut self, unix_ms: u64) {
        let Some(shed) = self.handler.shed(unix_ms) else { return };
        for BoundSocket { socket, addr, .. } in &self.sockets {
            if let Err(error) = shed::apply(socket, addr.is_ipv4(), &shed) {
                tracing::warn!(%addr, %error, "the kernel does not take the filter that keeps a flood away");
            }
        }
    }

    /// Answers what waits in a socket, up to `ROUNDS_MAX` batches.
    fn serve(&mut self, index: usize, batch: &mut Batch) {
        for _ in 0..ROUNDS_MAX {
            let taken = self.answer_batch(index, batch);
            // After a fair number, more have most likely come in the meantime, and asking costs less than waiting.
            if taken <= batch.capacity() / 8 {
                break;
            }
        }
    }

    /// Answers what arrived before the stop, within the grace.
    fn drain(&mut self, batch: &mut Batch) {
        let deadline = self.stop.deadline().unwrap_or_else(Instant::now);
        for index in 0..self.sockets.len() {
            if let Err(error) = refuse_more(&self.sockets[index].socket) {
                tracing::debug!(%error, "new datagrams cannot be kept out during the stop");
            }
            while Instant::now() < deadline && self.answer_batch(index, batch) > 0 {}
        }
    }

    /// Takes one batch, answers it, sends the replies, and returns how many datagrams were taken.
    fn answer_batch(&mut self, index: usize, batch: &mut Batch) -> usize {
        let BoundSocket { socket, addr, .. } = &self.sockets[index];
        let counted = &mut self.counted;
        let taken = match batch.receive(socket.as_fd()) {
            Ok(0) => return 0,
            Ok(taken) => taken,
            Err(_) => {
                counted.receive_errors += 1;
                self.counters.udp_cell(self.thread).add(counted);
                return 0;
            }
        };
        let unix_ms = unix_time_ms();
        for first in (0..taken).step_by(ANNOUNCED_MAX) {
            let group = first..taken.min(first + ANNOUNCED_MAX);
            self.handler.announce(batch.queries(group.clone()));
            for message in group {
                let place = (message, message - first);
                let length = answer_one(&mut self.handler, batch, place, (*addr, &self.drop_ports), unix_ms, counted);
                if length > 0 {
                    batch.reply(message, length);
                }
            }
        }
        let sent = batch.send(socket.as_fd());
        counted.batches += 1;
        counted.received += taken as u64;
        counted.answered += sent.messages;
        counted.answered_bytes += sent.bytes;
        counted.send_errors += sent.errors;
        self.counters.udp_cell(self.thread).add(counted);
        taken
    }
}

/// Has datagram `message`, which was announced as number `announced`, answered and returns the reply's length, 0 for none.
fn answer_one<H: Handler>(
    handler: &mut H,
    batch: &mut Batch,
    (message, announced): (usize, usize),
    (bound, drop_ports): (SocketAddr, &[u16]),
    unix_ms: u64,
    counted: &mut UdpValues,
) -> usize {
    let Some((datagram, out)) = batch.exchange(message) else {
        counted.dropped += 1;
        return 0;
    };
    counted.received_bytes += datagram.bytes.len() as u64;
    if datagram.oversized {
        counted.oversized += 1;
        return 0;
    }
    // Nobody can be listening on port 0; the sender is forged. So is most likely one whose port is that of a service
    // which answers to whatever it gets.
    let port = datagram.source.port();
    if port == 0 || drop_ports.contains(&port) {
        counted.source_port += 1;
        return 0;
    }
    let mut local = bound;
    if let Some(destination) = datagram.destination {
        local.set_ip(destination);
    }
    // A response would come back as the next query.
    if datagram.source == local {
        counted.own_address += 1;
        return 0;
    }
    let peer = Peer { addr: datagram.source, local, transport: Transport::Udp };
    let query = Query { octets: datagram.bytes, announced: Some(announced) };
    let length = handler.answer(query, &peer, unix_ms, out);
    if length == 0 || length > out.len() {
        counted.dropped += 1;
        return 0;
    }
    length
}
