//! What to listen on and how much to take.

use std::net::SocketAddr;

use crate::NetError;
use crate::xdp::XdpConfig;

/// Most listen addresses of one server; a machine with more binds the wildcard addresses.
const LISTEN_MAX: usize = 256;
/// Most threads per transport.
const THREADS_MAX: usize = 1024;
/// Most datagrams per system call that Linux takes (`UIO_MAXIOV`).
const UDP_BATCH_MAX: usize = 1024;
/// Most TCP connections of one server.
const CONNECTIONS_MAX: usize = 1 << 20;
/// Longest time-out that can be set: one hour.
const TIMEOUT_MS_MAX: u64 = 3_600_000;
/// Most interfaces with AF_XDP.
const XDP_INTERFACES_MAX: usize = 64;
/// Longest busy polling of one system call.
const BUSY_POLL_US_MAX: u32 = 10_000;
/// Largest buffer that can be set: 1 GiB.
const BUFFER_BYTES_MAX: usize = 1 << 30;

/// What to listen on and with how many threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses, each for both UDP and TCP. Port 0 takes a free port, the same for both. `[::]` takes IPv6 only, so
    /// that `0.0.0.0` can be listened on beside it.
    pub listen: Vec<SocketAddr>,
    /// UDP threads, 1 to 1,024; 0 starts one per core that the process may use.
    pub threads: usize,
    /// Pins each UDP thread to a core. Done only when there are as many UDP threads as cores that the process may
    /// use: with fewer, two servers on one machine would share a core while others idle.
    pub pin: bool,
    /// Most datagrams per system call, 1 to 1,024.
    pub udp_batch: usize,
    /// Octets of the kernel's receive and of its send buffer, per UDP socket. Beyond the sysctls `net.core.rmem_max`
    /// and `net.core.wmem_max` it takes `CAP_NET_ADMIN`; without that, the kernel's maximum is used.
    pub udp_rcvbuf_bytes: usize,
    /// Source ports whose datagrams are dropped unread, at most 64; port 0 always is. They belong to services that
    /// answer to whatever they get, so a response to them could come back for ever.
    pub drop_source_ports: Vec<u16>,
    /// Limits for TCP.
    pub tcp: TcpLimits,
    /// Kernel bypass for UDP. Where it cannot be used, the log says why and the sockets above do the work.
    pub xdp: XdpConfig,
}

/// Source ports that no client uses, of services that answer to anything: echo, daytime, quote of the day, character
/// generator, time.
const REFLECTING_PORTS: [u16; 5] = [7, 13, 17, 19, 37];
/// Most source ports that are dropped; each datagram's is compared with all.
const DROP_SOURCE_PORTS_MAX: usize = 64;

/// Limits for TCP (RFC 7766 §6.2 and §10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpLimits {
    /// TCP threads, 1 to 1,024; 0 starts as many as there are UDP threads.
    pub threads: usize,
    /// Most connections in all. When full, the connection that has been idle longest is closed for a new one; where
    /// none is idle, the new one is refused.
    pub connections_max: usize,
    /// Most connections per client: an IPv4 address, or an IPv6 /64 prefix. More are refused.
    pub connections_per_client_max: usize,
    /// Closes a connection that carried no message for so many milliseconds (RFC 7766 §6.2.3). When more than half
    /// of `connections_max` are in use, the time-out shrinks evenly, down to a tenth when all are.
    pub idle_timeout_ms: u64,
    /// Milliseconds from the first octet of a message to its last.
    pub read_timeout_ms: u64,
    /// Milliseconds in which a client must take what is waiting to be written to it.
    pub write_timeout_ms: u64,
    /// Octets of responses to one connection above which none of its queries is answered or read until the client has
    /// taken what waits. One response can go beyond it, so at most this and 65,537 octets wait. As queries are
    /// answered in the order of arrival and at once, this is also the limit of queries in flight.
    pub write_buffer_bytes_max: usize,
    /// Octets of partial messages and of waiting responses of all connections together. A connection that would go
    /// beyond it is closed.
    pub buffer_bytes_max: usize,
    /// Most connections per listener that the kernel holds until they are accepted.
    pub backlog: i32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            threads: 0,
            pin: true,
            udp_batch: 64,
            udp_rcvbuf_bytes: 4 << 20,
            drop_source_ports: REFLECTING_PORTS.to_vec(),
            tcp: TcpLimits::default(),
            xdp: XdpConfig::default(),
        }
    }
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self {
            threads: 0,
            connections_max: 4096,
            connections_per_client_max: 64,
            idle_timeout_ms: 10_000,
            read_timeout_ms: 5_000,
            write_timeout_ms: 10_000,
            write_buffer_bytes_max: 64 << 10,
            buffer_bytes_max: 64 << 20,
            backlog: 1024,
        }
    }
}

impl Config {
    /// UDP threads that will be started.
    pub fn udp_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            set => set,
        }
    }

    /// TCP threads that will be started.
    pub fn tcp_threads(&self) -> usize {
        match self.tcp.threads {
            0 => self.udp_threads(),
            set => set,
        }
    }

    /// Refuses a value out of its range, and listen addresses that exclude one another.
    ///
    /// [`Server::start`](crate::Server::start) does the same; this is for telling before the start.
    pub fn check(&self) -> Result<(), NetError> {
        let tcp = &self.tcp;
        in_range("listen", self.listen.len(), 1, LISTEN_MAX)?;
        in_range("threads", self.threads, 0, THREADS_MAX)?;
        in_range("udp_batch", self.udp_batch, 1, UDP_BATCH_MAX)?;
        in_range("udp_rcvbuf_bytes", self.udp_rcvbuf_bytes, 4096, BUFFER_BYTES_MAX)?;
        in_range("drop_source_ports", self.drop_source_ports.len(), 0, DROP_SOURCE_PORTS_MAX)?;
        in_range("tcp.threads", tcp.threads, 0, THREADS_MAX)?;
        in_range("tcp.connections_max", tcp.connections_max, 1, CONNECTIONS_MAX)?;
        in_range("tcp.connections_per_client_max", tcp.connections_per_client_max, 1, CONNECTIONS_MAX)?;
        in_range("tcp.idle_timeout_ms", tcp.idle_timeout_ms, 1, TIMEOUT_MS_MAX)?;
        in_range("tcp.read_timeout_ms", tcp.read_timeout_ms, 1, TIMEOUT_MS_MAX)?;
        in_range("tcp.write_timeout_ms", tcp.write_timeout_ms, 1, TIMEOUT_MS_MAX)?;
        in_range("tcp.write_buffer_bytes_max", tcp.write_buffer_bytes_max, 1024, BUFFER_BYTES_MAX)?;
        in_range("tcp.buffer_bytes_max", tcp.buffer_bytes_max, 1024, BUFFER_BYTES_MAX)?;
        in_range("tcp.backlog", tcp.backlog, 1, 65_535)?;
        in_range("xdp.interfaces", self.xdp.interfaces.len(), 0, XDP_INTERFACES_MAX)?;
        in_range("xdp.threads", self.xdp.threads, 0, THREADS_MAX)?;
        in_range("xdp.ring_entries", self.xdp.ring_entries, 64, 32_768)?;
        in_range("xdp.busy_poll_us", self.xdp.busy_poll_us, 0, BUSY_POLL_US_MAX)?;
        if !self.xdp.ring_entries.is_power_of_two() {
            return Err(NetError::NoPowerOfTwo { name: "xdp.ring_entries", value: self.xdp.ring_entries });
        }
        self.check_overlap()
    }

    fn check_overlap(&self) -> Result<(), NetError> {
        for (index, first) in self.listen.iter().enumerate() {
            for second in &self.listen[index + 1..] {
                if overlap(first, second) {
                    return Err(NetError::Overlap { first: *first, second: *second });
                }
            }
        }
        Ok(())
    }
}

fn overlap(first: &SocketAddr, second: &SocketAddr) -> bool {
    first.port() != 0
        && first.port() == second.port()
        && first.is_ipv4() == second.is_ipv4()
        && (first == second || first.ip().is_unspecified() || second.ip().is_unspecified())
}

fn in_range<T: PartialOrd + Copy + std::fmt::Display>(
    name: &'static str,
    value: T,
    min: T,
    max: T,
) -> Result<(), NetError> {
    if value < min || value > max {
        return Err(NetError::OutOfRange {
            name,
            value: value.to_string(),
            min: min.to_string(),
            max: max.to_string(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(addresses: &[&str]) -> Config {
        Config { listen: addresses.iter().map(|text| text.parse().unwrap()).collect(), ..Config::default() }
    }

    #[test]
    fn defaults_with_an_address_are_accepted() {
        listen(&["127.0.0.1:53"]).check().unwrap();
        listen(&["0.0.0.0:53", "[::]:53"]).check().unwrap();
        listen(&["127.0.0.1:0", "127.0.0.1:0"]).check().unwrap();
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        let error = listen(&[]).check().unwrap_err();
        assert_eq!(error.to_string(), "the setting `listen` is 0, but must be from 1 to 256");
        let config = Config { udp_batch: 1025, ..listen(&["127.0.0.1:53"]) };
        assert!(config.check().unwrap_err().to_string().contains("`udp_batch` is 1025"));
    }

    #[test]
    fn addresses_that_exclude_one_another_are_refused() {
        for pair in [["127.0.0.1:53", "127.0.0.1:53"], ["0.0.0.0:53", "127.0.0.1:53"], ["[::1]:53", "[::]:53"]] {
            assert!(matches!(listen(&pair).check(), Err(NetError::Overlap { .. })), "{pair:?}");
        }
    }
}
