//! The redirect program: which frames go to the sockets, and why the others are left to the kernel, or dropped in a flood.

use std::net::{IpAddr, SocketAddr};

use crate::shed::{Shed, Spare};

use super::asm::{Assembler, Call, If, Instruction, Label, Reg, Size};
use super::frame::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_TAGS, IPV4_FRAGMENT, IPV4_PLAIN, PROTOCOL_UDP, TAGS_MAX};

use Reg::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R10};
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

/// The counter after those of [`Passed`]: frames that were dropped because their source is shed.
pub(super) const SHED: i32 = 8;
const _: () = assert!(SHED as usize == Passed::ALL.len());

/// What the program returns: nobody's road, the kernel's, or the socket's.
pub(super) const XDP_DROP: i32 = 1;
pub(super) const XDP_PASS: i32 = 2;
const XDP_REDIRECT: i32 = 4;

/// Octets of a key of the table of destinations.
pub(super) const KEY_BYTES: usize = 20;
/// Where the key is on the stack.
const KEY: i16 = -24;
/// Where the number of a counter is on the stack.
const REASON: i16 = -32;
/// Octets of a key of the table of sources that are shed, and where it is on the stack: bits of the prefix, queue, family,
/// address.
pub(super) const SOURCE_BYTES: usize = 28;
const SOURCE: i16 = -64;
const SOURCE_QUEUE: i16 = SOURCE + 4;
const SOURCE_FAMILY: i16 = SOURCE + 8;
const SOURCE_ADDRESS: i16 = SOURCE + 12;
/// Bits of a key before the address.
const SOURCE_BITS: u32 = 64;
/// Octets of how a queue sheds ([`queue_shed`]), and where that is on the stack.
pub(super) const QUEUE_SHED_BYTES: usize = 12;
const KEEP: i16 = -76;
const MARK_FROM_END: i16 = KEEP + 4;
const MARK: i16 = KEEP + 8;
/// Where on the stack the octets are that stand in the frame in place of a mark, and the length in the UDP header.
const FOUND: i16 = -80;
const UDP_LENGTH: i16 = -84;
/// Octets of a UDP header.
const UDP_BYTES: i32 = 8;
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

/// The key of a source: `len` bits of an address, on one queue.
pub(super) fn source_key(queue: u32, network: IpAddr, len: u8) -> [u8; SOURCE_BYTES] {
    let mut key = [0; SOURCE_BYTES];
    let (family, bits) = match network {
        IpAddr::V4(address) => {
            key[12..16].copy_from_slice(&address.octets());
            (FAMILY_IPV4, 32)
        }
        IpAddr::V6(address) => {
            key[12..].copy_from_slice(&address.octets());
            (FAMILY_IPV6, 128)
        }
    };
    key[..4].copy_from_slice(&(SOURCE_BITS + u32::from(len.min(bits))).to_ne_bytes());
    key[4..8].copy_from_slice(&queue.to_ne_bytes());
    key[8..12].copy_from_slice(&u32::from(family).to_ne_bytes());
    key
}

/// How a queue sheds: up to which of 2^32 random numbers a datagram is kept (0: there is nothing to shed), and the mark that
/// spares one: where it is, counted from the end (0: there is none), and its octets.
pub(super) fn queue_shed(shed: &Shed) -> [u8; QUEUE_SHED_BYTES] {
    let mut value = [0; QUEUE_SHED_BYTES];
    if shed.prefixes.is_empty() || shed.pass_one_in < 2 {
        return value;
    }
    value[..4].copy_from_slice(&(u32::MAX / shed.pass_one_in).to_ne_bytes());
    if let Some(Spare { from_end, value: mark }) = shed.spare {
        value[4..8].copy_from_slice(&from_end.to_ne_bytes());
        value[8..].copy_from_slice(&mark.to_be_bytes());
    }
    value
}

/// Descriptors of the maps that the program uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maps {
    /// Hash table with the keys of all destinations.
    pub(super) destinations: i32,
    /// Sockets by queue.
    pub(super) sockets: i32,
    /// Counters by the number of a [`Passed`], and [`SHED`].
    pub(super) counters: i32,
    /// How each queue sheds.
    pub(super) sheds: i32,
    /// The sources that are shed.
    pub(super) sources: i32,
}

/// Assembles the program.
///
/// R6 holds the context, R2 the start of what is not read yet, R3 the end of the frame, R7 the reason that holds if the
/// next check fails, R8 how far the headers go that were read.
///
/// `spares`: look for marks, which takes a function that kernels have from 5.18 on. (Loads from a place that is worked out would do
/// without, but take the capability `CAP_PERFMON`.)
pub(super) fn assemble(maps: Maps, spares: bool) -> Vec<Instruction> {
    let mut asm = Assembler::default();
    let (pass, ipv4, ipv6, known) = (asm.label(), asm.label(), asm.label(), asm.label());
    let (shed, take, counted) = (asm.label(), asm.label(), asm.label());
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
    find_destination(&mut asm, maps, pass);
    consider_source(&mut asm, maps, spares, (take, shed));
    asm.place(take);
    redirect(&mut asm, maps, pass);
    asm.place(shed);
    asm.set(R7, SHED);
    asm.set(R8, XDP_DROP);
    asm.jump(counted);
    asm.place(pass);
    asm.set(R8, XDP_PASS);
    asm.place(counted);
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
    asm.set(R8, 14);
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
        asm.add(R8, 4);
    }
    asm.place(untagged);
    asm.jump_if(If::Equal, R5, from_network(ETHERTYPE_IPV4), ipv4);
    asm.jump_if(If::Equal, R5, from_network(ETHERTYPE_IPV6), ipv6);
    because(asm, Passed::NotIp);
    asm.jump(pass);
}

/// Writes the keys of an IPv4 datagram to the stack.
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
    begin_source(asm, FAMILY_IPV4, 32);
    end_headers(asm, 20);
    asm.load(Word, R5, R2, 12);
    asm.store(Word, R10, SOURCE_ADDRESS, R5);
    for word in 1..4 {
        asm.store_constant(Word, R10, SOURCE_ADDRESS + 4 * word, 0);
    }
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
    begin_source(asm, FAMILY_IPV6, 128);
    end_headers(asm, 40);
    for word in 0..4 {
        asm.load(Word, R5, R2, 8 + 4 * word);
        asm.store(Word, R10, SOURCE_ADDRESS + 4 * word, R5);
    }
}

/// Keeps what is needed of the UDP header after an IP header of so many octets.
fn end_headers(asm: &mut Assembler, ip_bytes: i16) {
    asm.add(R8, i32::from(ip_bytes));
    asm.load(Half, R5, R2, ip_bytes + 4);
    asm.store(Half, R10, UDP_LENGTH, R5);
}

/// Writes to the stack what comes before the address in the key of a source, but for the queue.
fn begin_source(asm: &mut Assembler, family: u16, bits: i32) {
    asm.store_constant(Word, R10, SOURCE, SOURCE_BITS.cast_signed() + bits);
    asm.store_constant(Word, R10, SOURCE_FAMILY, i32::from(family));
}

/// Goes on if the destination is one of ours.
fn find_destination(asm: &mut Assembler, maps: Maps, pass: Label) {
    look_up(asm, maps.destinations, KEY);
    because(asm, Passed::Elsewhere);
    asm.jump_if(If::Equal, R0, 0, pass);
}

/// Goes to `shed` if the frame's source is shed on this queue, the frame has no mark that spares it, and chance does not let it
/// through; may go to `take` else.
fn consider_source(asm: &mut Assembler, maps: Maps, spares: bool, (take, shed): (Label, Label)) {
    asm.load(Word, R5, R6, CONTEXT_QUEUE);
    asm.store(Word, R10, SOURCE_QUEUE, R5);
    look_up(asm, maps.sheds, SOURCE_QUEUE);
    asm.jump_if(If::Equal, R0, 0, take);
    asm.load(Word, R5, R0, 0);
    asm.jump_if(If::Equal, R5, 0, take);
    asm.store(Word, R10, KEEP, R5);
    for (offset, place) in [(4, MARK_FROM_END), (8, MARK)] {
        asm.load(Word, R5, R0, offset);
        asm.store(Word, R10, place, R5);
    }
    look_up(asm, maps.sources, SOURCE);
    asm.jump_if(If::Equal, R0, 0, take);
    let chance = asm.label();
    if spares {
        find_mark(asm, chance, take);
    }
    asm.place(chance);
    asm.call(Call::Random);
    asm.load(Word, R5, R10, KEEP);
    asm.jump_if_greater(R0, R5, shed);
}

/// Goes to `take` if the mark is where it is to be, counted from the end that the UDP header says, and to `chance` where that is not
/// within the datagram.
fn find_mark(asm: &mut Assembler, chance: Label, take: Label) {
    asm.load(Word, R5, R10, MARK_FROM_END);
    asm.jump_if(If::Equal, R5, 0, chance);
    asm.load(Half, R2, R10, UDP_LENGTH);
    asm.swap_network_16(R2);
    asm.jump_if_greater(R5, R2, chance);
    asm.subtract(R2, R5);
    asm.jump_if(If::Below, R2, UDP_BYTES, chance);
    asm.add_register(R2, R8);
    asm.copy(R1, R6);
    asm.copy(R3, R10);
    asm.add(R3, i32::from(FOUND));
    asm.set(R4, 4);
    asm.call(Call::LoadBytes);
    asm.jump_if(If::NotEqual, R0, 0, chance);
    asm.load(Word, R5, R10, FOUND);
    asm.load(Word, R4, R10, MARK);
    asm.jump_if_equal(R4, R5, take);
}

/// Gives the frame to the queue's socket if the queue has one.
fn redirect(asm: &mut Assembler, maps: Maps, pass: Label) {
    asm.load(Word, R2, R6, CONTEXT_QUEUE);
    asm.load_map(R1, maps.sockets);
    // What to return if the queue has no socket.
    asm.set(R3, XDP_PASS);
    asm.call(Call::RedirectMap);
    because(asm, Passed::NoSocket);
    asm.jump_if(If::NotEqual, R0, XDP_REDIRECT, pass);
    asm.exit();
}

/// Finds in a map what has the key that is on the stack.
fn look_up(asm: &mut Assembler, map: i32, key: i16) {
    asm.load_map(R1, map);
    asm.copy(R2, R10);
    asm.add(R2, i32::from(key));
    asm.call(Call::MapLookup);
}

/// Counts the reason in R7 and ends with what is in R8.
fn count(asm: &mut Assembler, maps: Maps) {
    let done = asm.label();
    asm.store(Word, R10, REASON, R7);
    look_up(asm, maps.counters, REASON);
    asm.jump_if(If::Equal, R0, 0, done);
    asm.load(Double, R1, R0, 0);
    asm.add(R1, 1);
    asm.store(Double, R0, 0, R1);
    asm.place(done);
    asm.copy(R0, R8);
    asm.exit();
}
