//! A zone that is made and changed by the APIs: what it answers is what validators accept.

use std::path::Path;

use serde_json::json;

use super::unbound::{Resolved, Unbound};
use super::{create, judges, key, start};
use crate::clients::pdns::{Called, Pdns, replace};
use crate::clients::validate::Verdict::{self, Insecure, NameError, NoData, Secure};
use crate::clients::validate::{validated, write_anchor};
use crate::harness::Node;

const APEX: &str = "live.example";
const PLAIN: &str = "plain.live.example";

const ZONE: &str = "\
$ORIGIN live.example.
$TTL 300
@ SOA ns1 hostmaster 1 7200 900 1209600 60
@ NS ns1
@ MX 10 mail
ns1 A 192.0.2.53
mail A 192.0.2.25
www A 192.0.2.1
gone A 192.0.2.2
alias CNAME www
a.deep.name TXT \"below an empty non-terminal\"
plain NS ns1.plain
ns1.plain A 192.0.2.53
";

const CHILD: &str = "\
$ORIGIN plain.live.example.
$TTL 300
@ SOA ns1 hostmaster 1 7200 900 1209600 60
@ NS ns1
ns1 A 192.0.2.53
www A 192.0.2.12
";

/// Names below the apex, after the changes.
const ANSWERS: &[(&str, &str, Verdict, &str)] = &[
    ("", "SOA", Secure, "7200 900 1209600 60"),
    ("", "DNSKEY", Secure, "257 3 13"),
    ("", "MX", Secure, "10 mail.live.example."),
    ("www.", "A", Secure, "192.0.2.99"),
    ("www.", "AAAA", NoData, ""),
    ("new.", "A", Secure, "192.0.2.4"),
    ("gone.", "A", NameError, ""),
    ("nope.", "A", NameError, ""),
    ("below.www.", "A", NameError, ""),
    ("deep.name.", "A", NoData, ""),
    ("x.deep.name.", "A", NameError, ""),
    ("e.n.t.", "TXT", Secure, "three deep"),
    ("n.t.", "TXT", NoData, ""),
    ("x.wild.", "A", Secure, "192.0.2.77"),
    ("y.x.wild.", "A", Secure, "192.0.2.77"),
    ("x.wild.", "TXT", NoData, ""),
    ("wild.", "A", NoData, ""),
    ("alias.", "A", Secure, "192.0.2.99"),
    ("www.plain.", "A", Insecure, "192.0.2.12"),
    ("plain.", "DS", NoData, ""),
];

#[test]
fn a_zone_signed_with_nsec_validates_through_changes() {
    check("default");
}

#[test]
fn a_zone_signed_with_nsec3_validates_through_changes() {
    check("n3");
}

fn check(policy: &str) {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path(), &[]);
    let client = Pdns::new(&node);
    create(&client, APEX, policy, ZONE);
    let child = json!({ "name": PLAIN, "dnssec": false, "zone_file": CHILD });
    assert!(matches!(client.request("POST", "v1/zones", &child), Called::Answered(201, _)));
    assert_eq!(judges::faults(&node, folder.path(), APEX), Vec::<String>::new());
    change(&client, &node, folder.path());

    let key = key(&client, APEX);
    let wrong = [by_delv(&node, folder.path(), &key), by_unbound(&node, folder.path(), &key)].concat();
    assert!(wrong.is_empty(), "{policy}: {wrong:#?}");

    // Under another key nothing is valid: what says so above can say otherwise.
    let other = key.rsplit_once(' ').unwrap().0.to_owned() + " " + &"A".repeat(86) + "==";
    write_anchor(folder.path(), APEX, &other);
    assert_eq!(validated(&node, folder.path(), APEX, &format!("www.{APEX}"), "A"), None);
    let resolver = Unbound::start(folder.path(), node.dns, &[APEX, PLAIN], &other);
    assert_eq!(resolver.ask(folder.path(), &format!("www.{APEX}"), "A").rcode, "SERVFAIL");
    node.stop();
}

/// Changes of each kind, by both APIs; the zone is whole after each.
fn change(client: &Pdns, node: &Node, folder: &Path) {
    let whole = || assert_eq!(judges::faults(node, folder, APEX), Vec::<String>::new());
    client.patch(APEX, &json!([replace("*.wild.live.example.", "A", 300, &["192.0.2.77"])]));
    whole();
    let native = |method: &str, path: &str, body: &serde_json::Value| {
        let called = client.request(method, &format!("v1/zones/{APEX}/rrsets/{path}"), body);
        assert!(matches!(called, Called::Answered(200..=204, _)), "{called:?}");
    };
    native("PUT", "www/A", &json!({ "ttl": 60, "records": ["192.0.2.99"] }));
    native("DELETE", "gone/A", &serde_json::Value::Null);
    whole();
    client.patch(
        APEX,
        &json!([
            replace("new.live.example.", "A", 300, &["192.0.2.4"]),
            replace("e.n.t.live.example.", "TXT", 300, &["\"three deep\""]),
        ]),
    );
    native("PUT", "cut/NS", &json!({ "ttl": 60, "records": ["ns.cut.live.example."] }));
    native("PUT", "ns.cut/A", &json!({ "ttl": 60, "records": ["192.0.2.9"] }));
    whole();
    native("DELETE", "cut/NS", &serde_json::Value::Null);
    whole();

    // What the node says is valid is not so with one octet changed.
    let text = node.run(&["zone", "export", APEX]).ok();
    assert_eq!(judges::faults_of(folder, APEX, &text.replace("192.0.2.99", "192.0.2.98")).len(), 3);
}

fn by_delv(node: &Node, folder: &Path, key: &str) -> Vec<String> {
    write_anchor(folder, APEX, key);
    let mut wrong = Vec::new();
    for &(below, rtype, verdict, text) in ANSWERS {
        let said = validated(node, folder, APEX, &format!("{below}{APEX}"), rtype);
        let is_right = said.as_ref().is_some_and(|(found, out)| *found == verdict && out.contains(text));
        if !is_right {
            wrong.push(format!("delv, {below} {rtype}: expected {verdict:?}, found {said:?}"));
        }
    }
    wrong
}

fn by_unbound(node: &Node, folder: &Path, key: &str) -> Vec<String> {
    let resolver = Unbound::start(folder, node.dns, &[APEX, PLAIN], key);
    let mut wrong = Vec::new();
    for &(below, rtype, verdict, text) in ANSWERS {
        let Resolved { rcode, ad, text: said } = resolver.ask(folder, &format!("{below}{APEX}"), rtype);
        let wanted = if verdict == NameError { "NXDOMAIN" } else { "NOERROR" };
        if rcode != wanted || ad != (verdict != Insecure) || !said.contains(text) {
            wrong.push(format!("unbound, {below} {rtype}: expected {verdict:?}, found {said}"));
        }
    }
    wrong
}
