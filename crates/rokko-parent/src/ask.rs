//! One question to many servers at once: over UDP, and over TCP where a response did not fit.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use rokko_wire::response::{Question, Response};

/// How long to wait, and how often to ask.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a response over UDP, or all of a conversation over TCP, may take.
    pub timeout: Duration,
    /// How often a question is sent over UDP. At least once.
    pub attempts: u32,
}

impl Default for Timing {
    /// Two seconds, three times.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(2), attempts: 3 }
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// None came in time.
    #[error("no response in time")]
    TimedOut,
    /// This machine has no way to the address.
    #[error("this machine has no route to the address")]
    Unreachable,
    /// Another fault of the network.
    #[error("{0}")]
    Network(String),
    /// The response over TCP is none.
    #[error("the response is malformed")]
    Malformed,
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::TimedOut,
            ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable | ErrorKind::Unsupported => Self::Unreachable,
            _ => Self::Network(error.to_string()),
        }
    }
}

/// A question under way to a server.
struct Asked<'a> {
    question: &'a Question,
    server: SocketAddr,
    id: u16,
    query: Vec<u8>,
    socket: UdpSocket,
}

/// Asks all servers at once. The results stand in the order of the servers.
pub(crate) fn ask(
    servers: &[SocketAddr],
    question: &Question,
    recursion: bool,
    timing: Timing,
) -> Vec<Result<Response, AskError>> {
    let mut results: Vec<_> = servers.iter().map(|_| Err(AskError::TimedOut)).collect();
    let mut open = Vec::new();
    for (i, &server) in servers.iter().enumerate() {
        match Asked::new(question, server, recursion) {
            Ok(asked) => open.push((i, asked)),
            Err(error) => results[i] = Err(error),
        }
    }
    for _ in 0..timing.attempts.max(1) {
        for (_, asked) in &open {
            // A fault shows again when the response is waited for.
            let _ = asked.socket.send(&asked.query);
        }
        let deadline = Instant::now() + timing.timeout;
        // The responses to later ones wait in their sockets meanwhile.
        open.retain(|(i, asked)| {
            results[*i] = asked.receive(deadline);
            matches!(results[*i], Err(AskError::TimedOut))
        });
    }
    for (i, &server) in servers.iter().enumerate() {
        if results[i].as_ref().is_ok_and(|response| response.truncated) {
            results[i] = over_tcp(question, server, recursion, timing.timeout);
        }
    }
    results
}

impl<'a> Asked<'a> {
    fn new(question: &'a Question, server: SocketAddr, recursion: bool) -> Result<Self, AskError> {
        let from: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        // A port of its own for each question, and only the server can answer to it.
        let socket = UdpSocket::bind(from)?;
        socket.connect(server)?;
        let id = random_id()?;
        Ok(Self { question, server, id, query: question.query(id, recursion), socket })
    }

    fn receive(&self, deadline: Instant) -> Result<Response, AskError> {
        let mut message = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left))?;
            let len = self.socket.recv(&mut message)?;
            if let Some(response) = Response::read(&message[..len], self.id, self.question) {
                return Ok(response);
            }
            if Instant::now() >= deadline {
                return Err(AskError::TimedOut);
            }
        }
    }
}

impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {}", self.question, self.server)
    }
}

fn random_id() -> Result<u16, AskError> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|error| AskError::Network(error.to_string()))?;
    Ok(u16::from_be_bytes(id))
}

fn over_tcp(question: &Question, server: SocketAddr, recursion: bool, timeout: Duration) -> Result<Response, AskError> {
    let deadline = Instant::now() + timeout;
    let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_write_timeout(Some(left()))?;
    let id = random_id()?;
    let query = question.query(id, recursion);
    let len = u16::try_from(query.len()).map_err(|_| AskError::Malformed)?;
    stream.write_all(&[&len.to_be_bytes(), &query[..]].concat())?;
    let mut read = |octets: &mut [u8]| -> Result<(), AskError> {
        let mut at = 0;
        while at < octets.len() {
            if Instant::now() >= deadline {
                return Err(AskError::TimedOut);
            }
            stream.set_read_timeout(Some(left()))?;
            match stream.read(&mut octets[at..])? {
                0 => return Err(AskError::Malformed),
                len => at += len,
            }
        }
        Ok(())
    };
    let mut len = [0; 2];
    read(&mut len)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    read(&mut message)?;
    let response = Response::read(&message, id, question).filter(|response| !response.truncated);
    response.ok_or(AskError::Malformed)
}
