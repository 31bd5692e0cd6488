//! BIND's validator, `delv`, with the zone's key as its only trust anchor: each kind of answer is proved.

use std::path::Path;

use super::program::{DELV, at};
use super::signed::{APEX, Denial, host};
use crate::harness::Node;

/// What a validator makes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Signed, and the signature is good.
    Secure,
    /// Proved not to be there.
    NameError,
    /// The name is there, the type is proved not to be.
    NoData,
    /// Proved to be unsigned.
    Insecure,
}

use Verdict::{Insecure, NameError, NoData, Secure};

/// The address of the wildcard.
const WILDCARD: &str = "192.0.2.77";

/// Names below the apex.
const ANSWERS: &[(&str, &str, Verdict, &str)] = &[
    ("", "SOA", Secure, "1 7200 900 1209600 300"),
    ("", "MX", Secure, "10 mail.signed.example."),
    ("", "DNSKEY", Secure, "257 3 13"),
    ("www.", "A", Secure, "192.0.2.2"),
    ("www.", "AAAA", NoData, ""),
    ("nope.", "A", NameError, ""),
    ("below.www.", "A", NameError, ""),
    ("deep.name.", "A", NoData, ""),
    ("x.deep.name.", "A", NameError, ""),
    ("x.wild.", "A", Secure, WILDCARD),
    ("y.x.wild.", "A", Secure, WILDCARD),
    ("x.wild.", "TXT", NoData, ""),
    ("wild.", "A", NoData, ""),
    ("alias.", "A", Secure, "192.0.2.1"),
    ("host.old.", "A", Secure, "192.0.2.88"),
    ("chain.", "A", Secure, "192.0.2.11"),
    ("www.secure.", "A", Secure, "192.0.2.11"),
    ("secure.", "DS", Secure, " 13 2 "),
    ("nope.secure.", "A", NameError, ""),
    ("secure.", "MX", NoData, ""),
    ("www.plain.", "A", Insecure, "192.0.2.12"),
    ("plain.", "DS", NoData, ""),
    ("plain.", "NS", Insecure, "ns1.plain.signed.example."),
];

#[test]
fn answers_proved_by_nsec_are_valid() {
    check(Denial::Nsec);
}

#[test]
fn answers_proved_by_nsec3_are_valid() {
    check(Denial::Nsec3);
}

#[test]
fn answers_proved_by_nsec3_with_opt_out_are_valid() {
    check(Denial::Nsec3OptOut);
}

fn check(denial: Denial) {
    let (data, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = Node::start(data.path());
    let key = host(&node, work.path(), denial);
    write_anchor(work.path(), APEX, &key);
    let mut wrong = Vec::new();
    for &(below, rtype, verdict, text) in ANSWERS {
        // A span that opts out proves no absence of the name itself, which is what a wildcard needs (RFC 5155 §9.2).
        let opts_out = denial == Denial::Nsec3OptOut && text == WILDCARD;
        let verdict = if opts_out { Insecure } else { verdict };
        let said = validated(&node, work.path(), APEX, &format!("{below}{APEX}"), rtype);
        if said.as_ref().map(|(verdict, _)| *verdict) != Some(verdict)
            || !said.as_ref().is_some_and(|(_, out)| out.contains(text))
        {
            wrong.push(format!("{below} {rtype}: expected {verdict:?}, found {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{denial:?}: {wrong:#?}");

    // The same answers under another key: what says valid above can say otherwise.
    let other = key.rsplit_once(' ').unwrap().0.to_owned() + " " + &"A".repeat(86) + "==";
    write_anchor(work.path(), APEX, &other);
    assert_eq!(validated(&node, work.path(), APEX, &format!("www.{APEX}"), "A"), None);
    node.stop();
}

/// Makes a key, as `FLAGS 3 ALG KEY`, the one that `delv` trusts for the zone.
pub(crate) fn write_anchor(folder: &Path, apex: &str, key: &str) {
    let words: Vec<&str> = key.splitn(4, ' ').collect();
    let octets: String = words[3].split_whitespace().collect();
    let text =
        format!("trust-anchors {{ {apex}. static-key {} {} {} \"{octets}\"; }};\n", words[0], words[1], words[2]);
    std::fs::write(folder.join("anchor"), text).unwrap();
}

/// What `delv` makes of the answer of a node; `None` if it is bogus.
pub(crate) fn validated(node: &Node, folder: &Path, apex: &str, name: &str, rtype: &str) -> Option<(Verdict, String)> {
    let root = format!("+root={apex}");
    let options = [&at(node.dns)[..], &["-a", "anchor", &root, name, rtype].map(str::to_owned)].concat();
    let ran = DELV.run(folder, &options);
    let said = ran.out + &ran.err;
    let verdict = if said.contains("; negative response, fully validated") {
        if said.contains("ncache nxdomain") { NameError } else { NoData }
    } else if said.contains("; fully validated") {
        Secure
    } else if said.contains("; unsigned answer") || said.contains("; negative response, unsigned answer") {
        Insecure
    } else {
        assert!(said.contains("resolution failed"), "{name} {rtype}: {said}");
        return None;
    };
    Some((verdict, said))
}
