//! One TCP thread: its listener of every listen address, its connections, one handler.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::admission::{Admission, Refusal, Ticket};
use crate::conn::{After, Conn, Expiry, Interest, Scratch, Turn};
use crate::counters::Counters;
use crate::stop::Stop;
use crate::{Handler, Peer, TcpLimits, TcpValues, Transport, unix_time_ms};

/// Epoll token of the stop signal.
const STOP: u64 = u64::MAX;
/// Epoll token of the first listener; the connections have the index of their slot.
const LISTENERS: u64 = 1 << 32;
/// Events taken per wait.
const EVENTS: usize = 256;
/// Connections accepted from one listener before the others get their turn.
const ACCEPTS_MAX: usize = 64;
/// Bounds of the time between two looks at the time-outs.
const SWEEP_MS: std::ops::RangeInclusive<u64> = 5..=500;
/// Longest wait, in a stop, for a client to end its side after it got all its responses.
const LINGER_MAX: Duration = Duration::from_millis(250);

/// What all TCP threads have in common.
#[derive(Clone)]
pub(crate) struct TcpShared {
    pub(crate) limits: TcpLimits,
    /// Octets that the connections of one thread may hold in buffers.
    pub(crate) buffer_bytes_max: usize,
    pub(crate) admission: Arc<Admission>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) counters: Arc<Counters>,
}

/// What one TCP thread owns.
pub(crate) struct TcpWorker<H> {
    shared: TcpShared,
    thread: usize,
    listeners: Vec<Listener>,
    /// Whether the listeners are in the epoll set. They are not while the process has no descriptors left.
    accepting: bool,
    epoll: Epoll,
    slots: Vec<Option<Conn>>,
    free: Vec<usize>,
    /// Octets that the connections hold in buffers.
    buffered_bytes: usize,
    scratch: Scratch,
    counted: TcpValues,
    handler: H,
    started: Instant,
}

struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl<H: Handler> TcpWorker<H> {
    /// Prepares thread number `thread` with its listeners and the addresses that they are bound to.
    pub(crate) fn new(
        listeners: Vec<(TcpListener, SocketAddr)>,
        thread: usize,
        shared: TcpShared,
        handler: H,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        shared.stop.register(&epoll, STOP)?;
        let scratch = Scratch::new(&shared.limits);
        let mut worker = Self {
            shared,
            thread,
            listeners: listeners.into_iter().map(|(socket, addr)| Listener { socket, addr }).collect(),
            accepting: false,
            epoll,
            slots: Vec::new(),
            free: Vec::new(),
            buffered_bytes: 0,
            scratch,
            counted: TcpValues::default(),
            handler,
            started: Instant::now(),
        };
        worker.resume_accepting()?;
        Ok(worker)
    }

    /// Serves until the stop signal, then answers what has arrived.
    pub(crate) fn run(mut self) {
        let mut events = [EpollEvent::empty(); EVENTS];
        let sweep_ms = self.sweep_period_ms();
        let mut swept_ms = 0;
        let mut ticked_s = unix_time_ms() / 1000;
        while self.shared.stop.deadline().is_none() {
            let Some(ready) = self.wait(&mut events, sweep_ms) else { break };
            let unix_ms = unix_time_ms();
            let now_ms = self.now_ms();
            for event in &events[..ready] {
                self.dispatch(event.data(), unix_ms, now_ms);
            }
            if now_ms - swept_ms >= sweep_ms {
                swept_ms = now_ms;
                self.sweep(now_ms);
            }
            self.publish();
            if unix_ms / 1000 != ticked_s {
                ticked_s = unix_ms / 1000;
                self.handler.tick();
            }
        }
        self.drain(&mut events);
        self.publish();
        self.handler.tick();
    }

    fn wait(&self, events: &mut [EpollEvent], timeout_ms: u64) -> Option<usize> {
        let timeout = u16::try_from(timeout_ms).unwrap_or(u16::MAX);
        match self.epoll.wait(events, EpollTimeout::from(timeout)) {
            Ok(ready) => Some(ready),
            Err(Errno::EINTR) => Some(0),
            Err(error) => {
                tracing::error!(%error, "a TCP thread cannot wait for connections and ends");
                None
            }
        }
    }

    /// A quarter of the shortest time-out, so that none is exceeded by much more than that.
    fn sweep_period_ms(&self) -> u64 {
        let limits = &self.shared.limits;
        let shortest_ms = limits.idle_timeout_ms.min(limits.read_timeout_ms).min(limits.write_timeout_ms);
        (shortest_ms / 4).clamp(*SWEEP_MS.start(), *SWEEP_MS.end())
    }

    fn dispatch(&mut self, token: u64, unix_ms: u64, now_ms: u64) {
        if token == STOP {
            return;
        }
        if token >= LISTENERS {
            if let Ok(index) = usize::try_from(token - LISTENERS) {
                self.accept(index, now_ms);
            }
        } else if let Ok(slot) = usize::try_from(token) {
            // One turn only: the epoll set is level-triggered and tells of what is left.
            self.serve(slot, unix_ms, now_ms);
        }
    }

    /// Gives the connection in `slot` one turn and closes it when it is done. A slot can be empty or have a new
    /// connection by now when its last one was closed by an earlier event; the turn then just finds nothing to do.
    fn serve(&mut self, slot: usize, unix_ms: u64, now_ms: u64) -> After {
        let Some(conn) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return After::Done;
        };
        let before_bytes = conn.buffered_bytes();
        let result = conn.turn(&mut Turn {
            handler: &mut self.handler,
            scratch: &mut self.scratch,
            counted: &mut self.counted,
            unix_ms,
            now_ms,
        });
        let after_bytes = conn.buffered_bytes();
        self.buffered_bytes = self.buffered_bytes - before_bytes + after_bytes;
        let mut after = result.unwrap_or_else(|_| {
            self.counted.errors += 1;
            After::Done
        });
        if after_bytes > before_bytes && self.buffered_bytes > self.shared.buffer_bytes_max {
            self.counted.buffer_limit += 1;
            after = After::Done;
        }
        if after == After::Done || !self.register_interest(slot) {
            self.close(slot);
            return After::Done;
        }
        after
    }

    /// Tells the epoll set what the connection waits for, if that changed.
    fn register_interest(&mut self, slot: usize) -> bool {
        let Some(conn) = self.slots[slot].as_mut() else { return false };
        let interest = conn.interest();
        if interest == conn.registered {
            return true;
        }
        conn.registered = interest;
        self.epoll.modify(&*conn, &mut EpollEvent::new(flags(interest), slot as u64)).is_ok()
    }

    fn close(&mut self, slot: usize) {
        // Closing the descriptor takes it out of the epoll set.
        if let Some(conn) = self.slots[slot].take() {
            self.buffered_bytes -= conn.buffered_bytes();
            self.free.push(slot);
            self.counted.closed += 1;
        }
    }

    /// Accepts up to `ACCEPTS_MAX` connections and returns whether there may be more.
    fn accept(&mut self, index: usize, now_ms: u64) -> bool {
        for _ in 0..ACCEPTS_MAX {
            match self.listeners[index].socket.accept() {
                Ok((stream, client)) => self.take_in(stream, client, index, now_ms),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    self.counted.accept_errors += 1;
                    if is_exhaustion(&error) {
                        // Left in the set, the listener would wake the thread again at once.
                        self.pause_accepting();
                        return false;
                    }
                }
            }
        }
        true
    }

    fn take_in(&mut self, stream: TcpStream, client: SocketAddr, index: usize, now_ms: u64) {
        let Some(ticket) = self.admit(client.ip()) else { return };
        let Ok(peer) = describe(&stream, client, self.listeners[index].addr) else {
            self.counted.accept_errors += 1;
            return;
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let event = EpollEvent::new(flags(Interest::Read), slot as u64);
        if self.epoll.add(&stream, event).is_err() {
            self.counted.accept_errors += 1;
            self.free.push(slot);
            return;
        }
        self.slots[slot] = Some(Conn::new(stream, peer, ticket, now_ms));
        self.counted.accepted += 1;
    }

    fn admit(&mut self, client: IpAddr) -> Option<Ticket> {
        let mut admitted = self.shared.admission.admit(client);
        if admitted.as_ref().is_err_and(|refusal| *refusal == Refusal::Total) && self.evict() {
            admitted = self.shared.admission.admit(client);
        }
        match admitted {
            Ok(ticket) => return Some(ticket),
            Err(Refusal::Client) => self.counted.refused_client += 1,
            Err(Refusal::Total) => self.counted.refused_total += 1,
        }
        None
    }

    /// Closes this thread's longest idle connection, if it has an idle one. A look at each of at most a few thousand
    /// connections costs less than the accept call itself.
    fn evict(&mut self) -> bool {
        let idle = self.slots.iter().enumerate();
        let idle = idle.filter_map(|(slot, conn)| Some((conn.as_ref()?.idle_since_ms()?, slot)));
        let Some((_, slot)) = idle.min() else { return false };
        self.counted.evicted += 1;
        self.close(slot);
        true
    }

    fn pause_accepting(&mut self) {
        for listener in &self.listeners {
            // It can only fail for a socket that is not in the set.
            let _ = self.epoll.delete(&listener.socket);
        }
        self.accepting = false;
    }

    fn resume_accepting(&mut self) -> io::Result<()> {
        for (listener, token) in self.listeners.iter().zip(LISTENERS..) {
            self.epoll.add(&listener.socket, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        }
        self.accepting = true;
        Ok(())
    }

    /// Closes the connections that are past a time-out.
    fn sweep(&mut self, now_ms: u64) {
        let idle_ms = self.shared.admission.idle_timeout_ms(self.shared.limits.idle_timeout_ms);
        for slot in 0..self.slots.len() {
            let Some(conn) = &self.slots[slot] else { continue };
            match conn.expiry(now_ms, idle_ms, &self.shared.limits) {
                None => continue,
                Some(Expiry::Idle) => self.counted.idle_timeouts += 1,
                Some(Expiry::Read) => self.counted.read_timeouts += 1,
                Some(Expiry::Write) => self.counted.write_timeouts += 1,
            }
            self.close(slot);
        }
        if !self.accepting
            && let Err(error) = self.resume_accepting()
        {
            self.pause_accepting();
            tracing::warn!(%error, "a TCP thread cannot accept connections; it tries again shortly");
        }
    }

    /// Accepts what the kernel has accepted, answers what has arrived, and writes what waits, within the grace.
    fn drain(&mut self, events: &mut [EpollEvent]) {
        let now = Instant::now();
        let deadline = self.shared.stop.deadline().unwrap_or(now);
        let linger_deadline = deadline.min(now + LINGER_MAX);
        let now_ms = self.now_ms();
        for index in 0..self.listeners.len() {
            while Instant::now() < deadline && self.accept(index, now_ms) {}
        }
        self.listeners.clear();
        // It stays raised and would turn every wait below into a spin.
        if self.shared.stop.unregister(&self.epoll).is_err() {
            return;
        }
        let mut busy: Vec<usize> = (0..self.slots.len()).collect();
        loop {
            while !busy.is_empty() && Instant::now() < deadline {
                busy.retain(|slot| self.finish(*slot));
            }
            let blocked = self.slots.iter().flatten().any(Conn::is_blocked);
            let until = if blocked { deadline } else { linger_deadline };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.free.len() == self.slots.len() {
                break;
            }
            let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
            let Some(ready) = self.wait(events, left_ms) else { break };
            busy.extend(events[..ready].iter().filter_map(|event| usize::try_from(event.data()).ok()));
        }
        (0..self.slots.len()).for_each(|slot| self.close(slot));
    }

    /// Gives a connection one turn in the stop, and ends the stream to the client when all has been answered and
    /// written. Returns whether there may be more to answer.
    fn finish(&mut self, slot: usize) -> bool {
        let after = self.serve(slot, unix_time_ms(), self.now_ms());
        if after == After::Progress {
            return true;
        }
        if let Some(conn) = self.slots.get_mut(slot).and_then(Option::as_mut)
            && !conn.is_blocked()
            && conn.linger().is_err()
        {
            self.close(slot);
        }
        false
    }

    fn publish(&mut self) {
        self.shared.counters.tcp_cell(self.thread).add(&mut self.counted);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn flags(interest: Interest) -> EpollFlags {
    match interest {
        Interest::Read => EpollFlags::EPOLLIN,
        Interest::Write => EpollFlags::EPOLLOUT,
    }
}

/// Makes an accepted stream ready for service and says between whom it is.
fn describe(stream: &TcpStream, client: SocketAddr, bound: SocketAddr) -> io::Result<Peer> {
    stream.set_nonblocking(true)?;
    let local = if bound.ip().is_unspecified() { stream.local_addr()? } else { bound };
    Ok(Peer { addr: client, local, transport: Transport::Tcp })
}

/// Whether accepting cannot work before something is given back.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
