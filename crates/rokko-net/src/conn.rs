//! One TCP connection: messages with a two-octet length in front (RFC 1035 §4.2.2), any number of them in either
//! direction (RFC 7766 §6.2.1.1).
//!
//! ```text
//!   Open ── end of the client's stream ──► closed
//!     │ stop, all responses written
//!     └──► Lingering ── end of the client's stream, or the deadline ──► closed
//! ```
//!
//! Queries are answered in the order of arrival and at once. Responses go out in one write per turn. What the client
//! does not take waits in `output`; while anything waits there, no query is answered and nothing is read, so that the
//! client's own window fills and it has to wait. For the same reason the end of the client's stream is seen only after
//! all its queries are answered, so that a client may end its side right after its last query. A partial message waits in `input`. An idle connection holds no
//! buffer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use crate::admission::Ticket;
use crate::{Handler, Peer, Query, TCP_RESPONSE_BYTES_MAX, TcpLimits, TcpValues};

/// Octets of the length prefix.
const PREFIX_BYTES: usize = 2;
/// Octets read per turn: one connection cannot keep the others of its thread waiting for longer.
const READ_BYTES: usize = 16 << 10;

/// What the connections of one thread share while they have their turn.
pub(crate) struct Turn<'a, H> {
    pub(crate) handler: &'a mut H,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) counted: &'a mut TcpValues,
    /// Unix time in milliseconds, for the handler.
    pub(crate) unix_ms: u64,
    /// Milliseconds of the thread's monotonic clock.
    pub(crate) now_ms: u64,
}

/// Buffers of a thread, used by one connection at a time.
pub(crate) struct Scratch {
    input: Box<[u8]>,
    output: Box<[u8]>,
    /// Octets of `output` from which on no further query is answered before they are written.
    output_full_at: usize,
}

/// How a turn left the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Octets were read; there may be more.
    Progress,
    /// Nothing more can be done before the socket becomes ready.
    Waiting,
    /// All is done: close it.
    Done,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
}

/// Why a connection has been waited for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Idle,
    Read,
    Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Lingering,
}

/// One connection.
pub(crate) struct Conn {
    stream: TcpStream,
    peer: Peer,
    phase: Phase,
    /// Octets read and not answered: a partial message, or whole ones that wait for `output` to be taken.
    input: Vec<u8>,
    /// Octets of responses that the client has not taken yet, from `written` on.
    output: Vec<u8>,
    written: usize,
    /// When the last message was answered, or the connection was accepted.
    active_ms: u64,
    /// When `input` began to wait.
    partial_since_ms: u64,
    /// When `output` began to wait.
    blocked_since_ms: u64,
    /// What the epoll set has been told to wait for.
    pub(crate) registered: Interest,
    _ticket: Ticket,
}

impl Scratch {
    pub(crate) fn new(limits: &TcpLimits) -> Self {
        let full_at = limits.write_buffer_bytes_max;
        Self {
            input: vec![0; READ_BYTES].into(),
            output: vec![0; full_at + PREFIX_BYTES + TCP_RESPONSE_BYTES_MAX].into(),
            output_full_at: full_at,
        }
    }
}

impl Conn {
    /// Takes an accepted, non-blocking stream into service.
    pub(crate) fn new(stream: TcpStream, peer: Peer, ticket: Ticket, now_ms: u64) -> Self {
        Self {
            stream,
            peer,
            phase: Phase::Open,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            active_ms: now_ms,
            partial_since_ms: now_ms,
            blocked_since_ms: now_ms,
            registered: Interest::Read,
            _ticket: ticket,
        }
    }

    /// Does what can be done without waiting: writes, answers, and reads once. An error is the network's.
    pub(crate) fn turn<H: Handler>(&mut self, turn: &mut Turn<'_, H>) -> io::Result<After> {
        if self.phase == Phase::Lingering {
            return self.discard(turn);
        }
        self.write_waiting(turn)?;
        self.answer_held_back(turn)?;
        if !self.output.is_empty() {
            return Ok(After::Waiting);
        }
        match self.stream.read(&mut turn.scratch.input) {
            Ok(0) => Ok(After::Done),
            Ok(length) => {
                turn.counted.received_bytes += length as u64;
                self.take(length, turn)?;
                Ok(After::Progress)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(After::Waiting),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(After::Progress),
            Err(error) => Err(error),
        }
    }

    /// Ends the stream to the client after all responses were written, and waits for the client to do the same:
    /// closing while its octets arrive would reset the connection, and some systems then discard what they have
    /// received and not yet read.
    pub(crate) fn linger(&mut self) -> io::Result<()> {
        self.phase = Phase::Lingering;
        self.input = Vec::new();
        self.stream.shutdown(Shutdown::Write)
    }

    /// What the connection waits for.
    pub(crate) fn interest(&self) -> Interest {
        if self.output.is_empty() { Interest::Read } else { Interest::Write }
    }

    /// Whether it is past one of its time-outs. `idle_ms` is the idle time-out under the present load.
    pub(crate) fn expiry(&self, now_ms: u64, idle_ms: u64, limits: &TcpLimits) -> Option<Expiry> {
        let (since_ms, timeout_ms, expiry) = if !self.output.is_empty() {
            (self.blocked_since_ms, limits.write_timeout_ms, Expiry::Write)
        } else if !self.input.is_empty() {
            (self.partial_since_ms, limits.read_timeout_ms, Expiry::Read)
        } else {
            (self.active_ms, idle_ms, Expiry::Idle)
        };
        (now_ms.saturating_sub(since_ms) >= timeout_ms).then_some(expiry)
    }

    /// When the connection became idle; `None` while it has work.
    pub(crate) fn idle_since_ms(&self) -> Option<u64> {
        (self.output.is_empty() && self.input.is_empty()).then_some(self.active_ms)
    }

    /// Whether responses wait to be written.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.output.is_empty()
    }

    /// Octets of memory held in buffers.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }

    /// Answers `length` fresh octets in the scratch input, after what is left of earlier ones.
    fn take<H: Handler>(&mut self, length: usize, turn: &mut Turn<'_, H>) -> io::Result<()> {
        if !self.input.is_empty() {
            self.input.extend_from_slice(&turn.scratch.input[..length]);
            return self.answer_held_back(turn);
        }
        // Taken out for the call, so that the responses can be written next to it.
        let fresh = std::mem::take(&mut turn.scratch.input);
        let answered = self.answer(&fresh[..length], turn);
        if let Ok(consumed) = answered
            && consumed < length
        {
            self.input = fresh[consumed..length].to_vec();
            self.partial_since_ms = turn.now_ms;
        }
        turn.scratch.input = fresh;
        answered.map(|_| ())
    }

    /// Answers what waits in `input`, as far as it is whole and the client takes the responses.
    fn answer_held_back<H: Handler>(&mut self, turn: &mut Turn<'_, H>) -> io::Result<()> {
        if !self.output.is_empty() || first_message(&self.input).is_none() {
            return Ok(());
        }
        let input = std::mem::take(&mut self.input);
        let consumed = self.answer(&input, turn)?;
        if consumed < input.len() {
            self.input = input[consumed..].to_vec();
            self.partial_since_ms = turn.now_ms;
        }
        Ok(())
    }

    /// Answers the whole messages in `data` until the client takes no more, and returns how many octets that were.
    fn answer<H: Handler>(&mut self, data: &[u8], turn: &mut Turn<'_, H>) -> io::Result<usize> {
        let mut consumed = 0;
        while self.output.is_empty() && first_message(&data[consumed..]).is_some() {
            let mut filled = 0;
            while filled < turn.scratch.output_full_at
                && let Some(query) = first_message(&data[consumed..])
            {
                consumed += PREFIX_BYTES + query.len();
                filled += self.answer_one(query, filled, turn);
            }
            self.write(filled, turn)?;
        }
        Ok(consumed)
    }

    /// Appends the response to `query` to the scratch output at `filled` and returns the octets that it takes there.
    fn answer_one<H: Handler>(&mut self, query: &[u8], filled: usize, turn: &mut Turn<'_, H>) -> usize {
        self.active_ms = turn.now_ms;
        turn.counted.queries += 1;
        let (prefix, rest) = turn.scratch.output[filled..].split_at_mut(PREFIX_BYTES);
        let query = Query::new(query);
        let length = turn.handler.answer(query, &self.peer, turn.unix_ms, &mut rest[..TCP_RESPONSE_BYTES_MAX]);
        match u16::try_from(length) {
            Ok(length) if length > 0 => {
                prefix.copy_from_slice(&length.to_be_bytes());
                turn.counted.answered += 1;
                PREFIX_BYTES + usize::from(length)
            }
            _ => 0,
        }
    }

    /// Writes the first `filled` octets of the scratch output; what the client does not take begins to wait.
    fn write<H>(&mut self, filled: usize, turn: &mut Turn<'_, H>) -> io::Result<()> {
        let bytes = &turn.scratch.output[..filled];
        let written = write_some(&mut self.stream, bytes)?;
        turn.counted.sent_bytes += written as u64;
        if written < filled {
            self.output = bytes[written..].to_vec();
            self.written = 0;
            self.blocked_since_ms = turn.now_ms;
        }
        Ok(())
    }

    /// Writes what waits.
    fn write_waiting<H>(&mut self, turn: &mut Turn<'_, H>) -> io::Result<()> {
        let written = write_some(&mut self.stream, &self.output[self.written..])?;
        turn.counted.sent_bytes += written as u64;
        self.written += written;
        if self.written == self.output.len() && self.written > 0 {
            self.output = Vec::new();
            self.written = 0;
            self.active_ms = turn.now_ms;
        }
        Ok(())
    }

    fn discard<H>(&mut self, turn: &mut Turn<'_, H>) -> io::Result<After> {
        match self.stream.read(&mut turn.scratch.input) {
            Ok(0) => Ok(After::Done),
            Ok(_) => Ok(After::Progress),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(After::Waiting),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Conn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The first message in `data` without its prefix, when it is whole.
fn first_message(data: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = data.split_first_chunk::<PREFIX_BYTES>()?;
    rest.get(..usize::from(u16::from_be_bytes(*prefix)))
}

/// Writes until all is written or the socket takes no more, and returns the octets written.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => written += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_out_by_their_prefix() {
        assert_eq!(first_message(&[]), None);
        assert_eq!(first_message(&[0]), None);
        assert_eq!(first_message(&[0, 2, 7]), None);
        assert_eq!(first_message(&[0, 2, 7, 8]), Some(&[7, 8][..]));
        assert_eq!(first_message(&[0, 1, 7, 0, 1]), Some(&[7][..]));
        assert_eq!(first_message(&[0, 0, 9]), Some(&[][..]));
    }
}
