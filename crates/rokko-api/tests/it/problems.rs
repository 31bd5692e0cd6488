//! What clients are told when something is wrong.

use serde_json::json;

use crate::support::Server;

#[test]
fn a_bad_record_is_named_with_all_others() {
    let server = Server::start();
    let version = server.make_zone("p.test");
    let body = json!({"edits": [
        {"op": "replace", "name": "good", "type": "A", "ttl": 60, "records": ["192.0.2.1"]},
        {"op": "replace", "name": "bad", "type": "A", "ttl": 60, "records": ["192.0.2.1", "192.0.2.256"]},
        {"op": "replace", "name": "x.other.", "type": "A", "ttl": 60, "records": ["192.0.2.1"]},
        {"op": "replace", "name": "t", "type": "NOPE", "ttl": 60, "records": ["x"]},
        {"op": "replace", "name": "t", "type": "AXFR", "ttl": 60, "records": ["x"]},
        {"op": "replace", "name": "t", "type": "TXT", "ttl": 2_147_483_648_u32, "records": ["x"]},
        {"op": "add", "name": "t", "type": "TXT", "records": ["x"]},
        {"op": "replace", "name": "t", "type": "TXT", "ttl": 1, "records": []},
        {"op": "replace", "name": "a..b", "type": "TXT", "ttl": 1, "records": ["x"]}]});
    let problem = server.call("POST", "/v1/zones/p.test/changes", Some(body)).problem(422, "invalid-records");
    let items = problem["errors"].as_array().unwrap();
    let codes: Vec<&str> = items.iter().map(|item| item["code"].as_str().unwrap()).collect();
    let expected =
        ["bad-record", "out-of-zone", "unknown-type", "meta-type", "bad-ttl", "no-ttl", "no-records", "bad-name"];
    assert_eq!(codes, expected);
    assert_eq!((&items[0]["name"], &items[0]["record"]), (&json!("bad.p.test."), &json!("192.0.2.256")));
    assert_eq!((&items[0]["zone"], &items[0]["type"]), (&json!("p.test."), &json!("A")));
    assert!(problem["detail"].as_str().unwrap().contains("and 7 more"), "{problem}");
    assert_eq!(server.get("/v1/zones/p.test").expect(200)["version"], version);
}

#[test]
fn a_zone_that_would_not_be_one_is_refused_by_name() {
    let server = Server::start();
    server.make_zone("p.test");
    let body = json!({"edits": [
        {"op": "replace", "name": "c", "type": "CNAME", "ttl": 60, "records": ["x"]},
        {"op": "replace", "name": "c", "type": "A", "ttl": 60, "records": ["192.0.2.1"]}]});
    let problem = server.call("POST", "/v1/zones/p.test/changes", Some(body)).problem(422, "invalid-records");
    assert_eq!(problem["errors"][0]["code"], "cname-and-other-data");
    assert_eq!(problem["errors"][0]["name"], "c.p.test.");
    let body = json!({"edits": [{"op": "delete", "name": "@", "type": "NS"}]});
    let problem = server.call("POST", "/v1/zones/p.test/changes", Some(body)).problem(422, "invalid-records");
    assert_eq!(problem["errors"][0]["code"], "no-ns");
}

#[test]
fn json_that_is_wrong_is_placed() {
    let server = Server::start();
    let headers = [("x-api-key", server.key.as_str()), ("content-type", "application/json")];
    let post = |body: &str| server.send("POST", "/v1/zones", &headers, body.as_bytes().to_vec());
    let syntax = post("{\"name\":\n \"a\",,}").problem(400, "bad-json");
    assert!(syntax["detail"].as_str().unwrap().contains("line 2 column 6"), "{syntax}");
    let unknown = post("{\"name\": \"a.test\", \"colour\": 1}").problem(422, "unexpected-json");
    assert!(unknown["detail"].as_str().unwrap().contains("unknown field `colour`"), "{unknown}");
    let kind = post("{\"name\": 7}").problem(422, "unexpected-json");
    assert!(kind["detail"].as_str().unwrap().contains("line 1 column 10"), "{kind}");
    post("").problem(400, "no-body");
    post("{\"name\": \"a..b\"}").problem(400, "bad-name");
    let headers = [("x-api-key", server.key.as_str()), ("content-type", "text/xml")];
    server.send("POST", "/v1/zones", &headers, b"<zone/>".to_vec()).problem(415, "not-json");
}

#[test]
fn routes_and_methods_that_do_not_exist_are_problems_too() {
    let server = Server::start();
    server.get("/v1/nothing").problem(404, "no-route");
    server.get("/elsewhere").problem(404, "no-route");
    let reply = server.call("DELETE", "/v1/zones", None);
    reply.problem(405, "no-method");
    let mut allowed: Vec<&str> = reply.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    server.call("BREW", "/v1/zones", None).problem(405, "no-method");
    assert_eq!(server.get("/v1/changes/x").status, 400);
    assert_eq!(server.get("/v1/zones/a..b").status, 400);
}
