//! Keys and their scopes.

use crate::harness::{A, Node};

#[test]
fn a_key_reaches_no_further_than_its_scope() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    for zone in ["a.example", "b.example"] {
        node.run(&["zone", "create", zone, "--nameserver", "ns1.example.net"]).ok();
    }
    let create = |arguments: &[&str]| {
        let made = node.run(&[&["key", "create", "--output", "json"], arguments].concat()).json();
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    };
    let (id, acme) = create(&["acme", "--zone", "a.example", "--type", "TXT", "--expires-in", "1d"]);
    node.run_with_key(&acme, &["record", "set", "a.example", "_acme-challenge", "TXT", "token"]).ok();
    node.run_with_key(&acme, &["record", "set", "a.example", "www", "A", "192.0.2.1"]).fails(6);
    node.run_with_key(&acme, &["record", "set", "b.example", "_acme-challenge", "TXT", "token"]).fails(6);
    node.run_with_key(&acme, &["zone", "delete", "a.example"]).fails(6);
    node.run_with_key(&acme, &["key", "list"]).fails(6);
    assert_eq!(node.ask("www.a.example", A).rcode, 3);
    let (_, reader) = create(&["reader", "--read-only"]);
    node.run_with_key(&reader, &["zone", "export", "b.example"]).ok();
    node.run_with_key(&reader, &["record", "set", "b.example", "www", "A", "192.0.2.1"]).fails(6);
    node.run(&["key", "revoke", &id]).ok();
    node.run_with_key(&acme, &["zone", "show", "a.example"]).fails(6);
    node.run(&["key", "revoke", "none"]).fails(5);
    let list = node.run(&["key", "list"]).ok();
    assert!(list.lines().any(|line| line.starts_with(&id) && line.contains("revoked ")), "{list}");
    assert!(!list.contains(&acme), "a key's text is shown once");
    node.run(&["key", "create", "both", "--administrator", "--read-only"]).fails(2);
    node.stop();
}
