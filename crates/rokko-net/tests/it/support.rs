//! A handler that does what the query's text says, and clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rokko_net::{Config, CounterValues, Handler, Peer, Query, Server};

/// Longer than anything that works takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Holds up handlers that are asked to `wait` until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    open: bool,
    waiting: usize,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }

    /// Returns when a handler waits.
    pub(crate) fn reached(&self) {
        let state = self.0.0.lock().unwrap();
        let (_state, timeout) = self.0.1.wait_timeout_while(state, PATIENCE, |state| state.waiting == 0).unwrap();
        assert!(!timeout.timed_out(), "no handler reached the gate");
    }

    fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.waiting += 1;
        self.0.1.notify_all();
        drop(self.0.1.wait_while(state, |state| !state.open).unwrap());
    }
}

/// `drop`: no response. `too long`: a length that does not fit. `who`: the query's two addresses and its transport.
/// `slow`: no response, and not at once. `room`: the length of the room for the response. `big N`: N octets. `wait`: after the gate. Anything else: itself.
#[derive(Clone, Default)]
pub(crate) struct Echo {
    pub(crate) gate: Gate,
    pub(crate) ticks: Arc<Mutex<usize>>,
}

impl Handler for Echo {
    fn answer(&mut self, query: Query<'_>, peer: &Peer, unix_ms: u64, out: &mut [u8]) -> usize {
        assert!(unix_ms > 1_700_000_000_000);
        let query = query.octets;
        let text = std::str::from_utf8(query).unwrap_or_default();
        let response = match text {
            "drop" => return 0,
            "slow" => {
                std::thread::sleep(Duration::from_millis(1));
                return 0;
            }
            "too long" => return out.len() + 1,
            "room" => out.len().to_string().into_bytes(),
            "who" => format!("{} {} {:?}", peer.addr, peer.local, peer.transport).into_bytes(),
            _ => match text.strip_prefix("big ").map(str::parse) {
                Some(Ok(length)) => vec![b'x'; length],
                _ => query.to_vec(),
            },
        };
        if text == "wait" {
            self.gate.pass();
        }
        out[..response.len()].copy_from_slice(&response);
        response.len()
    }

    fn tick(&mut self) {
        *self.ticks.lock().unwrap() += 1;
    }
}

/// One UDP and one TCP thread on the given addresses.
pub(crate) fn config(listen: &[&str]) -> Config {
    let listen = listen.iter().map(|text| text.parse().unwrap()).collect();
    Config { listen, threads: 1, ..Config::default() }
}

pub(crate) fn start(config: Config) -> Server {
    Server::start(config, |_| Echo::default()).unwrap()
}

pub(crate) fn udp_client(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Asks over a connected socket, which takes a reply only from the address that it asked.
pub(crate) fn udp_ask(server: SocketAddr, query: &str) -> String {
    let socket = udp_client(server);
    socket.send(query.as_bytes()).unwrap();
    udp_receive(&socket)
}

pub(crate) fn udp_receive(socket: &UdpSocket) -> String {
    let mut buffer = [0; 5000];
    let length = socket.recv(&mut buffer).expect("a reply");
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

pub(crate) fn tcp_client(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// `query` with its length in front.
pub(crate) fn framed(query: &str) -> Vec<u8> {
    let length = u16::try_from(query.len()).unwrap();
    [&length.to_be_bytes()[..], query.as_bytes()].concat()
}

pub(crate) fn tcp_receive(stream: &mut TcpStream) -> String {
    let mut prefix = [0; 2];
    stream.read_exact(&mut prefix).expect("a response");
    let mut message = vec![0; usize::from(u16::from_be_bytes(prefix))];
    stream.read_exact(&mut message).expect("a whole response");
    String::from_utf8(message).unwrap()
}

pub(crate) fn tcp_ask(stream: &mut TcpStream, query: &str) -> String {
    stream.write_all(&framed(query)).unwrap();
    tcp_receive(stream)
}

/// Asserts that the server ends the stream without a further response, by its end or by a reset.
pub(crate) fn assert_closed(stream: &mut TcpStream) {
    match stream.read(&mut [0; 16]) {
        Ok(0) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("the connection is not closed: {other:?}"),
    }
}

/// Waits until the counters are as they should be.
pub(crate) fn until(server: &Server, mut reached: impl FnMut(&CounterValues) -> bool) -> CounterValues {
    let start = Instant::now();
    loop {
        let values = server.counters().values();
        if reached(&values) {
            return values;
        }
        assert!(start.elapsed() < PATIENCE, "never reached: {values:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
