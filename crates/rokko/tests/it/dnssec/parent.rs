//! A zone becomes secure when its parent does as its CDS records ask.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{create, status};
use crate::clients::pdns::{Called, Pdns};
use crate::harness::{KEY, Node, rokko};

const APEX: &str = "child.example";
const ZONE: &str = "$ORIGIN child.example.\n$TTL 60\n@ SOA ns1.example.net. h 1 7200 900 1209600 60\n\
                    @ NS ns1.example.net.\nwww A 192.0.2.1\n";
const PARENT: &str = "$ORIGIN example.\n$TTL 60\n@ SOA ns1.example.net. h 1 7200 900 1209600 60\n\
                      @ NS ns1.example.net.\nchild NS ns1.example.net.\n";
/// The shortest waits that a policy may have.
const POLICY: &str = "dnskey_ttl_s = 60\nparent_ds_ttl_s = 60\nparent_propagation_s = 60\n\
                      parent_registration_s = 3600\nzone_propagation_s = 0\nsafety_s = 0\n";
/// How much later each start is than the one before, in seconds.
const PASSES_S: u32 = 130;
/// How often time passes at most.
const STARTS_MAX: u32 = 8;
/// How long the node has after a start to do what is due, and to ask the parent.
const SETTLES: Duration = Duration::from_secs(4);

/// A node whose clock is so much ahead.
fn start_later(folder: &Path, seconds: u32) -> Node {
    let mut command = rokko();
    command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1").env("FAKETIME", format!("+{seconds}s"));
    let config = folder.join("rokko.toml");
    let arguments = ["--config", config.to_str().unwrap()];
    Node::start_by(command, &folder.join("data"), &arguments, Some(KEY))
}

/// Waits for something, but not for longer than a node has to settle.
fn settles(client: &Pdns, holds: impl Fn(&Pdns) -> bool) -> bool {
    let end = Instant::now() + SETTLES;
    loop {
        if holds(client) {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Starts a node ever later until something holds; returns the node, and how much later that is.
fn in_time(folder: &Path, mut node: Node, mut later: u32, what: &str, holds: impl Fn(&Pdns) -> bool) -> (Node, u32) {
    for _ in 0..STARTS_MAX {
        if settles(&Pdns::new(&node), &holds) {
            return (node, later);
        }
        node.stop();
        later += PASSES_S;
        node = start_later(folder, later);
    }
    panic!("{what} does not come about: {:#}", status(&Pdns::new(&node), APEX));
}

fn records(client: &Pdns, rtype: &str) -> Option<Vec<String>> {
    let path = format!("v1/zones/{APEX}/rrsets/@/{rtype}");
    let Called::Answered(200, rrset) = client.request("GET", &path, &Value::Null) else { return None };
    Some(rrset["records"].as_array().unwrap().iter().map(|record| record.as_str().unwrap().to_owned()).collect())
}

#[test]
fn a_zone_is_secure_when_the_parent_has_its_ds() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let parent = Node::start(theirs.path());
    let at_parent = Pdns::new(&parent);
    let body = json!({ "name": "example", "zone_file": PARENT });
    assert!(matches!(at_parent.request("POST", "v1/zones", &body), Called::Answered(201, _)));
    let config = format!("[dnssec.parents]\n\"example.\" = [\"{}\"]\n[dnssec.policies.quick]\n{POLICY}", parent.dns);
    std::fs::write(ours.path().join("rokko.toml"), config).unwrap();

    let node = start_later(ours.path(), 0);
    create(&Pdns::new(&node), APEX, "quick", ZONE);
    assert_eq!(records(&Pdns::new(&node), "CDS"), None, "caches do not know the key yet");
    let (node, later) =
        in_time(ours.path(), node, 0, "the request for a DS", |client| records(client, "CDS").is_some());
    let cds = records(&Pdns::new(&node), "CDS").unwrap();
    let called = at_parent.request("PUT", "v1/zones/example/rrsets/child/DS", &json!({ "ttl": 60, "records": cds }));
    assert!(matches!(called, Called::Answered(200, _)), "{called:?}");
    let (node, _) =
        in_time(ours.path(), node, later, "the DS", |client| status(client, APEX)["keys"][0]["ds"] == "omnipresent");
    let client = Pdns::new(&node);
    assert_eq!(records(&client, "CDS"), Some(cds));
    node.stop();
    parent.stop();
}
