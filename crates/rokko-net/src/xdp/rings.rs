//! The rings that a process shares with the kernel, and the memory of frames.
//!
//! A ring has one producer and one consumer. Each owns one of the two positions, which only grow and wrap, and reads the
//! other's. Nobody but this module touches the shared memory of a ring.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// A mapping, unmapped when dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping is owned memory, and stays where it is whichever thread holds it.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Memory of zeroes, in huge pages where the system has some.
    pub(super) fn memory(bytes: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let mapping = Self::map(bytes, flags, -1, 0)?;
        // SAFETY: the range is the mapping just made. The advice changes no content, and may be refused.
        let _ = unsafe { libc::madvise(mapping.start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        Ok(mapping)
    }

    fn shared(bytes: usize, socket: BorrowedFd<'_>, offset: libc::off_t) -> io::Result<Self> {
        Self::map(bytes, libc::MAP_SHARED | libc::MAP_POPULATE, socket.as_raw_fd(), offset)
    }

    fn map(bytes: usize, flags: libc::c_int, file: libc::c_int, offset: libc::off_t) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: with no address asked for, a new mapping touches no memory that is in use.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, file, offset) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, bytes }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A pointer to a `T` at an offset that the kernel gave.
    fn at<T>(&self, offset: u64) -> io::Result<NonNull<T>> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let end = offset.checked_add(size_of::<T>());
        if end.is_none_or(|end| end > self.bytes) || !offset.is_multiple_of(align_of::<T>()) {
            return Err(io::Error::other("the kernel describes a ring beyond its memory"));
        }
        // SAFETY: the offset was just found to be within the mapping.
        Ok(unsafe { self.start.add(offset) }.cast())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping's only owner, and what points into it is dropped with or before it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Plain data that rings carry: any octets are a valid value.
///
/// # Safety
/// Only for types of integers without padding.
pub(super) unsafe trait Entry: Copy {}
// SAFETY: an integer.
unsafe impl Entry for u64 {}
// SAFETY: three integers without padding.
unsafe impl Entry for libc::xdp_desc {}

#[derive(Debug)]
struct Ring<T> {
    _mapping: Mapping,
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    mask: u32,
}

// SAFETY: the pointers lead into the ring's own mapping, and entries are plain data.
unsafe impl<T: Entry> Send for Ring<T> {}

impl<T: Entry> Ring<T> {
    fn map(
        socket: BorrowedFd<'_>,
        page_offset: u64,
        offsets: &libc::xdp_ring_offset,
        entries: u32,
    ) -> io::Result<Self> {
        assert!(entries.is_power_of_two(), "checked with the options");
        let last = offsets.desc + u64::from(entries - 1) * size_of::<T>() as u64;
        let bytes = usize::try_from(last).map_err(io::Error::other)? + size_of::<T>();
        let page_offset = libc::off_t::try_from(page_offset).map_err(io::Error::other)?;
        let mapping = Mapping::shared(bytes, socket, page_offset)?;
        mapping.at::<T>(last)?;
        Ok(Self {
            producer: mapping.at(offsets.producer)?,
            consumer: mapping.at(offsets.consumer)?,
            flags: mapping.at(offsets.flags)?,
            entries: mapping.at(offsets.desc)?,
            mask: entries - 1,
            _mapping: mapping,
        })
    }

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: within the mapping and aligned, as `at` checked; the kernel uses it as an atomic, too.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { self.consumer.as_ref() }
    }

    /// Whether the kernel waits for a system call before it goes on with this ring.
    fn needs_wakeup(&self) -> bool {
        // SAFETY: as above.
        let flags = unsafe { self.flags.as_ref() };
        flags.load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    fn entry(&self, position: u32) -> NonNull<T> {
        // SAFETY: the mask keeps the index below the number of entries, the last of which `map` found within the mapping.
        unsafe { self.entries.add((position & self.mask) as usize) }
    }
}

/// A ring that the kernel reads: frames to fill, or to send.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    ring: Ring<T>,
    /// The position behind the last entry put in, which the kernel sees from the next `publish` on.
    put: u32,
    /// The kernel's position as it was last read.
    taken: u32,
}

impl<T: Entry> Outbox<T> {
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        page_offset: u64,
        offsets: &libc::xdp_ring_offset,
        entries: u32,
    ) -> io::Result<Self> {
        let ring = Ring::map(socket, page_offset, offsets, entries)?;
        let (put, taken) = (ring.producer().load(Ordering::Relaxed), ring.consumer().load(Ordering::Acquire));
        Ok(Self { ring, put, taken })
    }

    /// Puts an entry in, unless the ring is full.
    pub(super) fn put(&mut self, entry: T) -> bool {
        if self.put.wrapping_sub(self.taken) > self.ring.mask {
            self.taken = self.ring.consumer().load(Ordering::Acquire);
            if self.put.wrapping_sub(self.taken) > self.ring.mask {
                return false;
            }
        }
        // SAFETY: the kernel has taken what was here and reads it again only after `publish`; nobody else writes.
        unsafe { self.ring.entry(self.put).write(entry) };
        self.put = self.put.wrapping_add(1);
        true
    }

    /// Shows the kernel all entries.
    pub(super) fn publish(&mut self) {
        self.ring.producer().store(self.put, Ordering::Release);
    }

    /// Entries that the kernel has not taken.
    pub(super) fn waiting(&self) -> u32 {
        self.put.wrapping_sub(self.ring.consumer().load(Ordering::Acquire))
    }

    pub(super) fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }
}

/// A ring that the kernel writes: frames received, or sent.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    ring: Ring<T>,
    /// The position behind the last entry taken.
    taken: u32,
}

impl<T: Entry> Inbox<T> {
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        page_offset: u64,
        offsets: &libc::xdp_ring_offset,
        entries: u32,
    ) -> io::Result<Self> {
        let ring = Ring::map(socket, page_offset, offsets, entries)?;
        let taken = ring.consumer().load(Ordering::Relaxed);
        Ok(Self { ring, taken })
    }

    /// Takes up to `most` entries and gives their places back to the kernel.
    pub(super) fn take(&mut self, most: usize, mut each: impl FnMut(T)) -> usize {
        let waiting = self.ring.producer().load(Ordering::Acquire).wrapping_sub(self.taken);
        let count = waiting.min(self.ring.mask + 1).min(u32::try_from(most).unwrap_or(u32::MAX));
        for _ in 0..count {
            // SAFETY: the kernel has written it before it moved its position, and writes here again only after ours
            // has moved.
            each(unsafe { self.ring.entry(self.taken).read() });
            self.taken = self.taken.wrapping_add(1);
        }
        if count > 0 {
            self.ring.consumer().store(self.taken, Ordering::Release);
        }
        count as usize
    }

    /// Whether there is nothing to take.
    pub(super) fn is_empty(&self) -> bool {
        self.ring.producer().load(Ordering::Acquire) == self.taken
    }
}
