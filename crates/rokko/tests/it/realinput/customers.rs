//! 100,000 zones of customers: loaded into a stopped node, answered, changed and listed by API, exported.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::clients::pdns::{Pdns, replace};
use crate::harness::{A, Node, Ran, SOA, TXT, rokko};

const ZONES: u32 = 100_000;
const RECORDS_PER_ZONE: u32 = 6;
/// How many zones are asked for, and how many of them are changed.
const ASKED: u32 = 400;
const CHANGED: u32 = 100;
/// A step through all zones that meets none of them twice: it has no factor in common with their number.
const STRIDE: u32 = 12_347;
const PAGE: usize = 1_000;
/// What all files take, each in a page of its own, and as much again.
const MEMORY_BYTES: u64 = 2 * 4096 * ZONES as u64;

#[test]
fn very_many_zones() {
    let (data, work) = (tempfile::tempdir().unwrap(), folder_for_many_files());
    let (files, exported) = (work.path().join("files"), work.path().join("exported"));
    write_files(&files);
    import_stopped(data.path(), &files);
    fs::remove_dir_all(&files).unwrap();

    let node = Node::start(data.path());
    assert_eq!(node.ready["zones"], ZONES);
    for number in some(ASKED) {
        let apex = apex(number);
        assert_eq!(node.ask(&format!("www.{apex}"), A).addresses(), [address(number)]);
        assert_eq!(node.ask(&apex, TXT).records[0].1[1..], *text(number).as_bytes());
        assert_eq!(node.ask(&format!("nope.{apex}"), SOA).rcode, 3);
    }
    assert_eq!(node.ask(&apex(ZONES), A).rcode, 5, "a zone that is not there");

    change(&node);
    list(&node);
    node.run(&["zone", "export", "--all", "--out", &exported.display().to_string()]).ok();
    node.stop();
    compare(&exported);
}

/// In memory if there is room: a file system that discards blocks takes minutes to remove so many files.
fn folder_for_many_files() -> TempDir {
    let memory = Path::new("/dev/shm");
    let free = Command::new("df").args(["--output=avail", "--block-size=1"]).arg(memory).output().unwrap().stdout;
    let free = String::from_utf8(free).unwrap().lines().nth(1).and_then(|line| line.trim().parse::<u64>().ok());
    if free.is_some_and(|free| free >= MEMORY_BYTES) { TempDir::new_in(memory) } else { TempDir::new() }.unwrap()
}

fn write_files(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for number in 0..ZONES {
        fs::write(folder.join(format!("{number}")), file(number)).unwrap();
    }
}

fn import_stopped(data_dir: &Path, files: &Path) {
    let mut command = rokko();
    command.args(["zone", "import", "--output", "json", "--data-dir"]).arg(data_dir).arg(files);
    let summary = Ran::of(command.output().unwrap()).json();
    let numbers = ["imported", "records", "failed"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(numbers, [u64::from(ZONES), u64::from(ZONES * RECORDS_PER_ZONE), 0], "{summary}");
}

fn change(node: &Node) {
    let client = Pdns::new(node);
    for number in some(CHANGED) {
        let apex = apex(number);
        let www = format!("www.{apex}.");
        client.patch(&format!("{apex}."), &json!([replace(&www, "A", 300, &[&changed_address(number)])]));
        assert_eq!(node.ask(&www, A).addresses(), [changed_address(number)]);
    }
}

/// Both APIs list every zone once.
fn list(node: &Node) {
    let client = Pdns::new(node);
    let expected: BTreeSet<String> = (0..ZONES).map(|number| apex(number) + ".").collect();
    let whole = client.read("zones");
    let names: Vec<String> = names(&whole);
    assert_eq!(names.len(), expected.len());
    assert!(names.into_iter().collect::<BTreeSet<_>>() == expected, "other zones than expected");

    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.read_native(&format!("zones?limit={PAGE}{cursor}"));
        let names = self::names(&page["zones"]);
        assert!(!names.is_empty() && names.len() <= PAGE);
        paged.extend(names);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged.len(), expected.len());
    assert!(paged.into_iter().collect::<BTreeSet<_>>() == expected, "other zones than expected");
}

fn names(zones: &serde_json::Value) -> Vec<String> {
    zones.as_array().unwrap().iter().map(|zone| zone["name"].as_str().unwrap().to_owned()).collect()
}

/// The files are in canonical form, so what comes out is what went in, octet by octet.
fn compare(exported: &Path) {
    let changed: BTreeSet<u32> = some(CHANGED).collect();
    for number in 0..ZONES {
        let path = exported.join(format!("{}.zone", apex(number)));
        let found = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if changed.contains(&number) {
            let serial = found.split(' ').nth(7).unwrap().to_owned();
            assert_ne!(serial, number.to_string(), "{found}");
            let expected = file(number)
                .replacen(&format!(" {number} 10800 "), &format!(" {serial} 10800 "), 1)
                .replace(&format!("A {}", address(number)), &format!("A {}", changed_address(number)));
            assert_eq!(found, expected);
        } else {
            assert_eq!(found, file(number));
        }
    }
    assert_eq!(fs::read_dir(exported).unwrap().count(), ZONES as usize);
}

/// Some zones, spread over all.
fn some(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|turn| turn * STRIDE % ZONES)
}

fn apex(number: u32) -> String {
    let top = ["com.example", "net.example", "co.uk.example", "xn--p1ai.example"][number as usize % 4];
    format!("customer-{number}.{top}")
}

fn file(number: u32) -> String {
    let apex = apex(number) + ".";
    format!(
        "$ORIGIN {apex}
{apex} 3600 IN SOA ns1.hosting.example. hostmaster.hosting.example. {number} 10800 3600 604800 300
{apex} 3600 IN NS ns1.hosting.example.
{apex} 3600 IN NS ns2.hosting.example.
{apex} 3600 IN MX 10 mail.hosting.example.
{apex} 3600 IN TXT \"{}\"
www.{apex} 300 IN A {}
",
        text(number),
        address(number)
    )
}

fn text(number: u32) -> String {
    format!("v=spf1 ip4:{} -all", address(number))
}

fn address(number: u32) -> String {
    format!("10.{}.{}.{}", number >> 16, number >> 8 & 0xff, number & 0xff)
}

fn changed_address(number: u32) -> String {
    format!("192.0.2.{}", number % 256)
}
