//! A wire that delays and loses what it carries, and that can be cut: user space, for kernels without `netem`.
//!
//! ```text
//! interface ◄──► packet socket ◄── frames wait for their time ──► packet socket ◄──► interface
//! ```

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::libc::PACKET_OUTGOING;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send, setsockopt, socket,
};
use nix::sys::time::TimeSpec;

use super::netns::Netns;

/// Frames that wait in one direction; what comes on top is lost, as in any network.
const WAITING_MAX: usize = 50_000;
/// Octets of the longest frame: an MTU of 1500 and the header before it.
const FRAME_LEN_MAX: usize = 1514;
/// Octets that the kernel keeps for each socket.
const RECEIVE_BUFFER: usize = 8 << 20;
/// How long the wire may take to see that it is to end.
const TICK: Duration = Duration::from_millis(20);

/// What a wire does to each frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quality {
    /// From one end to the other.
    pub(crate) delay: Duration,
    /// How many of a thousand frames are lost, in each direction.
    pub(crate) lost_per_mille: u32,
    /// What decides which.
    pub(crate) seed: u64,
}

/// A wire between two interfaces of a namespace. Gone when dropped.
pub(crate) struct Link {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    is_cut: AtomicBool,
    is_over: AtomicBool,
}

impl Link {
    /// Joins two interfaces of `netns`.
    pub(crate) fn new(netns: &Netns, interfaces: [&str; 2], quality: Quality) -> Self {
        let sockets = netns.enter(|| interfaces.map(packet_socket));
        let state = Arc::<State>::default();
        let wire = Wire {
            sockets,
            quality,
            random: quality.seed,
            waiting: [VecDeque::new(), VecDeque::new()],
            state: Arc::clone(&state),
        };
        Self { state, thread: Some(std::thread::spawn(move || wire.run())) }
    }

    /// From now on nothing gets through; what is under way is lost.
    pub(crate) fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
    }

    /// Ends [`Link::cut`].
    pub(crate) fn mend(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // What failed in there has failed the test already.
            let _ = thread.join();
        }
    }
}

/// A socket that receives and sends whole frames of one interface.
fn packet_socket(interface: &str) -> OwnedFd {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
    let mut all = getifaddrs().unwrap().filter(|one| one.interface_name == interface);
    let address: LinkAddr = all.find_map(|one| one.address?.as_link_addr().copied()).unwrap();
    bind(socket.as_raw_fd(), &address).unwrap();
    setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER).unwrap();
    socket
}

struct Wire {
    sockets: [OwnedFd; 2],
    quality: Quality,
    random: u64,
    /// Frames that came in at one end, and when each is to leave at the other.
    waiting: [VecDeque<(Instant, Vec<u8>)>; 2],
    state: Arc<State>,
}

impl Wire {
    fn run(mut self) {
        while !self.state.is_over.load(Ordering::SeqCst) {
            self.wait();
            for end in 0..2 {
                self.receive(end);
            }
            for end in 0..2 {
                self.deliver(end);
            }
        }
    }

    /// Until there is a frame at an end, or one is due.
    fn wait(&self) {
        let due = self.waiting.iter().filter_map(VecDeque::front).map(|(due, _)| *due).min();
        let timeout = due.map_or(TICK, |due| due.saturating_duration_since(Instant::now()).min(TICK));
        let mut fds = self.sockets.each_ref().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        match ppoll(&mut fds, Some(TimeSpec::from_duration(timeout)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => panic!("ppoll: {error}"),
        }
    }

    /// Takes in what has come at one end.
    fn receive(&mut self, end: usize) {
        let mut frame = [0; FRAME_LEN_MAX + 1];
        loop {
            let (len, from) = match recvfrom::<LinkAddr>(self.sockets[end].as_raw_fd(), &mut frame) {
                Ok(received) => received,
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => return,
                Err(error) => panic!("recvfrom: {error}"),
            };
            if from.is_some_and(|from| from.pkttype() == PACKET_OUTGOING) {
                continue;
            }
            assert!(len <= FRAME_LEN_MAX, "segmentation is left to the interface");
            let is_lost = self.is_lost() || self.state.is_cut.load(Ordering::SeqCst);
            if !is_lost && self.waiting[end].len() < WAITING_MAX {
                self.waiting[end].push_back((Instant::now() + self.quality.delay, frame[..len].to_vec()));
            }
        }
    }

    /// Hands over at the other end what is due.
    fn deliver(&mut self, end: usize) {
        let now = Instant::now();
        while self.waiting[end].front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, frame)) = self.waiting[end].pop_front() else { return };
            if self.state.is_cut.load(Ordering::SeqCst) {
                continue;
            }
            match send(self.sockets[1 - end].as_raw_fd(), &frame, MsgFlags::empty()) {
                // A full queue and an interface that goes away lose frames as wires do.
                Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENETDOWN | Errno::ENXIO) => {}
                Err(error) => panic!("send: {error}"),
            }
        }
    }

    /// One step of `SplitMix64`.
    fn is_lost(&mut self) -> bool {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 1000 < u64::from(self.quality.lost_per_mille)
    }
}
