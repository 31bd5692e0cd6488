//! Many datagrams per system call: recvmmsg(2) and sendmmsg(2).
//!
//! nix has wrappers of both, but its sendmmsg gives every message the same control data, whereas a reply from a
//! wildcard socket needs its own source address. A [`Batch`] owns all memory that the kernel reads and writes; it is
//! allocated once.

use std::io;
use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::{UDP_QUERY_BYTES_MAX, UDP_RESPONSE_BYTES_MAX};

/// Distance between two message buffers. Not a power of two: the heads of messages 4,096 octets apart would all fall
/// into one set of the first-level cache.
const STRIDE: usize = 4096 + 192;
const _: () = assert!(STRIDE >= UDP_QUERY_BYTES_MAX && STRIDE >= UDP_RESPONSE_BYTES_MAX);

/// Octets of control data per message: enough for one `in6_pktinfo` with its header, the larger of the two kinds.
const CONTROL_BYTES: usize = 64;

/// Room for an IPv4 or an IPv6 socket address.
type Name = libc::sockaddr_in6;
const NAME_BYTES: libc::socklen_t = 28;
const _: () = assert!(size_of::<Name>() == NAME_BYTES as usize);
const _: () = assert!(align_of::<Name>() >= align_of::<libc::sockaddr_in>());

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);
const _: () = assert!(align_of::<Control>() >= align_of::<libc::cmsghdr>());

/// Octets before the data of a control message.
const CONTROL_HEADER_BYTES: usize = size_of::<libc::cmsghdr>().next_multiple_of(size_of::<usize>());

/// One received datagram.
#[derive(Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) bytes: &'a [u8],
    /// The datagram was longer than [`UDP_QUERY_BYTES_MAX`] and is cut.
    pub(crate) oversized: bool,
    pub(crate) source: SocketAddr,
    /// The address that it was sent to, where the socket reports it.
    pub(crate) destination: Option<IpAddr>,
}

/// What became of a batch of replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: u64,
}

/// Buffers for a batch of datagrams and the replies to them.
///
/// The header vectors hold pointers into the other vectors. None of the vectors is ever grown, shrunk or replaced
/// after [`Batch::new`], so the pointers stay good as long as the batch lives.
pub(crate) struct Batch {
    queries: Vec<u8>,
    responses: Vec<u8>,
    names: Vec<Name>,
    controls: Vec<Control>,
    receive_headers: Vec<libc::mmsghdr>,
    send_headers: Vec<libc::mmsghdr>,
    /// Read by the kernel through the headers only.
    _receive_vectors: Vec<libc::iovec>,
    send_vectors: Vec<libc::iovec>,
    /// Receive headers that the kernel changed in the last call.
    received: usize,
    /// Replies that wait to be sent.
    replies: usize,
}

impl Batch {
    /// Allocates room for `capacity` datagrams and as many replies.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut queries = vec![0_u8; capacity * STRIDE];
        let mut responses = vec![0_u8; capacity * STRIDE];
        let mut names = vec![empty_name(); capacity];
        let mut controls = vec![Control([0; CONTROL_BYTES]); capacity];
        let mut receive_vectors = vectors(&mut queries, UDP_QUERY_BYTES_MAX, capacity);
        let mut send_vectors = vectors(&mut responses, 0, capacity);
        let receive_headers = (0..capacity)
            .map(|index| {
                let mut header = empty_header();
                header.msg_hdr.msg_name = element(&mut names, index).cast();
                header.msg_hdr.msg_control = element(&mut controls, index).cast();
                header.msg_hdr.msg_iov = element(&mut receive_vectors, index);
                header.msg_hdr.msg_iovlen = 1;
                reset(&mut header);
                header
            })
            .collect();
        let send_headers = (0..capacity)
            .map(|index| {
                let mut header = empty_header();
                header.msg_hdr.msg_iov = element(&mut send_vectors, index);
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self {
            queries,
            responses,
            names,
            controls,
            receive_headers,
            send_headers,
            _receive_vectors: receive_vectors,
            send_vectors,
            received: 0,
            replies: 0,
        }
    }

    /// Most datagrams that one call can take.
    pub(crate) fn capacity(&self) -> usize {
        self.receive_headers.len()
    }

    /// Takes the datagrams that wait in `socket`, as many as the batch has room for, and returns their number. Never
    /// blocks; replies that were not sent are forgotten.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.receive_headers[..self.received].iter_mut().for_each(reset);
        self.received = 0;
        self.replies = 0;
        let count = libc::c_uint::try_from(self.receive_headers.len()).unwrap_or(libc::c_uint::MAX);
        // SAFETY: `count` headers are there. Each one's name, control and vector pointers lead to elements of this
        // batch's own vectors, which are never moved, with lengths that `new` and `reset` keep within them. `&mut self`
        // keeps everyone else off that memory while the kernel writes it. No time-out is passed.
        let taken = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.receive_headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        match usize::try_from(taken) {
            Ok(taken) => {
                self.received = taken;
                Ok(taken)
            }
            Err(_) => match io::Error::last_os_error() {
                error if would_block(&error) => Ok(0),
                error => Err(error),
            },
        }
    }

    /// The octets of some of the datagrams received, as far as they were taken, and where they came from. A source that is
    /// no internet address counts as 0.0.0.0: there is no answer to it.
    pub(crate) fn queries(&self, group: Range<usize>) -> impl Iterator<Item = (&[u8], IpAddr)> {
        group.map(|index| {
            let length = (self.receive_headers[index].msg_len as usize).min(UDP_QUERY_BYTES_MAX);
            (&self.queries[index * STRIDE..][..length], ip_addr(&self.names[index]))
        })
    }

    /// The received datagram `index`, with the room for the reply to it. `None` when its source is no internet address.
    pub(crate) fn exchange(&mut self, index: usize) -> Option<(Datagram<'_>, &mut [u8])> {
        let header = &self.receive_headers[..self.received][index];
        let length = (header.msg_len as usize).min(UDP_QUERY_BYTES_MAX);
        let control_bytes = header.msg_hdr.msg_controllen.min(CONTROL_BYTES);
        let datagram = Datagram {
            bytes: &self.queries[index * STRIDE..][..length],
            oversized: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            source: socket_addr(&self.names[index])?,
            destination: destination(&mut self.controls[index].0[..control_bytes]),
        };
        Some((datagram, &mut self.responses[self.replies * STRIDE..][..UDP_RESPONSE_BYTES_MAX]))
    }

    /// Takes the first `length` octets of the room that [`Self::exchange`] gave as the reply to datagram `index`.
    pub(crate) fn reply(&mut self, index: usize, length: usize) {
        let received = &self.receive_headers[..self.received][index].msg_hdr;
        let send = &mut self.send_headers[self.replies].msg_hdr;
        send.msg_name = received.msg_name;
        send.msg_namelen = received.msg_namelen;
        send.msg_control = if received.msg_controllen == 0 { ptr::null_mut() } else { received.msg_control };
        send.msg_controllen = received.msg_controllen;
        self.send_vectors[self.replies].iov_len = length.min(UDP_RESPONSE_BYTES_MAX);
        self.replies += 1;
    }

    /// Sends the replies. Never blocks: what the kernel does not take is counted and dropped.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>) -> Sent {
        let mut sent = Sent::default();
        let mut next = 0;
        while next < self.replies {
            match self.send_from(socket, next) {
                Ok(0) => break,
                Ok(count) => {
                    sent.messages += count as u64;
                    sent.bytes += self.send_vectors[next..next + count].iter().map(|v| v.iov_len as u64).sum::<u64>();
                    next += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The socket's buffer is full; the rest would find it full, too.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Something about this one message: no route, a filter, a full interface queue.
                Err(_) => next += 1,
            }
        }
        sent.errors = self.replies as u64 - sent.messages;
        self.replies = 0;
        sent
    }

    fn send_from(&mut self, socket: BorrowedFd<'_>, first: usize) -> io::Result<usize> {
        let headers = &mut self.send_headers[first..self.replies];
        let count = libc::c_uint::try_from(headers.len()).unwrap_or(libc::c_uint::MAX);
        // SAFETY: `count` headers are there, each filled by `reply`: the name and the control data are elements of this
        // batch's vectors with the lengths that the kernel gave, the vector is one of `send_vectors`, whose length
        // `reply` keeps within its buffer. The kernel reads them and writes only `msg_len` of the headers.
        let taken = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
        usize::try_from(taken).map_err(|_| io::Error::last_os_error())
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// A pointer to element `index` that is not tied to the borrow.
fn element<T>(vector: &mut Vec<T>, index: usize) -> *mut T {
    assert!(index < vector.len());
    // SAFETY: `index` is within the vector, as asserted.
    unsafe { vector.as_mut_ptr().add(index) }
}

fn vectors(buffer: &mut Vec<u8>, length: usize, count: usize) -> Vec<libc::iovec> {
    (0..count).map(|index| libc::iovec { iov_base: element(buffer, index * STRIDE).cast(), iov_len: length }).collect()
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: a header of zeroes is valid: null pointers with zero lengths.
    unsafe { std::mem::zeroed() }
}

fn empty_name() -> Name {
    Name {
        sin6_family: 0,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
        sin6_scope_id: 0,
    }
}

/// Restores what a receive call changes in a header.
fn reset(header: &mut libc::mmsghdr) {
    header.msg_hdr.msg_namelen = NAME_BYTES;
    header.msg_hdr.msg_controllen = CONTROL_BYTES;
    header.msg_hdr.msg_flags = 0;
    header.msg_len = 0;
}

fn ip_addr(name: &Name) -> IpAddr {
    socket_addr(name).map_or(Ipv4Addr::UNSPECIFIED.into(), |addr| addr.ip())
}

fn socket_addr(name: &Name) -> Option<SocketAddr> {
    match libc::c_int::from(name.sin6_family) {
        libc::AF_INET => {
            // SAFETY: `sockaddr_in` is smaller than `sockaddr_in6` and no more strictly aligned (both asserted above),
            // and has integers only, so that every content is valid.
            let name = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let address = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(address, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            let address = Ipv6Addr::from(name.sin6_addr.s6_addr);
            let port = u16::from_be(name.sin6_port);
            Some(SocketAddrV6::new(address, port, name.sin6_flowinfo, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Reads the address that a datagram was sent to from its control data, and makes them fit for the reply: that address
/// stays as the source, but the interface is left to the routing table, which may know a better one than that of the
/// query (anycast addresses on the loopback interface, asymmetric routes). A link-local address means nothing without
/// its interface and keeps it.
fn destination(control: &mut [u8]) -> Option<IpAddr> {
    let level = read_int(control, offset_of!(libc::cmsghdr, cmsg_level))?;
    let kind = read_int(control, offset_of!(libc::cmsghdr, cmsg_type))?;
    let data = control.get_mut(CONTROL_HEADER_BYTES..)?;
    match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            let address: [u8; 4] = read(data, offset_of!(libc::in_pktinfo, ipi_spec_dst))?;
            clear_interface(data, offset_of!(libc::in_pktinfo, ipi_ifindex));
            Some(Ipv4Addr::from(address).into())
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let address: [u8; 16] = read(data, offset_of!(libc::in6_pktinfo, ipi6_addr))?;
            let address = Ipv6Addr::from(address);
            if !address.is_unicast_link_local() {
                clear_interface(data, offset_of!(libc::in6_pktinfo, ipi6_ifindex));
            }
            Some(address.into())
        }
        _ => None,
    }
}

fn read<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn read_int(bytes: &[u8], offset: usize) -> Option<libc::c_int> {
    read(bytes, offset).map(libc::c_int::from_ne_bytes)
}

fn clear_interface(data: &mut [u8], offset: usize) {
    if let Some(index) = data.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *index = [0; 4];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control data as the kernel lays them out.
    fn control(level: libc::c_int, kind: libc::c_int, data: &[u8]) -> Vec<u8> {
        let mut bytes = (CONTROL_HEADER_BYTES + data.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn a_global_destination_leaves_the_interface_to_the_routes() {
        let address: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let data = [&address.octets()[..], &7_u32.to_ne_bytes()].concat();
        let mut bytes = control(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data);
        assert_eq!(destination(&mut bytes), Some(address.into()));
        assert_eq!(bytes[bytes.len() - 4..], [0; 4]);

        let data = [&7_u32.to_ne_bytes()[..], &[192, 0, 2, 1], &[192, 0, 2, 255]].concat();
        let mut bytes = control(libc::IPPROTO_IP, libc::IP_PKTINFO, &data);
        assert_eq!(destination(&mut bytes), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(bytes[CONTROL_HEADER_BYTES..][..4], [0; 4]);
    }

    #[test]
    fn a_link_local_destination_keeps_its_interface() {
        let address: Ipv6Addr = "fe80::1".parse().unwrap();
        let data = [&address.octets()[..], &7_u32.to_ne_bytes()].concat();
        let mut bytes = control(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data);
        assert_eq!(destination(&mut bytes), Some(address.into()));
        assert_eq!(bytes[bytes.len() - 4..], 7_u32.to_ne_bytes());
    }

    #[test]
    fn short_or_foreign_control_data_say_nothing() {
        assert_eq!(destination(&mut []), None);
        let mut bytes = control(libc::IPPROTO_IP, libc::IP_PKTINFO, &[0; 6]);
        assert_eq!(destination(&mut bytes), None);
        let mut bytes = control(libc::SOL_SOCKET, libc::SO_TIMESTAMP, &[0; 16]);
        assert_eq!(destination(&mut bytes), None);
    }
}
