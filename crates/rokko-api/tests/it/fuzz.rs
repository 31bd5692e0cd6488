//! No body makes the server fail.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use crate::support::Server;

const WORDS: &[&str] = &[
    "f.test",
    "f.test.",
    "@",
    "*",
    "",
    ".",
    "www",
    "x.f.test.",
    "a..b",
    "\\",
    "\\999",
    "é",
    "A",
    "TXT",
    "SOA",
    "NS",
    "CNAME",
    "TYPE65280",
    "\\# 1 00",
    "\\# 4 zz",
    "192.0.2.1",
    "::1",
    "10 mail",
    "\"",
    "\"a\" b",
    "ns. h. 1 2 3 4 5",
    "replace",
    "delete",
    "add",
    "remove",
    "create",
    "import",
    "edit",
    "native",
    "increase",
    "$GENERATE 1-9 a$ A 192.0.2.$\n",
    "$INCLUDE /x\n",
    "@ 1 SOA a. b. 1 2 3 4 5\n@ 1 NS a.\n",
    "2030-01-01T00:00:00Z",
    "(",
    "\u{0}",
];
const FIELDS: &[&str] = &[
    "name",
    "type",
    "ttl",
    "records",
    "rrsets",
    "edits",
    "op",
    "changes",
    "zone",
    "zone_file",
    "if_match",
    "kind",
    "account",
    "soa_edit",
    "nameservers",
    "reason",
    "to",
    "zones",
    "types",
    "read_only",
    "expires_at",
    "path",
    "odd",
];
const TARGETS: &[(&str, &str)] = &[
    ("POST", "/v1/zones"),
    ("PATCH", "/v1/zones/f.test"),
    ("PUT", "/v1/zones/f.test/rrsets/www/A"),
    ("PUT", "/v1/zones/f.test/rrsets/www/TXT"),
    ("POST", "/v1/zones/f.test/changes"),
    ("POST", "/v1/batches"),
    ("POST", "/v1/zones/f.test/restore"),
    ("POST", "/v1/keys"),
    ("PUT", "/v1/zones/f.test/file"),
    ("POST", "/api/v1/servers/localhost/zones"),
    ("PATCH", "/api/v1/servers/localhost/zones/f.test."),
    ("PUT", "/api/v1/servers/localhost/zones/f.test./metadata/X"),
];

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => proptest::sample::select(WORDS).prop_map(|word| json!(word)),
        2 => any::<u32>().prop_map(|number| json!(number)),
        1 => any::<i64>().prop_map(|number| json!(number)),
        1 => any::<bool>().prop_map(|value| json!(value)),
        1 => Just(Value::Null),
        1 => ".{0,20}".prop_map(|text| json!(text)),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 40, 5, |inner| {
        let field = proptest::sample::select(FIELDS).prop_map(str::to_owned);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::btree_map(field, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Documents with the right fields and odd values, which get further than arbitrary ones.
fn near_miss() -> impl Strategy<Value = Value> {
    let word = || proptest::sample::select(WORDS).prop_map(str::to_owned);
    let records = || proptest::collection::vec(word(), 0..3);
    let op = proptest::sample::select(&["replace", "add", "remove", "delete"][..]);
    let edit = (op, word(), word(), any::<u32>(), records()).prop_map(|(op, name, rtype, ttl, records)| {
        json!({"op": op, "changetype": op.to_uppercase(), "name": name, "type": rtype, "ttl": ttl >> 1, "records": records})
    });
    let edits = proptest::collection::vec(edit, 0..4);
    prop_oneof![
        edits.clone().prop_map(|mut edits| {
            for edit in &mut edits {
                edit.as_object_mut().unwrap().remove("changetype");
            }
            json!({ "edits": edits })
        }),
        edits.prop_map(|mut edits| {
            for edit in &mut edits {
                let records = edit["records"].as_array().unwrap().clone();
                edit["records"] = records.into_iter().map(|text| json!({"content": text, "disabled": false})).collect();
                edit.as_object_mut().unwrap().remove("op");
            }
            json!({ "rrsets": edits })
        }),
        (any::<u32>(), records()).prop_map(|(ttl, records)| json!({"ttl": ttl, "records": records})),
        (word(), word())
            .prop_map(|(zone, text)| json!({"changes": [{"zone": zone, "op": "import", "zone_file": text}]})),
        (word(), word(), records())
            .prop_map(|(name, text, servers)| json!({"name": name, "zone_file": text, "nameservers": servers})),
        any::<u64>().prop_map(|to| json!({ "to": to })),
    ]
}

#[test]
fn no_body_gives_a_server_error() {
    let server = Server::start();
    server.make_zone("f.test");
    let headers = [("x-api-key", server.key.as_str()), ("content-type", "application/json")];
    let text = [("x-api-key", server.key.as_str()), ("content-type", "text/dns")];
    let bodies = prop_oneof![
        1 => any_json().prop_map(|value| value.to_string().into_bytes()),
        3 => near_miss().prop_map(|value| value.to_string().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..60),
        1 => proptest::collection::vec(proptest::sample::select(WORDS), 0..9).prop_map(|words| words.join(" ").into_bytes()),
    ];
    let mut runner = TestRunner::new(Config { cases: 1500, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(proptest::sample::select(TARGETS), bodies), |((method, path), body)| {
        let headers = if path.ends_with("/file") { &text } else { &headers };
        let reply = server.send(method, path, headers, body);
        prop_assert!(reply.status < 500, "{} {}", reply.status, reply.text);
        if path.starts_with("/v1") && reply.status >= 400 {
            prop_assert_eq!(reply.header("content-type"), "application/problem+json");
        }
        Ok(())
    });
    outcome.unwrap();
}
