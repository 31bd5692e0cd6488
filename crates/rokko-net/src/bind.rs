//! Opens every socket before any thread starts.
//!
//! The first socket of an address is bound without `SO_REUSEPORT` and joins the group only then: with the option set
//! from the start, a second server of the same user would be let in and silently take a share of the queries.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Config, NetError, Transport};

/// How often another free port is tried when port 0 found one that is free for UDP and taken for TCP.
const FREE_PORT_TRIES: usize = 64;
/// Connections that may be opened with data in the first segment and wait for the end of the handshake (RFC 7413).
const FAST_OPEN_QUEUE: libc::c_int = 256;

/// The sockets of one listen address, one of each kind per thread.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) addr: SocketAddr,
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) tcp: Vec<TcpListener>,
}

/// Binds all listen addresses of `config`, in their order.
pub(crate) fn bind_all(config: &Config) -> Result<Vec<Bound>, NetError> {
    config.listen.iter().map(|addr| bind(*addr, config)).collect()
}

fn bind(addr: SocketAddr, config: &Config) -> Result<Bound, NetError> {
    let mut tries_left = if addr.port() == 0 { FREE_PORT_TRIES } else { 1 };
    loop {
        tries_left -= 1;
        let (udp_addr, udp) = group(addr, config.udp_threads(), |addr, member| open_udp(addr, member, config))
            .map_err(|source| NetError::Listen { addr, transport: Transport::Udp, source })?;
        match group(udp_addr, config.tcp_threads(), |addr, member| open_tcp(addr, member, config)) {
            Ok((_, tcp)) => return Ok(Bound { addr: udp_addr, udp, tcp }),
            Err(error) if tries_left > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => return Err(NetError::Listen { addr: udp_addr, transport: Transport::Tcp, source }),
        }
    }
}

/// Whether a socket is the first of its `SO_REUSEPORT` group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    First,
    Later,
}

/// Opens `count` sockets on one address, and says which address that is where `addr` has port 0.
fn group<S: From<Socket>>(
    addr: SocketAddr,
    count: usize,
    open: impl Fn(SocketAddr, Member) -> io::Result<Socket>,
) -> io::Result<(SocketAddr, Vec<S>)> {
    let first = open(addr, Member::First)?;
    let bound = first.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    let mut sockets = vec![S::from(first)];
    for _ in 1..count {
        sockets.push(S::from(open(bound, Member::Later)?));
    }
    Ok((bound, sockets))
}

fn open_udp(addr: SocketAddr, member: Member, config: &Config) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    set_buffers(&socket, config.udp_rcvbuf_bytes)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    never_discover_path_mtu(&socket, addr)?;
    if addr.ip().is_unspecified() {
        match addr {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    bind_as(&socket, addr, member)?;
    Ok(socket)
}

fn open_tcp(addr: SocketAddr, member: Member, config: &Config) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the last run's closed connections to leave TIME-WAIT.
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it. Responses are written whole, so Nagle's algorithm could only delay them.
    socket.set_tcp_nodelay(true)?;
    bind_as(&socket, addr, member)?;
    // A gain of one round trip where the kernel and the client have it, and no loss where they have not.
    let _ = set_option(&socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, FAST_OPEN_QUEUE);
    socket.listen(config.tcp.backlog)?;
    Ok(socket)
}

fn bind_as(socket: &Socket, addr: SocketAddr, member: Member) -> io::Result<()> {
    if member == Member::Later {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&addr.into())?;
    if member == Member::First {
        socket.set_reuse_port(true)?;
    }
    Ok(())
}

/// Asks for large buffers. The privileged form goes beyond the sysctl; without the privilege the kernel takes as much
/// as the sysctl allows.
fn set_buffers(socket: &Socket, bytes: usize) -> io::Result<()> {
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        socket.set_recv_buffer_size(bytes)?;
    }
    if setsockopt(socket, sockopt::SndBufForce, &bytes).is_err() {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}

/// Takes path MTU discovery out of the way of responses. A forged "fragmentation needed" must not be able to shrink
/// the path (RFC 9715 §3 and its references), and an honest one must not make the kernel refuse a response: responses
/// are kept within 1,232 octets by EDNS, not by ICMP.
fn never_discover_path_mtu(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    let (level, option, value) = match addr {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT),
    };
    set_option(socket, level, option, value)
}

/// Sets an option that is one `int` and has no safe wrapper.
fn set_option(socket: &Socket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open as `socket` is borrowed; the pointer and the length describe `value`, which
    // lives until the call returns, and the kernel only reads it.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the kernel drop every datagram that arrives from now on, so that what is already in the socket's buffer can
/// be answered to its end.
pub(crate) fn refuse_more(socket: &UdpSocket) -> io::Result<()> {
    /// `BPF_RET | BPF_K`: return a constant; as the number of octets to keep, 0 drops the datagram.
    const RETURN_CONSTANT: u16 = 0x06;
    let drop_all = [socket2::SockFilter::new(RETURN_CONSTANT, 0, 0, 0)];
    socket2::SockRef::from(socket).attach_filter(&drop_all)
}
