//! What the kernel keeps away from a UDP socket, so that a flood from few prefixes does not fill the socket's buffer. Before
//! AF_XDP sockets the redirect program does the same.
//!
//! A classic BPF program, attached with `SO_ATTACH_FILTER`, which needs no privilege. The kernel runs it for each
//! datagram before it is queued; it sees the datagram from its UDP header on, and the IP header at `SKF_NET_OFF`.

use std::io;
use std::net::{IpAddr, UdpSocket};

use socket2::{SockFilter, SockRef};

/// The most prefixes of a [`Shed`]; those after it are not shed.
pub const SHED_PREFIXES_MAX: usize = 64;

/// How often a handler is asked what to shed: a flood does its harm until then.
pub(crate) const SHED_ROUND_MS: u64 = 250;

/// Datagrams that the kernel is to drop before they are queued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shed {
    /// Sources whose datagrams are dropped: network addresses with the lengths of their prefixes in bits.
    pub prefixes: Vec<(IpAddr, u8)>,
    /// One in so many of their datagrams, at random, is let through nevertheless, so that their true clients have a
    /// chance and the end of the flood is seen. 0 and 1 let all through.
    pub pass_one_in: u32,
    /// Lets a datagram through that ends with this mark at this many octets before its end, whatever its source.
    pub spare: Option<Spare>,
}

/// Marks a datagram that is not to be shed: `value` stands `from_end` octets before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spare {
    /// Octets from the mark's first to the datagram's end; at least 4.
    pub from_end: u32,
    /// The four octets there, as a number in network byte order.
    pub value: u32,
}

/// Attaches a filter for `shed` to a socket of that family, or takes the present one away if there is nothing to shed.
pub(crate) fn apply(socket: &UdpSocket, is_ipv4: bool, shed: &Shed) -> io::Result<()> {
    let program = program(is_ipv4, shed);
    if !program.is_empty() {
        return SockRef::from(socket).attach_filter(&program);
    }
    match SockRef::from(socket).detach_filter() {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}

/// How many datagrams the kernel has dropped at this socket since it was opened, modulo 2^32: for want of room, and by
/// the filter.
pub(crate) fn kernel_drops(socket: &UdpSocket) -> io::Result<u32> {
    use std::os::fd::AsRawFd;
    /// Where the kernel puts the number (`SK_MEMINFO_DROPS`), and how many there are.
    const DROPS: usize = 8;
    const VALUES: usize = 9;
    let mut values = [0_u32; VALUES];
    let mut length = libc::socklen_t::try_from(size_of_val(&values)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open as `socket` is borrowed; `length` is that of `values`, beyond which the kernel does
    // not write; both live until the call returns, and any content of `values` is valid.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(values[DROPS]) } else { Err(io::Error::last_os_error()) }
}

/// Instructions of classic BPF.
mod op {
    pub(super) const LOAD_WORD: u16 = 0x20;
    pub(super) const LOAD_WORD_INDEXED: u16 = 0x40;
    pub(super) const LOAD_LENGTH: u16 = 0x80;
    pub(super) const SUBTRACT: u16 = 0x14;
    pub(super) const AND: u16 = 0x54;
    pub(super) const MODULO: u16 = 0x94;
    pub(super) const JUMP: u16 = 0x05;
    pub(super) const JUMP_IF_EQUAL: u16 = 0x15;
    pub(super) const JUMP_IF_AT_LEAST: u16 = 0x35;
    pub(super) const RETURN: u16 = 0x06;
    pub(super) const COPY_TO_INDEX: u16 = 0x07;
}

/// Start of the IP header (`SKF_NET_OFF`), as the two's complement of a negative offset.
const IP_HEADER: u32 = 0_u32.wrapping_sub(0x10_0000);
/// A random number (`SKF_AD_OFF + SKF_AD_RANDOM`).
const RANDOM: u32 = 0_u32.wrapping_sub(0x1000).wrapping_add(56);
const IPV4_SOURCE: u32 = IP_HEADER.wrapping_add(12);
const IPV6_SOURCE: u32 = IP_HEADER.wrapping_add(8);
const UDP_HEADER_BYTES: u32 = 8;
/// Octets to keep of a datagram: all, or none, which drops it.
const KEEP: u32 = u32::MAX;
const DROP: u32 = 0;

/// The filter for sockets of one family; empty if it would let everything through.
fn program(is_ipv4: bool, shed: &Shed) -> Vec<SockFilter> {
    let of_family = shed.prefixes.iter().take(SHED_PREFIXES_MAX).filter(|(addr, _)| addr.is_ipv4() == is_ipv4);
    let mut program = Vec::new();
    let mut matched = Vec::new();
    for &(addr, len) in of_family {
        let (words, source) = words_of(addr);
        let tests = len.div_ceil(32).min(if is_ipv4 { 1 } else { 4 });
        let len = u32::from(len).min(32 * u32::from(tests));
        // Each test is a load, a mask and a comparison; where it fails, the rest of this prefix is passed over.
        for ((word, offset), left) in words.into_iter().zip((0..).step_by(4)).zip((0..tests).rev()) {
            let bits = len - 8 * offset;
            let mask = if bits < 32 { u32::MAX << (32 - bits) } else { u32::MAX };
            program.push(statement(op::LOAD_WORD, source.wrapping_add(offset)));
            program.push(statement(op::AND, mask));
            program.push(SockFilter::new(op::JUMP_IF_EQUAL, 0, 3 * left + 1, word & mask));
        }
        matched.push(program.len());
        program.push(statement(op::JUMP, 0));
    }
    if matched.is_empty() || shed.pass_one_in < 2 {
        return Vec::new();
    }
    program.push(statement(op::RETURN, KEEP));
    let target = program.len();
    for at in matched {
        program[at] = statement(op::JUMP, u32::try_from(target - at - 1).unwrap_or_default());
    }
    if let Some(Spare { from_end, value }) = shed.spare {
        program.push(statement(op::LOAD_LENGTH, 0));
        program.push(SockFilter::new(op::JUMP_IF_AT_LEAST, 0, 5, from_end.saturating_add(UDP_HEADER_BYTES)));
        program.push(statement(op::SUBTRACT, from_end));
        program.push(statement(op::COPY_TO_INDEX, 0));
        program.push(statement(op::LOAD_WORD_INDEXED, 0));
        program.push(SockFilter::new(op::JUMP_IF_EQUAL, 0, 1, value));
        program.push(statement(op::RETURN, KEEP));
    }
    program.push(statement(op::LOAD_WORD, RANDOM));
    program.push(statement(op::MODULO, shed.pass_one_in));
    program.push(SockFilter::new(op::JUMP_IF_EQUAL, 0, 1, 0));
    program.push(statement(op::RETURN, KEEP));
    program.push(statement(op::RETURN, DROP));
    program
}

fn statement(code: u16, value: u32) -> SockFilter {
    SockFilter::new(code, 0, 0, value)
}

/// An address as words in network byte order, and where the source address stands in the IP header.
fn words_of(addr: IpAddr) -> (Vec<u32>, u32) {
    match addr {
        IpAddr::V4(addr) => (vec![addr.to_bits()], IPV4_SOURCE),
        IpAddr::V6(addr) => {
            let octets = addr.octets();
            let words = octets.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
            (words.collect(), IPV6_SOURCE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets so few through that none of a test's datagrams is among them.
    const HARDLY_ANY: u32 = u32::MAX;

    fn shed(prefixes: &[(&str, u8)], pass_one_in: u32) -> Shed {
        let prefixes = prefixes.iter().map(|(addr, len)| (addr.parse().unwrap(), *len)).collect();
        Shed { prefixes, pass_one_in, spare: None }
    }

    /// How many of `count` datagrams from `source` the socket gets; over loopback they are there when they are sent.
    fn passed(server: &UdpSocket, source: &str, datagram: &[u8], count: usize) -> usize {
        server.set_nonblocking(true).unwrap();
        let client = UdpSocket::bind((source, 0)).unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        let mut room = [0; 512];
        (0..count)
            .filter(|_| {
                client.send(datagram).unwrap();
                server.recv_from(&mut room).is_ok_and(|(length, _)| length == datagram.len())
            })
            .count()
    }

    #[test]
    fn prefixes_of_ipv4_are_shed() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let flood = shed(&[("127.0.2.0", 24), ("2001:db8::", 56), ("127.0.3.7", 32), ("127.0.4.0", 31)], HARDLY_ANY);
        apply(&server, true, &flood).unwrap();
        for (source, is_shed) in [
            ("127.0.1.255", false),
            ("127.0.2.0", true),
            ("127.0.2.255", true),
            ("127.0.3.6", false),
            ("127.0.3.7", true),
            ("127.0.3.8", false),
            ("127.0.4.1", true),
            ("127.0.4.2", false),
        ] {
            assert_eq!(passed(&server, source, b"datagram", 10), if is_shed { 0 } else { 10 }, "{source}");
        }
        assert_eq!(kernel_drops(&server).unwrap(), 40);
        apply(&server, true, &Shed::default()).unwrap();
        assert_eq!(passed(&server, "127.0.2.1", b"datagram", 10), 10);
        apply(&server, true, &Shed::default()).unwrap();
    }

    #[test]
    fn prefixes_of_ipv6_are_shed() {
        let server = UdpSocket::bind("[::1]:0").unwrap();
        for (prefixes, is_shed) in [
            (&[("::", 56)][..], true),
            (&[("::1", 128)], true),
            (&[("::", 127)], true),
            (&[("::2", 127)], false),
            (&[("::", 128)], false),
            (&[("0:0:0:100::", 56)], false),
            (&[("0:0:1::", 48), ("0:1::", 32), ("8000::", 1), ("::1:0:0", 96), ("127.0.0.0", 8)], false),
            (&[("0:0:1::", 48), ("::", 1)], true),
        ] {
            apply(&server, false, &shed(prefixes, HARDLY_ANY)).unwrap();
            assert_eq!(passed(&server, "::1", b"datagram", 10), if is_shed { 0 } else { 10 }, "{prefixes:?}");
        }
    }

    #[test]
    fn as_many_prefixes_as_there_may_be_are_taken() {
        let prefixes = |octets: &dyn Fn(u8) -> IpAddr, len| (0..100).map(|n| (octets(n), len)).collect();
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut flood = shed(&[], HARDLY_ANY);
        flood.prefixes = prefixes(&|n| IpAddr::from([127, 0, n, 0]), 24);
        apply(&server, true, &flood).unwrap();
        assert_eq!(passed(&server, "127.0.63.1", b"datagram", 1), 0);
        assert_eq!(passed(&server, "127.0.64.1", b"datagram", 1), 1);
        let server = UdpSocket::bind("[::1]:0").unwrap();
        flood.prefixes = prefixes(&|n| IpAddr::from([0, 0, 0, 0, 0, 0, 0, u16::from(64 - n.min(63))]), 128);
        apply(&server, false, &flood).unwrap();
        assert_eq!(passed(&server, "::1", b"datagram", 1), 0);
    }

    #[test]
    fn one_in_so_many_passes() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        apply(&server, true, &shed(&[("127.0.2.0", 24)], 4)).unwrap();
        let count = passed(&server, "127.0.2.1", b"datagram", 4000);
        assert!((800..1200).contains(&count), "{count}");
        apply(&server, true, &shed(&[("127.0.2.0", 24)], 1)).unwrap();
        assert_eq!(passed(&server, "127.0.2.1", b"datagram", 10), 10);
    }

    #[test]
    fn a_mark_near_the_end_spares() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let spare = Some(Spare { from_end: 6, value: u32::from_be_bytes(*b"mark") });
        apply(&server, true, &Shed { spare, ..shed(&[("127.0.2.0", 24)], HARDLY_ANY) }).unwrap();
        for (datagram, passes) in [("xmark12", 1), ("mark12", 1), ("mark1", 0), ("mark123", 0), ("k12", 0), ("", 0)] {
            assert_eq!(passed(&server, "127.0.2.1", datagram.as_bytes(), 1), passes, "{datagram}");
        }
    }
}
