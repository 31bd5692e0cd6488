//! Messages between two sides, one of them slow.

use std::time::Duration;

use rokko_link::{Event, Framed, FramingError, Limits, Link, LinkError};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, timeout};

use crate::support::LIMITS;

fn pair(octets: usize) -> (Link<DuplexStream>, Link<DuplexStream>) {
    let (one, two) = duplex(octets);
    (Link::new(one, LIMITS), Link::new(two, LIMITS))
}

/// `len` octets that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[tokio::test]
async fn both_sides_can_say_much_at_once() {
    let (mut one, mut two) = pair(1000);
    let messages: Vec<Vec<u8>> = [0, 1, 600, 20_000, 3 << 20, 5].into_iter().map(noise).collect();
    for message in &messages {
        one.send(Framed::new(message));
        two.send(Framed::new(message));
    }
    let take = async |link: &mut Link<DuplexStream>| {
        let mut found = Vec::new();
        while found.len() < messages.len() {
            if let Event::Message(message) = link.event().await.unwrap() {
                found.push(message);
            }
        }
        link.send(Framed::new(b"done"));
        while link.event().await.is_ok_and(|event| event == Event::Room) {}
        found
    };
    let (first, second) = tokio::join!(take(&mut one), take(&mut two));
    assert_eq!(first, messages);
    assert_eq!(second, messages);
}

#[tokio::test(start_paused = true)]
async fn room_comes_back_when_the_other_side_reads() {
    let (mut one, mut two) = pair(1000);
    assert!(one.has_room());
    one.send(Framed::new(&noise(300_000)));
    assert!(!one.has_room());
    let waited = timeout(Duration::from_secs(5), one.event()).await;
    assert!(waited.is_err());
    let (event, message) =
        tokio::join!(one.event(), async { timeout(Duration::from_secs(5), two.event()).await.map(Result::unwrap) });
    assert_eq!(event.unwrap(), Event::Room);
    // What is left goes out while the first side is awaited.
    assert!(message.is_err());
    let (_, message) = tokio::join!(timeout(Duration::from_secs(1), one.event()), two.event());
    assert_eq!(message.unwrap(), Event::Message(noise(300_000)));
}

#[tokio::test(start_paused = true)]
async fn a_side_that_takes_nothing_is_given_up() {
    let (mut one, two) = pair(1000);
    one.send(Framed::new(&noise(5000)));
    let begun = Instant::now();
    let ended = one.event().await.unwrap_err();
    assert!(matches!(ended, LinkError::Stalled(_)), "{ended}");
    assert_eq!(begun.elapsed().as_secs(), LIMITS.stall.as_secs());
    drop(two);
}

#[tokio::test(start_paused = true)]
async fn a_side_that_says_nothing_is_given_up() {
    let (one, two) = duplex(1000);
    let limits = Limits { silence: Duration::from_secs(7), ..LIMITS };
    let mut one = Link::new(one, limits);
    one.send(Framed::new(b"hello"));
    let begun = Instant::now();
    let ended = one.event().await.unwrap_err();
    assert!(matches!(ended, LinkError::Silent(_)), "{ended}");
    assert_eq!(begun.elapsed().as_secs(), 7);
    drop(two);
}

#[tokio::test(start_paused = true)]
async fn a_side_that_only_asks_is_not_heard_until_it_takes_the_answers() {
    let (mut asking, mut answering) = pair(64 << 10);
    let answer = Framed::new(&noise(1 << 20));
    let mut asked = 0;
    for _ in 0..40 {
        asking.send(Framed::plain(b"more"));
        let _ = timeout(Duration::from_millis(1), async { poll_writes(&mut asking).await }).await;
        while let Ok(Ok(Event::Message(_))) = timeout(Duration::from_millis(1), answering.event()).await {
            asked += 1;
            answering.send(answer.clone());
        }
    }
    assert!((8..12).contains(&asked), "{asked}");
}

/// Writes without reading much: the connection holds less than one answer.
async fn poll_writes(link: &mut Link<DuplexStream>) {
    let _ = link.event().await;
}

#[tokio::test]
async fn what_is_no_message_ends_the_link() {
    let (mut raw, two) = duplex(1000);
    let mut two = Link::new(two, LIMITS);
    raw.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let ended = two.event().await.unwrap_err();
    assert!(matches!(ended, LinkError::Framing(FramingError::Flags(b'/'))), "{ended}");
}

#[tokio::test]
async fn a_message_before_the_end_is_still_read() {
    let (mut one, two) = pair(10_000);
    let mut two = two;
    two.send(Framed::new(b"good-bye"));
    two.close(Duration::from_secs(1)).await;
    one.send(Framed::new(b"hello"));
    assert_eq!(one.event().await.unwrap(), Event::Message(b"good-bye".to_vec()));
    assert!(matches!(one.event().await, Err(LinkError::Closed)));
}
