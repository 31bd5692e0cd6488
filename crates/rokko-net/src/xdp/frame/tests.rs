use proptest::prelude::*;

use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A frame with these contents, and its headers.
fn frame(source: &str, destination: &str, content: &[u8]) -> (Headers, Vec<u8>) {
    let headers = Headers::new([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], addr(source), addr(destination)).unwrap();
    (headers, written(&headers, content))
}

fn written(headers: &Headers, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xaa; headers.bytes()];
    frame.extend_from_slice(content);
    assert!(headers.write(&mut frame));
    frame
}

fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
    [&frame[..12], tags.concat().as_slice(), &frame[12..]].concat()
}

/// The sum of RFC 1071, the slow way.
fn slow_sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
}

const V4: (&str, &str) = ("192.0.2.7:4321", "198.51.100.1:53");
const V6: (&str, &str) = ("[2001:db8::7]:4321", "[2001:db8:1::1]:53");

#[test]
fn an_ipv4_frame_octet_by_octet() {
    let (_, frame) = frame(V4.0, V4.1, b"abc");
    let mut expected = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    expected.extend([0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17, 0x50, 0x84, 192, 0, 2, 7, 198, 51, 100, 1]);
    expected.extend([0x10, 0xe1, 0, 53, 0, 11, 0xfd, 0xef, b'a', b'b', b'c']);
    assert_eq!(slow_sum(&frame[14..34]), 0xffff);
    let pseudo = [&frame[26..34], &[0, 17, 0, 11], &frame[34..]].concat();
    assert_eq!(slow_sum(&pseudo), 0xffff);
    expected[24..26].copy_from_slice(&frame[24..26]);
    expected[40..42].copy_from_slice(&frame[40..42]);
    assert_eq!(frame, expected);
}

#[test]
fn an_ipv6_frame_has_its_checksum() {
    let (_, frame) = frame(V6.0, V6.1, b"abcd");
    assert_eq!(frame[12..22], [0x86, 0xdd, 0x60, 0, 0, 0, 0, 12, 17, 64]);
    let pseudo = [&frame[22..54], &[0, 0, 0, 12, 0, 0, 0, 17], &frame[54..]].concat();
    assert_eq!(slow_sum(&pseudo), 0xffff);
}

#[test]
fn a_checksum_that_comes_to_zero_is_written_as_its_other_form() {
    let (headers, mut made) = frame(V6.0, V6.1, &[0, 0]);
    // What the sum lacks to all ones is put into the content, so that the checksum of the whole comes to zero.
    let checksum = [made[60], made[61]];
    made[62..64].copy_from_slice(&checksum);
    assert!(headers.write(&mut made));
    assert_eq!(made[60..62], [0xff, 0xff]);
    assert!(Headers::parse(&made).is_ok());
}

#[test]
fn replies_go_back_the_way_they_came() {
    for (source, destination) in [V4, V6] {
        for tags in [&[][..], &[[0x81, 0, 0, 7]], &[[0x88, 0xa8, 0, 9], [0x81, 0, 0x20, 7]]] {
            let query = tagged(&frame(source, destination, b"query").1, tags);
            let (headers, content) = Headers::parse(&query).unwrap();
            assert_eq!(&query[content], b"query");
            assert_eq!((headers.source, headers.destination), (addr(source), addr(destination)));
            let reply = written(&headers.reply(), b"response");
            assert_eq!(reply[..6], query[6..12]);
            assert_eq!(reply[6..12], query[..6]);
            assert_eq!(reply[12..14 + 4 * tags.len()], query[12..14 + 4 * tags.len()]);
            let (back, content) = Headers::parse(&reply).unwrap();
            assert_eq!(&reply[content], b"response");
            assert_eq!((back.source, back.destination), (addr(destination), addr(source)));
        }
    }
}

#[test]
fn what_is_no_plain_datagram_is_refused() {
    let (_, good) = frame(V4.0, V4.1, b"abc");
    let refused = |at: usize, octet: u8| {
        let mut bad = good.clone();
        bad[at] = octet;
        // Only the change itself is to be found, not that the header's checksum no longer holds.
        bad[24..26].fill(0);
        let checksum = !slow_sum(&bad[14..34]);
        bad[24..26].copy_from_slice(&checksum.to_be_bytes());
        Headers::parse(&bad).map(|_| ())
    };
    assert_eq!(refused(14, 0x46), Err(Fault::Malformed), "options");
    assert_eq!(refused(20, 0x20), Err(Fault::Malformed), "more fragments");
    assert_eq!(refused(21, 1), Err(Fault::Malformed), "a later fragment");
    assert_eq!(refused(23, 6), Err(Fault::Malformed), "TCP");
    assert_eq!(refused(12, 9), Err(Fault::Malformed), "another protocol");
    assert_eq!(refused(39, 12), Err(Fault::Malformed), "longer than its packet");
    assert_eq!(refused(39, 7), Err(Fault::Malformed), "shorter than its header");
    assert_eq!(refused(6, 3), Err(Fault::Source), "from a group");
    assert_eq!(refused(26, 224), Err(Fault::Source), "from a multicast address");
    assert_eq!(refused(26, 0), Err(Fault::Source), "from no address");
    assert_eq!(refused(26, 127), Err(Fault::Source), "from loopback");
    assert_eq!(refused(44, b'x'), Err(Fault::Checksum));
    assert_eq!(refused(8, 9), Ok(()), "any other hardware address");
}

#[test]
fn sources_that_cannot_be_answered_are_refused() {
    for (source, destination) in [
        ("192.0.2.7:0", "198.51.100.1:53"),
        ("255.255.255.255:5", "198.51.100.1:53"),
        ("198.51.100.1:53", "198.51.100.1:53"),
        ("[::]:5", "[2001:db8::1]:53"),
        ("[ff02::1]:5", "[2001:db8::1]:53"),
        ("[2001:db8::1]:5", "[2001:db8::1]:53"),
    ] {
        assert_eq!(Headers::parse(&frame(source, destination, b"a").1), Err(Fault::Source), "{source}");
    }
}

#[test]
fn checksums_that_are_left_out_or_left_to_hardware() {
    let (_, mut v4) = frame(V4.0, V4.1, b"abc");
    let partial = slow_sum(&[&v4[26..34], &[0, 17, 0, 11]].concat());
    v4[40..42].copy_from_slice(&partial.to_be_bytes());
    assert!(Headers::parse(&v4).is_ok());
    v4[40..42].fill(0);
    assert!(Headers::parse(&v4).is_ok());
    v4[40] = 1;
    assert_eq!(Headers::parse(&v4), Err(Fault::Checksum));
    let (_, mut v6) = frame(V6.0, V6.1, b"abc");
    v6[60..62].fill(0);
    assert_eq!(Headers::parse(&v6), Err(Fault::Checksum), "IPv6 has no datagrams without");
    let mut v4 = frame(V4.0, V4.1, b"abc").1;
    v4[22] -= 1;
    assert_eq!(Headers::parse(&v4), Err(Fault::Checksum), "of the IPv4 header");
}

#[test]
fn what_does_not_fit_is_not_written() {
    let (headers, _) = frame(V4.0, V4.1, b"");
    assert!(!headers.write(&mut []));
    assert!(!headers.write(&mut vec![0; headers.bytes() - 1]));
    assert!(headers.write(&mut vec![0; 14 + 65_535]));
    assert!(!headers.write(&mut vec![0; 14 + 65_536]));
    assert!(Headers::new([0; 6], [0; 6], addr(V4.0), addr(V6.1)).is_none());
}

proptest! {
    #[test]
    fn sums_are_those_of_the_slow_way(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(fold(add(0, &bytes)).to_ne_bytes(), slow_sum(&bytes).to_be_bytes());
    }

    #[test]
    fn what_is_written_is_read_again(
        content in prop::collection::vec(any::<u8>(), 0..600),
        ports in (1..=u16::MAX, any::<u16>()),
        v4 in any::<bool>(),
        padding in 0..20_usize,
    ) {
        let (source, destination) = if v4 { V4 } else { V6 };
        let (mut source, mut destination) = (addr(source), addr(destination));
        source.set_port(ports.0);
        destination.set_port(ports.1);
        let headers = Headers::new([2; 6], [4; 6], source, destination).unwrap();
        let mut frame = written(&headers, &content);
        frame.resize(frame.len() + padding, 0x55);
        let (read, range) = Headers::parse(&frame).unwrap();
        prop_assert_eq!(read, headers);
        prop_assert_eq!(&frame[range], &content[..]);
    }

    #[test]
    fn one_changed_bit_is_found(bit in 14 * 8..59 * 8_usize, v4 in any::<bool>()) {
        let (source, destination) = if v4 { V4 } else { V6 };
        let (headers, mut frame) = frame(source, destination, b"abcdefgh");
        // Of IPv6's header, its class, label and hop limit are in no checksum; to the end of an IPv4 frame, all is.
        let covered = v4 || !(bit / 8 < 18 || bit / 8 == 21);
        prop_assume!(covered && bit / 8 < frame.len());
        frame[bit / 8] ^= 1 << (bit % 8);
        // A datagram without a checksum is not one with another checksum.
        let without = v4 && frame[40..42] == [0, 0];
        let read = Headers::parse(&frame);
        prop_assert!(read.is_err() || without, "{headers:?} {read:?}");
    }

    #[test]
    fn any_octets_are_read_without_harm(
        octets in prop::collection::vec(any::<u8>(), 0..120),
        v4 in any::<bool>(),
        cut in 0..80_usize,
        change in any::<prop::sample::Index>(),
        octet in any::<u8>(),
    ) {
        let mut cut_frame = frame(if v4 { V4.0 } else { V6.0 }, if v4 { V4.1 } else { V6.1 }, b"0123456789").1;
        cut_frame.truncate(cut);
        if !cut_frame.is_empty() {
            let at = change.index(cut_frame.len());
            cut_frame[at] = octet;
        }
        for frame in [octets, cut_frame] {
            if let Ok((headers, content)) = Headers::parse(&frame) {
                prop_assert!(content.end <= frame.len() && headers.bytes() == content.start);
                let mut reply = frame.clone();
                prop_assert!(headers.reply().write(&mut reply[..content.end]));
            }
        }
    }
}
