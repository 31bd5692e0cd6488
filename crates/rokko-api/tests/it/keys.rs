//! Keys: who may do what, and for how long.

use rokko_api::timestamp;
use rokko_model::{Scope, UnixMillis};
use serde_json::{Value, json};

use crate::support::{Server, local};

fn make_key(server: &Server, body: Value) -> (String, String) {
    let key = server.call("POST", "/v1/keys", Some(body)).expect(201);
    (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned())
}

#[test]
fn a_request_needs_a_working_key_in_either_header() {
    let server = Server::start();
    let none = server.send("GET", "/v1/zones", &[], Vec::new());
    none.problem(401, "no-key");
    assert!(none.header("www-authenticate").starts_with("Bearer"), "{:?}", none.headers);
    server.call_as("wrong", "GET", "/v1/zones", None).problem(401, "bad-key");
    let bearer = format!("Bearer {}", server.key);
    assert_eq!(server.send("GET", "/v1/zones", &[("authorization", &bearer)], Vec::new()).status, 200);
    for open in ["/v1/health", "/v1/openapi.json", "/metrics"] {
        assert_eq!(server.send("GET", open, &[], Vec::new()).status, 200, "{open}");
    }
}

#[test]
fn a_key_reaches_only_its_zones_and_types() {
    let server = Server::start();
    for zone in ["a.test", "b.test", "x.below.test"] {
        server.make_zone(zone);
    }
    let (_, key) = make_key(&server, json!({"name": "ci", "zones": ["a.test", "*.below.test"], "types": ["txt"]}));
    let page = server.call_as(&key, "GET", "/v1/zones", None).expect(200);
    let names: Vec<&str> =
        page["zones"].as_array().unwrap().iter().map(|zone| zone["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.test.", "x.below.test."]);
    let refused = server.call_as(&key, "GET", "/v1/zones/b.test", None).problem(403, "forbidden");
    assert!(refused["detail"].as_str().unwrap().contains("does not reach the zone b.test."), "{refused}");
    let txt = json!({"ttl": 1, "records": ["x"]});
    server.call_as(&key, "PUT", "/v1/zones/a.test/rrsets/x/TXT", Some(txt.clone())).expect(200);
    let a = json!({"ttl": 1, "records": ["192.0.2.1"]});
    server.call_as(&key, "PUT", "/v1/zones/a.test/rrsets/x/A", Some(a)).problem(403, "forbidden");
    server.call_as(&key, "PUT", "/v1/zones/b.test/rrsets/x/TXT", Some(txt.clone())).problem(403, "forbidden");
    server.call_as(&key, "DELETE", "/v1/zones/a.test", None).problem(403, "forbidden");
    server.call_as(&key, "GET", "/v1/keys", None).problem(403, "forbidden");
    server.call_as(&key, "POST", "/v1/backups", Some(json!({"path": "b"}))).problem(403, "forbidden");
    server.call_as(&key, "GET", "/v1/changes/2", None).problem(403, "forbidden");

    let (_, reader) = make_key(&server, json!({"name": "reader", "read_only": true}));
    server.call_as(&reader, "GET", "/v1/zones/b.test", None).expect(200);
    server.call_as(&reader, "PUT", "/v1/zones/b.test/rrsets/x/TXT", Some(txt)).problem(403, "forbidden");
}

#[test]
fn a_key_ends_when_it_expires_or_is_revoked() {
    let server = Server::start();
    let (id, key) = make_key(&server, json!({"name": "short"}));
    server.call_as(&key, "GET", "/v1/zones", None).expect(200);
    let revoked = server.call("DELETE", &format!("/v1/keys/{id}"), None).expect(200);
    assert!(revoked["revoked_at"].is_string());
    server.call_as(&key, "GET", "/v1/zones", None).problem(401, "bad-key");
    let listed = server.get("/v1/keys").expect(200);
    assert!(!listed.to_string().contains(&key) && !listed.to_string().contains("hash"), "{listed}");
    server.call("DELETE", "/v1/keys/nobody", None).problem(404, "no-such-key");

    let soon = server.control.now().0 + 300;
    let (_, expiring) = server.control.create_key(&local(), "soon", Scope::default(), Some(UnixMillis(soon))).unwrap();
    while server.control.now().0 <= soon {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    server.call_as(&expiring, "GET", "/v1/zones", None).problem(401, "bad-key");
    let later = timestamp::to_text(UnixMillis(soon + 3_600_000));
    let (_, lasting) = make_key(&server, json!({"name": "later", "expires_at": later}));
    server.call_as(&lasting, "GET", "/v1/zones", None).expect(200);
}

#[test]
fn keys_that_make_no_sense_are_refused() {
    let server = Server::start();
    for (body, code) in [
        (json!({"name": ""}), "bad-key-name"),
        (json!({"name": "x", "administrator": true, "read_only": true}), "limited-administrator"),
        (json!({"name": "x", "zones": ["a..b"]}), "bad-name"),
        (json!({"name": "x", "types": ["NOPE"]}), "unknown-type"),
        (json!({"name": "x", "expires_at": "tomorrow"}), "bad-time"),
        (json!({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}), "past-time"),
    ] {
        server.call("POST", "/v1/keys", Some(body)).problem(422, code);
    }
}

#[test]
fn too_many_wrong_keys_from_one_address_must_wait() {
    let server = Server::start();
    let refused = (0..1000).find_map(|_| {
        let reply = server.call_as("wrong", "GET", "/v1/zones", None);
        (reply.status != 401).then_some(reply)
    });
    let refused = refused.unwrap();
    refused.problem(429, "too-many-failures");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(server.send("GET", "/v1/health", &[], Vec::new()).status, 200);
}
