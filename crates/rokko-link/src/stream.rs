//! A connection that carries messages both ways, driven by one task.
//!
//! ```text
//!   send() ──► pending ──► TLS ──► socket        event(): writes what is pending, reads, and says what happened
//!   event() ◄── FrameReader ◄── TLS ◄── socket
//! ```
//!
//! Nothing is sent but by [`Link::event`], which one task awaits together with whatever else it has to look after. While
//! [`Link::has_room`] says no, the task should produce nothing more; the event [`Event::Room`] says when to go on. So what waits for a
//! slow peer stays small, and a peer that takes or says nothing for too long ends the connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::framing::{FrameReader, Framed, FramingError};

/// As long as less is pending there is room for more.
const ROOM_OCTETS: usize = 256 << 10;
/// While more is pending nothing is read: the peer asks, and does not take the answers. Far above [`ROOM_OCTETS`], so that two
/// sides which both have much to say never wait for each other.
const PAUSE_OCTETS: usize = 8 << 20;
/// How much is read at once.
const READ_OCTETS: usize = 16 << 10;
/// How many messages are written at once.
const SLICES: usize = 16;

/// What a connection puts up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message that is taken, in octets.
    pub message_octets_max: usize,
    /// How long the peer may take nothing of what is pending.
    pub stall: Duration,
    /// How long the peer may say nothing.
    pub silence: Duration,
}

/// What happened on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message came.
    Message(Vec<u8>),
    /// There was no room, and there is again.
    Room,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The peer closed it.
    #[error("the other side closed the connection")]
    Closed,
    /// The peer says that this node's certificate was revoked.
    #[error("the other side says that this node's certificate was revoked")]
    Revoked,
    /// The certificate that the other side shows is not good for this.
    #[error("the other side's certificate is refused: {0}")]
    Untrusted(String),
    /// The system or TLS says so.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// What came makes no sense.
    #[error("the other side does not speak this protocol")]
    Framing(#[from] FramingError),
    /// The peer took nothing for too long.
    #[error("the other side took nothing for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The peer said nothing for too long.
    #[error("the other side said nothing for {} s", .0.as_secs())]
    Silent(Duration),
}

/// A connection that carries messages.
pub struct Link<S> {
    io: S,
    limits: Limits,
    reader: FrameReader,
    chunk: Box<[u8]>,
    pending: VecDeque<Framed>,
    /// How much of the first pending message was written.
    written: usize,
    pending_octets: usize,
    flushed: bool,
    full: bool,
    progress_at: Instant,
    heard_at: Instant,
    /// Fires when the peer may have been slow for too long. It is set anew when it fires, not at each message.
    watch: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// A link over an open connection.
    pub fn new(io: S, limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            io,
            limits,
            reader: FrameReader::new(limits.message_octets_max),
            chunk: vec![0; READ_OCTETS].into_boxed_slice(),
            pending: VecDeque::new(),
            written: 0,
            pending_octets: 0,
            flushed: true,
            full: false,
            progress_at: now,
            heard_at: now,
            watch: Box::pin(tokio::time::sleep_until(now + limits.stall.min(limits.silence))),
        }
    }

    /// The connection below.
    pub fn io(&self) -> &S {
        &self.io
    }

    /// Whether more should be sent now.
    pub fn has_room(&self) -> bool {
        self.pending_octets < ROOM_OCTETS
    }

    /// Puts a message in line. It goes out while [`Link::event`] is awaited.
    pub fn send(&mut self, message: Framed) {
        if self.pending.is_empty() && self.flushed {
            self.progress_at = Instant::now();
        }
        self.pending_octets += message.octets().len();
        self.pending.push_back(message);
        self.full |= !self.has_room();
    }

    /// Writes what is pending, and gives what happens next. May be dropped and called again at any time.
    pub async fn event(&mut self) -> Result<Event, LinkError> {
        poll_fn(|context| self.poll_event(context)).await
    }

    /// The next message if it has come already.
    pub fn message_at_hand(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        let mut context = Context::from_waker(Waker::noop());
        match self.poll_read(&mut context) {
            Poll::Ready(read) => read.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    /// Writes what is pending and ends the connection, within a time.
    pub async fn close(mut self, limit: Duration) {
        let ended = async {
            poll_fn(|context| self.poll_write(context)).await?;
            linger(&mut self.io).await
        };
        // Whoever closes has no more use for the connection, so how that goes makes no difference.
        let _ = tokio::time::timeout(limit, ended).await;
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<Event, LinkError>> {
        if let Poll::Ready(Err(error)) = self.poll_write(context) {
            // Why the peer went may still be there to be read.
            return match self.poll_read(context) {
                Poll::Ready(read) => Poll::Ready(read.map(Event::Message)),
                Poll::Pending => Poll::Ready(Err(broken(error))),
            };
        }
        if self.full && self.has_room() {
            self.full = false;
            return Poll::Ready(Ok(Event::Room));
        }
        if let Poll::Ready(read) = self.poll_read(context) {
            return Poll::Ready(read.map(Event::Message));
        }
        while self.watch.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let writing = !self.pending.is_empty() || !self.flushed;
            if writing && now >= self.progress_at + self.limits.stall {
                return Poll::Ready(Err(LinkError::Stalled(self.limits.stall)));
            }
            if now >= self.heard_at + self.limits.silence {
                return Poll::Ready(Err(LinkError::Silent(self.limits.silence)));
            }
            let stalls = if writing { self.progress_at } else { now } + self.limits.stall;
            self.watch.as_mut().reset(stalls.min(self.heard_at + self.limits.silence));
        }
        Poll::Pending
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut skip = self.written;
            let mut count = 0;
            for (slice, message) in slices.iter_mut().zip(&self.pending) {
                *slice = IoSlice::new(&message.octets()[skip..]);
                skip = 0;
                count += 1;
            }
            self.flushed = false;
            match Pin::new(&mut self.io).poll_write_vectored(context, &slices[..count]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(len)) => self.take_written(len),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if !self.flushed {
            match Pin::new(&mut self.io).poll_flush(context) {
                Poll::Ready(Ok(())) => self.flushed = true,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take_written(&mut self, len: usize) {
        self.progress_at = Instant::now();
        self.pending_octets -= len;
        self.written += len;
        while let Some(first) = self.pending.front() {
            if self.written < first.octets().len() {
                return;
            }
            self.written -= first.octets().len();
            self.pending.pop_front();
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, LinkError>> {
        loop {
            if self.pending_octets > PAUSE_OCTETS {
                return Poll::Pending;
            }
            if let Some(message) = self.reader.message()? {
                return Poll::Ready(Ok(message));
            }
            let mut buffer = ReadBuf::new(&mut self.chunk);
            match Pin::new(&mut self.io).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Err(LinkError::Closed)),
                Poll::Ready(Ok(())) => {
                    self.heard_at = Instant::now();
                    self.reader.push(buffer.filled());
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(broken(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Ends a connection and waits until the other side does so, too. If it were closed while something that came is unread, the
/// system would reset it, and the other side might never read what was said last.
pub(crate) async fn linger(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    io.shutdown().await?;
    let mut rest = vec![0; READ_OCTETS];
    while io.read(&mut rest).await? > 0 {}
    Ok(())
}

/// What an error of a connection over TLS means.
pub(crate) fn broken(error: io::Error) -> LinkError {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRevoked)) => LinkError::Revoked,
        Some(rustls::Error::InvalidCertificate(problem)) => LinkError::Untrusted(untrusted(problem)),
        _ => match error.kind() {
            UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => LinkError::Closed,
            _ => LinkError::Io(error),
        },
    }
}

fn untrusted(problem: &rustls::CertificateError) -> String {
    use rustls::CertificateError as Problem;
    match problem {
        Problem::Other(rustls::OtherError(refusal)) => refusal.to_string(),
        Problem::UnknownIssuer | Problem::BadSignature => "it is not of this fleet".to_owned(),
        Problem::Expired | Problem::ExpiredContext { .. } => {
            "it has expired, or this machine's clock is wrong".to_owned()
        }
        Problem::NotValidYet | Problem::NotValidYetContext { .. } => {
            "it is not valid yet: this machine's clock is wrong, or that of the control node".to_owned()
        }
        Problem::InvalidPurpose | Problem::InvalidPurposeContext { .. } => "its node does not serve this".to_owned(),
        Problem::Revoked => "it was revoked".to_owned(),
        other => other.to_string(),
    }
}
