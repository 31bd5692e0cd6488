//! What a network interface is like.

use std::io;
use std::mem::offset_of;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::ifaddrs::getifaddrs;
use socket2::{Domain, Socket, Type};

use super::XdpError;

/// `ETHTOOL_GCHANNELS`.
const GET_CHANNELS: u32 = 0x3c;

/// A network interface as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// Octets of the longest packet, without the Ethernet header.
    pub mtu: usize,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Queues that both receive and send.
    pub queues: u32,
}

/// `struct ethtool_channels`.
#[derive(Debug, Default)]
#[repr(C)]
struct Channels {
    command: u32,
    max: [u32; 4],
    receive: u32,
    send: u32,
    other: u32,
    combined: u32,
}

impl Interface {
    /// Looks at an interface.
    ///
    /// # Errors
    /// There is none of this name, it is down, or the system refuses to say.
    pub fn find(name: &str) -> Result<Self, XdpError> {
        let missing = || XdpError::NoInterface { name: name.to_owned() };
        let failed = |source| XdpError::System { action: "ask for the properties of a network interface", source };
        let index = nix::net::if_::if_nametoindex(name).map_err(|_| missing())?;
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).map_err(failed)?;
        let mut request = named(name).ok_or_else(missing)?;
        ask(&socket, libc::SIOCGIFFLAGS, &mut request).map_err(failed)?;
        // SAFETY: the call succeeded and has filled this member, an integer.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        if libc::c_int::from(flags) & libc::IFF_UP == 0 {
            return Err(XdpError::Down { name: name.to_owned() });
        }
        ask(&socket, libc::SIOCGIFMTU, &mut request).map_err(failed)?;
        // SAFETY: as above.
        let mtu = usize::try_from(unsafe { request.ifr_ifru.ifru_mtu }).unwrap_or(0);
        ask(&socket, libc::SIOCGIFHWADDR, &mut request).map_err(failed)?;
        // SAFETY: as above; the member is a structure of integers.
        let hardware = unsafe { request.ifr_ifru.ifru_hwaddr };
        let mac = std::array::from_fn(|octet| hardware.sa_data[octet].cast_unsigned());
        Ok(Self { name: name.to_owned(), index, mtu, mac, queues: queues(&socket, name) })
    }
}

/// All addresses of this machine that packets from the network can go to: those of every interface, as the kernel takes a
/// packet for any of them from any interface.
///
/// # Errors
/// The system's.
pub fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let addresses = getifaddrs()?.filter_map(|entry| {
        let storage = entry.address?;
        let v4 = storage.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
    });
    Ok(addresses.filter(|address| !address.is_loopback()).collect())
}

/// The destinations that `listen` comes to, wildcard addresses replaced by `local`.
pub(super) fn destinations(listen: &[SocketAddr], local: &[IpAddr]) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for addr in listen {
        if addr.ip().is_unspecified() {
            let same_family = local.iter().filter(|ip| ip.is_ipv4() == addr.is_ipv4());
            all.extend(same_family.map(|ip| SocketAddr::new(*ip, addr.port())));
        } else if !addr.ip().is_loopback() {
            all.push(*addr);
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// The queues that the driver speaks of, else those in sysfs, else one.
fn queues(socket: &Socket, name: &str) -> u32 {
    let mut channels = Channels { command: GET_CHANNELS, ..Channels::default() };
    let asked = named(name).is_some_and(|mut request| {
        request.ifr_ifru.ifru_data = (&raw mut channels).cast();
        // The type of the constant differs between C libraries.
        ask(socket, libc::SIOCETHTOOL as libc::Ioctl, &mut request).is_ok()
    });
    let found = if asked { channels.receive.min(channels.send) + channels.combined } else { 0 };
    if found > 0 {
        return found;
    }
    let folder = std::fs::read_dir(format!("/sys/class/net/{name}/queues"));
    let names: Vec<_> = folder.into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    let count = |prefix: &str| names.iter().filter(|name| name.to_string_lossy().starts_with(prefix)).count();
    u32::try_from(count("rx-").min(count("tx-"))).unwrap_or(1).max(1)
}

/// A request about the interface `name`. `None` if the name is too long.
fn named(name: &str) -> Option<libc::ifreq> {
    // SAFETY: zeroes are a valid request: no name, and integers or a null pointer.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    if name.len() > room {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    Some(request)
}

fn ask(socket: &Socket, what: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    const { assert!(offset_of!(libc::ifreq, ifr_ifru) == libc::IFNAMSIZ) };
    // SAFETY: `request` is a whole request that lives through the call. Where the kernel follows a pointer in it
    // (`SIOCETHTOOL`), that leads to a structure of the command in its first field, which outlives the call, too.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), what, std::ptr::from_mut(request)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_and_others_are_not() {
        let found = Interface::find("lo").unwrap();
        assert_eq!((found.index, found.mac), (1, [0; 6]));
        assert!(found.mtu >= 1280 && found.queues >= 1, "{found:?}");
        let error = Interface::find("no-such-one").unwrap_err();
        assert_eq!(error.to_string(), "there is no network interface `no-such-one`: see `ip link`");
        assert!(matches!(Interface::find("a-name-longer-than-any"), Err(XdpError::NoInterface { .. })));
    }

    #[test]
    fn wildcards_become_the_addresses_of_their_family() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let local: Vec<IpAddr> = ["192.0.2.1", "2001:db8::1"].iter().map(|text| text.parse().unwrap()).collect();
        let listen = parse(&["0.0.0.0:53", "[::]:5300", "198.51.100.1:53", "127.0.0.1:53"]);
        let expected = parse(&["192.0.2.1:53", "198.51.100.1:53", "[2001:db8::1]:5300"]);
        assert_eq!(destinations(&listen, &local), expected);
    }
}
