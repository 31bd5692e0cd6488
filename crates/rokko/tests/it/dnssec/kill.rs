//! A node that ends at any moment goes on with what it was about, and one without room says so.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{create, judges, start, status};
use crate::clients::pdns::{Called, Pdns};
use crate::harness::{Node, PATIENCE};

const APEX: &str = "large.example";
/// How many names the zone has: so many that signing them takes many steps.
const NAMES: usize = 6000;
const KILLS: usize = 4;
/// How many zones there is surely no room for.
const ZONES_MAX: usize = 20_000;

fn zone() -> String {
    let head = "$ORIGIN large.example.\n$TTL 300\n@ NS ns1.example.net.\n";
    let names = (0..NAMES).map(|number| format!("n{number} A 192.0.2.{}\n", number % 250));
    head.to_owned() + &names.collect::<String>()
}

/// How many signatures the zone has.
fn signatures(node: &Node) -> usize {
    let text = node.run(&["zone", "export", APEX]).ok();
    text.lines().filter(|line| line.contains("RRSIG\tA ") || line.contains("RRSIG A ")).count()
}

#[test]
fn a_zone_is_signed_whatever_is_killed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(folder.path(), &[]);
    create(&Pdns::new(&node), APEX, "default", &zone());
    let mut before = 0;
    for _ in 0..KILLS {
        let more = wait_for_more(&node, before);
        assert!(more < NAMES, "all is signed before the kill: give the zone more names");
        before = more;
        node.signal("KILL");
        node.wait();
        node = start(folder.path(), &[]);
        assert!(signatures(&node) >= before, "what was signed is kept");
    }
    let client = Pdns::new(&node);
    let deadline = Instant::now() + PATIENCE;
    while status(&client, APEX)["complete"] != true {
        assert!(Instant::now() < deadline, "it is never complete: {}", status(&client, APEX));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(signatures(&node), NAMES);
    let called = client.request("POST", &format!("v1/zones/{APEX}/dnssec/verify"), &Value::Null);
    assert!(matches!(&called, Called::Answered(200, body) if body["good"] == true), "{called:?}");
    assert_eq!(judges::faults(&node, folder.path(), APEX), Vec::<String>::new());
    assert_eq!(status(&client, APEX)["keys"].as_array().unwrap().len(), 1, "no key is made twice");
    node.stop();
}

/// Waits until there are more signatures than before.
fn wait_for_more(node: &Node, before: usize) -> usize {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = signatures(node);
        if now > before {
            return now;
        }
        assert!(Instant::now() < deadline, "signing stands still at {before}");
    }
}

/// A small file system in memory.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(at: &'a Path) -> Self {
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(at).status().unwrap();
        assert!(mounted.success(), "a file system is mounted, for which the test has to run as root");
        Self(at)
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[7; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // Lazily: a process that a failed test leaves may still be ending.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_no_half_signed_zone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let disk = Disk::mount(&data);
    let node = start(folder.path(), &[]);
    disk.fill();
    let client = Pdns::new(&node);
    let (mut made, mut refused) = (Vec::new(), None);
    for number in 0..ZONES_MAX {
        let apex = format!("z{number}.example");
        let file = format!("$ORIGIN {apex}.\n$TTL 300\n@ NS ns1.example.net.\nwww A 192.0.2.1\n");
        let body = json!({ "name": apex, "dnssec": true, "zone_file": file });
        match client.request("POST", "v1/zones", &body) {
            Called::Answered(201, _) => made.push(apex),
            other => {
                refused = Some((apex, other));
                break;
            }
        }
    }
    let Some((apex, Called::Answered(status, said))) = refused else { panic!("{refused:?}") };
    assert!(status == 507 && said.to_string().contains("disk of the store is full"), "{status}: {said}");
    drop(client);
    drop(node);
    std::fs::remove_file(disk.filler()).unwrap();

    let node = start(folder.path(), &[]);
    let client = Pdns::new(&node);
    create(&client, &apex, "default", "@ 300 NS ns1.example.net.\nwww 300 A 192.0.2.1\n");
    made.push(apex);
    for apex in &made {
        assert_eq!(judges::faults(&node, folder.path(), apex), Vec::<String>::new());
    }
    node.stop();
}
