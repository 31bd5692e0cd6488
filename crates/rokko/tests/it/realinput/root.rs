//! The root zone of 2020: imported through the API and into a stopped node, compared record by record with the file,
//! changed, exported, and imported again.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::path::Path;

use serde_json::json;

use crate::clients::pdns::{Pdns, replace};
use crate::clients::program::{KDIG, XZ, at};
use crate::clients::python;
use crate::harness::{Node, Ran, rokko};

/// The file has neither a SOA record nor signatures.
const SOA: &str = ". 86400 IN SOA a.root-servers.net. nstld.verisign-grs.com. 2020010100 1800 900 604800 86400\n";
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../rokko-zone/tests/data/root-zone-2020.xz");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/realinput/root.py");
const COMPARED_MIN: u32 = 1000;

#[test]
fn the_root_zone_is_served_changed_and_exported() {
    let work = tempfile::tempdir().unwrap();
    let text = SOA.to_owned() + &XZ.run(work.path(), &["-dc", FILE]).ok();
    let file = work.path().join("root.zone");
    std::fs::write(&file, &text).unwrap();

    let stopped_dir = work.path().join("stopped");
    import_stopped(&stopped_dir, &file);
    let stopped = Node::start(&stopped_dir);
    let node = Node::start(&work.path().join("running"));
    node.run(&["zone", "import", &file.display().to_string(), "--origin", "."]).ok();
    let exported = node.run(&["zone", "export", "."]).ok();
    assert_eq!(stopped.run(&["zone", "export", "."]).ok(), exported, "both ways of import make the same zone");
    stopped.stop();
    let difference: Vec<String> = records(&exported).symmetric_difference(&records(&text)).cloned().collect();
    assert_eq!(difference, [""; 0]);

    compare(&node, work.path(), &file);
    change(&node, &exported);

    let again = work.path().join("again.zone");
    std::fs::write(&again, &exported).unwrap();
    let reimported = work.path().join("reimported");
    import_stopped(&reimported, &again);
    let second = Node::start(&reimported);
    assert_eq!(second.run(&["zone", "export", "."]).ok(), exported);
    second.stop();
    node.stop();
}

fn import_stopped(data_dir: &Path, file: &Path) {
    let mut command = rokko();
    command.args(["zone", "import", "--origin", ".", "--data-dir"]).arg(data_dir).arg(file);
    Ran::of(command.output().unwrap()).ok();
}

/// Asks for referrals, DS records and names that are not there, and holds the answers against the file.
fn compare(node: &Node, work: &Path, file: &Path) {
    let mut command = python::command("python", work);
    command.args([SCRIPT, &node.dns.ip().to_string(), &node.dns.port().to_string()]).arg(file);
    let ran = python::finish(&mut command);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let compared: u32 = ran.out.split(' ').next().unwrap().parse().unwrap();
    assert!(compared >= COMPARED_MIN, "{ran:#?}");
}

/// A new top-level domain comes by the PowerDNS-compatible API and goes with a rollback.
fn change(node: &Node, before: &str) {
    let client = Pdns::new(node);
    let zone = client.read("zones/=2E?rrsets=false");
    assert_eq!((zone["name"].as_str(), zone["id"].as_str()), (Some("."), Some("=2E")));
    let digest = "12345 13 2 49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC4242";
    let rrsets = json!([
        replace("newcomer.", "NS", 172_800, &["a.nic.newcomer.", "b.nic.newcomer."]),
        replace("newcomer.", "DS", 86_400, &[digest]),
        replace("a.nic.newcomer.", "A", 172_800, &["192.0.2.1"]),
        replace("b.nic.newcomer.", "AAAA", 172_800, &["2001:db8::1"]),
        json!({ "name": "com.", "type": "DS", "changetype": "DELETE", "records": [] }),
    ]);
    client.patch("=2E", &rrsets);
    let ask = |question: &str| {
        let words: Vec<String> = at(node.dns).into_iter().chain(question.split(' ').map(str::to_owned)).collect();
        KDIG.run(Path::new("/"), &words).ok()
    };
    let referral = ask("www.newcomer A +norecurse +dnssec");
    for line in ["AUTHORITY: 2;", "ADDITIONAL: 3", "192.0.2.1", "2001:db8::1", "Flags: qr;"] {
        assert!(referral.contains(line), "no {line:?} in {referral}");
    }
    assert!(ask("com DS").contains("ANSWER: 0;"));
    let after = node.run(&["zone", "export", "."]).ok();
    assert_eq!(records(&after).difference(&records(before)).count(), 5 + 1, "five records and the SOA");

    let history = node.run(&["zone", "history", ".", "--output", "json"]).json();
    let first = history.as_array().unwrap().last().unwrap()["revision"].to_string();
    node.run(&["zone", "rollback", ".", "--to", &first]).ok();
    let back = node.run(&["zone", "export", "."]).ok();
    let without_soa = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.contains("\tSOA\t") && !line.contains(" SOA ")).map(str::to_owned).collect()
    };
    assert_eq!(without_soa(&back), without_soa(before));
}

/// All records of a zone file without continued lines and relative names, in one form.
fn records(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with([';', '$']));
    lines.map(|line| record(line).join(" ")).collect()
}

/// Owner, TTL, type and data; names in lower case, octets in upper case and without spaces within, short addresses.
fn record(line: &str) -> Vec<String> {
    let mut words: Vec<String> = line.split_whitespace().filter(|word| *word != "IN").map(str::to_owned).collect();
    if words[2] == "DS" {
        let octets = words.split_off(6).concat();
        words.push(octets.to_uppercase());
    } else if words[2] == "AAAA" {
        words[3] = words[3].parse::<Ipv6Addr>().unwrap().to_string();
    } else {
        words.iter_mut().filter(|word| word.ends_with('.')).for_each(|word| word.make_ascii_lowercase());
    }
    words
}
