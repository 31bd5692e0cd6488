//! A stream that does not let a client hold a connection without doing anything.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// As long as fewer octets have come, it is not known whether the client speaks HTTP/2 (RFC 9113 §3.4), and no other
/// time-out is at work.
const PREFACE_LEN: usize = 24;

/// Ends a connection whose client does not begin to speak, or does not take what is sent.
pub(super) struct Guarded<S> {
    stream: S,
    received: usize,
    opening: Option<Pin<Box<Sleep>>>,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, opening: Duration, stall: Duration) -> Self {
        Self { stream, received: 0, opening: Some(Box::pin(sleep(opening))), stall, stalled: None }
    }

    /// Lets progress through, and turns waiting that has lasted too long into an error.
    fn watch<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let stall = self.stall;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + stall)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.received = self.received.saturating_add(buffer.filled().len() - before);
        if self.received >= PREFACE_LEN {
            self.opening = None;
        }
        if let (Poll::Pending, Some(opening)) = (&polled, &mut self.opening) {
            ready!(opening.as_mut().poll(context));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends nothing")));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        // Whoever is answered has sent a request.
        self.opening = None;
        let polled = Pin::new(&mut self.stream).poll_write(context, octets);
        self.watch(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.opening = None;
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn silence_ends_a_connection_until_a_request_has_begun() {
        let (mut client, server) = duplex(1024);
        let mut server = Guarded::new(server, SHORT, LONG);
        client.write_all(b"PRI * HT").await.unwrap();
        let mut octets = [0; 64];
        assert_eq!(server.read(&mut octets).await.unwrap(), 8);
        assert_eq!(server.read(&mut octets).await.unwrap_err().kind(), io::ErrorKind::TimedOut);

        let (mut client, server) = duplex(1024);
        let mut server = Guarded::new(server, SHORT, LONG);
        client.write_all(b"GET /v1/health HTTP/1.1\r\n").await.unwrap();
        assert_eq!(server.read(&mut octets).await.unwrap(), 25);
        let waited = tokio::time::timeout(5 * SHORT, server.read(&mut octets)).await;
        assert!(waited.is_err(), "the head of a request has a time-out of its own");
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (_client, server) = duplex(16);
        let mut server = Guarded::new(server, LONG, SHORT);
        let error = server.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
