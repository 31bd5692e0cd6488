//! The redirect program: which frames go to the sockets, and why the others are left to the kernel.

use std::net::{IpAddr, SocketAddr};

use super::asm::{Assembler, Call, If, Instruction, Label, Reg, Size};
use super::frame::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_TAGS, IPV4_FRAGMENT, IPV4_PLAIN, PROTOCOL_UDP, TAGS_MAX};

use Reg::{R0, R1, R2, R3, R4, R5, R6, R7, R10};
use Size::{Byte, Double, Half, Word};

/// Why a frame is left to the kernel, untouched. The program counts each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Passed {
    /// It is shorter than the headers that it begins with.
    Short,
    /// It goes to more than one host.
    Group,
    /// Neither IPv4 nor IPv6: ARP and the like.
    NotIp,
    /// No UDP: TCP, ICMP, neighbour discovery.
    NotUdp,
    /// IPv4 options or IPv6 extension headers.
    Options,
    /// A fragment.
    Fragment,
    /// An address or a port that is not listened on.
    Elsewhere,
    /// The queue on which it came has no socket.
    NoSocket,
}

impl Passed {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Short,
        Self::Group,
        Self::NotIp,
        Self::NotUdp,
        Self::Options,
        Self::Fragment,
        Self::Elsewhere,
        Self::NoSocket,
    ];
}

/// What the program returns: the kernel's road, or the socket's.
pub(super) const XDP_PASS: i32 = 2;
const XDP_REDIRECT: i32 = 4;

/// Octets of a key of the table of destinations.
pub(super) const KEY_BYTES: usize = 20;
/// Where the key is on the stack.
const KEY: i16 = -24;
/// Where the number of a counter is on the stack.
const REASON: i16 = -32;
/// Last octets of a key: what tells the two families apart.
const FAMILY_IPV4: u16 = 4;
const FAMILY_IPV6: u16 = 6;

/// Offsets in `struct xdp_md`.
const CONTEXT_DATA: i16 = 0;
const CONTEXT_DATA_END: i16 = 4;
const CONTEXT_QUEUE: i16 = 16;

/// IPv6 extension headers that can stand before UDP, and the one of a fragment.
const IPV6_EXTENSIONS: [u8; 3] = [0, 43, 60];
const IPV6_FRAGMENT: u8 = 44;

/// The key of a destination: address (padded with zeroes), port, family.
pub(super) fn key(destination: SocketAddr) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let family = match destination.ip() {
        IpAddr::V4(address) => {
            key[..4].copy_from_slice(&address.octets());
            FAMILY_IPV4
        }
        IpAddr::V6(address) => {
            key[..16].copy_from_slice(&address.octets());
            FAMILY_IPV6
        }
    };
    key[16..18].copy_from_slice(&destination.port().to_be_bytes());
    key[18..].copy_from_slice(&family.to_ne_bytes());
    key
}

/// Descriptors of the maps that the program uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maps {
    /// Hash table with the keys of all destinations.
    pub(super) destinations: i32,
    /// Sockets by queue.
    pub(super) sockets: i32,
    /// Counters by the number of a [`Passed`].
    pub(super) passed: i32,
}

/// Assembles the program.
///
/// R6 holds the context, R2 the start of what is not read yet, R3 the end of the frame, R7 the reason that holds if the
/// next check fails.
pub(super) fn assemble(maps: Maps) -> Vec<Instruction> {
    let mut asm = Assembler::default();
    let (pass, ipv4, ipv6, known) = (asm.label(), asm.label(), asm.label(), asm.label());
    asm.copy(R6, R1);
    asm.load(Word, R2, R6, CONTEXT_DATA);
    asm.load(Word, R3, R6, CONTEXT_DATA_END);
    link(&mut asm, ipv4, ipv6, pass);
    asm.place(ipv4);
    match_ipv4(&mut asm, pass);
    asm.jump(known);
    asm.place(ipv6);
    match_ipv6(&mut asm, pass);
    asm.place(known);
    redirect(&mut asm, maps, pass);
    asm.place(pass);
    count(&mut asm, maps);
    asm.finish()
}

fn because(asm: &mut Assembler, reason: Passed) {
    asm.set(R7, reason as i32);
}

/// Jumps to `pass` unless `bytes` octets are there.
fn require(asm: &mut Assembler, bytes: i32, pass: Label) {
    because(asm, Passed::Short);
    asm.copy(R4, R2);
    asm.add(R4, bytes);
    asm.jump_if_greater(R4, R3, pass);
}

/// A 16-bit constant as a load from the frame gives it.
fn from_network(value: u16) -> i32 {
    i32::from(value.to_be())
}

/// Reads the Ethernet header and its tags, and goes where the type says.
fn link(asm: &mut Assembler, ipv4: Label, ipv6: Label, pass: Label) {
    require(asm, 14, pass);
    because(asm, Passed::Group);
    asm.load(Byte, R5, R2, 0);
    asm.jump_if(If::AnyBit, R5, 1, pass);
    asm.load(Half, R5, R2, 12);
    asm.add(R2, 14);
    let untagged = asm.label();
    for _ in 0..TAGS_MAX {
        let tagged = asm.label();
        for ethertype in ETHERTYPE_TAGS {
            asm.jump_if(If::Equal, R5, from_network(ethertype), tagged);
        }
        asm.jump(untagged);
        asm.place(tagged);
        require(asm, 4, pass);
        asm.load(Half, R5, R2, 2);
        asm.add(R2, 4);
    }
    asm.place(untagged);
    asm.jump_if(If::Equal, R5, from_network(ETHERTYPE_IPV4), ipv4);
    asm.jump_if(If::Equal, R5, from_network(ETHERTYPE_IPV6), ipv6);
    because(asm, Passed::NotIp);
    asm.jump(pass);
}

/// Writes the key of an IPv4 datagram to the stack.
fn match_ipv4(asm: &mut Assembler, pass: Label) {
    require(asm, 28, pass);
    because(asm, Passed::NotUdp);
    asm.load(Byte, R5, R2, 9);
    asm.jump_if(If::NotEqual, R5, i32::from(PROTOCOL_UDP), pass);
    because(asm, Passed::Options);
    asm.load(Byte, R5, R2, 0);
    asm.jump_if(If::NotEqual, R5, i32::from(IPV4_PLAIN), pass);
    because(asm, Passed::Fragment);
    asm.load(Half, R5, R2, 6);
    asm.jump_if(If::AnyBit, R5, from_network(IPV4_FRAGMENT), pass);
    asm.load(Word, R5, R2, 16);
    asm.store(Word, R10, KEY, R5);
    asm.store_constant(Word, R10, KEY + 4, 0);
    asm.store_constant(Double, R10, KEY + 8, 0);
    asm.load(Half, R5, R2, 22);
    asm.store(Half, R10, KEY + 16, R5);
    asm.store_constant(Half, R10, KEY + 18, i32::from(FAMILY_IPV4));
}

/// The same for IPv6.
fn match_ipv6(asm: &mut Assembler, pass: Label) {
    require(asm, 48, pass);
    asm.load(Byte, R5, R2, 6);
    because(asm, Passed::Fragment);
    asm.jump_if(If::Equal, R5, i32::from(IPV6_FRAGMENT), pass);
    because(asm, Passed::Options);
    for extension in IPV6_EXTENSIONS {
        asm.jump_if(If::Equal, R5, i32::from(extension), pass);
    }
    because(asm, Passed::NotUdp);
    asm.jump_if(If::NotEqual, R5, i32::from(PROTOCOL_UDP), pass);
    for word in 0..4 {
        asm.load(Word, R5, R2, 24 + 4 * word);
        asm.store(Word, R10, KEY + 4 * word, R5);
    }
    asm.load(Half, R5, R2, 42);
    asm.store(Half, R10, KEY + 16, R5);
    asm.store_constant(Half, R10, KEY + 18, i32::from(FAMILY_IPV6));
}

/// Gives the frame to the queue's socket if its destination is one of ours and the queue has a socket.
fn redirect(asm: &mut Assembler, maps: Maps, pass: Label) {
    asm.load_map(R1, maps.destinations);
    asm.copy(R2, R10);
    asm.add(R2, i32::from(KEY));
    asm.call(Call::MapLookup);
    because(asm, Passed::Elsewhere);
    asm.jump_if(If::Equal, R0, 0, pass);
    asm.load(Word, R2, R6, CONTEXT_QUEUE);
    asm.load_map(R1, maps.sockets);
    // What to return if the queue has no socket.
    asm.set(R3, XDP_PASS);
    asm.call(Call::RedirectMap);
    because(asm, Passed::NoSocket);
    asm.jump_if(If::NotEqual, R0, XDP_REDIRECT, pass);
    asm.exit();
}

/// Counts the reason in R7 and leaves the frame to the kernel.
fn count(asm: &mut Assembler, maps: Maps) {
    let done = asm.label();
    asm.store(Word, R10, REASON, R7);
    asm.load_map(R1, maps.passed);
    asm.copy(R2, R10);
    asm.add(R2, i32::from(REASON));
    asm.call(Call::MapLookup);
    asm.jump_if(If::Equal, R0, 0, done);
    asm.load(Double, R1, R0, 0);
    asm.add(R1, 1);
    asm.store(Double, R0, 0, R1);
    asm.place(done);
    asm.set(R0, XDP_PASS);
    asm.exit();
}
