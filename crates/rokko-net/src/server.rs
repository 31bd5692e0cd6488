//! Starts and ends the threads.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

use crate::admission::Admission;
use crate::bind::{Bound, bind_all};
use crate::counters::Counters;
use crate::stop::Stop;
use crate::tcp::{TcpShared, TcpWorker};
use crate::udp::UdpWorker;
use crate::xdp::{Keeper, Xdp, XdpState, XdpWorker};
use crate::{Config, Handler, NetError};

/// File descriptors left to the rest of the program when the limit on open files is raised for the connections.
const SPARE_DESCRIPTORS: u64 = 1024;

/// A running server. Dropping it stops it without grace.
#[derive(Debug)]
pub struct Server {
    addrs: Vec<SocketAddr>,
    counters: Arc<Counters>,
    stop: Arc<Stop>,
    xdp: Vec<XdpState>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Binds all listen addresses, then starts the threads.
    ///
    /// `make_handler` is called on this thread with 0, 1, 2 …: first for each of the [`Config::udp_threads`], then for
    /// each of the [`Config::tcp_threads`], then for each AF_XDP thread. The soft limit on open files is raised as far
    /// as the hard limit allows, when `connections_max` asks for it.
    ///
    /// # Errors
    /// A setting out of range, an address that cannot be listened on, or no more threads; the text says what to do.
    pub fn start<H: Handler>(config: Config, make_handler: impl Fn(usize) -> H) -> Result<Self, NetError> {
        config.check()?;
        let sockets = bind_all(&config)?;
        allow_descriptors(config.tcp.connections_max);
        let no_thread = |source| NetError::Thread { source };
        let (udp_threads, tcp_threads) = (config.udp_threads(), config.tcp_threads());
        let limits = &config.tcp;
        let addrs: Vec<SocketAddr> = sockets.iter().map(|bound| bound.addr).collect();
        let mut xdp = Xdp::open(&config.xdp, config.udp_batch, &addrs);
        let xdp_ports = xdp.take_threads(config.xdp.threads);
        let admission = Arc::new(Admission::new(limits.connections_max, limits.connections_per_client_max));
        let counters = Arc::new(Counters::new(udp_threads, tcp_threads, xdp_ports.len(), Arc::clone(&admission)));
        let stop = Arc::new(Stop::new().map_err(no_thread)?);
        let shared = TcpShared {
            buffer_bytes_max: (limits.buffer_bytes_max / tcp_threads).max(1),
            limits: config.tcp,
            admission,
            stop: Arc::clone(&stop),
            counters: Arc::clone(&counters),
        };
        let (udp_sockets, tcp_sockets) = per_thread(sockets, udp_threads, tcp_threads);
        let drop_ports: Arc<[u16]> = config.drop_source_ports.into();
        let mut udp_workers = Vec::with_capacity(udp_threads);
        for (thread, sockets) in udp_sockets.into_iter().enumerate() {
            let handler = make_handler(thread);
            let intake = (config.udp_batch, Arc::clone(&drop_ports));
            let worker = UdpWorker::new(sockets, intake, thread, Arc::clone(&stop), Arc::clone(&counters), handler);
            udp_workers.push(worker.map_err(no_thread)?);
        }
        let mut tcp_workers = Vec::with_capacity(tcp_threads);
        for (thread, listeners) in tcp_sockets.into_iter().enumerate() {
            let handler = make_handler(udp_threads + thread);
            tcp_workers.push(TcpWorker::new(listeners, thread, shared.clone(), handler).map_err(no_thread)?);
        }
        let xdp_threads = xdp_ports.len();
        let mut xdp_workers = Vec::with_capacity(xdp_threads);
        for (thread, ports) in xdp_ports.into_iter().enumerate() {
            let handler = make_handler(udp_threads + tcp_threads + thread);
            let (stop, counters) = (Arc::clone(&stop), Arc::clone(&counters));
            let intake = (config.udp_batch, Arc::clone(&drop_ports));
            xdp_workers.push(XdpWorker::new(ports, intake, stop, counters, thread, handler));
        }
        let cores = |threads| if config.pin { cores_for(threads) } else { Vec::new() };
        let (cores, xdp_cores) = (cores(udp_threads), cores(xdp_threads));
        let Xdp { states, keeper, .. } = xdp;
        let mut server = Self { addrs, counters, stop, xdp: states, threads: Vec::new() };
        for (thread, worker) in udp_workers.into_iter().enumerate() {
            let core = cores.get(thread).copied();
            server.spawn(format!("rokko-udp-{thread}"), move || {
                core.into_iter().for_each(pin);
                worker.run();
            })?;
        }
        for (thread, worker) in tcp_workers.into_iter().enumerate() {
            server.spawn(format!("rokko-tcp-{thread}"), move || worker.run())?;
        }
        for (thread, worker) in xdp_workers.into_iter().enumerate() {
            let core = xdp_cores.get(thread).copied();
            server.spawn(format!("rokko-xdp-{thread}"), move || {
                core.into_iter().for_each(pin);
                worker.run();
            })?;
        }
        if !keeper.is_empty() {
            let (stop, counters) = (Arc::clone(&server.stop), server.counters());
            let keeper = Keeper::new(keeper, server.addrs.clone(), stop, counters, xdp_threads);
            server.spawn("rokko-xdp".to_owned(), move || keeper.run())?;
        }
        Ok(server)
    }

    /// The addresses listened on, in the order of [`Config::listen`], with real ports in place of port 0.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// What became of AF_XDP on each interface of the configuration.
    pub fn xdp(&self) -> &[XdpState] {
        &self.xdp
    }

    /// The counters, good also after the stop.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Stops the server and returns when all its threads have ended.
    ///
    /// New work is refused at once. What has arrived (datagrams in the sockets' buffers, connections accepted by the
    /// kernel, octets in their buffers) is answered, and responses are written, as far as `grace` allows. A TCP client
    /// that has got all its responses and does not end its side is waited for by no more than a quarter of a second.
    pub fn stop(self, grace: Duration) {
        self.signal(grace);
    }

    fn signal(&self, grace: Duration) {
        if let Err(error) = self.stop.signal(grace) {
            // The threads see the deadline at their next wake-up, a second from now at most.
            tracing::debug!(%error, "the stop signal could not be written");
        }
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> Result<(), NetError> {
        let thread = std::thread::Builder::new().name(name).spawn(run);
        self.threads.push(thread.map_err(|source| NetError::Thread { source })?);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Duration::ZERO);
        for thread in self.threads.drain(..) {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(thread = name, "a network thread had panicked");
            }
        }
    }
}

/// One thread's sockets of one kind, each with the address that it is bound to.
type ThreadSockets<S> = Vec<(S, SocketAddr)>;

/// Turns the sockets of each address into the sockets of each thread.
fn per_thread(
    addresses: Vec<Bound>,
    udp_threads: usize,
    tcp_threads: usize,
) -> (Vec<ThreadSockets<std::net::UdpSocket>>, Vec<ThreadSockets<std::net::TcpListener>>) {
    let mut udp: Vec<_> = (0..udp_threads).map(|_| Vec::new()).collect();
    let mut tcp: Vec<_> = (0..tcp_threads).map(|_| Vec::new()).collect();
    for bound in addresses {
        for (thread, socket) in udp.iter_mut().zip(bound.udp) {
            thread.push((socket, bound.addr));
        }
        for (thread, socket) in tcp.iter_mut().zip(bound.tcp) {
            thread.push((socket, bound.addr));
        }
    }
    (udp, tcp)
}

/// The cores to pin to: all that the process may use if they are exactly `threads`, else none.
fn cores_for(threads: usize) -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    let cores: Vec<usize> = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false)).collect();
    if cores.len() == threads { cores } else { Vec::new() }
}

/// Pins the calling thread to a core.
fn pin(core: usize) {
    let mut set = CpuSet::new();
    if let Err(error) = set.set(core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)) {
        tracing::info!(core, %error, "a UDP thread runs unpinned");
    }
}

/// Raises the soft limit on open files so that `connections` can be open.
fn allow_descriptors(connections: usize) {
    let wanted = connections as u64 + SPARE_DESCRIPTORS;
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < wanted {
            setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard)?;
        }
        Ok(soft.max(wanted.min(hard)))
    });
    match raised.map_err(io::Error::from) {
        Ok(limit) if limit >= wanted => {}
        Ok(limit) => tracing::warn!(
            limit,
            wanted,
            "the hard limit on open files is too low for all TCP connections; raise LimitNOFILE= or lower connections_max"
        ),
        Err(error) => tracing::warn!(%error, "the limit on open files cannot be read or raised"),
    }
}
