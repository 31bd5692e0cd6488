//! AF_XDP as a part of the server: what to open, and the thread that keeps it true.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::interface::{destinations, local_addresses};
use super::redirect::QueueShed;
use super::{Interface, Passed, QUEUES_MAX, Redirect, Socket, SocketOptions, XdpError};
use crate::XdpValues;
use crate::counters::Counters;
use crate::stop::Stop;

/// How often the machine's addresses and the program's counters are read.
const KEEPER_MS: u16 = 1000;
/// How long a queue in use is waited for, and the time between two tries.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(2);
const QUEUE_WAIT: Duration = Duration::from_millis(10);

/// Which interfaces AF_XDP is used on, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpConfig {
    /// Names of interfaces; with none, AF_XDP is not used.
    pub interfaces: Vec<String>,
    /// Threads, 1 to 1,024; 0 starts one per queue, at most one per core that the process may use.
    pub threads: usize,
    /// Entries of each ring and half the frames of each queue: a power of two, 64 to 32,768.
    pub ring_entries: u32,
    /// Whether drivers may write into the frames directly if they can.
    pub zero_copy: bool,
    /// Microseconds that a system call polls the driver in place of interrupts; 0 leaves it to interrupts.
    pub busy_poll_us: u32,
}

impl Default for XdpConfig {
    fn default() -> Self {
        let SocketOptions { ring_entries, zero_copy, busy_poll_us, .. } = SocketOptions::default();
        Self { interfaces: Vec::new(), threads: 0, ring_entries, zero_copy, busy_poll_us }
    }
}

/// What became of AF_XDP on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XdpState {
    /// It is in use.
    On {
        /// The interface.
        interface: String,
        /// Queues with a socket.
        queues: usize,
        /// Whether the program runs in the driver.
        native: bool,
        /// Whether the driver reads and writes the frames directly, on all queues.
        zero_copy: bool,
    },
    /// The kernel's sockets do the work.
    Off {
        /// The interface.
        interface: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for XdpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On { interface, queues, native, zero_copy } => {
                let program = if *native { "native" } else { "generic" };
                let frames = if *zero_copy { "zero-copy" } else { "copy mode" };
                let plural = if *queues == 1 { "" } else { "s" };
                write!(f, "AF_XDP on {interface}: {program}, {frames}, {queues} queue{plural}")
            }
            Self::Off { interface, reason } => write!(f, "no AF_XDP on {interface}: {reason}"),
        }
    }
}

/// One queue: its socket, the MTU of its interface, and what is dropped before it.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) socket: Socket,
    pub(super) mtu: usize,
    pub(super) shed: QueueShed,
}

/// Everything opened for a server.
#[derive(Debug, Default)]
pub(crate) struct Xdp {
    pub(crate) states: Vec<XdpState>,
    pub(crate) keeper: Vec<Attached>,
    ports: Vec<Port>,
}

/// The program on one interface.
#[derive(Debug)]
pub(crate) struct Attached {
    interface: Interface,
    redirect: Redirect,
    /// What had been passed to the kernel, and shed, when it was last looked at.
    passed: [u64; Passed::ALL.len()],
    shed: u64,
    gone: bool,
}

impl Xdp {
    /// Opens what `config` asks for. What cannot be opened is logged and left to the kernel's sockets.
    pub(crate) fn open(config: &XdpConfig, batch: usize, listen: &[SocketAddr]) -> Self {
        let mut xdp = Self::default();
        let options = SocketOptions {
            ring_entries: config.ring_entries,
            batch,
            zero_copy: config.zero_copy,
            busy_poll_us: config.busy_poll_us,
        };
        for name in &config.interfaces {
            let state = match open(name, &options, listen) {
                Ok((attached, ports)) => {
                    let state = XdpState::On {
                        interface: name.clone(),
                        queues: ports.len(),
                        native: attached.redirect.is_native(),
                        zero_copy: ports.iter().all(|port| port.socket.is_zero_copy()),
                    };
                    tracing::info!("{state}");
                    xdp.keeper.push(attached);
                    xdp.ports.extend(ports);
                    state
                }
                Err(error) => {
                    let state = XdpState::Off { interface: name.clone(), reason: reason(&error) };
                    tracing::warn!("{state}; the kernel's sockets answer in its place");
                    state
                }
            };
            xdp.states.push(state);
        }
        xdp
    }

    /// Deals the queues out to threads: `threads`, or as many as there are queues and cores.
    pub(super) fn into_threads(ports: Vec<Port>, threads: usize) -> Vec<Vec<Port>> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores } else { threads }.min(ports.len());
        let mut dealt: Vec<Vec<Port>> = (0..threads).map(|_| Vec::new()).collect();
        for (number, port) in ports.into_iter().enumerate() {
            dealt[number % threads].push(port);
        }
        dealt
    }

    /// Takes the queues of each thread out.
    pub(crate) fn take_threads(&mut self, threads: usize) -> Vec<ThreadPorts> {
        let ports = std::mem::take(&mut self.ports);
        Self::into_threads(ports, threads).into_iter().map(ThreadPorts).collect()
    }
}

/// The queues of one thread.
#[derive(Debug)]
pub(crate) struct ThreadPorts(pub(super) Vec<Port>);

fn reason(error: &XdpError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Attaches the program to an interface and opens a socket on each of its queues. Only then does the program get to know
/// what to redirect.
fn open(name: &str, options: &SocketOptions, listen: &[SocketAddr]) -> Result<(Attached, Vec<Port>), XdpError> {
    let failed = |source| XdpError::of("tell the XDP program what to redirect", source);
    let interface = Interface::find(name)?;
    let mut redirect = Redirect::attach(&interface)?;
    // In front of the network stack there is only copying, whatever the driver could do.
    let options = SocketOptions { zero_copy: options.zero_copy && redirect.is_native(), ..options.clone() };
    let mut ports = Vec::new();
    for queue in 0..interface.queues.min(QUEUES_MAX) {
        let socket = open_socket(&interface, queue, &options)?;
        redirect.add_socket(queue, &socket).map_err(failed)?;
        let shed = redirect.queue_shed(queue).map_err(failed)?;
        ports.push(Port { socket, mtu: interface.mtu, shed });
    }
    let local = local_addresses().map_err(failed)?;
    redirect.set_destinations(&destinations(listen, &local)).map_err(failed)?;
    Ok((Attached { interface, redirect, passed: [0; Passed::ALL.len()], shed: 0, gone: false }, ports))
}

/// Opens a socket. The kernel frees the queue of one that was closed a little later, so that a queue in use may be that of
/// a server which has just ended.
fn open_socket(interface: &Interface, queue: u32, options: &SocketOptions) -> Result<Socket, XdpError> {
    let deadline = Instant::now() + QUEUE_WAIT_MAX;
    loop {
        match Socket::open(interface, queue, options) {
            Err(XdpError::QueueInUse { .. }) if Instant::now() < deadline => std::thread::sleep(QUEUE_WAIT),
            result => return result,
        }
    }
}

/// The thread that keeps the program's table of addresses true and its counters published.
#[derive(Debug)]
pub(crate) struct Keeper {
    attached: Vec<Attached>,
    listen: Vec<SocketAddr>,
    stop: Arc<Stop>,
    counters: Arc<Counters>,
    /// The number of this thread's counters.
    cell: usize,
}

impl Keeper {
    pub(crate) fn new(
        attached: Vec<Attached>,
        listen: Vec<SocketAddr>,
        stop: Arc<Stop>,
        counters: Arc<Counters>,
        cell: usize,
    ) -> Self {
        Self { attached, listen, stop, counters, cell }
    }

    /// Runs until the stop signal, then takes the program off all interfaces.
    pub(crate) fn run(mut self) {
        while self.stop.deadline().is_none() {
            let mut wait = [PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
            match poll(&mut wait, PollTimeout::from(KEEPER_MS)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the thread that looks after AF_XDP cannot wait and ends");
                    break;
                }
            }
            self.publish();
            if self.stop.deadline().is_none() {
                self.refresh();
            }
        }
        for attached in &self.attached {
            if let Err(error) = attached.redirect.detach() {
                // It goes with the descriptor anyway.
                tracing::debug!(%error, interface = attached.interface.name, "the XDP program was not detached");
            }
        }
        self.publish();
    }

    /// Tells the program of addresses that came and went.
    fn refresh(&mut self) {
        let local = match local_addresses() {
            Ok(local) => local,
            Err(error) => {
                tracing::debug!(%error, "the machine's addresses cannot be read");
                return;
            }
        };
        let wanted = destinations(&self.listen, &local);
        for attached in &mut self.attached {
            attached.refresh(&wanted);
        }
    }

    /// Adds what was passed to the kernel and what was shed since the last time.
    fn publish(&mut self) {
        let mut counted = XdpValues::default();
        for attached in &mut self.attached {
            for (reason, before) in Passed::ALL.into_iter().zip(&mut attached.passed) {
                if let Ok(now) = attached.redirect.passed(reason) {
                    *counter(&mut counted, reason) += now.wrapping_sub(*before);
                    *before = now;
                }
            }
            if let Ok(now) = attached.redirect.shed() {
                counted.shed += now.wrapping_sub(attached.shed);
                attached.shed = now;
            }
        }
        self.counters.xdp_cell(self.cell).add(&mut counted);
    }
}

impl Attached {
    fn refresh(&mut self, destinations: &[SocketAddr]) {
        let name = &self.interface.name;
        let is_there = nix::net::if_::if_nametoindex(name.as_str()).is_ok_and(|index| index == self.interface.index);
        if !is_there && !self.gone {
            self.gone = true;
            tracing::warn!("the interface {name} is gone; restart to use AF_XDP on one that comes in its place");
        }
        if let Err(error) = self.redirect.set_destinations(destinations) {
            tracing::warn!(%error, "the XDP program on {name} was not told of all addresses; the kernel answers the rest");
        }
    }
}

fn counter(values: &mut XdpValues, reason: Passed) -> &mut u64 {
    match reason {
        Passed::Short => &mut values.passed_short,
        Passed::Group => &mut values.passed_group,
        Passed::NotIp => &mut values.passed_not_ip,
        Passed::NotUdp => &mut values.passed_not_udp,
        Passed::Options => &mut values.passed_options,
        Passed::Fragment => &mut values.passed_fragment,
        Passed::Elsewhere => &mut values.passed_elsewhere,
        Passed::NoSocket => &mut values.passed_no_socket,
    }
}

/// Waits until a socket has something to receive, or the stop signal. Also has the kernel send what it has not sent.
pub(super) fn wait(ports: &[Port], stop: &Stop, timeout_ms: u16, set: &mut Vec<libc::pollfd>) -> io::Result<()> {
    use std::os::fd::{AsFd, AsRawFd};
    let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    set.clear();
    set.push(entry(stop.as_fd().as_raw_fd()));
    set.extend(ports.iter().map(|port| entry(port.socket.as_fd().as_raw_fd())));
    let count = libc::nfds_t::try_from(set.len()).map_err(io::Error::other)?;
    // SAFETY: `count` entries are there, with descriptors that are open as their owners are borrowed.
    let ready = unsafe { libc::poll(set.as_mut_ptr(), count, libc::c_int::from(timeout_ms)) };
    match io::Error::last_os_error() {
        error if ready < 0 && error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}
