//! One AF_XDP socket: the frames of one queue of one interface.
//!
//! ```text
//!              ┌── fill ◄── release ──┐                  ┌── completion ──► free ──┐
//!   kernel ────┤                      ├── this process ──┤                         ├── this process
//!              └── receive ───────────┘                  └── send ◄─── queue ◄─────┘
//! ```
//!
//! Half of the frames belong to the upper loop, the other half to the lower one, for good. A frame is at any time in one
//! place of its loop, so that nobody writes what another reads.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::rings::{Inbox, Mapping, Outbox};
use super::{Interface, XdpError, sys};

/// Octets that the kernel keeps free in front of a received frame.
const HEADROOM_BYTES: usize = 256;
/// Octets in front of a packet with two VLAN tags.
const LINK_BYTES: usize = 22;
/// System calls after which the sending of a batch is left for later.
const KICKS_MAX: usize = 64;
/// `XDP_MAX_TX_SKB_BUDGET` (Linux 6.17): frames sent per system call in copy mode.
const MAX_TX_SKB_BUDGET: libc::c_int = 9;
/// Octets that may wait in the network stack in copy mode.
const SEND_BUFFER_BYTES: libc::c_int = 8 << 20;

/// How to open a [`Socket`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Entries of each ring, and frames of each of the two loops: a power of two, 64 to 32,768.
    pub ring_entries: u32,
    /// Most frames that [`Socket::receive`] takes at once.
    pub batch: usize,
    /// Whether the driver may write into the frames directly if it can.
    pub zero_copy: bool,
    /// Microseconds that a system call polls the driver, in place of interrupts; 0 leaves it to interrupts.
    pub busy_poll_us: u32,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self { ring_entries: 2048, batch: 64, zero_copy: true, busy_poll_us: 0 }
    }
}

/// What the kernel has counted for a socket since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStatistics {
    /// Frames dropped for reasons other than those below.
    pub rx_dropped: u64,
    /// Frames of ours that the kernel did not accept for receiving.
    pub rx_invalid: u64,
    /// Frames of ours that the kernel did not accept for sending.
    pub tx_invalid: u64,
    /// Frames dropped because the receive ring was full.
    pub rx_ring_full: u64,
    /// How often there was no frame to receive into.
    pub fill_ring_empty: u64,
    /// How often there was nothing to send.
    pub tx_ring_empty: u64,
}

/// An AF_XDP socket with the memory of its frames.
#[derive(Debug)]
pub struct Socket {
    fill: Outbox<u64>,
    completion: Inbox<u64>,
    receive: Inbox<libc::xdp_desc>,
    send: Outbox<libc::xdp_desc>,
    /// The received frames that [`Self::release`] gives back: their place in the memory.
    batch: Vec<Range<usize>>,
    batch_max: usize,
    /// Frames that can be written.
    free: Vec<u64>,
    /// How many frames `free` has when none is under way.
    free_max: usize,
    frame_bytes: usize,
    zero_copy: bool,
    busy_poll: bool,
    // Dropped last: the kernel lets go of the memory when the descriptor is closed.
    descriptor: OwnedFd,
    memory: Mapping,
}

impl Socket {
    /// Opens a socket on a queue. It gets frames from when a [`Redirect`](super::Redirect) has been told of it.
    ///
    /// # Errors
    /// What is missing: a capability, memory that may be locked, a queue that nobody else has.
    pub fn open(interface: &Interface, queue: u32, options: &SocketOptions) -> Result<Self, XdpError> {
        let failed = |source| XdpError::of("set up an AF_XDP socket", source);
        let entries = options.ring_entries.clamp(64, 1 << 15).next_power_of_two();
        let frame_bytes = frame_bytes(interface.mtu);
        let bytes = entries as usize * 2 * frame_bytes;
        let descriptor = sys::open().map_err(failed)?;
        let memory = Mapping::memory(bytes).map_err(failed)?;
        sys::register(&descriptor, &memory, frame_bytes).map_err(|source| match source.raw_os_error() {
            Some(libc::ENOBUFS | libc::ENOMEM) => XdpError::LockedMemory { bytes },
            _ => failed(source),
        })?;
        let rings = [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING];
        rings.iter().try_for_each(|ring| sys::set(&descriptor, libc::SOL_XDP, *ring, &entries)).map_err(failed)?;
        // Better sending in copy mode where the kernel knows how, and nothing lost where it does not.
        let _ = sys::set(&descriptor, libc::SOL_XDP, MAX_TX_SKB_BUDGET, &entries);
        let _ = sys::set(&descriptor, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &SEND_BUFFER_BYTES);
        let offsets = sys::ring_offsets(&descriptor).map_err(failed)?;
        let fd = descriptor.as_fd();
        let mut socket = Self {
            fill: Outbox::map(fd, libc::XDP_UMEM_PGOFF_FILL_RING, &offsets.fr, entries).map_err(failed)?,
            completion: Inbox::map(fd, libc::XDP_UMEM_PGOFF_COMPLETION_RING, &offsets.cr, entries).map_err(failed)?,
            receive: Inbox::map(fd, libc::XDP_PGOFF_RX_RING as u64, &offsets.rx, entries).map_err(failed)?,
            send: Outbox::map(fd, libc::XDP_PGOFF_TX_RING as u64, &offsets.tx, entries).map_err(failed)?,
            batch: Vec::with_capacity(options.batch),
            batch_max: options.batch.max(1),
            free: (entries..2 * entries).rev().map(|frame| u64::from(frame) * frame_bytes as u64).collect(),
            free_max: entries as usize,
            frame_bytes,
            zero_copy: false,
            busy_poll: false,
            descriptor,
            memory,
        };
        for frame in 0..entries {
            socket.fill.put(u64::from(frame) * frame_bytes as u64);
        }
        socket.fill.publish();
        socket.bind(interface, queue, options)?;
        socket.poll_busily(options);
        Ok(socket)
    }

    fn bind(&mut self, interface: &Interface, queue: u32, options: &SocketOptions) -> Result<(), XdpError> {
        let name = || interface.name.clone();
        // Without a mode the kernel asks the driver for zero-copy, and copies if it refuses.
        let mode = if options.zero_copy { 0 } else { libc::XDP_COPY };
        sys::bind(&self.descriptor, interface.index, queue, libc::XDP_USE_NEED_WAKEUP | mode).map_err(|source| {
            match source.raw_os_error() {
                Some(libc::EBUSY) => XdpError::QueueInUse { name: name(), queue },
                Some(libc::ENETDOWN) => XdpError::Down { name: name() },
                Some(libc::ENODEV) => XdpError::NoInterface { name: name() },
                _ => XdpError::of("bind an AF_XDP socket", source),
            }
        })?;
        let mut answer = libc::xdp_options { flags: 0 };
        sys::get(&self.descriptor, libc::XDP_OPTIONS, &mut answer)
            .map_err(|source| XdpError::of("ask for the mode", source))?;
        self.zero_copy = answer.flags & libc::XDP_OPTIONS_ZEROCOPY != 0;
        Ok(())
    }

    /// Sets busy polling (Linux 5.11). A kernel that does not know it goes on with interrupts.
    fn poll_busily(&mut self, options: &SocketOptions) {
        if options.busy_poll_us == 0 {
            return;
        }
        let set = |option, value: u32| sys::set(&self.descriptor, libc::SOL_SOCKET, option, &value);
        let budget = u32::try_from(options.batch).unwrap_or(u32::MAX).min(256);
        let done = set(libc::SO_PREFER_BUSY_POLL, 1)
            .and_then(|()| set(libc::SO_BUSY_POLL, options.busy_poll_us))
            .and_then(|()| set(libc::SO_BUSY_POLL_BUDGET, budget));
        match done {
            Ok(()) => self.busy_poll = true,
            Err(error) => tracing::info!(%error, "the kernel takes no busy polling for AF_XDP; interrupts are used"),
        }
    }

    /// Whether the driver reads and writes the frames directly.
    pub fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// Most octets of a frame.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Takes the frames that wait, up to a batch, and returns their number. Frames of the last batch go back to the
    /// kernel first.
    pub fn receive(&mut self) -> usize {
        self.release();
        let (batch, limit) = (&mut self.batch, self.memory.bytes());
        self.receive.take(self.batch_max, |descriptor| {
            let start = usize::try_from(descriptor.addr).unwrap_or(usize::MAX);
            let end = start.saturating_add(descriptor.len as usize);
            // The kernel does not give other ones.
            batch.push(if end <= limit { start..end } else { 0..0 });
        })
    }

    /// Whether nothing waits to be received.
    pub fn is_idle(&self) -> bool {
        self.receive.is_empty()
    }

    /// Gives the frames of the last [`Self::receive`] back to the kernel.
    pub fn release(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        for frame in &self.batch {
            let start = frame.start - frame.start % self.frame_bytes;
            // The ring has room for all frames of its loop.
            self.fill.put(start as u64);
        }
        self.batch.clear();
        self.fill.publish();
        if self.fill.needs_wakeup() || self.busy_poll {
            sys::wake_receiver(&self.descriptor);
        }
    }

    /// The received frame `index` of the batch.
    ///
    /// # Panics
    /// If the batch has fewer.
    pub fn received(&self, index: usize) -> &[u8] {
        let frame = &self.batch[index];
        // SAFETY: the range was checked to be within the memory when it was taken, the frame is ours until `release`,
        // and frames of this loop are never lent for writing.
        unsafe { std::slice::from_raw_parts(self.memory.start().add(frame.start).as_ptr(), frame.len()) }
    }

    /// Has the processor fetch the start of the received frame `index`, if there is one.
    #[inline]
    pub fn prefetch(&self, index: usize) {
        #[cfg(target_arch = "x86_64")]
        if let Some(frame) = self.batch.get(index) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: the range is within the memory, and a prefetch reads nothing that the program sees.
            unsafe {
                let start = self.memory.start().add(frame.start).as_ptr().cast();
                _mm_prefetch::<_MM_HINT_T0>(start);
                _mm_prefetch::<_MM_HINT_T0>(start.byte_add(64));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = index;
    }

    /// The received frame `index`, and a frame to write that [`Self::queue`] takes; its content is undefined. `None` if all
    /// frames to write are under way.
    ///
    /// # Panics
    /// If the batch has fewer.
    pub fn exchange(&mut self, index: usize) -> Option<(&[u8], &mut [u8])> {
        let frame = self.batch[index].clone();
        let start = self.memory.start();
        let room = self.room()?;
        // SAFETY: as in `received`. The two slices do not overlap: frames to write are in the other half of the memory.
        Some((unsafe { std::slice::from_raw_parts(start.add(frame.start).as_ptr(), frame.len()) }, room))
    }

    /// A frame to write that [`Self::queue`] takes; its content is undefined. `None` if all are under way.
    pub fn room(&mut self) -> Option<&mut [u8]> {
        if self.free.is_empty() {
            self.reclaim();
        }
        let start = usize::try_from(*self.free.last()?).ok()?;
        // SAFETY: a frame in `free` is within the memory, nobody else has it until it is queued, and `&mut self` keeps it
        // from being lent twice.
        Some(unsafe { std::slice::from_raw_parts_mut(self.memory.start().add(start).as_ptr(), self.frame_bytes) })
    }

    /// Queues the first `length` octets of the frame last given by [`Self::room`] or [`Self::exchange`]. It goes out with the
    /// next [`Self::flush`]. Returns whether there was such a frame.
    pub fn queue(&mut self, length: usize) -> bool {
        let Some(addr) = self.free.last().copied() else { return false };
        let len = u32::try_from(length.min(self.frame_bytes)).unwrap_or(0);
        let queued = self.send.put(libc::xdp_desc { addr, len, options: 0 });
        if queued {
            self.free.pop();
        }
        queued
    }

    /// Has the kernel send what is queued, without waiting.
    ///
    /// # Errors
    /// The kernel's, such as an interface that went down. What it did not take stays queued.
    pub fn flush(&mut self) -> io::Result<()> {
        self.send.publish();
        let mut left = self.send.waiting();
        for _ in 0..KICKS_MAX {
            if left == 0 || !self.send.needs_wakeup() {
                break;
            }
            if let Err(error) = sys::wake_sender(&self.descriptor) {
                let before = std::mem::replace(&mut left, self.send.waiting());
                match error.raw_os_error() {
                    // In copy mode: there is more to send than goes at once.
                    Some(libc::EAGAIN) if left < before => {}
                    Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR) => break,
                    _ => return Err(error),
                }
            } else {
                left = self.send.waiting();
            }
        }
        self.reclaim();
        Ok(())
    }

    /// Frames that the kernel has yet to send.
    pub fn under_way(&mut self) -> usize {
        self.reclaim();
        self.free_max - self.free.len()
    }

    /// Takes back the frames that the kernel has sent.
    fn reclaim(&mut self) {
        let free = &mut self.free;
        self.completion.take(usize::MAX, |frame| free.push(frame));
    }

    /// What the kernel has counted.
    ///
    /// # Errors
    /// The system's.
    pub fn statistics(&self) -> io::Result<SocketStatistics> {
        // SAFETY: zeroes are valid integers.
        let mut counted: libc::xdp_statistics = unsafe { std::mem::zeroed() };
        sys::get(&self.descriptor, libc::XDP_STATISTICS, &mut counted)?;
        Ok(SocketStatistics {
            rx_dropped: counted.rx_dropped,
            rx_invalid: counted.rx_invalid_descs,
            tx_invalid: counted.tx_invalid_descs,
            rx_ring_full: counted.rx_ring_full,
            fill_ring_empty: counted.rx_fill_ring_empty_descs,
            tx_ring_empty: counted.tx_ring_empty_descs,
        })
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Octets of a frame that holds a packet of the MTU, where a page has room for it.
fn frame_bytes(mtu: usize) -> usize {
    if mtu + LINK_BYTES + HEADROOM_BYTES <= 2048 { 2048 } else { 4096 }
}
