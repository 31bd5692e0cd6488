//! How many TCP connections there are, in all and per client.
//!
//! The one thing that TCP threads share. Its lock is taken when a connection opens or closes, never for a query.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts connections. The table has at most one entry per connection, so `connections_max` bounds it.
#[derive(Debug)]
pub(crate) struct Admission {
    connections_max: usize,
    per_client_max: usize,
    in_use: AtomicUsize,
    per_client: Mutex<HashMap<Client, usize>>,
}

/// What counts as one client: an IPv4 address, or the /64 prefix that one IPv6 host commonly owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4([u8; 4]),
    V6(u64),
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The client has all the connections that one client can have.
    Client,
    /// The server has all the connections that it can have.
    Total,
}

/// The right to one connection, given back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    admission: Arc<Admission>,
    client: Client,
}

impl Admission {
    pub(crate) fn new(connections_max: usize, per_client_max: usize) -> Self {
        Self { connections_max, per_client_max, in_use: AtomicUsize::new(0), per_client: Mutex::default() }
    }

    /// Connections in use.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Admits a connection from `ip`, or says why not. The client's limit is looked at first, so that a client over
    /// its own limit cannot make room at the cost of others.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Ticket, Refusal> {
        let client = Client::of(ip);
        let mut per_client = self.per_client.lock().unwrap_or_else(PoisonError::into_inner);
        let held = per_client.get(&client).copied().unwrap_or(0);
        if held >= self.per_client_max {
            return Err(Refusal::Client);
        }
        if self.in_use.load(Ordering::Relaxed) >= self.connections_max {
            return Err(Refusal::Total);
        }
        per_client.insert(client, held + 1);
        self.in_use.fetch_add(1, Ordering::Relaxed);
        Ok(Ticket { admission: Arc::clone(self), client })
    }

    /// The idle time-out under the present load (RFC 7766 §6.2.3 lets a server under pressure lower it): whole up to
    /// half of the connections in use, then falling evenly to a tenth.
    pub(crate) fn idle_timeout_ms(&self, configured_ms: u64) -> u64 {
        let half = self.connections_max / 2;
        let over = self.in_use().saturating_sub(half) as u64;
        let span = (self.connections_max - half).max(1) as u64;
        (configured_ms - configured_ms * 9 * over.min(span) / (10 * span)).max(1)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut per_client = self.admission.per_client.lock().unwrap_or_else(PoisonError::into_inner);
        match per_client.get_mut(&self.client) {
            Some(held) if *held > 1 => *held -= 1,
            _ => {
                per_client.remove(&self.client);
            }
        }
        self.admission.in_use.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Client {
    fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn limits_hold_and_tickets_come_back() {
        let admission = Arc::new(Admission::new(3, 2));
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        let _second = admission.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.1")).unwrap_err(), Refusal::Client);
        let _other = admission.admit(ip("192.0.2.2")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.3")).unwrap_err(), Refusal::Total);
        assert_eq!(admission.in_use(), 3);
        drop(first);
        assert_eq!(admission.in_use(), 2);
        admission.admit(ip("192.0.2.1")).unwrap();
    }

    #[test]
    fn the_table_forgets_clients_that_left() {
        let admission = Arc::new(Admission::new(2, 2));
        for host in 0..100 {
            drop(admission.admit(ip(&format!("192.0.2.{host}"))).unwrap());
        }
        assert!(admission.per_client.lock().unwrap().is_empty());
    }

    #[test]
    fn an_ipv6_client_is_its_64_bit_prefix() {
        let admission = Arc::new(Admission::new(9, 1));
        let _held = admission.admit(ip("2001:db8::1")).unwrap();
        assert_eq!(admission.admit(ip("2001:db8::ffff:2")).unwrap_err(), Refusal::Client);
        admission.admit(ip("2001:db8:0:1::1")).unwrap();
    }

    #[test]
    fn the_idle_timeout_shrinks_in_the_upper_half() {
        let admission = Arc::new(Admission::new(4, 4));
        let mut tickets = Vec::new();
        let mut seen = vec![admission.idle_timeout_ms(10_000)];
        for _ in 0..4 {
            tickets.push(admission.admit(ip("192.0.2.1")).unwrap());
            seen.push(admission.idle_timeout_ms(10_000));
        }
        assert_eq!(seen, [10_000, 10_000, 10_000, 5_500, 1_000]);
        assert_eq!(Admission::new(1, 1).idle_timeout_ms(1), 1);
    }
}
