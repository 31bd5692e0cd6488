//! Signed zones of the real binary, judged by others.
//!
//! ```text
//! judges   programs that verify a whole zone      unbound   a validating resolver
//! live     answers, as validators take them       secrets   no private key outside the signer
//! kill     kill -9 while a zone is signed, and a disk that is full
//! parent   a parent on another node, and time that passes
//! ```

mod judges;
mod kill;
mod live;
mod parent;
mod secrets;
mod unbound;

use std::path::Path;

use serde_json::{Value, json};

use crate::clients::pdns::{Called, Pdns};
use crate::harness::{KEY, Node};

/// Policies beside the default one, which has NSEC.
const CONFIG: &str = "[dnssec.policies.n3]\ndenial = { nsec3 = { opt_out = false } }\n\
                      [dnssec.policies.split]\nkeys = \"split\"\n";

/// Starts a node that signs its new zones, over the folder `data` of a folder.
fn start(folder: &Path, arguments: &[&str]) -> Node {
    let config = folder.join("rokko.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let arguments = [&["--config", config.to_str().unwrap()], arguments].concat();
    Node::start_with(&folder.join("data"), &arguments, Some(KEY))
}

/// Makes a signed zone by the API.
#[track_caller]
fn create(client: &Pdns, apex: &str, policy: &str, zone_file: &str) {
    let body = json!({ "name": apex, "dnssec": true, "dnssec_policy": policy, "zone_file": zone_file });
    match client.request("POST", "v1/zones", &body) {
        Called::Answered(201, _) => {}
        other => panic!("{other:?}"),
    }
}

/// How the zone is signed.
#[track_caller]
fn status(client: &Pdns, apex: &str) -> Value {
    client.read_native(&format!("zones/{apex}/dnssec"))
}

/// The one key of a zone that has a combined signing key, as `FLAGS 3 ALG KEY`.
#[track_caller]
fn key(client: &Pdns, apex: &str) -> String {
    let status = status(client, apex);
    let keys = status["dnskey"].as_array().unwrap();
    assert_eq!(keys.len(), 1, "{status}");
    keys[0].as_str().unwrap().to_owned()
}
