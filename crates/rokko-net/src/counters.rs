//! What the threads did, counted without sharing a cache line.
//!
//! Each thread is the only writer of its own cell, so that a counter is a plain load and store. Readers sum the cells.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::admission::Admission;

/// Declares the cell that a thread writes, and the sums that a reader gets, from one list of fields.
macro_rules! counters {
    ($(#[$cell_doc:meta])* $cell:ident, $(#[$values_doc:meta])* $values:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$cell_doc])*
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct $cell {
            $($field: AtomicU64,)*
        }

        $(#[$values_doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $values {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl $cell {
            /// Adds what the owning thread counted since the last call, and clears it.
            pub(crate) fn add(&self, counted: &mut $values) {
                $(
                    if counted.$field != 0 {
                        // Only the owning thread writes, so nothing is lost between the load and the store.
                        let total = self.$field.load(Ordering::Relaxed).wrapping_add(counted.$field);
                        self.$field.store(total, Ordering::Relaxed);
                    }
                )*
                *counted = $values::default();
            }

            fn sum_into(&self, sum: &mut $values) {
                $(sum.$field = sum.$field.wrapping_add(self.$field.load(Ordering::Relaxed));)*
            }
        }
    };
}

counters! {
    /// One UDP thread's counters.
    UdpCell,
    /// What all UDP threads did since the start.
    UdpValues {
        /// Datagrams taken from a socket.
        received,
        /// Octets in them.
        received_bytes,
        /// Responses given to the kernel.
        answered,
        /// Octets in them.
        answered_bytes,
        /// Datagrams that the handler answered with nothing, or whose source is no internet address.
        dropped,
        /// Datagrams from port 0 or from one of [`Config::drop_source_ports`](crate::Config::drop_source_ports),
        /// dropped.
        source_port,
        /// Datagrams that say to come from the address and port that they went to, dropped.
        own_address,
        /// Datagrams that the kernel dropped before they were read: the socket's buffer was full, or
        /// [`Handler::shed`](crate::Handler::shed) had them kept away. Read about once per second.
        kernel_dropped,
        /// Datagrams longer than [`UDP_QUERY_BYTES_MAX`](crate::UDP_QUERY_BYTES_MAX), dropped.
        oversized,
        /// Responses that the kernel did not take: its buffers were full, or there was no route.
        send_errors,
        /// Failed receive calls.
        receive_errors,
        /// Calls that took at least one datagram; `received / batches` is the mean batch.
        batches,
    }
}

counters! {
    /// One TCP thread's counters.
    TcpCell,
    /// What all TCP threads did since the start.
    TcpValues {
        /// Connections taken into service.
        accepted,
        /// Connections taken into service and closed since, for any reason.
        closed,
        /// Connections refused because their client has `connections_per_client_max`.
        refused_client,
        /// Connections refused because there were `connections_max`, none of them idle on the accepting thread.
        refused_total,
        /// Idle connections closed to make room for a new one.
        evicted,
        /// Connections closed after being idle.
        idle_timeouts,
        /// Connections closed because a message did not arrive whole in time.
        read_timeouts,
        /// Connections closed because the client did not take its responses in time.
        write_timeouts,
        /// Connections closed because all connections together held `buffer_bytes_max`.
        buffer_limit,
        /// Connections that ended with an error of the network.
        errors,
        /// Failed accept calls, most often for want of file descriptors.
        accept_errors,
        /// Messages read.
        queries,
        /// Responses written or waiting to be written.
        answered,
        /// Octets read.
        received_bytes,
        /// Octets written.
        sent_bytes,
    }
}

/// The counters of a running server. Reading takes no lock and disturbs no thread.
#[derive(Debug)]
pub struct Counters {
    udp: Box<[UdpCell]>,
    tcp: Box<[TcpCell]>,
    admission: Arc<Admission>,
}

/// All counters, summed over the threads. Each is exact, but they are not of one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterValues {
    /// UDP.
    pub udp: UdpValues,
    /// TCP.
    pub tcp: TcpValues,
    /// TCP connections in use now.
    pub tcp_connections: u64,
}

impl Counters {
    pub(crate) fn new(udp_threads: usize, tcp_threads: usize, admission: Arc<Admission>) -> Self {
        Self {
            udp: (0..udp_threads).map(|_| UdpCell::default()).collect(),
            tcp: (0..tcp_threads).map(|_| TcpCell::default()).collect(),
            admission,
        }
    }

    pub(crate) fn udp_cell(&self, thread: usize) -> &UdpCell {
        &self.udp[thread]
    }

    pub(crate) fn tcp_cell(&self, thread: usize) -> &TcpCell {
        &self.tcp[thread]
    }

    /// Sums the threads' counters.
    pub fn values(&self) -> CounterValues {
        let mut values = CounterValues { tcp_connections: self.admission.in_use() as u64, ..CounterValues::default() };
        self.udp.iter().for_each(|cell| cell.sum_into(&mut values.udp));
        self.tcp.iter().for_each(|cell| cell.sum_into(&mut values.tcp));
        values
    }
}
