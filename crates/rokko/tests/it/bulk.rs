//! Loading a stopped node, and many files at once.

use crate::harness::{A, KEY, Node, folder, path, run};

fn zone(number: usize) -> String {
    format!(
        "$ORIGIN z{number}.example.\n@ 300 SOA ns1 h 1 7200 900 1209600 300\n@ 300 NS ns1\nns1 300 A 192.0.2.{number}\n"
    )
}

#[test]
fn a_stopped_node_is_loaded_in_bulk() {
    let (data, files) = (tempfile::tempdir().unwrap(), folder(&[]));
    for number in 1..=120 {
        std::fs::write(path(&files, &format!("{number}.zone")), zone(number)).unwrap();
    }
    std::fs::write(path(&files, "bad.zone"), "$ORIGIN bad.example.\n@ 300 SOA ns1 h 1 1 1 1 1\n@ 300 A 192.0.2.999\n")
        .unwrap();
    let (data_dir, files_dir) = (data.path().display().to_string(), files.path().display().to_string());
    let import = ["zone", "import", "--data-dir", &data_dir, "--account", "acme", &files_dir];
    let ran = run(&import);
    assert!(ran.err.contains(&format!("{files_dir}/bad.zone:3:9: error: ")), "{}", ran.err);
    assert!(ran.out.contains("Imported 120 zones (360 records)") && ran.out.ends_with("; 1 failed.\n"), "{}", ran.out);
    ran.fails(1);
    let again = run(&import).out;
    assert!(again.contains("Imported 0 zones") && again.contains("120 already as in the file"), "{again}");

    let node = Node::start(data.path());
    assert_eq!(node.ready["zones"], 120);
    for number in [1, 77, 120] {
        let answer = node.ask(&format!("ns1.z{number}.example"), A);
        assert_eq!(answer.addresses(), [format!("192.0.2.{number}")]);
    }
    let shown = node.run(&["zone", "show", "z7.example", "--output", "json"]).json();
    assert_eq!(shown["account"], "acme");
    let history = node.run(&["zone", "history", "z7.example", "--output", "json"]).json();
    assert_eq!(history[0]["actor"], "local");
    let busy = run(&import).fails(1);
    assert!(busy.contains("in use by another process"), "{busy}");
    node.stop();
}

#[test]
fn all_or_nothing_if_asked_for() {
    let (data, files) =
        (tempfile::tempdir().unwrap(), folder(&[("1", &zone(1)), ("2", &zone(2)), ("3", "nonsense\n")]));
    let node = Node::start(data.path());
    let dir = files.path().display().to_string();
    let refused = node.run(&["zone", "import", "--atomic", &dir, "--output", "json"]);
    assert_eq!(refused.code, Some(1));
    let summary: serde_json::Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!((summary["imported"].as_u64(), summary["failed"].as_u64()), (Some(0), Some(3)), "{summary}");
    assert_eq!(node.ask("ns1.z1.example", A).rcode, 5);
    std::fs::remove_file(path(&files, "3")).unwrap();
    let dry = node.run(&["zone", "import", "--dry-run", &dir]).ok();
    assert!(dry.starts_with("Would import 2 zones (6 records)"), "{dry}");
    assert_eq!(node.ask("ns1.z1.example", A).rcode, 5);
    node.run(&["zone", "import", "--atomic", &dir]).ok();
    let revisions: Vec<String> = ["z1.example", "z2.example"]
        .iter()
        .map(|zone| node.run(&["zone", "show", zone, "--output", "json"]).json()["changed_at"].to_string())
        .collect();
    assert_eq!(revisions[0], revisions[1]);
    node.stop();
}

#[test]
fn the_origin_comes_from_the_option_or_the_file() {
    let relative = "@ 300 IN SOA ns1.x. h.x. 1 1 1 1 1\n@ 300 IN NS ns1.x.\nwww 300 IN A 192.0.2.7\n";
    let absolute = "b.example. 300 IN SOA ns1.x. h.x. 1 1 1 1 1\nb.example. 300 IN NS ns1.x.\n";
    let (data, files) = (tempfile::tempdir().unwrap(), folder(&[("a", relative), ("b", absolute)]));
    let node = Node::start(data.path());
    let (a, b) = (path(&files, "a").display().to_string(), path(&files, "b").display().to_string());
    node.run(&["zone", "import", &a]).fails(1);
    node.run(&["zone", "import", &a, "--origin", "a.example"]).ok();
    node.run(&["zone", "import", &b]).ok();
    node.run(&["zone", "import", &a, &b, "--origin", "a.example"]).fails(2);
    assert_eq!(node.ask("www.a.example", A).addresses(), ["192.0.2.7"]);
    node.run(&["zone", "show", "b.example"]).ok();
    let stale = node.run_with_key(KEY, &["zone", "import", &a, "--origin", "a.example", "--if-version", "99"]);
    stale.fails(4);
    node.stop();
}
