//! `nsupdate` is refused politely: DNS UPDATE (RFC 2136) is not offered, and nothing changes.

use crate::clients::program::NSUPDATE;
use crate::harness::{A, Node, SOA};

const ZONE: &str =
    "$ORIGIN update.example.\n@ 300 SOA ns1 h 7 7200 900 1209600 300\n@ 300 NS ns1\nns1 300 A 192.0.2.53\n";

#[test]
fn an_update_is_refused() {
    let (data, files) = (tempfile::tempdir().unwrap(), crate::harness::folder(&[("zone", ZONE)]));
    let node = Node::start(data.path());
    node.run(&["zone", "import", &crate::harness::path(&files, "zone").display().to_string()]).ok();
    let before = node.ask("update.example", SOA);
    let server = format!("server {} {}", node.dns.ip(), node.dns.port());
    let cases = [
        ("update.example", "-4", "REFUSED"),
        ("update.example", "-v", "REFUSED"),
        // RFC 2136 §3.1.2: not a zone of this server.
        ("elsewhere.example", "-4", "NOTAUTH"),
        ("elsewhere.example", "-v", "NOTAUTH"),
    ];
    for (zone, protocol, rcode) in cases {
        let script = format!("{server}\nzone {zone}\nupdate add new.{zone} 300 A 192.0.2.9\nsend\n");
        let file = crate::harness::path(&files, "script");
        std::fs::write(&file, script).unwrap();
        let ran = NSUPDATE.run(files.path(), &[protocol, &file.display().to_string()]);
        assert_eq!(ran.err.trim(), format!("update failed: {rcode}"), "{zone}: {ran:#?}");
        assert_eq!(ran.code, Some(2), "{zone}: {ran:#?}");
    }
    assert_eq!(node.ask("new.update.example", A).rcode, 3);
    assert_eq!(node.ask("update.example", SOA), before);
    node.stop();
}
