//! The program in the kernel that the tests run on, over frames that go nowhere. Needs root.

use std::net::SocketAddr;

use super::*;
use crate::xdp::Headers;

struct Program {
    tables: Tables,
    program: OwnedFd,
}

const V4: &str = "198.51.100.1:53";
const V6: &str = "[2001:db8::1]:5300";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn frame(destination: &str) -> Vec<u8> {
    let destination = addr(destination);
    let source = addr(if destination.is_ipv4() { "192.0.2.7:999" } else { "[2001:db8::7]:999" });
    let headers = Headers::new([2; 6], [4; 6], source, destination).unwrap();
    let mut frame = vec![0; headers.bytes() + 20];
    assert!(headers.write(&mut frame));
    frame
}

fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
    [&frame[..12], tags.concat().as_slice(), &frame[12..]].concat()
}

impl Program {
    fn load() -> Self {
        let (mut tables, program) = Tables::load().expect("loading a program, which takes root");
        tables.set_destinations(&[addr(V4), addr(V6)]).unwrap();
        Self { tables, program }
    }

    /// Why the program leaves a frame to the kernel; `NoSocket` is what it would have redirected.
    #[track_caller]
    fn reason(&self, frame: &[u8]) -> Passed {
        let counts = || Passed::ALL.map(|reason| self.tables.passed.sum(reason as u32).unwrap());
        let before = counts();
        assert_eq!(bpf::test_run(self.program.as_fd(), frame).unwrap(), program::XDP_PASS.cast_unsigned());
        let after = counts();
        let risen: Vec<_> = (0..Passed::ALL.len()).filter(|&index| after[index] != before[index]).collect();
        assert_eq!(risen.len(), 1, "one reason is counted");
        Passed::ALL[risen[0]]
    }
}

#[test]
fn queries_for_our_addresses_are_taken() {
    let program = Program::load();
    for destination in [V4, V6] {
        let frame = frame(destination);
        assert_eq!(program.reason(&frame), Passed::NoSocket);
        assert_eq!(program.reason(&tagged(&frame, &[[0x81, 0, 0, 7]])), Passed::NoSocket);
        assert_eq!(program.reason(&tagged(&frame, &[[0x88, 0xa8, 0, 7], [0x81, 0, 0, 8]])), Passed::NoSocket);
        assert_eq!(program.reason(&tagged(&frame, &[[0x81, 0, 0, 7]; 3])), Passed::NotIp);
    }
}

#[test]
fn everything_else_is_left_to_the_kernel() {
    let program = Program::load();
    let changed = |destination: &str, at: usize, octet: u8| {
        let mut frame = frame(destination);
        frame[at] = octet;
        program.reason(&frame)
    };
    assert_eq!(program.reason(&frame("198.51.100.2:53")), Passed::Elsewhere);
    assert_eq!(program.reason(&frame("198.51.100.1:54")), Passed::Elsewhere);
    assert_eq!(program.reason(&frame("[2001:db8::1]:53")), Passed::Elsewhere);
    assert_eq!(program.reason(&frame("[2001:db8::2]:5300")), Passed::Elsewhere);
    assert_eq!(changed(V4, 0, 5), Passed::Group);
    assert_eq!(changed(V4, 13, 6), Passed::NotIp, "ARP");
    assert_eq!(changed(V4, 23, 6), Passed::NotUdp, "TCP");
    assert_eq!(changed(V4, 14, 0x46), Passed::Options);
    assert_eq!(changed(V4, 20, 0x20), Passed::Fragment, "more fragments");
    assert_eq!(changed(V4, 21, 0x10), Passed::Fragment, "a later one");
    assert_eq!(changed(V4, 20, 0x40), Passed::NoSocket, "do not fragment");
    assert_eq!(changed(V6, 20, 58), Passed::NotUdp, "neighbour discovery");
    assert_eq!(changed(V6, 20, 44), Passed::Fragment);
    for extension in [0, 43, 60] {
        assert_eq!(changed(V6, 20, extension), Passed::Options);
    }
    assert_eq!(program.reason(&frame(V4)[..41]), Passed::Short);
    assert_eq!(program.reason(&frame(V6)[..61]), Passed::Short);
    assert_eq!(program.reason(&tagged(&frame(V4), &[[0x81, 0, 0, 7]])[..17]), Passed::Short);
}

#[test]
fn addresses_come_and_go() {
    let mut program = Program::load();
    program.tables.set_destinations(&[addr(V6), addr("198.51.100.2:53")]).unwrap();
    assert_eq!(program.reason(&frame(V4)), Passed::Elsewhere);
    assert_eq!(program.reason(&frame(V6)), Passed::NoSocket);
    assert_eq!(program.reason(&frame("198.51.100.2:53")), Passed::NoSocket);
}
