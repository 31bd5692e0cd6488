//! Batches are carried out wholly or not at all.

use serde_json::json;

use crate::support::Server;

const FILE: &str = "@ 60 SOA ns.x. h.x. 1 2 3 4 5\n@ 60 NS ns.x.\nwww 60 A 192.0.2.1\n";

#[test]
fn all_changes_of_a_batch_come_together() {
    let server = Server::start();
    let version = server.make_zone("old.test");
    server.make_zone("gone.test");
    let done = server.call(
        "POST",
        "/v1/batches",
        Some(json!({"reason": "all", "changes": [
            {"zone": "new.test", "op": "create", "zone_file": FILE, "account": "acme"},
            {"zone": "new.test", "op": "edit", "edits": [{"op": "add", "name": "www", "type": "A", "ttl": 60, "records": ["192.0.2.2"]}]},
            {"zone": "old.test", "op": "edit", "if_match": version, "edits": [{"op": "replace", "name": "x", "type": "TXT", "ttl": 1, "records": ["y"]}]},
            {"zone": "imported.test", "op": "import", "zone_file": FILE},
            {"zone": "gone.test", "op": "delete"}]})),
    );
    let changes = done.expect(200)["changes"].clone();
    assert_eq!(changes.as_array().unwrap().len(), 5);
    assert_eq!((&changes[1]["zone"], &changes[4]["zone"]), (&json!("new.test."), &json!("gone.test.")));
    let www = server.get("/v1/zones/new.test/rrsets/www/A").expect(200);
    assert_eq!(www["records"], json!(["192.0.2.1", "192.0.2.2"]));
    assert_eq!(server.get("/v1/zones/new.test").expect(200)["account"], "acme");
    server.get("/v1/zones/imported.test").expect(200);
    server.get("/v1/zones/gone.test").problem(404, "no-such-zone");
}

#[test]
fn one_bad_change_leaves_nothing_of_its_batch() {
    let server = Server::start();
    let version = server.make_zone("old.test");
    let head = server.get("/v1/health").expect(200)["revision"].clone();
    let create = json!({"zone": "new.test", "op": "create", "zone_file": FILE});
    for (bad, status, code) in [
        (json!({"zone": "old.test", "op": "delete", "if_match": version + 99}), 412, "stale-version"),
        (json!({"zone": "absent.test", "op": "delete"}), 404, "no-such-zone"),
        (json!({"zone": "old.test", "op": "create"}), 409, "zone-exists"),
        (json!({"zone": "old.test", "op": "edit"}), 422, "missing-field"),
        (json!({"zone": "old.test", "op": "delete", "edits": []}), 422, "useless-field"),
        (json!({"zone": "i.test", "op": "import", "zone_file": "@ 1 A 1.2.3\n"}), 422, "invalid-records"),
        (
            json!({"zone": "old.test", "op": "edit", "edits": [{"op": "delete", "name": "@", "type": "SOA"}]}),
            422,
            "invalid-records",
        ),
    ] {
        let body = json!({"changes": [create, bad]});
        server.call("POST", "/v1/batches", Some(body)).problem(status, code);
        server.get("/v1/zones/new.test").problem(404, "no-such-zone");
    }
    assert_eq!(server.get("/v1/health").expect(200)["revision"], head);
    server.call("POST", "/v1/batches", Some(json!({"changes": []}))).problem(422, "no-changes");
}
