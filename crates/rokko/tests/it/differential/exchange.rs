//! Sends many queries at once and collects the responses.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// Queries in flight over UDP, few enough for any socket buffer.
const UDP_WINDOW: usize = 64;
/// Queries in flight over TCP: small enough that neither side's buffers fill up while both write.
const TCP_WINDOW: usize = 16;
/// How long silence lasts before what is missing is sent again.
const RESEND_AFTER: Duration = Duration::from_millis(700);
/// How often a query is sent before it counts as unanswered.
const SENDS_MAX: usize = 6;

/// Asks `server` all the queries over UDP. The ID of each is its place in the list, which has at most 65,536 items.
pub(super) fn udp(server: SocketAddr, queries: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has free ports");
    socket.connect(server).expect("a loopback address can be connected to");
    socket.set_read_timeout(Some(RESEND_AFTER)).expect("a time-out above zero is valid");
    let mut responses: Vec<Option<Vec<u8>>> = vec![None; queries.len()];
    for (window, start) in queries.chunks(UDP_WINDOW).zip((0..).step_by(UDP_WINDOW)) {
        let slots = &mut responses[start..start + window.len()];
        udp_window(&socket, window, start, slots);
        if slots.iter().all(Option::is_none) {
            // The server is gone: the rest would be silence as well, only longer.
            break;
        }
    }
    responses
}

fn udp_window(socket: &UdpSocket, queries: &[&[u8]], start: usize, responses: &mut [Option<Vec<u8>>]) {
    let mut buffer = vec![0; 65_535];
    for _ in 0..SENDS_MAX {
        for (at, query) in queries.iter().enumerate().filter(|(at, _)| responses[*at].is_none()) {
            let message = with_id(query, start + at);
            // A full buffer loses the datagram; it is sent again.
            let _ = socket.send(&message);
        }
        while responses.iter().any(Option::is_none) {
            let Ok(len) = socket.recv(&mut buffer) else { break };
            let id = buffer.first_chunk().map_or(0, |id| usize::from(u16::from_be_bytes(*id)));
            if let Some(slot) = id.checked_sub(start).and_then(|at| responses.get_mut(at)) {
                *slot = Some(buffer[..len].to_vec());
            }
        }
        if responses.iter().all(Option::is_some) {
            return;
        }
    }
}

/// Asks `server` all the queries over TCP, as [`udp`] does.
pub(super) fn tcp(server: SocketAddr, queries: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
    let mut responses: Vec<Option<Vec<u8>>> = vec![None; queries.len()];
    let mut stream = None;
    for (window, start) in queries.chunks(TCP_WINDOW).zip((0..).step_by(TCP_WINDOW)) {
        let slots = &mut responses[start..start + window.len()];
        for _ in 0..SENDS_MAX {
            let connected = match stream.take() {
                Some(stream) => Ok(stream),
                None => connect(server),
            };
            // A server may close a connection at any time (RFC 7766 §6.2.3): what is missing is asked again.
            stream =
                connected.and_then(|mut stream| tcp_window(&mut stream, window, start, slots).map(|()| stream)).ok();
            if slots.iter().all(Option::is_some) {
                break;
            }
        }
        if slots.iter().all(Option::is_none) {
            break;
        }
    }
    responses
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(RESEND_AFTER))?;
    Ok(stream)
}

fn tcp_window(
    stream: &mut TcpStream,
    queries: &[&[u8]],
    start: usize,
    responses: &mut [Option<Vec<u8>>],
) -> io::Result<()> {
    let mut sent = Vec::new();
    for (at, query) in queries.iter().enumerate().filter(|(at, _)| responses[*at].is_none()) {
        let message = with_id(query, start + at);
        sent.extend(u16::try_from(message.len()).expect("queries are short").to_be_bytes());
        sent.extend(message);
    }
    stream.write_all(&sent)?;
    while responses.iter().any(Option::is_none) {
        let mut len = [0; 2];
        stream.read_exact(&mut len)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut message)?;
        let id = message.first_chunk().map_or(0, |id| usize::from(u16::from_be_bytes(*id)));
        if let Some(slot) = id.checked_sub(start).and_then(|at| responses.get_mut(at)) {
            *slot = Some(message);
        }
    }
    Ok(())
}

fn with_id(query: &[u8], index: usize) -> Vec<u8> {
    let mut message = query.to_vec();
    message[..2].copy_from_slice(&u16::try_from(index).expect("at most 65,536 queries at a time").to_be_bytes());
    message
}
