//! The life of a zone.

use serde_json::{Value, json};

use crate::support::{Server, local};

#[test]
fn a_zone_lives_from_its_making_to_its_restoration() {
    let server = Server::start();
    let made = server.call(
        "POST",
        "/v1/zones",
        Some(json!({
            "name": "Example.com", "account": "acme", "soa_edit": "increase",
            "nameservers": ["ns1.provider.test"],
            "rrsets": [{"name": "www", "type": "A", "ttl": 300, "records": ["192.0.2.1"]},
                {"name": "@", "type": "MX", "ttl": 300, "records": ["10 mail"]},
                {"name": "mail", "type": "AAAA", "ttl": 300, "records": ["2001:db8::1"]}],
            "reason": "first"
        })),
    );
    let zone = made.expect(201);
    assert_eq!(made.header("location"), "/v1/zones/example.com.");
    let first = zone["version"].as_u64().unwrap();
    assert_eq!(made.header("etag"), format!("\"{first}\""));
    assert_eq!((&zone["name"], &zone["records"], &zone["kind"]), (&json!("example.com."), &json!(5), &json!("native")));
    assert_eq!((&zone["account"], &zone["soa_edit"]), (&json!("acme"), &json!("increase")));
    server.call("POST", "/v1/zones", Some(json!({"name": "example.com."}))).problem(409, "zone-exists");
    assert_eq!(server.get("/v1/zones/example.com").expect(200), zone);

    let mx = server.get("/v1/zones/example.com/rrsets/@/MX").expect(200);
    assert_eq!(mx, json!({"name": "example.com.", "type": "MX", "ttl": 300, "records": ["10 mail.example.com."]}));

    let set = server.call(
        "PUT",
        "/v1/zones/example.com/rrsets/www/A?reason=move",
        Some(json!({"ttl": 60, "records": ["192.0.2.2", "192.0.2.3"]})),
    );
    let change = set.expect(200);
    assert_eq!((&change["changed"], &change["state"]), (&json!(true), &json!("applied")));
    assert_eq!(change["serial"].as_u64().unwrap(), zone["serial"].as_u64().unwrap() + 1);
    let second = change["revision"].as_u64().unwrap();
    assert_eq!(set.header("etag"), format!("\"{second}\""));

    let edits = json!({"reason": "more", "edits": [
        {"op": "remove", "name": "www", "type": "A", "records": ["192.0.2.2"]},
        {"op": "add", "name": "www.example.com.", "type": "A", "ttl": 60, "records": ["192.0.2.9"]},
        {"op": "delete", "name": "@", "type": "MX"},
        {"op": "replace", "name": "txt", "type": "TXT", "ttl": 5, "records": ["\"a b\" c"]}]});
    let third = server.call("POST", "/v1/zones/example.com/changes", Some(edits.clone())).expect(200);
    let again = server.call("POST", "/v1/zones/example.com/changes", Some(edits)).expect(200);
    assert_eq!((&again["changed"], &again["revision"]), (&json!(false), &third["revision"]));
    let www = server.get("/v1/zones/example.com/rrsets/www.example.com./A").expect(200);
    assert_eq!(www["records"], json!(["192.0.2.3", "192.0.2.9"]));
    let txt = server.get("/v1/zones/example.com/rrsets/txt/TXT").expect(200);
    assert_eq!(txt["records"], json!(["\"a b\" \"c\""]));
    server.get("/v1/zones/example.com/rrsets/@/MX").problem(404, "no-such-rrset");

    let removed = server.call("DELETE", "/v1/zones/example.com/rrsets/mail/AAAA", None).expect(200);
    assert_eq!(removed["changed"], true);
    let absent = server.call("DELETE", "/v1/zones/example.com/rrsets/mail/AAAA", None).expect(200);
    assert_eq!(absent["changed"], false);
    check_history(&server, first, second);

    let patched = server.call("PATCH", "/v1/zones/example.com", Some(json!({"account": "other", "kind": "master"})));
    let patched = patched.expect(200);
    assert_eq!(
        (&patched["account"], &patched["kind"], &patched["soa_edit"]),
        (&json!("other"), &json!("master"), &json!("increase"))
    );

    let deleted = server.call("DELETE", "/v1/zones/example.com?reason=gone", None).expect(200);
    assert_eq!(deleted["serial"], Value::Null);
    server.get("/v1/zones/example.com").problem(404, "no-such-zone");
    let body = json!({"to": second, "reason": "back"});
    let restored = server.call("POST", "/v1/zones/example.com/restore", Some(body)).expect(200);
    assert_eq!(restored["changed"], true);
    let www = server.get("/v1/zones/example.com/rrsets/www/A").expect(200);
    assert_eq!(www["records"], json!(["192.0.2.2", "192.0.2.3"]));
    let body = json!({"to": deleted["revision"]});
    server.call("POST", "/v1/zones/example.com/restore", Some(body)).problem(422, "nothing-to-restore");
}

fn check_history(server: &Server, first: u64, second: u64) {
    let page = server.get("/v1/zones/example.com/history?limit=2").expect(200);
    assert_eq!(page["entries"].as_array().unwrap().len(), 2);
    let before = page["next_before"].as_u64().unwrap();
    let rest = server.get(&format!("/v1/zones/example.com/history?before={before}")).expect(200);
    assert_eq!(rest["next_before"], Value::Null);
    let entries = rest["entries"].as_array().unwrap();
    let oldest = entries.last().unwrap();
    assert_eq!(
        (&oldest["revision"], &oldest["kind"], &oldest["reason"]),
        (&json!(first), &json!("create"), &json!("first"))
    );
    assert_eq!((&oldest["previous_version"], &oldest["address"]), (&Value::Null, &json!("127.0.0.1")));
    assert!(oldest["actor"].as_str().unwrap().starts_with("administrator ("), "{oldest}");
    let detail = server.get(&format!("/v1/zones/example.com/history/{second}")).expect(200);
    assert_eq!((&detail["reason"], &detail["previous_version"]), (&json!("move"), &json!(first)));
    let www = detail["changes"].as_array().unwrap().iter().find(|change| change["type"] == "A").unwrap();
    assert_eq!(www["before"], json!({"ttl": 300, "records": ["192.0.2.1"]}));
    assert_eq!(www["after"], json!({"ttl": 60, "records": ["192.0.2.2", "192.0.2.3"]}));
    server.make_zone("elsewhere.test");
    server.get(&format!("/v1/zones/elsewhere.test/history/{second}")).problem(404, "no-such-revision");
    let status = server.get(&format!("/v1/changes/{second}?wait_ms=1000")).expect(200);
    assert_eq!((&status["zone"], &status["state"]), (&json!("example.com."), &json!("insync")));
    assert!(status["applied_at"].as_str() >= status["committed_at"].as_str(), "{status}");
    server.get("/v1/changes/99999").problem(404, "no-such-revision");
    server.get("/v1/changes/0").problem(404, "no-such-revision");
    server.get("/v1/changes/1?wait_ms=60001").problem(400, "bad-wait");
}

#[test]
fn a_stale_version_is_refused_with_the_current_one_on_every_write() {
    let server = Server::start();
    let old = server.make_zone("a.test");
    let body = json!({"ttl": 60, "records": ["192.0.2.1"]});
    let now = server.call_if(&server.key, Some(old), "PUT", "/v1/zones/a.test/rrsets/x/A", Some(body.clone()));
    let now = now.expect(200)["revision"].as_u64().unwrap();
    let edits = json!({"edits": [{"op": "delete", "name": "x", "type": "A"}]});
    for (method, path, body) in [
        ("PUT", "/v1/zones/a.test/rrsets/x/A", Some(json!({"ttl": 61, "records": ["192.0.2.1"]}))),
        ("DELETE", "/v1/zones/a.test/rrsets/x/A", None),
        ("POST", "/v1/zones/a.test/changes", Some(edits)),
        ("PATCH", "/v1/zones/a.test", Some(json!({"account": "x"}))),
        ("POST", "/v1/zones/a.test/restore", Some(json!({"to": old}))),
        ("DELETE", "/v1/zones/a.test", None),
    ] {
        let refused = server.call_if(&server.key, Some(old), method, path, body).problem(412, "stale-version");
        assert_eq!(refused["current_version"], now, "{method} {path}");
    }
    let file = server.get("/v1/zones/a.test/file").text;
    let tag = format!("\"{old}\"");
    let headers = [("x-api-key", server.key.as_str()), ("if-match", &tag)];
    server.send("PUT", "/v1/zones/a.test/file", &headers, file.into_bytes()).problem(412, "stale-version");
    assert_eq!(server.get("/v1/zones/a.test").expect(200)["version"], now);
    let headers = [("x-api-key", server.key.as_str()), ("if-match", "W/\"1\"")];
    server.send("DELETE", "/v1/zones/a.test", &headers, Vec::new()).problem(400, "bad-if-match");
}

#[test]
fn metadata_changes_at_once_lose_nothing_and_are_all_carried_out() {
    let server = Server::start();
    server.make_zone("busy.test");
    std::thread::scope(|scope| {
        for writer in 0..12 {
            let server = &server;
            scope.spawn(move || {
                let reason = format!("writer {writer}");
                let body = json!({"account": writer.to_string(), "reason": reason});
                server.call("PATCH", "/v1/zones/busy.test", Some(body)).expect(200);
                let body = json!({"ttl": 60, "records": ["x"]});
                server.call("PUT", &format!("/v1/zones/busy.test/rrsets/w{writer}/TXT"), Some(body)).expect(200);
            });
        }
    });
    let history = server.get("/v1/zones/busy.test/history?limit=1000").expect(200);
    let kinds = history["entries"].as_array().unwrap().iter();
    let (meta, edits): (Vec<&Value>, Vec<&Value>) =
        kinds.filter(|entry| entry["kind"] != "create").partition(|entry| entry["kind"] == "meta");
    assert_eq!((meta.len(), edits.len()), (12, 12));
}

#[test]
fn a_zone_file_comes_out_as_it_went_in() {
    let server = Server::start();
    let text = "$ORIGIN f.test.\nf.test. 300 IN SOA ns.f.test. h.f.test. 7 1 2 3 4\nf.test. 300 IN A 192.0.2.9\nf.test. 300 IN NS ns.f.test.\n*.f.test. 60 IN TXT \"x\"\nns.f.test. 300 IN A 192.0.2.1\n";
    let made = server.put_file("f.test", text);
    assert_eq!(made.expect(201)["warnings"], json!([]));
    let out = server.get("/v1/zones/f.test./file");
    assert_eq!((out.status, out.header("content-type")), (200, "text/dns"));
    assert_eq!(out.text, text);
    let same = server.put_file("f.test", text).expect(200);
    assert_eq!(same["changed"], false);

    let bad =
        server.put_file("f.test", "$ORIGIN f.test.\n@ 1 SOA ns h 1 2 3 4 5\n@ 1 NS ns\nns 1 A 300.0.2.1\nx 1 NOPE y\n");
    let items = bad.problem(422, "invalid-records")["errors"].clone();
    let lines: Vec<u64> = items.as_array().unwrap().iter().map(|item| item["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [4, 5], "{items}");
    assert_eq!((&items[0]["name"], &items[0]["type"]), (&json!("ns.f.test."), &json!("A")));
    let headers = [("x-api-key", server.key.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let form = server.send("PUT", "/v1/zones/f.test/file", &headers, b"x".to_vec());
    form.problem(415, "not-a-zone-file");
}

#[test]
fn a_long_export_comes_in_pieces_and_whole() {
    let server = Server::start();
    let mut text =
        "$ORIGIN big.test.\nbig.test. 300 IN SOA ns.other. h.other. 7 1 2 3 4\nbig.test. 300 IN NS ns.other.\n"
            .to_owned();
    text.extend((10_000..30_000).map(|number| format!("h{number}.big.test. 300 IN A 192.0.2.1\n")));
    server.put_file("big.test", &text).expect(201);
    let out = server.get("/v1/zones/big.test/file");
    assert_eq!((out.status, out.header("content-length")), (200, ""));
    assert!(out.text == text, "the export differs");
    let detail = server.get("/v1/zones/big.test/history/1").expect(200);
    assert_eq!(detail["changes"].as_array().unwrap().len(), 20_002);
}

#[test]
fn pages_of_zones_cover_all_that_stay_while_others_come_and_go() {
    let server = Server::start();
    for number in 0..25 {
        server.make_zone(&format!("z{number:02}.test"));
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = server.get(&format!("/v1/zones?limit=4{cursor}")).expect(200);
        let names = page["zones"].as_array().unwrap().iter().map(|zone| zone["name"].as_str().unwrap().to_owned());
        seen.extend(names);
        pages += 1;
        // The zone that the cursor stands on goes, one before it comes, and one far behind goes.
        let last = seen.last().unwrap();
        server.call("DELETE", &format!("/v1/zones/{last}"), None).expect(200);
        server.make_zone(&format!("a{pages}.test"));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let expected: Vec<String> = (0..25).map(|number| format!("z{number:02}.test.")).collect();
    assert_eq!((seen, pages), (expected, 7));

    let names = |path: &str| -> Vec<String> {
        let page = server.get(path).expect(200);
        page["zones"].as_array().unwrap().iter().map(|zone| zone["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/v1/zones?contains=Z1&limit=2"), ["z10.test.", "z12.test."]);
    assert_eq!(names("/v1/zones?below=z10.test"), ["z10.test."]);
    assert_eq!(names("/v1/zones?account=none"), Vec::<String>::new());
    for bad in ["limit=0", "limit=1001", "limit=x", "cursor=%21", "below=a..b", "what=1"] {
        assert_eq!(server.get(&format!("/v1/zones?{bad}")).status, 400, "{bad}");
    }
}

#[test]
fn pages_of_rrsets_follow_names_and_types() {
    let server = Server::start();
    server.make_zone("r.test");
    let edits: Vec<Value> = (0..10)
        .flat_map(|number| {
            let of = move |rtype, record| json!({"op": "replace", "name": format!("n{number}"), "type": rtype, "ttl": 1, "records": [record]});
            [of("A", "192.0.2.1"), of("TXT", "x")]
        })
        .collect();
    server.call("POST", "/v1/zones/r.test/changes", Some(json!({"edits": edits}))).expect(200);
    let all = server.get("/v1/zones/r.test/rrsets?limit=1000").expect(200);
    assert_eq!(all["rrsets"].as_array().unwrap().len(), 22);
    for query in ["", "&type=TXT", "&name=n3"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("/v1/zones/r.test/rrsets?limit=3{query}{cursor}")).expect(200);
            seen.extend(page["rrsets"].as_array().unwrap().clone());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let wanted = |rrset: &&Value| match query {
            "&type=TXT" => rrset["type"] == "TXT",
            "&name=n3" => rrset["name"] == "n3.r.test.",
            _ => true,
        };
        let expected: Vec<Value> = all["rrsets"].as_array().unwrap().iter().filter(wanted).cloned().collect();
        assert_eq!(seen, expected, "{query}");
    }
}

#[test]
fn names_with_odd_octets_work_in_paths() {
    let server = Server::start();
    let made =
        server.call("POST", "/v1/zones", Some(json!({"name": "0/25.2.0.192.in-addr.arpa", "nameservers": ["ns.x"]})));
    made.expect(201);
    assert_eq!(made.header("location"), "/v1/zones/0%2F25.2.0.192.in-addr.arpa.");
    assert_eq!(server.get(made.header("location")).expect(200)["name"], "0/25.2.0.192.in-addr.arpa.");
    let body = json!({"ttl": 1, "records": ["x"]});
    server.call("PUT", "/v1/zones/0%2F25.2.0.192.in-addr.arpa/rrsets/a%5C032b/TXT", Some(body)).expect(200);
    let view = server.control.zone(&local(), &"0/25.2.0.192.in-addr.arpa.".parse().unwrap()).unwrap();
    assert!(view.zone.rrsets().any(|(owner, _)| owner.to_string().starts_with("a\\032b.")));
    assert_eq!(server.get("/v1/zones/%FF").status, 400);
}
