//! A closed loop of UDP queries: so many in flight, the next one when an answer is back.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};

/// Queries in flight at once.
const IN_FLIGHT: usize = 128;
/// Datagrams per system call.
const BATCH: usize = 32;
const RESPONSE_LEN_MAX: usize = 1500;
/// After so long without an answer the queries in flight count as lost.
const LOST_AFTER: Duration = Duration::from_millis(200);

/// What came of a load.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    pub(crate) seconds: f64,
    /// Answers by rcode: NOERROR, NXDOMAIN, others.
    pub(crate) rcodes: [u64; 3],
}

/// Asks `queries` in turn for `duration`.
pub(crate) fn run(server: SocketAddr, queries: &[Vec<u8>], duration: Duration) -> Result<Outcome> {
    let socket = UdpSocket::bind(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" })?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(LOST_AFTER))?;
    let mut outcome = Outcome::default();
    let mut messages: Vec<Vec<u8>> = vec![Vec::new(); BATCH];
    let mut buffers = vec![[0_u8; RESPONSE_LEN_MAX]; BATCH];
    let (mut next, mut in_flight) = (0_usize, 0_usize);
    let start = Instant::now();
    while start.elapsed() < duration {
        while in_flight < IN_FLIGHT {
            let count = (IN_FLIGHT - in_flight).min(BATCH);
            for message in &mut messages[..count] {
                let query = &queries[next % queries.len()];
                message.clear();
                message.extend_from_slice(query);
                message[..2].copy_from_slice(&next.to_le_bytes()[..2]);
                next += 1;
            }
            in_flight += send(&socket, &messages[..count])?;
        }
        let received = receive(&socket, &mut buffers, &mut outcome)?;
        if received == 0 {
            outcome.lost += in_flight as u64;
            in_flight = 0;
        }
        outcome.answered += received as u64;
        in_flight = in_flight.saturating_sub(received);
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    if outcome.answered == 0 {
        bail!("{server} answered nothing");
    }
    Ok(outcome)
}

fn send(socket: &UdpSocket, messages: &[Vec<u8>]) -> Result<usize> {
    let slices: Vec<[IoSlice<'_>; 1]> = messages.iter().map(|message| [IoSlice::new(message)]).collect();
    let addresses: Vec<Option<SockaddrStorage>> = vec![None; messages.len()];
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(messages.len(), None);
    let sent = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, addresses, [], MsgFlags::empty());
    Ok(sent.context("sending queries failed")?.count())
}

fn receive(socket: &UdpSocket, buffers: &mut [[u8; RESPONSE_LEN_MAX]], outcome: &mut Outcome) -> Result<usize> {
    let received = {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(slices.len(), None);
        match recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
            Ok(received) => received.count(),
            Err(nix::errno::Errno::EAGAIN) => 0,
            Err(error) => return Err(error).context("receiving answers failed"),
        }
    };
    for buffer in &buffers[..received] {
        let kind = match buffer[3] & 0x0f {
            0 => 0,
            3 => 1,
            _ => 2,
        };
        outcome.rcodes[kind] += 1;
    }
    Ok(received)
}
