//! One AF_XDP thread: the sockets of its queues, one handler.
//!
//! Nothing in the loop allocates, locks or logs, and system calls are made per batch.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::server::{Port, ThreadPorts, wait};
use super::{Fault, Headers, Socket, SocketStatistics};
use crate::counters::Counters;
use crate::shed::SHED_ROUND_MS;
use crate::stop::Stop;
use crate::{
    ANNOUNCED_MAX, Handler, Peer, Query, Transport, UDP_QUERY_BYTES_MAX, UDP_RESPONSE_BYTES_MAX, XdpValues,
    unix_time_ms,
};

/// Batches taken from one queue before the others, the clock and the stop signal get their turn.
const ROUNDS_MAX: usize = 16;
/// Longest wait without traffic, so that `tick` comes about once per second.
const WAIT_MS_MAX: u16 = 1000;
/// Time between two looks at whether the last frames have been sent, in a stop.
const DRAIN_WAIT_MS: u16 = 10;

/// What one AF_XDP thread owns.
pub(crate) struct XdpWorker<H> {
    ports: Vec<Port>,
    /// What the kernel had counted for each port when it was last asked.
    statistics: Vec<SocketStatistics>,
    batch: Vec<Datagram>,
    /// Source ports whose datagrams are dropped.
    drop_ports: Arc<[u16]>,
    stop: Arc<Stop>,
    counters: Arc<Counters>,
    /// The number of this thread's counters.
    cell: usize,
    counted: XdpValues,
    handler: H,
}

impl<H: Handler> XdpWorker<H> {
    pub(crate) fn new(
        ports: ThreadPorts,
        (batch_max, drop_ports): (usize, Arc<[u16]>),
        stop: Arc<Stop>,
        counters: Arc<Counters>,
        cell: usize,
        handler: H,
    ) -> Self {
        let statistics = vec![SocketStatistics::default(); ports.0.len()];
        let (batch, counted) = (Vec::with_capacity(batch_max), XdpValues::default());
        Self { ports: ports.0, statistics, batch, drop_ports, stop, counters, cell, counted, handler }
    }

    /// Serves until the stop signal, then answers what has been received by then.
    pub(crate) fn run(mut self) {
        let mut set = Vec::with_capacity(self.ports.len() + 1);
        let mut ticked_s = unix_time_ms() / 1000;
        let mut asked = unix_time_ms() / SHED_ROUND_MS;
        while self.stop.deadline().is_none() {
            let mut taken = 0;
            for port in 0..self.ports.len() {
                taken += self.serve(port);
            }
            if taken == 0
                && let Err(error) = wait(&self.ports, &self.stop, WAIT_MS_MAX, &mut set)
            {
                tracing::error!(%error, "an AF_XDP thread cannot wait for datagrams and ends");
                break;
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
        self.drain(&mut set);
        self.tick();
    }

    /// Has the program drop what the handler says.
    fn shed(&mut self, unix_ms: u64) {
        let Some(shed) = self.handler.shed(unix_ms) else { return };
        for port in &mut self.ports {
            if let Err(error) = port.shed.apply(&shed) {
                tracing::warn!(%error, "the XDP program was not told of all that a flood comes from");
            }
        }
    }

    /// Answers what waits on a queue, up to `ROUNDS_MAX` batches, and returns how much that was.
    fn serve(&mut self, port: usize) -> usize {
        let mut all = 0;
        for _ in 0..ROUNDS_MAX {
            let taken = self.answer_batch(port);
            all += taken;
            if taken == 0 {
                break;
            }
        }
        all
    }

    /// Answers what has been received and waits until it has been sent, within the grace.
    fn drain(&mut self, set: &mut Vec<libc::pollfd>) {
        let deadline = self.stop.deadline().unwrap_or_else(Instant::now);
        for port in 0..self.ports.len() {
            while Instant::now() < deadline && self.answer_batch(port) > 0 {}
        }
        while Instant::now() < deadline && self.ports.iter_mut().any(|port| port.socket.under_way() > 0) {
            // Only to have the kernel send; the stop signal stays raised and must not turn this into a spin.
            std::thread::sleep(std::time::Duration::from_millis(u64::from(DRAIN_WAIT_MS)));
            if wait(&self.ports, &self.stop, 0, set).is_err() {
                break;
            }
        }
    }

    /// Takes one batch, answers it, sends the replies, and returns how many frames were taken.
    fn answer_batch(&mut self, port: usize) -> usize {
        let Self { ports, batch, drop_ports, handler, counted, .. } = self;
        let Port { socket, mtu, .. } = &mut ports[port];
        let taken = socket.receive();
        if taken == 0 {
            return 0;
        }
        batch.clear();
        read(socket, taken, (batch, drop_ports), counted);
        let unix_ms = unix_time_ms();
        for group in batch.chunks(ANNOUNCED_MAX) {
            let queries = group
                .iter()
                .map(|(frame, headers, content)| (&socket.received(*frame)[content.clone()], headers.source.ip()));
            handler.announce(queries);
            for (announced, datagram) in group.iter().enumerate() {
                answer(handler, socket, datagram, announced, (*mtu, unix_ms), counted);
            }
        }
        // The kernel can receive into them while it sends.
        socket.release();
        if socket.flush().is_err() {
            counted.send_errors += 1;
        }
        counted.batches += 1;
        counted.received += taken as u64;
        self.counters.xdp_cell(self.cell).add(counted);
        taken
    }

    /// Has the handler publish its counters, and adds what the kernel has counted.
    fn tick(&mut self) {
        self.handler.tick();
        for (port, before) in self.ports.iter().zip(&mut self.statistics) {
            if let Ok(now) = port.socket.statistics() {
                add_statistics(&mut self.counted, before, &now);
                *before = now;
            }
        }
        self.counters.xdp_cell(self.cell).add(&mut self.counted);
    }
}

/// A datagram: the number of its frame, its headers, where its content is.
type Datagram = (usize, Headers, Range<usize>);

/// Reads the headers of all frames of a batch.
fn read(socket: &Socket, taken: usize, (batch, drop_ports): (&mut Vec<Datagram>, &[u16]), counted: &mut XdpValues) {
    /// Frames between the one that is read and the one that is fetched.
    const AHEAD: usize = 4;
    (0..AHEAD).for_each(|frame| socket.prefetch(frame));
    for frame in 0..taken {
        socket.prefetch(frame + AHEAD);
        match Headers::parse(socket.received(frame)) {
            // The port of a service that answers to whatever it gets: the sender is most likely forged.
            Ok((headers, _)) if drop_ports.contains(&headers.source.port()) => counted.bad_source += 1,
            Ok((headers, content)) => {
                counted.received_bytes += content.len() as u64;
                batch.push((frame, headers, content));
            }
            Err(Fault::Short) => counted.short += 1,
            Err(Fault::Malformed) => counted.malformed += 1,
            Err(Fault::Checksum) => counted.bad_checksum += 1,
            Err(Fault::Source) => counted.bad_source += 1,
        }
    }
}

/// Has one datagram, which was announced as number `announced`, answered and queues the reply.
fn answer<H: Handler>(
    handler: &mut H,
    socket: &mut Socket,
    (frame, headers, content): &Datagram,
    announced: usize,
    (mtu, unix_ms): (usize, u64),
    counted: &mut XdpValues,
) {
    if content.len() > UDP_QUERY_BYTES_MAX {
        counted.oversized += 1;
        return;
    }
    let Some((received, room)) = socket.exchange(*frame) else {
        counted.no_frame += 1;
        return;
    };
    let (start, most) = (headers.bytes(), mtu.saturating_sub(headers.overhead_bytes()).min(UDP_RESPONSE_BYTES_MAX));
    let end = room.len().min(start + most);
    let peer = Peer { addr: headers.source, local: headers.destination, transport: Transport::Udp };
    let query = Query { octets: &received[content.clone()], announced: Some(announced) };
    let length = handler.answer(query, &peer, unix_ms, &mut room[start..end]);
    if length == 0 || length > end - start || !headers.reply().write(&mut room[..start + length]) {
        counted.dropped += 1;
        return;
    }
    if socket.queue(start + length) {
        counted.answered += 1;
        counted.answered_bytes += length as u64;
    } else {
        counted.no_frame += 1;
    }
}

fn add_statistics(counted: &mut XdpValues, before: &SocketStatistics, now: &SocketStatistics) {
    counted.rx_dropped += now.rx_dropped.wrapping_sub(before.rx_dropped);
    counted.rx_invalid += now.rx_invalid.wrapping_sub(before.rx_invalid);
    counted.tx_invalid += now.tx_invalid.wrapping_sub(before.tx_invalid);
    counted.rx_ring_full += now.rx_ring_full.wrapping_sub(before.rx_ring_full);
    counted.fill_ring_empty += now.fill_ring_empty.wrapping_sub(before.fill_ring_empty);
    counted.tx_ring_empty += now.tx_ring_empty.wrapping_sub(before.tx_ring_empty);
}
