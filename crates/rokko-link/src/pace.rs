//! How fast a connection may send, which is for the system's congestion control to say.
//!
//! BBR, the default of some systems, measures the way anew every ten seconds by sending hardly anything for 200 ms or a round trip
//! (`ProbeRTT`). For single changes that is a delay of a round trip and more, and they never fill the way anyway. For a
//! snapshot over a lossy way BBR is by far the best. So a connection goes by the system's default while there is much to be
//! sent, and never by BBR otherwise.

use std::io;

use socket2::{SockRef, Socket};
use tokio::net::TcpStream;

/// What takes the place of BBR: the first that the system lets this process have.
const STEADY: [&[u8]; 2] = [b"cubic", b"reno"];

/// Sets the congestion control of one connection.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The connection once more, and the system's default for it, if it is BBR.
    bbr: Option<(Socket, Vec<u8>)>,
}

impl Pace {
    /// For changes, from now on.
    pub(crate) fn new(tcp: &TcpStream) -> Self {
        let pace = Self { bbr: bbr(tcp).ok().flatten() };
        pace.steady();
        pace
    }

    /// For single changes.
    pub(crate) fn steady(&self) {
        if let Some((socket, _)) = &self.bbr {
            // Where neither can be had it stays as it is, which is slower at times.
            let _ = STEADY.iter().find(|name| socket.set_tcp_congestion(name).is_ok());
        }
    }

    /// For a snapshot.
    pub(crate) fn bulk(&self) {
        if let Some((socket, default)) = &self.bbr {
            let _ = socket.set_tcp_congestion(default);
        }
    }
}

fn bbr(tcp: &TcpStream) -> io::Result<Option<(Socket, Vec<u8>)>> {
    let socket = SockRef::from(tcp);
    let mut name = socket.tcp_congestion()?;
    name.retain(|octet| *octet != 0);
    if name.starts_with(b"bbr") { Ok(Some((socket.try_clone()?, name))) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_never_go_by_bbr() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let now = || SockRef::from(&tcp).tcp_congestion().unwrap();
        let default = now();
        let pace = Pace::new(&tcp);
        assert!(!now().starts_with(b"bbr"));
        pace.bulk();
        assert_eq!(now(), default);
        pace.steady();
        assert!(!now().starts_with(b"bbr"));
    }
}
