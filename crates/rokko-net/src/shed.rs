//! What the kernel keeps away from a UDP socket, so that a flood from few prefixes does not fill the socket's buffer.
//!
//! A classic BPF program, attached with `SO_ATTACH_FILTER`, which needs no privilege. The kernel runs it for each
//! datagram before it is queued; it sees the datagram from its UDP header on, and the IP header at `SKF_NET_OFF`.

use std::io;
use std::net::{IpAddr, UdpSocket};

use socket2::{SockFilter, SockRef};

/// The most prefixes of a [`Shed`]; those after it are not shed.
pub const SHED_PREFIXES_MAX: usize = 64;

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
const IP_HEADER: u32 = 0_u32.wrapping_sub(0x20_0000);
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
