//! kill -9 while HTTP clients change records: what a client was told is done is answered after the restart.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::pdns::{Called, Pdns, replace};
use crate::harness::{A, Node, TXT, ask_tcp};

const KILLS: u32 = 5;
const WRITERS: u32 = 4;
/// Changes that are done before a kill, further apart each time so that kills meet different moments.
const DONE_MIN: u32 = 40;
const PATIENCE: Duration = Duration::from_secs(60);

/// What one writer knows to be done.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// The number of its last change that was acknowledged; each number is written once.
    done: u32,
    /// The number that it tried last.
    tried: u32,
}

#[test]
fn what_was_acknowledged_is_answered_after_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    for writer in 0..WRITERS {
        node.run(&["zone", "create", &format!("w{writer}.example"), "--nameserver", "ns1.example.net"]).ok();
    }
    let mut node = Some(node);
    let mut progress = vec![Progress::default(); WRITERS as usize];
    for kill in 0..KILLS {
        let running = node.take().unwrap();
        write_and_kill(&running, &mut progress, DONE_MIN + 7 * kill);
        let (code, _) = running.wait();
        assert_eq!(code, None, "the node was killed and did not end by itself");
        node = Some(restarted(data.path(), &mut progress));
    }
    let node = node.unwrap();
    for (writer, progress) in progress.iter().enumerate() {
        for number in 1..=progress.done {
            let answer = node.ask(&format!("n{number}.w{writer}.example"), A);
            assert_eq!(answer.addresses(), [address(number)], "change {number} of writer {writer} is lost");
        }
    }
    node.stop();
}

/// Each writer makes one change after the other until the node is gone.
fn write_and_kill(node: &Node, progress: &mut [Progress], changes: u32) {
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for (writer, progress) in progress.iter_mut().enumerate() {
            let done = &done;
            scope.spawn(move || {
                let client = Pdns::new(node);
                while write(&client, writer, progress) {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let deadline = Instant::now() + PATIENCE;
        while done.load(Ordering::Relaxed) < changes {
            assert!(Instant::now() < deadline, "too few changes in {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        node.signal("KILL");
    });
}

/// Adds a name and sets the zone's last number, in one change; whether it was acknowledged.
fn write(client: &Pdns, writer: usize, progress: &mut Progress) -> bool {
    let number = progress.tried + 1;
    progress.tried = number;
    let zone = format!("w{writer}.example.");
    let rrsets = json!([
        replace(&format!("n{number}.{zone}"), "A", 300, &[&address(number)]),
        replace(&format!("last.{zone}"), "TXT", 300, &[&format!("\"{number}\"")]),
    ]);
    match client.call("PATCH", &format!("zones/{zone}"), &json!({ "rrsets": rrsets })) {
        Called::Answered(204, _) => {
            progress.done = number;
            true
        }
        Called::Answered(status, body) => panic!("{status}: {body}"),
        Called::Broken => false,
    }
}

/// Starts the node again; each zone has to be at the last acknowledged change, or at the one that was under way.
fn restarted(data_dir: &Path, progress: &mut [Progress]) -> Node {
    let node = Node::start(data_dir);
    for (writer, progress) in progress.iter_mut().enumerate() {
        let last = node.ask(&format!("last.w{writer}.example"), TXT).records;
        let last: u32 = std::str::from_utf8(&last[0].1[1..]).unwrap().parse().unwrap();
        assert!((progress.done..=progress.tried).contains(&last), "{last}, acknowledged {}", progress.done);
        let under_way = ask_tcp(node.dns, &format!("n{}.w{writer}.example", progress.tried), A);
        assert_eq!(under_way.rcode == 0, last == progress.tried, "a change is there whole or not at all");
        *progress = Progress { done: last, tried: last };
    }
    node
}

fn address(number: u32) -> String {
    format!("10.{}.{}.{}", number >> 16, number >> 8 & 0xff, number & 0xff)
}
