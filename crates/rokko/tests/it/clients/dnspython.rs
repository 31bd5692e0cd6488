//! dnspython: queries over UDP and TCP, EDNS, cookies, validation of a pre-signed zone, transfers refused politely.

use super::python;
use super::signed::{APEX, Denial, host};
use crate::harness::Node;

/// One function per check; the last line counts them.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clients/data/queries.py");

#[test]
fn queries_and_validation() {
    for denial in [Denial::Nsec, Denial::Nsec3] {
        let (data, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let node = Node::start(data.path());
        host(&node, work.path(), denial);
        let mut command = python::command("python", work.path());
        command.args([SCRIPT, &node.dns.ip().to_string(), &node.dns.port().to_string(), APEX]);
        let ran = python::finish(&mut command);
        assert_eq!(ran.code, Some(0), "{denial:?}: {ran:#?}");
        assert_eq!(ran.out.lines().last(), Some("8 checks passed"), "{ran:#?}");
        node.stop();
    }
}
