//! The wires themselves: they delay, lose and can be cut as they are told, and change nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::link::Quality;
use super::netns::{HUB, Star};

const DELAY: Duration = Duration::from_millis(15);
/// How long one waits for what may be lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// A socket at the hub, and one at the first leaf that sends there.
fn udp(star: &Star) -> [UdpSocket; 2] {
    let hub = star.hub.enter(|| UdpSocket::bind((HUB, 0)).unwrap());
    let address = hub.local_addr().unwrap();
    let leaf = star.leaves[0].enter(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    leaf.connect(address).unwrap();
    for socket in [&hub, &leaf] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    [hub, leaf]
}

/// The number in a datagram, and where it is from.
fn receive(socket: &UdpSocket) -> (u32, SocketAddr) {
    let mut datagram = [0; 8];
    let (len, from) = socket.recv_from(&mut datagram).unwrap();
    (u32::from_be_bytes(datagram[..len].try_into().unwrap()), from)
}

#[test]
fn a_round_trip_takes_twice_the_delay() {
    let star = Star::new(&[Quality { delay: DELAY, ..Quality::default() }]);
    let [hub, leaf] = udp(&star);
    for number in 0..10 {
        let start = Instant::now();
        leaf.send(&u32::to_be_bytes(number)).unwrap();
        let (found, from) = receive(&hub);
        assert!(start.elapsed() >= DELAY);
        assert_eq!((found, from.ip()), (number, Star::leaf(0)));
        hub.send_to(&u32::to_be_bytes(number), from).unwrap();
        assert_eq!(receive(&leaf).0, number);
        assert!(start.elapsed() >= 2 * DELAY, "{:?}", start.elapsed());
    }
}

#[test]
fn as_many_are_lost_as_asked_for() {
    const BATCHES: u32 = 200;
    // Few enough for the buffer of a socket that is not read meanwhile.
    const BATCH: u32 = 20;
    const SENT: u32 = BATCHES * BATCH;
    let star = Star::new(&[Quality { lost_per_mille: 200, seed: 7, ..Quality::default() }]);
    let [hub, leaf] = udp(&star);
    let mut found = 0;
    for batch in 0..BATCHES {
        for number in 0..BATCH {
            leaf.send(&(batch * BATCH + number).to_be_bytes()).unwrap();
        }
        // The mark behind a batch may be lost too; one of so many is not.
        for _ in 0..15 {
            leaf.send(&(SENT + batch).to_be_bytes()).unwrap();
        }
        loop {
            match receive(&hub).0 {
                number if number < SENT => found += 1,
                mark if mark == SENT + batch => break,
                _ => {}
            }
        }
    }
    // Ten standard deviations about 80 %.
    assert!((2947..=3453).contains(&found), "{found} of {SENT}");
}

#[test]
fn nothing_passes_a_cut() {
    let star = Star::new(&[Quality { delay: DELAY, ..Quality::default() }; 2]);
    let [hub, leaf] = udp(&star);
    leaf.send(&u32::to_be_bytes(1)).unwrap();
    assert_eq!(receive(&hub).0, 1);
    star.links[0].cut();
    leaf.send(&u32::to_be_bytes(2)).unwrap();
    // The other wire goes on, and what it carries is later than what the first one would have carried.
    let other = star.leaves[1].enter(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    for _ in 0..2 {
        other.send_to(&u32::to_be_bytes(3), hub.local_addr().unwrap()).unwrap();
        let (number, from) = receive(&hub);
        assert_eq!((number, from.ip()), (3, Star::leaf(1)));
    }
    star.links[0].mend();
    leaf.send(&u32::to_be_bytes(4)).unwrap();
    assert_eq!(receive(&hub).0, 4);
}

#[test]
fn a_stream_arrives_whole() {
    let quality = Quality { delay: Duration::from_millis(2), lost_per_mille: 10, seed: 3 };
    let star = Star::new(&[quality]);
    let listener = star.hub.enter(|| TcpListener::bind((HUB, 0)).unwrap());
    let address = listener.local_addr().unwrap();
    let sent: Vec<u8> = (0..1_u32 << 19).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = star.leaves[0].enter(|| TcpStream::connect(address).unwrap());
            stream.write_all(&sent).unwrap();
        });
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        received
    });
    assert!(received == sent, "{} octets of {}", received.len(), sent.len());
}
