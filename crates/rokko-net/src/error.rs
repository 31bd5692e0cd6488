//! Why a server could not start.

use std::io;
use std::net::SocketAddr;

use crate::Transport;

/// Why a server could not start. Nothing is left behind: no thread runs, and every socket is closed.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A setting is out of its range.
    #[error("the setting `{name}` is {value}, but must be from {min} to {max}")]
    OutOfRange {
        /// The setting's name.
        name: &'static str,
        /// What it was set to.
        value: String,
        /// The least it can be.
        min: String,
        /// The most it can be.
        max: String,
    },
    /// A setting is no power of two.
    #[error("the setting `{name}` is {value}, but must be a power of two")]
    NoPowerOfTwo {
        /// The setting's name.
        name: &'static str,
        /// What it was set to.
        value: u32,
    },
    /// Two listen addresses exclude one another.
    #[error("the listen addresses {first} and {second} overlap: keep one of them")]
    Overlap {
        /// The one listed first.
        first: SocketAddr,
        /// The one listed after it.
        second: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {addr} ({}): {}", transport_name(*.transport), advice(.source, *.addr))]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// UDP or TCP.
        transport: Transport,
        /// The system's error.
        source: io::Error,
    },
    /// The system has no more threads, descriptors or memory.
    #[error("cannot start a network thread: raise the limits on open files and on threads, or set fewer threads")]
    Thread {
        /// The system's error.
        source: io::Error,
    },
}

fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
    }
}

/// The cause in a reader's words, and what to do about it.
fn advice(error: &io::Error, addr: SocketAddr) -> String {
    let port = addr.port();
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => format!(
            "the address is in use, probably by another DNS server; see who has it with `ss -lnptu 'sport = :{port}'`, \
             then stop that server or listen on another address"
        ),
        Some(libc::EACCES | libc::EPERM) if port != 0 && port < 1024 => format!(
            "port {port} needs CAP_NET_BIND_SERVICE: set `AmbientCapabilities=CAP_NET_BIND_SERVICE` in the service unit, \
             or run `setcap cap_net_bind_service=+ep` on the program, or listen on a port from 1024 up"
        ),
        Some(libc::EACCES | libc::EPERM) => "the system's policy forbids it; see its security log".to_owned(),
        Some(libc::EADDRNOTAVAIL) => {
            "no network interface has this address; see `ip address`, or listen on 0.0.0.0 or [::]".to_owned()
        }
        Some(libc::EAFNOSUPPORT) => "the system has this address family switched off; remove the address".to_owned(),
        Some(libc::EMFILE | libc::ENFILE) => "too many open files; raise the limit, or set fewer threads".to_owned(),
        _ => "the system refused it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen_error(errno: i32, addr: &str) -> String {
        let source = io::Error::from_raw_os_error(errno);
        NetError::Listen { addr: addr.parse().unwrap(), transport: Transport::Udp, source }.to_string()
    }

    #[test]
    fn causes_are_told_apart_with_a_next_step() {
        let privileged = listen_error(libc::EACCES, "192.0.2.1:53");
        assert!(privileged.starts_with("cannot listen on 192.0.2.1:53 (UDP): port 53 needs CAP_NET_BIND_SERVICE"));
        assert!(!listen_error(libc::EACCES, "192.0.2.1:5353").contains("CAP_NET_BIND_SERVICE"));
        assert!(listen_error(libc::EADDRINUSE, "[::1]:53").contains("ss -lnptu 'sport = :53'"));
        assert!(listen_error(libc::EADDRNOTAVAIL, "192.0.2.1:53").contains("no network interface"));
    }
}
