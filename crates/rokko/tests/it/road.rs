//! The main road: a change enters, is made durable, answered, exported, and taken back.

use crate::harness::{A, Answer, Node, SOA, TXT, ask_tcp, folder, path};

const ZONE: &str = "\
$ORIGIN example.com.
$TTL 300
@ SOA ns1 hostmaster 1 7200 900 1209600 300
  NS ns1
ns1 A 192.0.2.53
www A 192.0.2.1
";

#[test]
fn import_change_history_rollback_delete_and_restart() {
    let (data, files) = (tempfile::tempdir().unwrap(), folder(&[("example.com", ZONE)]));
    let node = Node::start(data.path());
    let file = path(&files, "example.com").display().to_string();
    let said = node.run(&["zone", "import", &file, "--reason", "moved in"]).ok();
    assert!(said.starts_with("Imported 1 zone (4 records) in "), "{said}");
    let www = node.ask("www.example.com", A);
    assert_eq!((www.addresses(), www.rcode, www.authoritative), (vec!["192.0.2.1".to_owned()], 0, true));
    assert_eq!(ask_tcp(node.dns, "www.example.com", A), www);

    let again = node.run(&["zone", "import", &file, "--output", "json"]).json();
    assert_eq!((again["imported"].as_u64(), again["unchanged"].as_u64()), (Some(0), Some(1)), "{again}");

    // The command returns when the change is answered.
    node.run(&["record", "set", "example.com", "www", "A", "60", "192.0.2.2", "192.0.2.3"]).ok();
    assert_eq!(node.ask("www.example.com", A).addresses(), ["192.0.2.2", "192.0.2.3"]);
    node.run(&["record", "add", "example.com", "www", "A", "192.0.2.4"]).ok();
    node.run(&["record", "delete", "example.com", "www", "A", "192.0.2.2"]).ok();
    assert_eq!(node.ask("www.example.com", A).addresses(), ["192.0.2.3", "192.0.2.4"]);
    let listed = node.run(&["record", "list", "example.com", "www", "--output", "json"]).json();
    assert_eq!(listed[0]["ttl"], 60, "adding keeps the TTL");
    node.run(&["record", "add", "example.com", "@", "TXT", "\"v=spf1 -all\""]).ok();
    assert_eq!(node.ask("example.com", TXT).records[0].1, b"\x0bv=spf1 -all");

    let history = node.run(&["zone", "history", "example.com", "--output", "json"]).json();
    let revisions: Vec<u64> = history.as_array().unwrap().iter().map(|e| e["revision"].as_u64().unwrap()).collect();
    assert_eq!(revisions.len(), 5);
    assert!(revisions.is_sorted_by(|a, b| a > b));
    assert_eq!(history[4]["reason"], "moved in");
    let first = revisions[4].to_string();
    let second = revisions[3].to_string();
    let shown = node.run(&["zone", "history", "example.com", &second]).ok();
    assert!(shown.contains("- www.example.com. 300 A 192.0.2.1\n"), "{shown}");
    assert!(shown.contains("+ www.example.com. 60 A 192.0.2.2\n"), "{shown}");
    let change = node.run(&["change", "wait", &second, "--output", "json"]).json();
    assert_eq!((change["state"].as_str(), change["zone"].as_str()), (Some("insync"), Some("example.com.")));

    let stale = node.run(&["zone", "rollback", "example.com", "--to", &first, "--if-version", &first]).fails(4);
    assert!(stale.contains(&format!("--if-version {}", revisions[0])), "{stale}");
    node.run(&["zone", "rollback", "example.com", "--to", &first]).ok();
    assert_eq!(node.ask("www.example.com", A).addresses(), ["192.0.2.1"]);
    assert_eq!(node.ask("example.com", TXT).records, []);

    let exported = node.run(&["zone", "export", "example.com"]).ok();
    let before = node.ask("example.com", SOA);
    node.run(&["zone", "delete", "example.com", "--reason", "moved out"]).ok();
    assert_eq!(node.ask("www.example.com", A).rcode, 5);
    node.run(&["zone", "show", "example.com"]).fails(5);
    let again = path(&files, "again");
    std::fs::write(&again, &exported).unwrap();
    node.run(&["zone", "import", &again.display().to_string()]).ok();
    node.stop();

    let node = Node::start(data.path());
    let www: Answer = node.ask("www.example.com", A);
    assert_eq!(www.addresses(), ["192.0.2.1"]);
    assert_eq!(node.ask("example.com", SOA), before, "an export that is imported is the same zone");
    assert_eq!(node.run(&["zone", "export", "example.com"]).ok(), exported);
    node.stop();
}

#[test]
fn zones_are_created_listed_and_filed() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = Node::start(data.path());
    for zone in ["a.example", "b.example", "c.test"] {
        node.run(&["zone", "create", zone, "--nameserver", "ns1.example.net", "--account", "acme"]).ok();
    }
    node.run(&["zone", "create", "a.example", "--nameserver", "ns1.example.net"]).fails(1);
    node.run(&["zone", "set", "c.test", "--account", "other", "--soa-edit", "epoch"]).ok();
    let list = |arguments: &[&str]| {
        let page = node.run(&[&["zone", "list", "--output", "json"], arguments].concat()).json();
        let names = page["zones"].as_array().unwrap().iter().map(|zone| zone["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(list(&["--all"]), ["a.example.", "b.example.", "c.test."]);
    assert_eq!(list(&["--limit", "2"]), ["a.example.", "b.example."]);
    assert_eq!(list(&["--account", "other"]), ["c.test."]);
    assert_eq!(list(&["--below", "example"]), ["a.example.", "b.example."]);
    assert_eq!(list(&["--contains", "b.ex"]), ["b.example."]);
    let table = node.run(&["zone", "list", "--limit", "1"]);
    assert!(table.err.contains("--cursor"), "{table:?}");
    assert!(table.ok().starts_with("ZONE        SERIAL  "));
    let shown = node.run(&["zone", "show", "c.test"]).ok();
    assert!(shown.contains("Account   other") && shown.contains("SOA edit  epoch"), "{shown}");
    node.run(&["zone", "export", "--all", "--out", &out.path().display().to_string()]).ok();
    for file in ["a.example.zone", "b.example.zone", "c.test.zone"] {
        let text = std::fs::read_to_string(out.path().join(file)).unwrap();
        assert!(text.contains(" IN NS ns1.example.net.\n"), "{text}");
    }
    node.stop();
}

#[test]
fn mistakes_have_their_exit_codes() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    node.run(&["zone", "create", "a.example", "--nameserver", "ns1.example.net"]).ok();
    let quote = node.run(&["record", "set", "a.example", "@", "MX", "10", "mail"]).fails(2);
    assert!(quote.contains("Quote the data of each record as one word: '10 mail'"), "{quote}");
    node.run(&["record", "set", "a.example", "www", "CNAME", "b.example."]).ok();
    let refused = node.run(&["record", "add", "a.example", "www", "A", "192.0.2.1"]).fails(1);
    assert!(refused.contains("CNAME"), "{refused}");
    node.run(&["record", "list", "no.example"]).fails(5);
    node.run(&["change", "show", "999"]).fails(5);
    node.run_with_key("wrong", &["zone", "list"]).fails(6);
    let json = node.run_with_key("wrong", &["zone", "list", "--output", "json"]).fails(6);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["error"]["exit_code"], 6);
    let api = node.api.clone();
    node.stop();
    let mut gone = crate::harness::rokko();
    gone.args(["zone", "list", "--api", &api]).env("ROKKO_API_KEY", "x");
    let err = crate::harness::Ran::of(gone.output().unwrap()).fails(3);
    assert!(err.contains("rokko up"), "{err}");
}
