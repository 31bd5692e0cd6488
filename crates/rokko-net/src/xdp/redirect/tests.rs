//! The program in the kernel that the tests run on, over frames that go nowhere. Needs root.

use std::net::SocketAddr;

use super::*;
use crate::shed::Spare;
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
    let source = if addr(destination).is_ipv4() { "192.0.2.7:999" } else { "[2001:db8::7]:999" };
    frame_of(source, destination, &[0; 20])
}

fn frame_of(source: &str, destination: &str, content: &[u8]) -> Vec<u8> {
    let headers = Headers::new([2; 6], [4; 6], addr(source), addr(destination)).unwrap();
    let mut frame = vec![0; headers.bytes() + content.len()];
    frame[headers.bytes()..].copy_from_slice(content);
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

    /// What the program returns for a frame, and how many frames it counts as shed.
    fn runs(&self, frame: &[u8], times: usize) -> (usize, u64) {
        let shed = || self.tables.counters.sum(program::SHED.cast_unsigned()).unwrap();
        let before = shed();
        let dropped = (0..times).filter(|_| {
            let result = bpf::test_run(self.program.as_fd(), frame).unwrap().cast_signed();
            assert!([program::XDP_DROP, program::XDP_PASS].contains(&result));
            result == program::XDP_DROP
        });
        (dropped.count(), shed() - before)
    }

    /// Why the program leaves a frame to the kernel; `NoSocket` is what it would have redirected.
    #[track_caller]
    fn reason(&self, frame: &[u8]) -> Passed {
        let counts = || Passed::ALL.map(|reason| self.tables.counters.sum(reason as u32).unwrap());
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

/// Lets so few through that none of a test's frames is among them.
const HARDLY_ANY: u32 = u32::MAX;

fn shed(prefixes: &[(&str, u8)], pass_one_in: u32) -> Shed {
    let prefixes = prefixes.iter().map(|(network, len)| (network.parse().unwrap(), *len)).collect();
    Shed { prefixes, pass_one_in, spare: None }
}

#[test]
fn sources_are_shed_on_their_queue() {
    let program = Program::load();
    let (mut queue, mut other) = (program.tables.queue_shed(0).unwrap(), program.tables.queue_shed(1).unwrap());
    let is_shed = |source: &str, destination: &str| {
        let (dropped, counted) = program.runs(&frame_of(source, destination, b"query"), 1);
        assert_eq!(dropped as u64, counted);
        dropped == 1
    };
    assert!(!is_shed("192.0.2.7:999", V4));
    let flood = shed(&[("192.0.2.0", 24), ("198.51.100.7", 32), ("2001:db8:0:100::", 56), ("::", 0)], HARDLY_ANY);
    other.apply(&flood).unwrap();
    assert!(!is_shed("192.0.2.7:999", V4), "the test's frames come on queue 0");
    queue.apply(&flood).unwrap();
    for (source, expected) in [
        ("192.0.2.0:1", true),
        ("192.0.2.255:1", true),
        ("192.0.3.0:1", false),
        ("192.0.1.255:1", false),
        ("198.51.100.7:1", true),
        ("198.51.100.6:1", false),
    ] {
        assert_eq!(is_shed(source, V4), expected, "{source}");
    }
    assert!(is_shed("[2001:db8::7]:1", V6), "no bits are all of a family");
    queue.apply(&shed(&[("2001:db8:0:100::", 56), ("2001:db8::9", 128)], HARDLY_ANY)).unwrap();
    for (source, expected) in [
        ("[2001:db8:0:1ff::1]:1", true),
        ("[2001:db8:0:200::1]:1", false),
        ("[2001:db8::9]:1", true),
        ("[2001:db8::8]:1", false),
    ] {
        assert_eq!(is_shed(source, V6), expected, "{source}");
    }
    assert!(!is_shed("192.0.2.7:999", V4), "what is no longer shed is taken again");
    assert_eq!(program.reason(&frame_of("[2001:db8::9]:1", "[2001:db8::2]:5300", b"")), Passed::Elsewhere);
    queue.apply(&Shed::default()).unwrap();
    assert!(!is_shed("[2001:db8::9]:1", V6));
}

#[test]
fn one_in_so_many_is_kept() {
    let program = Program::load();
    let mut queue = program.tables.queue_shed(0).unwrap();
    queue.apply(&shed(&[("192.0.2.0", 24)], 4)).unwrap();
    let (dropped, counted) = program.runs(&frame(V4), 4000);
    assert!((2800..3200).contains(&dropped) && counted == dropped as u64, "{dropped}, {counted}");
    queue.apply(&shed(&[("192.0.2.0", 24)], 1)).unwrap();
    assert_eq!(program.runs(&frame(V4), 100), (0, 0));
}

#[test]
fn a_mark_near_the_end_spares_a_frame() {
    let program = Program::load();
    let mut queue = program.tables.queue_shed(0).unwrap();
    let spare = Some(Spare { from_end: 6, value: u32::from_be_bytes(*b"mark") });
    queue.apply(&Shed { spare, ..shed(&[("192.0.2.0", 24), ("2001:db8::", 32)], HARDLY_ANY) }).unwrap();
    let contents = [("xmark12", 0), ("mark12", 0), ("mark1", 1), ("mark123", 1), ("k12", 1), ("", 1)];
    for (content, dropped) in contents {
        for (source, destination) in [("192.0.2.7:1", V4), ("[2001:db8::7]:1", V6)] {
            let frame = frame_of(source, destination, content.as_bytes());
            assert_eq!(program.runs(&frame, 1), (dropped, dropped as u64), "{content} to {destination}");
            let frame = tagged(&frame, &[[0x81, 0, 0, 7]]);
            assert_eq!(program.runs(&frame, 1), (dropped, dropped as u64), "{content} to {destination} with a tag");
        }
    }
    // Without what an old kernel lacks all else is the same.
    let maps = Maps {
        destinations: program.tables.destinations.descriptor(),
        sockets: program.tables.sockets.descriptor(),
        counters: program.tables.counters.descriptor(),
        sheds: program.tables.sheds.descriptor(),
        sources: program.tables.sources.descriptor(),
    };
    let old = Program { program: bpf::load(&program::assemble(maps, false)).unwrap(), ..Program::load() };
    let marked = frame_of("192.0.2.7:1", V4, b"mark12");
    assert_eq!(bpf::test_run(old.program.as_fd(), &marked).unwrap(), program::XDP_DROP.cast_unsigned());
    // The header's length is foreign too: it may be too short or too long for what is there.
    let good = frame_of("192.0.2.7:1", V4, b"xmark12");
    for length in [0_u16, 7, 8, 13, 14, 16, 2000, 4096 + 15, 65_535] {
        let mut frame = good.clone();
        frame[38..40].copy_from_slice(&length.to_be_bytes());
        assert_eq!(program.runs(&frame, 1), (1, 1), "{length}");
    }
}
