//! A flood: as many queries as asked for, from many addresses, whatever comes back.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg, setsockopt, sockopt};

use crate::data::{QUERY_LEN_MAX, Queries};

/// Datagrams per system call.
const BATCH: usize = 64;

/// Sends until `stop` says so, at most `rate` queries a second. Returns how many a second there were.
pub(crate) fn flood(
    server: SocketAddr,
    sources: &[IpAddr],
    queries: &Queries,
    rate: f64,
    stop: &AtomicBool,
) -> Result<f64> {
    let mut sockets = Vec::with_capacity(sources.len());
    for source in sources {
        let socket = UdpSocket::bind((*source, 0)).with_context(|| format!("{source} can't be a source"))?;
        socket.connect(server)?;
        // Answers are thrown away by the kernel as soon as a few wait.
        setsockopt(&socket, sockopt::RcvBuf, &1)?;
        sockets.push(socket);
    }
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    let mut messages = vec![[0_u8; QUERY_LEN_MAX]; BATCH];
    let mut lens = [0; BATCH];
    let (start, mut sent) = (Instant::now(), 0_usize);
    while !stop.load(Ordering::Relaxed) {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 queries")]
        let due = Duration::from_secs_f64(sent as f64 / rate);
        if let Some(early) = due.checked_sub(start.elapsed()) {
            std::thread::sleep(early);
        }
        for ((message, len), index) in messages.iter_mut().zip(&mut lens).zip(sent..) {
            let (query, _) = queries.message(index);
            message[..query.len()].copy_from_slice(query);
            message[..2].copy_from_slice(&index.to_le_bytes()[..2]);
            *len = query.len();
        }
        let slices: [[IoSlice<'_>; 1]; BATCH] =
            std::array::from_fn(|slot| [IoSlice::new(&messages[slot][..lens[slot]])]);
        let socket = &sockets[sent / BATCH % sockets.len()];
        match sendmmsg(socket.as_raw_fd(), &mut headers, &slices, [None::<()>; BATCH], [], MsgFlags::empty()) {
            Ok(_) | Err(Errno::ECONNREFUSED | Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error).context("sending a flood failed"),
        }
        sent += BATCH;
    }
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 queries")]
    Ok(sent as f64 / start.elapsed().as_secs_f64())
}
