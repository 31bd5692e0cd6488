//! System calls on an AF_XDP socket.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::rings::Mapping;

/// Makes a socket.
pub(super) fn open() -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor and touches no memory.
    let descriptor = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor has just been given by the kernel, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Has the kernel send what is in the ring, without waiting.
pub(super) fn wake_sender(descriptor: &OwnedFd) -> io::Result<()> {
    // SAFETY: no memory is passed.
    let sent =
        unsafe { libc::sendto(descriptor.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has the driver look at the fill ring, or, with busy polling, at its queue. What goes wrong shows at the next wait.
pub(super) fn wake_receiver(descriptor: &OwnedFd) {
    let (nothing, no_one) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: no memory is passed.
    unsafe { libc::recvfrom(descriptor.as_raw_fd(), nothing, 0, libc::MSG_DONTWAIT, std::ptr::null_mut(), no_one) };
}

/// Makes the memory known to the kernel, after raising the limit on locked memory where that is allowed.
pub(super) fn register(descriptor: &OwnedFd, memory: &Mapping, frame_bytes: usize) -> io::Result<()> {
    let registration = libc::xdp_umem_reg {
        addr: memory.start().as_ptr() as u64,
        len: memory.bytes() as u64,
        chunk_size: u32::try_from(frame_bytes).map_err(io::Error::other)?,
        headroom: 0,
        flags: 0,
        tx_metadata_len: 0,
    };
    let limit = nix::sys::resource::Resource::RLIMIT_MEMLOCK;
    let _ = nix::sys::resource::setrlimit(limit, libc::RLIM_INFINITY, libc::RLIM_INFINITY);
    set(descriptor, libc::SOL_XDP, libc::XDP_UMEM_REG, &registration)
}

pub(super) fn ring_offsets(descriptor: &OwnedFd) -> io::Result<libc::xdp_mmap_offsets> {
    // SAFETY: zeroes are valid integers.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { std::mem::zeroed() };
    get(descriptor, libc::XDP_MMAP_OFFSETS, &mut offsets)?;
    Ok(offsets)
}

pub(super) fn bind(descriptor: &OwnedFd, interface: u32, queue: u32, flags: u16) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: u16::try_from(libc::AF_XDP).map_err(io::Error::other)?,
        sxdp_flags: flags,
        sxdp_ifindex: interface,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    let bytes = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the pointer and the length describe `address`, which lives until the call returns.
    let result = unsafe { libc::bind(descriptor.as_raw_fd(), (&raw const address).cast(), bytes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(super) fn set<T: Plain>(
    descriptor: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let bytes = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: the pointer and the length describe `value`, which lives until the call returns.
    let result = unsafe { libc::setsockopt(descriptor.as_raw_fd(), level, option, value, bytes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(super) fn get<T: Plain>(descriptor: &OwnedFd, option: libc::c_int, value: &mut T) -> io::Result<()> {
    let mut bytes = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    let value = std::ptr::from_mut(value).cast();
    // SAFETY: the pointer and the length describe `value`, a structure of integers, of which the kernel writes no more.
    let result = unsafe { libc::getsockopt(descriptor.as_raw_fd(), libc::SOL_XDP, option, value, &raw mut bytes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Structures that the kernel may read and write whole.
///
/// # Safety
/// Only for integers and structures of them, of which any octets are a valid value.
pub(super) unsafe trait Plain {}
// SAFETY: integers.
unsafe impl Plain for u32 {}
// SAFETY: integers.
unsafe impl Plain for libc::c_int {}
// SAFETY: structures of integers.
unsafe impl Plain for libc::xdp_umem_reg {}
// SAFETY: as above.
unsafe impl Plain for libc::xdp_mmap_offsets {}
// SAFETY: as above.
unsafe impl Plain for libc::xdp_options {}
// SAFETY: as above.
unsafe impl Plain for libc::xdp_statistics {}
