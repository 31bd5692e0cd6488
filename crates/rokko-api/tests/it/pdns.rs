//! The PowerDNS-compatible API beside recorded answers of PowerDNS 4.7.3.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{Reply, Server};

const SERVER: &str = "/api/v1/servers/localhost";
const CASES: &str = include_str!("pdns_cases.json");
const DOCUMENT: &str = include_str!("../../../../docs/powerdns-api.md");

/// A request in a sequence, and what PowerDNS said to it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    method: String,
    path: String,
    /// Another key than the administrator's; empty: none.
    key: Option<String>,
    body: Option<Value>,
    /// A body that is not JSON.
    raw: Option<String>,
    /// The status that PowerDNS answered.
    powerdns: u16,
    /// The status here, where it differs on purpose.
    rokko: Option<u16>,
    /// The heading in the documentation that says why.
    difference: Option<String>,
    /// The fields that PowerDNS had in the object, or in the first one of the list.
    keys: Option<BTreeSet<String>>,
}

impl Case {
    fn send(&self, server: &Server) -> Reply {
        let body = self.raw.clone().or_else(|| self.body.as_ref().map(Value::to_string)).unwrap_or_default();
        let key = self.key.as_deref().unwrap_or(&server.key);
        let mut headers = vec![("content-type", "application/json")];
        if !key.is_empty() {
            headers.push(("x-api-key", key));
        }
        server.send(&self.method, &self.path, &headers, body.into_bytes())
    }

    fn check(&self, reply: &Reply) {
        let name = format!("{} {} {:?}{:?}: {}", self.method, self.path, self.body, self.raw, reply.text);
        assert_eq!(reply.status, self.rokko.unwrap_or(self.powerdns), "{name}");
        assert_eq!(self.rokko.is_some(), self.difference.is_some(), "{name}");
        assert_ne!(self.rokko, Some(self.powerdns), "{name}");
        if let Some(difference) = &self.difference {
            assert!(DOCUMENT.contains(&format!("`{difference}`")), "{difference} is not documented");
        }
        if reply.status == 204 {
            assert_eq!(reply.text, "", "{name}");
        }
        if reply.status >= 400 && self.path.starts_with("/api/v1") {
            assert!(reply.json()["error"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            assert_eq!(reply.header("content-type"), "application/json", "{name}");
        }
        if let Some(keys) = &self.keys {
            let value = reply.json();
            let object = value.get(0).unwrap_or(&value).as_object().expect(&name);
            assert_eq!(&object.keys().cloned().collect::<BTreeSet<_>>(), keys, "{name}");
        }
    }
}

#[test]
fn requests_are_answered_as_powerdns_answers_them() {
    let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    let server = Server::start();
    for case in &cases {
        case.check(&case.send(&server));
    }
    assert!(cases.len() > 200);
}

fn create(server: &Server, zone: &str, more: &Value) -> Value {
    let mut body = json!({"name": zone, "kind": "Native", "nameservers": ["ns1.provider.test."]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.call("POST", &format!("{SERVER}/zones"), Some(body)).expect(201)
}

#[test]
fn clients_find_the_server() {
    let server = Server::start();
    assert_eq!(server.get("/api").expect(200), json!([{"url": "/api/v1", "version": 1}]));
    let found = server.get(SERVER).expect(200);
    assert_eq!((&found["id"], &found["daemon_type"]), (&json!("localhost"), &json!("authoritative")));
    let version = found["version"].as_str().unwrap();
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    assert!(parts.len() == 3 && parts >= vec![5, 0, 2], "clients use EXTEND and PRUNE from 5.0.2 on: {version}");
    let settings = server.get(&format!("{SERVER}/config")).expect(200);
    let lua = settings.as_array().unwrap().iter().find(|setting| setting["name"] == "enable-lua-records").unwrap();
    assert_eq!(lua["value"], "no");
    let uptime = server.get(&format!("{SERVER}/statistics?statistic=uptime")).expect(200);
    assert_eq!(uptime[0]["type"], "StatisticItem");
}

#[test]
fn a_new_zone_comes_back_whole() {
    let server = Server::start();
    let rrsets = json!([{"name": "www.new.test.", "type": "A", "ttl": 60, "records": [{"content": "192.0.2.1"}]}]);
    let zone = create(
        &server,
        "new.test.",
        &json!({"kind": "mAsTeR", "account": "joe", "masters": ["192.0.2.9"], "serial": 0, "soa_edit_api": "epoch", "rrsets": rrsets, "odd": 1}),
    );
    assert_eq!(zone["id"], "new.test.");
    assert_eq!(zone["url"], "/api/v1/servers/localhost/zones/new.test.");
    assert_eq!((&zone["kind"], &zone["account"]), (&json!("Master"), &json!("joe")));
    assert_eq!((&zone["masters"], &zone["soa_edit_api"]), (&json!(["192.0.2.9"]), &json!("epoch")));
    assert!(zone["serial"].as_u64().unwrap() > 0);
    let types: Vec<(&str, &str)> = zone["rrsets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rrset| (rrset["name"].as_str().unwrap(), rrset["type"].as_str().unwrap()))
        .collect();
    assert_eq!(types, [("new.test.", "NS"), ("new.test.", "SOA"), ("www.new.test.", "A")]);
    assert_eq!(server.get(&format!("{SERVER}/zones/new.test")).expect(200), zone);
    let without = server.get(&format!("{SERVER}/zones/new.test.?rrsets=false")).expect(200);
    assert!(without.get("rrsets").is_none());
}

#[test]
fn a_zone_file_makes_a_zone_and_its_errors_name_the_line() {
    let server = Server::start();
    let text = "@ 300 IN SOA ns h 7 2 3 4 5\n@ 300 IN NS ns\nns 300 IN A 192.0.2.1\n";
    let body = json!({"name": "file.test.", "kind": "Native", "nameservers": [], "zone": text});
    let zone = server.call("POST", &format!("{SERVER}/zones"), Some(body)).expect(201);
    assert_eq!(zone["serial"], 7);
    assert_eq!(zone["rrsets"].as_array().unwrap().len(), 3);
    let body = json!({"name": "bad.test.", "kind": "Native", "zone": "a 300 IN A 192.0.2.1\nb 300 IN A nonsense\n"});
    let error = server.call("POST", &format!("{SERVER}/zones"), Some(body)).expect(422);
    assert!(error["error"].as_str().unwrap().starts_with("zone:2:"), "{error}");
    assert_eq!(server.get(&format!("{SERVER}/zones/bad.test.")).status, 404);
}

#[test]
fn every_bad_record_is_told_at_once() {
    let server = Server::start();
    create(&server, "bad.test.", &json!({}));
    let rrsets = json!([
        {"name": "a.bad.test.", "type": "A", "ttl": 60, "changetype": "REPLACE", "records": [{"content": "x"}, {"content": "192.0.2.1"}, {"content": "y"}]},
        {"name": "b.bad.test.", "type": "MX", "ttl": 60, "changetype": "REPLACE", "records": [{"content": "10 mail"}]},
    ]);
    let error = server.call("PATCH", &format!("{SERVER}/zones/bad.test."), Some(json!({"rrsets": rrsets}))).expect(422);
    assert!(error["error"].as_str().unwrap().starts_with("Record a.bad.test./A 'x':"), "{error}");
    let all = error["errors"].as_array().unwrap();
    assert_eq!(all.len(), 3);
    assert!(all[2].as_str().unwrap().starts_with("Record b.bad.test./MX '10 mail':"), "{error}");
}

#[test]
fn the_serial_moves_as_asked() {
    let server = Server::start();
    for (policy, moves) in
        [("INCREASE", true), ("OFF", false), ("", false), ("EPOCH", true), ("SOA-EDIT-INCREASE", true)]
    {
        let zone = create(&server, "serial.test.", &json!({"soa_edit_api": policy}));
        let before = zone["serial"].as_u64().unwrap();
        let rrsets = json!([{"name": "a.serial.test.", "type": "A", "ttl": 60, "changetype": "REPLACE", "records": [{"content": "192.0.2.1"}]}]);
        let path = format!("{SERVER}/zones/serial.test.");
        assert_eq!(server.call("PATCH", &path, Some(json!({"rrsets": rrsets}))).status, 204);
        let after = server.get(&path).expect(200);
        assert_eq!(after["soa_edit_api"], policy);
        let after = after["serial"].as_u64().unwrap();
        match policy {
            "INCREASE" | "SOA-EDIT-INCREASE" => assert_eq!(after, before + 1),
            _ => assert_eq!(after != before, moves, "{policy}"),
        }
        assert_eq!(server.call("DELETE", &path, None).status, 204);
    }
}

#[test]
fn a_put_replaces_everything_in_one_change() {
    let server = Server::start();
    let path = format!("{SERVER}/zones/put.test.");
    create(&server, "put.test.", &json!({}));
    let soa = "ns1.provider.test. h.put.test. 1 10800 3600 604800 300";
    let rrset = |name: &str, rtype: &str, content: &str, disabled: bool| json!({"name": name, "type": rtype, "ttl": 60, "records": [{"content": content, "disabled": disabled}]});
    let rrsets = json!([
        rrset("put.test.", "SOA", soa, false),
        rrset("put.test.", "NS", "ns9.provider.test.", false),
        rrset("off.put.test.", "A", "192.0.2.1", true),
    ]);
    let before = server.control.head().unwrap();
    let reply = server.call("PUT", &path, Some(json!({"account": "new", "kind": "Master", "rrsets": rrsets})));
    assert_eq!(reply.status, 204, "{}", reply.text);
    assert!(server.control.head().unwrap() > before);
    let zone = server.get(&path).expect(200);
    assert_eq!((&zone["account"], &zone["kind"]), (&json!("new"), &json!("Master")));
    let found: Vec<&str> = zone["rrsets"].as_array().unwrap().iter().map(|r| r["type"].as_str().unwrap()).collect();
    assert_eq!(found, ["NS", "SOA", "A"]);
    assert_eq!(zone["rrsets"][2]["records"], json!([{"content": "192.0.2.1", "disabled": true}]));
    let bad = json!([
        rrset("put.test.", "SOA", soa, false),
        rrset("put.test.", "NS", "ns9.provider.test.", false),
        rrset("a.put.test.", "A", "x", false)
    ]);
    let reply = server.call("PUT", &path, Some(json!({"account": "other", "rrsets": bad})));
    assert_eq!(reply.status, 422);
    assert_eq!(server.get(&path).expect(200), zone, "a refused PUT changes nothing");
}

#[test]
fn metadata_is_not_lost_when_many_write() {
    let server = Server::start();
    create(&server, "meta.test.", &json!({}));
    let path = format!("{SERVER}/zones/meta.test./metadata");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (server, path) = (&server, &path);
            scope.spawn(move || {
                for number in 0..5 {
                    let body = json!({"kind": "X-LIST", "metadata": [format!("{thread}-{number}")]});
                    assert_eq!(server.call("POST", path, Some(body)).status, 201);
                }
            });
        }
    });
    let found = server.get(&format!("{path}/X-LIST")).expect(200);
    assert_eq!(found["metadata"].as_array().unwrap().len(), 20);
    assert_eq!(server.get(&format!("{SERVER}/zones/meta.test.")).expect(200)["kind"], "Native");
}
