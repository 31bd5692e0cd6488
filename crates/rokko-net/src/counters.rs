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

counters! {
    /// One AF_XDP thread's counters.
    XdpCell,
    /// What all AF_XDP threads, the redirect program and the kernel beneath them did since the start.
    XdpValues {
        /// Frames taken from a ring.
        received,
        /// Octets in the datagrams among them.
        received_bytes,
        /// Responses queued for sending.
        answered,
        /// Octets in them, without headers.
        answered_bytes,
        /// Batches of frames; `received / batches` is the mean batch.
        batches,
        /// Datagrams that the handler answered with nothing.
        dropped,
        /// Datagrams longer than [`UDP_QUERY_BYTES_MAX`](crate::UDP_QUERY_BYTES_MAX), dropped.
        oversized,
        /// Frames shorter than their headers say, dropped.
        short,
        /// Frames with lengths that contradict one another, dropped.
        malformed,
        /// Frames with a wrong checksum, dropped.
        bad_checksum,
        /// Datagrams from an address that cannot be answered, dropped.
        bad_source,
        /// Datagrams dropped because all frames for responses were under way.
        no_frame,
        /// Failed calls to send.
        send_errors,
        /// Frames that the redirect program dropped because [`Handler::shed`](crate::Handler::shed) had them kept away.
        shed,
        /// Frames that the kernel dropped for reasons other than those below.
        rx_dropped,
        /// Frames that the kernel did not accept for receiving.
        rx_invalid,
        /// Frames that the kernel did not accept for sending.
        tx_invalid,
        /// Frames that the kernel dropped because a receive ring was full.
        rx_ring_full,
        /// How often the kernel had no frame to receive into.
        fill_ring_empty,
        /// How often the kernel found nothing to send.
        tx_ring_empty,
        /// Frames left to the kernel: shorter than their headers.
        passed_short,
        /// Frames left to the kernel: to more than one host.
        passed_group,
        /// Frames left to the kernel: neither IPv4 nor IPv6.
        passed_not_ip,
        /// Frames left to the kernel: no UDP.
        passed_not_udp,
        /// Frames left to the kernel: IPv4 options or IPv6 extension headers.
        passed_options,
        /// Frames left to the kernel: fragments.
        passed_fragment,
        /// Frames left to the kernel: for another address or port.
        passed_elsewhere,
        /// Frames left to the kernel: their queue has no socket.
        passed_no_socket,
    }
}

/// The counters of a running server. Reading takes no lock and disturbs no thread.
#[derive(Debug)]
pub struct Counters {
    udp: Box<[UdpCell]>,
    tcp: Box<[TcpCell]>,
    /// One for each AF_XDP thread, and one for the thread that looks after the program.
    xdp: Box<[XdpCell]>,
    admission: Arc<Admission>,
}

/// All counters, summed over the threads. Each is exact, but they are not of one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterValues {
    /// UDP.
    pub udp: UdpValues,
    /// TCP.
    pub tcp: TcpValues,
    /// AF_XDP.
    pub xdp: XdpValues,
    /// TCP connections in use now.
    pub tcp_connections: u64,
}

impl Counters {
    pub(crate) fn new(udp_threads: usize, tcp_threads: usize, xdp_threads: usize, admission: Arc<Admission>) -> Self {
        Self {
            udp: (0..udp_threads).map(|_| UdpCell::default()).collect(),
            tcp: (0..tcp_threads).map(|_| TcpCell::default()).collect(),
            xdp: (0..=xdp_threads).map(|_| XdpCell::default()).collect(),
            admission,
        }
    }

    pub(crate) fn udp_cell(&self, thread: usize) -> &UdpCell {
        &self.udp[thread]
    }

    pub(crate) fn tcp_cell(&self, thread: usize) -> &TcpCell {
        &self.tcp[thread]
    }

    pub(crate) fn xdp_cell(&self, thread: usize) -> &XdpCell {
        &self.xdp[thread]
    }

    /// Sums the threads' counters.
    pub fn values(&self) -> CounterValues {
        let mut values = CounterValues { tcp_connections: self.admission.in_use() as u64, ..CounterValues::default() };
        self.udp.iter().for_each(|cell| cell.sum_into(&mut values.udp));
        self.tcp.iter().for_each(|cell| cell.sum_into(&mut values.tcp));
        self.xdp.iter().for_each(|cell| cell.sum_into(&mut values.xdp));
        values
    }
}
