//! Frames that the kernel would not make, by a client that speaks AF_XDP itself.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rokko_net::xdp::{Headers, Interface, Redirect, Socket, SocketOptions};

use super::namespaces::{Cable, Namespace};
use super::server::{addrs, serve};
use crate::support::{PATIENCE, until};

/// A client on one queue of its interface.
struct Client {
    socket: Socket,
    redirect: Redirect,
    /// Headers to each address of the server.
    headers: [Headers; 2],
}

/// Where the client's queries come from.
const PORT: u16 = 4321;

impl Client {
    fn new(cable: &Cable, queue: u32, server: [SocketAddr; 2]) -> Self {
        let find = |end: &Namespace| end.enter(|| Interface::find(end.interface).unwrap());
        let (near, far) = (find(&cable.client), find(&cable.server));
        let local = cable.client.addrs(PORT);
        let headers = [0, 1].map(|family| Headers::new(near.mac, far.mac, local[family], server[family]).unwrap());
        let (socket, redirect) = cable.client.enter(|| {
            let mut redirect = Redirect::attach(&near).unwrap();
            redirect.set_destinations(&local).unwrap();
            let socket = Socket::open(&near, queue, &SocketOptions { ring_entries: 64, ..Default::default() }).unwrap();
            redirect.add_socket(queue, &socket).unwrap();
            (socket, redirect)
        });
        Self { socket, redirect, headers }
    }

    fn send(&mut self, frame: &[u8]) {
        self.socket.room().unwrap()[..frame.len()].copy_from_slice(frame);
        assert!(self.socket.queue(frame.len()));
        self.socket.flush().unwrap();
    }

    /// The next frame.
    fn receive(&mut self) -> Vec<u8> {
        let start = Instant::now();
        loop {
            if self.socket.receive() > 0 {
                return self.socket.received(0).to_vec();
            }
            assert!(start.elapsed() < PATIENCE, "no frame");
            poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], PollTimeout::from(100_u8)).unwrap();
        }
    }
}

fn query(headers: &Headers, text: &str) -> Vec<u8> {
    let mut frame = vec![0; headers.bytes()];
    frame.extend_from_slice(text.as_bytes());
    assert!(headers.write(&mut frame));
    frame
}

fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
    [&frame[..12], tags.concat().as_slice(), &frame[12..]].concat()
}

#[test]
fn tags_come_back_and_every_queue_answers_for_itself() {
    let cable = Cable::new(2);
    let server = serve(&cable.server, &["veth-s"]);
    let mut answered = 0;
    for queue in [0, 1] {
        let mut client = Client::new(&cable, queue, addrs(&cable, &server));
        assert!(client.redirect.is_native());
        for family in [0, 1] {
            for tags in [&[][..], &[[0x81, 0, 0x60, 7]], &[[0x88, 0xa8, 0, 9], [0x81, 0, 0, 7]]] {
                let query = tagged(&query(&client.headers[family], "hello"), tags);
                client.send(&query);
                let reply = client.receive();
                let (headers, content) = Headers::parse(&reply).unwrap();
                assert_eq!(&reply[content], b"hello");
                assert_eq!(headers, Headers::parse(&query).unwrap().0.reply());
                answered += 1;
            }
        }
    }
    until(&server, |values| values.xdp.answered == answered);
}

#[test]
fn bad_frames_are_dropped_and_counted() {
    let cable = Cable::new(1);
    let server = serve(&cable.server, &["veth-s"]);
    let mut client = Client::new(&cable, 0, addrs(&cable, &server));
    let good = query(&client.headers[0], "hello");
    let changed = |at: usize, octet: u8| {
        let mut frame = good.clone();
        frame[at] = octet;
        frame
    };
    client.send(&changed(good.len() - 1, b'x'));
    client.send(&changed(22, 63));
    client.send(&changed(39, 200));
    client.send(&good[..good.len() - 1]);
    for source in [SocketAddr::new([224, 0, 0, 1].into(), PORT), cable.client.addrs(0)[0]] {
        let mut forged = client.headers[0];
        forged.source = source;
        client.send(&query(&forged, "hello"));
    }
    client.send(&query(&client.headers[0], "drop"));
    client.send(&good);
    let reply = client.receive();
    assert_eq!(&reply[Headers::parse(&reply).unwrap().1], b"hello");
    let xdp = until(&server, |values| values.xdp.answered == 1).xdp;
    assert_eq!((xdp.bad_checksum, xdp.malformed, xdp.short, xdp.bad_source, xdp.dropped), (2, 1, 1, 2, 1));
    assert_eq!(xdp.received, 8);
}
