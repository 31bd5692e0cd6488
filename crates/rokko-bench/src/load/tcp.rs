//! Load over TCP: many connections, several queries in flight on each.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::flow::Flow;
use super::{LINGER, Outcome};
use crate::data::Queries;

/// Octets that are read at once; also the longest message that is understood.
const BUFFER_LEN: usize = 1 << 17;
/// After so long a query counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(2);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A load over TCP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpLoad {
    pub(crate) server: SocketAddr,
    pub(crate) connections: usize,
    /// Queries in flight on each connection.
    pub(crate) in_flight: usize,
    /// A connection is closed and replaced by a new one after so many queries.
    pub(crate) queries_per_connection: Option<usize>,
    pub(crate) duration: Duration,
}

struct Connection {
    stream: TcpStream,
    flow: Flow,
    /// What has been read and is no whole message yet.
    input: Vec<u8>,
    output: Vec<u8>,
}

/// Asks `queries` in turn.
pub(crate) fn run(load: &TcpLoad, queries: &Queries) -> Result<Outcome> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let start = Instant::now();
    let mut work = Work { load, queries, next: 0, epoll, start, done: Outcome::new(), buffer: vec![0; BUFFER_LEN] };
    let mut connections = Vec::with_capacity(load.connections);
    for index in 0..load.connections {
        connections.push(work.connect(index)?);
    }
    // Connecting is not part of the load unless connections are replaced.
    work.start = Instant::now();
    for connection in &mut connections {
        work.ask(connection)?;
    }
    let mut events = vec![EpollEvent::empty(); load.connections.max(1)];
    while work.start.elapsed() < load.duration {
        let ready = work.epoll.wait(&mut events, 20_u16).unwrap_or(0);
        for event in &events[..ready] {
            let index = usize::try_from(event.data()).unwrap_or(usize::MAX);
            let Some(connection) = connections.get_mut(index) else { continue };
            if !work.receive(connection)? {
                let spent = std::mem::replace(connection, work.connect(index)?);
                spent.flow.finish(&mut work.done);
            }
            work.ask(connection)?;
        }
        let now = work.now_ns();
        for connection in &mut connections {
            connection.flow.expire(now, &mut work.done);
        }
    }
    let end = work.start.elapsed();
    while work.start.elapsed() < end + LINGER && connections.iter().any(|one| one.flow.in_flight() > 0) {
        let ready = work.epoll.wait(&mut events, 20_u16).unwrap_or(0);
        for event in &events[..ready] {
            if let Some(connection) = connections.get_mut(usize::try_from(event.data()).unwrap_or(usize::MAX)) {
                work.receive(connection)?;
            }
        }
    }
    for connection in connections {
        connection.flow.finish(&mut work.done);
    }
    work.done.seconds = end.as_secs_f64();
    if work.done.answered == 0 {
        bail!("{} answered nothing over TCP", load.server);
    }
    Ok(work.done)
}

struct Work<'a> {
    load: &'a TcpLoad,
    queries: &'a Queries,
    next: usize,
    epoll: Epoll,
    start: Instant,
    done: Outcome,
    buffer: Vec<u8>,
}

impl Work<'_> {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn connect(&mut self, index: usize) -> Result<Connection> {
        let stream = TcpStream::connect_timeout(&self.load.server, CONNECT_LIMIT)
            .with_context(|| format!("connection {index} to {}", self.load.server))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let data = u64::try_from(index).unwrap_or(u64::MAX);
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, data))?;
        let flow = Flow::new(self.load.in_flight, LOST_AFTER);
        Ok(Connection { stream, flow, input: Vec::with_capacity(BUFFER_LEN), output: Vec::with_capacity(1 << 14) })
    }

    /// Fills up what is in flight on a connection.
    fn ask(&mut self, connection: &mut Connection) -> Result<()> {
        let now = self.now_ns();
        let limit = self.load.queries_per_connection.unwrap_or(usize::MAX);
        while connection.flow.in_flight() < self.load.in_flight && connection.flow.sent() < limit {
            let (query, rcode) = self.queries.message(self.next);
            self.next += 1;
            let len = u16::try_from(query.len()).unwrap_or(u16::MAX);
            connection.output.extend_from_slice(&len.to_be_bytes());
            connection.output.extend_from_slice(&connection.flow.send(now, rcode, &mut self.done));
            connection.output.extend_from_slice(&query[2..]);
        }
        while !connection.output.is_empty() {
            match connection.stream.write(&connection.output) {
                Ok(written) => drop(connection.output.drain(..written)),
                // The answers that come next make room.
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if is_over(&error) => connection.output.clear(),
                Err(error) => return Err(error).context("sending queries over TCP failed"),
            }
        }
        Ok(())
    }

    /// Takes in what has come; false if the connection is at its end.
    fn receive(&mut self, connection: &mut Connection) -> Result<bool> {
        let read = match connection.stream.read(&mut self.buffer) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if is_over(&error) => return Ok(false),
            Err(error) => return Err(error).context("receiving answers over TCP failed"),
        };
        let now = self.now_ns();
        connection.input.extend_from_slice(&self.buffer[..read]);
        let mut at = 0;
        while let Some(message) = framed(&connection.input[at..]) {
            connection.flow.receive(message, now, &mut self.done);
            at += 2 + message.len();
        }
        connection.input.drain(..at);
        let limit = self.load.queries_per_connection.unwrap_or(usize::MAX);
        Ok(connection.flow.sent() < limit || connection.flow.in_flight() > 0)
    }
}

/// The first message of a stream, if it is there whole.
fn framed(stream: &[u8]) -> Option<&[u8]> {
    let (len, rest) = stream.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*len)))
}

fn is_over(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_by_their_length() {
        assert_eq!(framed(&[0, 2, 7, 8, 9]), Some(&[7, 8][..]));
        assert_eq!(framed(&[0, 3, 7, 8]), None);
        assert_eq!(framed(&[0]), None);
    }
}
