//! Ethernet frames with UDP inside: read from foreign bytes, and written. Pure, and never a panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

/// Octets of an Ethernet address.
const MAC_BYTES: usize = 6;
/// Octets of an Ethernet header without tags, and of one VLAN tag.
const ETHERNET_BYTES: usize = 14;
const TAG_BYTES: usize = 4;
/// VLAN tags that are taken: one of the customer, one of the provider.
pub(super) const TAGS_MAX: usize = 2;
const LINK_BYTES_MAX: usize = ETHERNET_BYTES + TAGS_MAX * TAG_BYTES;
/// Octets of an IPv4 header without options, of an IPv6 header without extensions, and of a UDP header.
const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;
const UDP_BYTES: usize = 8;

pub(super) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd;
/// 802.1Q and 802.1ad.
pub(super) const ETHERTYPE_TAGS: [u16; 2] = [0x8100, 0x88a8];
pub(super) const PROTOCOL_UDP: u8 = 17;
/// Version 4, and five words of header.
pub(super) const IPV4_PLAIN: u8 = 0x45;
/// "More fragments" and the offset.
pub(super) const IPV4_FRAGMENT: u16 = 0x3fff;
const IPV4_DONT_FRAGMENT: u16 = 0x4000;
const HOP_LIMIT: u8 = 64;

/// Octets of the longest headers that [`Headers::write`] writes.
pub const HEADER_BYTES_MAX: usize = LINK_BYTES_MAX + IPV6_BYTES + UDP_BYTES;

/// All headers of a frame with a UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// The Ethernet header with its tags: destination, source, tags, type.
    link: [u8; LINK_BYTES_MAX],
    link_len: usize,
    /// Where the datagram comes from.
    pub source: SocketAddr,
    /// Where it goes to; of the same family as `source`.
    pub destination: SocketAddr,
}

/// Why a frame is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends before its headers say so.
    Short,
    /// It is no plain UDP datagram, or its lengths contradict one another.
    Malformed,
    /// The checksum of the IPv4 header or of the datagram is wrong.
    Checksum,
    /// Its source cannot be answered: port 0, or an address that is no single host's, or the destination itself.
    Source,
}

impl Headers {
    /// Headers without VLAN tags. `None` if the addresses are of two families.
    pub fn new(
        source_mac: [u8; MAC_BYTES],
        destination_mac: [u8; MAC_BYTES],
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Option<Self> {
        if source.is_ipv4() != destination.is_ipv4() {
            return None;
        }
        let ethertype = if source.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
        let mut link = [0; LINK_BYTES_MAX];
        link[..MAC_BYTES].copy_from_slice(&destination_mac);
        link[MAC_BYTES..2 * MAC_BYTES].copy_from_slice(&source_mac);
        link[2 * MAC_BYTES..ETHERNET_BYTES].copy_from_slice(&ethertype.to_be_bytes());
        Some(Self { link, link_len: ETHERNET_BYTES, source, destination })
    }

    /// Reads a frame: its headers, and where in it the datagram's content is.
    ///
    /// The checksum of an IPv4 header is verified. That of UDP is, too, unless IPv4 came without one. One case counts as
    /// right although it is not: a checksum over the pseudo-header alone, which is what a sender on the same machine
    /// leaves for hardware that a virtual interface does not have.
    pub fn parse(frame: &[u8]) -> Result<(Self, Range<usize>), Fault> {
        let mut ethertype = word(frame, 2 * MAC_BYTES)?;
        let mut link_len = ETHERNET_BYTES;
        for _ in 0..TAGS_MAX {
            if ETHERTYPE_TAGS.contains(&ethertype) {
                ethertype = word(frame, link_len + 2)?;
                link_len += TAG_BYTES;
            }
        }
        let packet = frame.get(link_len..).ok_or(Fault::Short)?;
        let (ip, source, destination, ip_content) = match ethertype {
            ETHERTYPE_IPV4 => read_ipv4(packet)?,
            ETHERTYPE_IPV6 => read_ipv6(packet)?,
            _ => return Err(Fault::Malformed),
        };
        let udp = packet.get(ip..ip + ip_content).ok_or(Fault::Short)?;
        let udp_len = usize::from(word(udp, 4)?);
        let datagram = udp.get(..udp_len).filter(|datagram| datagram.len() >= UDP_BYTES).ok_or(Fault::Malformed)?;
        let (source_port, destination_port) = (word(datagram, 0)?, word(datagram, 2)?);
        if source_port == 0 || !is_answerable(source) || source == destination || frame[MAC_BYTES] & 1 != 0 {
            return Err(Fault::Source);
        }
        verify_udp(source, destination, datagram)?;
        let mut link = [0; LINK_BYTES_MAX];
        link[..link_len].copy_from_slice(&frame[..link_len]);
        let source = SocketAddr::new(source, source_port);
        let destination = SocketAddr::new(destination, destination_port);
        let content = link_len + ip + UDP_BYTES;
        Ok((Self { link, link_len, source, destination }, content..content + udp_len - UDP_BYTES))
    }

    /// The headers of what goes back: hardware addresses, addresses and ports change places, VLAN tags stay.
    #[must_use]
    pub fn reply(&self) -> Self {
        let mut link = self.link;
        link[..MAC_BYTES].copy_from_slice(&self.link[MAC_BYTES..2 * MAC_BYTES]);
        link[MAC_BYTES..2 * MAC_BYTES].copy_from_slice(&self.link[..MAC_BYTES]);
        Self { link, link_len: self.link_len, source: self.destination, destination: self.source }
    }

    /// Octets of the headers.
    pub fn bytes(&self) -> usize {
        self.link_len + self.overhead_bytes()
    }

    /// Octets of the headers that count towards the interface's MTU: all but Ethernet's.
    pub fn overhead_bytes(&self) -> usize {
        UDP_BYTES + if self.source.is_ipv4() { IPV4_BYTES } else { IPV6_BYTES }
    }

    /// Writes the headers over the start of `frame`, whose octets from [`Self::bytes`] on are the datagram's content and
    /// stand there already. Returns whether that worked: not if the frame has no room, or is longer than lengths can say.
    ///
    /// IPv4 goes with "don't fragment" and therefore without an identification (RFC 9715 §3.1, RFC 6864 §4.1). The UDP
    /// checksum is always there.
    pub fn write(&self, frame: &mut [u8]) -> bool {
        let Some((link, packet)) = frame.split_at_mut_checked(self.link_len) else { return false };
        let ip_bytes = self.overhead_bytes() - UDP_BYTES;
        let Some((ip, datagram)) = packet.split_at_mut_checked(ip_bytes) else { return false };
        let Ok(udp_len) = u16::try_from(datagram.len()) else { return false };
        if datagram.len() < UDP_BYTES || usize::from(udp_len) + ip_bytes > usize::from(u16::MAX) {
            return false;
        }
        link.copy_from_slice(&self.link[..self.link_len]);
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => write_ipv4(ip, source, destination, udp_len),
            (IpAddr::V6(source), IpAddr::V6(destination)) => write_ipv6(ip, source, destination, udp_len),
            _ => return false,
        }
        datagram[..2].copy_from_slice(&self.source.port().to_be_bytes());
        datagram[2..4].copy_from_slice(&self.destination.port().to_be_bytes());
        datagram[4..6].copy_from_slice(&udp_len.to_be_bytes());
        datagram[6..8].fill(0);
        let sum = add(pseudo_header(self.source.ip(), self.destination.ip(), datagram.len()), datagram);
        // Zero would say that there is no checksum; in ones' complement its other form means the same.
        let checksum = match !fold(sum) {
            0 => u16::MAX,
            checksum => checksum,
        };
        datagram[6..8].copy_from_slice(&checksum.to_ne_bytes());
        true
    }
}

type Packet = (usize, IpAddr, IpAddr, usize);

/// Octets of the header, the addresses, and octets of the content.
fn read_ipv4(packet: &[u8]) -> Result<Packet, Fault> {
    let header: &[u8; IPV4_BYTES] = packet.first_chunk().ok_or(Fault::Short)?;
    let plain = header[0] == IPV4_PLAIN && header[9] == PROTOCOL_UDP && word(header, 6)? & IPV4_FRAGMENT == 0;
    if !plain {
        return Err(Fault::Malformed);
    }
    if fold(add(0, header)) != u16::MAX {
        return Err(Fault::Checksum);
    }
    let content = usize::from(word(header, 2)?).checked_sub(IPV4_BYTES).ok_or(Fault::Malformed)?;
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    Ok((IPV4_BYTES, Ipv4Addr::new(s0, s1, s2, s3).into(), Ipv4Addr::new(d0, d1, d2, d3).into(), content))
}

fn read_ipv6(packet: &[u8]) -> Result<Packet, Fault> {
    let header: &[u8; IPV6_BYTES] = packet.first_chunk().ok_or(Fault::Short)?;
    if header[0] >> 4 != 6 || header[6] != PROTOCOL_UDP {
        return Err(Fault::Malformed);
    }
    let address = |at: usize| header[at..].first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets));
    let (Some(source), Some(destination)) = (address(8), address(24)) else { return Err(Fault::Short) };
    Ok((IPV6_BYTES, source.into(), destination.into(), usize::from(word(header, 4)?)))
}

fn write_ipv4(header: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr, udp_len: u16) {
    // The caller has checked that the sum fits.
    let total = udp_len.saturating_add(20);
    header[..2].copy_from_slice(&[IPV4_PLAIN, 0]);
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[4..6].fill(0);
    header[6..8].copy_from_slice(&IPV4_DONT_FRAGMENT.to_be_bytes());
    header[8..12].copy_from_slice(&[HOP_LIMIT, PROTOCOL_UDP, 0, 0]);
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    let checksum = !fold(add(0, header));
    header[10..12].copy_from_slice(&checksum.to_ne_bytes());
}

fn write_ipv6(header: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr, udp_len: u16) {
    header[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    header[4..6].copy_from_slice(&udp_len.to_be_bytes());
    header[6..8].copy_from_slice(&[PROTOCOL_UDP, HOP_LIMIT]);
    header[8..24].copy_from_slice(&source.octets());
    header[24..40].copy_from_slice(&destination.octets());
}

fn verify_udp(source: IpAddr, destination: IpAddr, datagram: &[u8]) -> Result<(), Fault> {
    let stored = datagram.get(6..8).and_then(<[u8]>::first_chunk).map(|octets| u16::from_ne_bytes(*octets));
    let stored = stored.ok_or(Fault::Short)?;
    if stored == 0 {
        return if source.is_ipv4() { Ok(()) } else { Err(Fault::Checksum) };
    }
    let pseudo = pseudo_header(source, destination, datagram.len());
    if fold(add(pseudo, datagram)) == u16::MAX || stored == fold(pseudo) { Ok(()) } else { Err(Fault::Checksum) }
}

/// Whether an address is one host's, and one that a packet from the network can come from.
fn is_answerable(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(source) => {
            !(source.is_multicast() || source.is_broadcast() || source.octets()[0] == 0 || source.is_loopback())
        }
        IpAddr::V6(source) => !(source.is_multicast() || source.is_unspecified() || source.is_loopback()),
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u16, Fault> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|octets| u16::from_be_bytes(*octets)).ok_or(Fault::Short)
}

/// The sum of a pseudo-header (RFC 768, RFC 8200 §8.1).
fn pseudo_header(source: IpAddr, destination: IpAddr, udp_len: usize) -> u64 {
    let addresses = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => add(add(0, &source.octets()), &destination.octets()),
        (IpAddr::V6(source), IpAddr::V6(destination)) => add(add(0, &source.octets()), &destination.octets()),
        _ => 0,
    };
    let length = u16::try_from(udp_len).unwrap_or(u16::MAX);
    addresses + u64::from(length.to_be()) + u64::from(u16::from(PROTOCOL_UDP).to_be())
}

/// Adds octets to a ones' complement sum. All in the machine's order: the sum of swapped words is the swapped sum (RFC
/// 1071 §2). The sum cannot overflow before 2^32 words.
fn add(mut sum: u64, bytes: &[u8]) -> u64 {
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        if let Some(octets) = chunk.first_chunk() {
            sum += u64::from(u32::from_ne_bytes(*octets));
        }
    }
    let rest = chunks.remainder();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum + u64::from(u32::from_ne_bytes(last))
}

#[expect(clippy::cast_possible_truncation, reason = "three folds leave sixteen bits")]
fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

#[cfg(test)]
mod tests;
