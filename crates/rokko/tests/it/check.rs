//! `rokko zone check`, offline.

use crate::harness::{Ran, folder, rokko, run};

const GOOD: &str = "$ORIGIN good.example.\n@ 300 SOA ns1 h 5 7200 900 1209600 300\n@ 300 NS ns1\nns1 300 A 192.0.2.1\n";
const BAD: &str = "\
$ORIGIN bad.example.
$TTL 300
@ SOA ns1 h 1 7200 900 1209600 300
@ NS ns1
ns1 A 192.0.2.256
www CNAME ns1
www A 192.0.2.1
x TYPO y
";
const ODD: &str = "$ORIGIN odd.example.\n@ 300 SOA ns1 h 1 7200 900 1209600 300\n@ 300 NS ns1\nns1 300 A 192.0.2.1\n@ 300 MX 10 mail\n";

/// Checks in the folder, so that file names in the output are short.
fn check(arguments: &[&str]) -> Ran {
    let dir = folder(&[("good", GOOD), ("bad", BAD), ("odd", ODD)]);
    Ran::of(rokko().current_dir(dir.path()).args(["zone", "check"]).args(arguments).output().unwrap())
}

#[test]
fn all_errors_of_a_file_are_told() {
    let ran = check(&["bad", "good"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.out);
}

#[test]
fn warnings_fail_if_asked_to() {
    let ran = check(&["odd"]);
    insta::assert_snapshot!(ran.out);
    assert_eq!(ran.code, Some(0));
    check(&["odd", "--warnings-as-errors"]).fails(1);
}

#[test]
fn the_result_as_json() {
    let ran = check(&["bad", "--output", "json"]);
    let result: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &result[0]["ok"], &result[0]["zone"]), (Some(1), &false.into(), &"bad.example.".into()));
    let first = &result[0]["diagnostics"][0];
    assert_eq!((&first["line"], &first["column"], &first["severity"]), (&5.into(), &7.into(), &"error".into()));
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let ran = check(&["none", "good"]);
    assert!(ran.err.contains("cannot read none"), "{ran:?}");
    assert!(ran.out.starts_with("good: ok: "), "{ran:?}");
    assert_eq!(ran.code, Some(1));
    run(&["zone", "check"]).fails(2);
}
