//! Records over the PowerDNS-compatible API: what is kept beside them, single records, long lists and searches.

use std::collections::BTreeSet;

use rokko_model::{Request, Scope, Signing, ZoneMeta};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Rrset, Ttl};
use serde_json::{Value, json};

use crate::support::{Server, local};

const ZONES: &str = "/api/v1/servers/localhost/zones";

struct Fixture {
    server: Server,
    path: String,
}

impl Fixture {
    fn new() -> Self {
        let server = Server::start();
        let body = json!({"name": "r.test.", "kind": "Native", "nameservers": ["ns1.provider.test."]});
        server.call("POST", ZONES, Some(body)).expect(201);
        Self { server, path: format!("{ZONES}/r.test.") }
    }

    fn patch(&self, rrsets: &Value) -> u16 {
        self.server.call("PATCH", &self.path, Some(json!({"rrsets": rrsets}))).status
    }

    #[track_caller]
    fn patched(&self, rrsets: &Value) {
        assert_eq!(self.patch(rrsets), 204, "{rrsets}");
    }

    /// The RRsets of one name.
    fn rrsets(&self, name: &str, more: &str) -> Value {
        let reply = self.server.get(&format!("{}?rrset_name={name}{more}", self.path));
        reply.expect(200)["rrsets"].take()
    }

    /// How many records are answered with.
    fn answered(&self, name: &str, rtype: Rtype) -> usize {
        let view = self.server.control.zone(&local(), &"r.test.".parse().unwrap()).unwrap();
        view.zone.rrset(&name.parse().unwrap(), rtype).map_or(0, rokko_zone::RrsetRef::len)
    }
}

fn change(name: &str, rtype: &str, kind: &str, contents: &[&str]) -> Value {
    let records: Vec<Value> = contents.iter().map(|content| json!({"content": content, "disabled": false})).collect();
    json!({"name": name, "type": rtype, "ttl": 60, "changetype": kind, "records": records})
}

#[test]
fn disabled_records_and_comments_are_kept_and_not_answered() {
    let fixture = Fixture::new();
    let name = "d.r.test.";
    let mut with_both = change(name, "A", "REPLACE", &["192.0.2.1"]);
    with_both["records"].as_array_mut().unwrap().push(json!({"content": "192.0.2.2", "disabled": true}));
    with_both["comments"] = json!([{"content": "why", "account": "me", "modified_at": 5}]);
    fixture.patched(&json!([with_both]));
    let records = json!([{"content": "192.0.2.1", "disabled": false}, {"content": "192.0.2.2", "disabled": true}]);
    let comments = json!([{"account": "me", "content": "why", "modified_at": 5}]);
    let both = json!({"comments": comments, "name": name, "records": records, "ttl": 60, "type": "A"});
    assert_eq!(fixture.rrsets(name, ""), json!([both]));
    assert_eq!(fixture.answered(name, Rtype::A), 1);
    assert_eq!(fixture.rrsets(name, "&include_disabled=false")[0]["records"].as_array().unwrap().len(), 1);

    fixture.patched(&json!([change(name, "A", "REPLACE", &["192.0.2.3"])]));
    let now = fixture.rrsets(name, "");
    assert_eq!(now[0]["comments"], comments, "comments stay when a change does not speak of them");
    assert_eq!(now[0]["records"], json!([{"content": "192.0.2.3", "disabled": false}]));

    fixture.patched(&json!([{"name": name, "type": "A", "changetype": "REPLACE", "comments": []}]));
    let now = fixture.rrsets(name, "");
    assert_eq!((&now[0]["comments"], now[0]["records"].as_array().unwrap().len()), (&json!([]), 1));

    let mut off = change(name, "A", "REPLACE", &["192.0.2.4"]);
    off["records"][0]["disabled"] = json!(true);
    fixture.patched(&json!([off]));
    assert_eq!(fixture.answered(name, Rtype::A), 0);
    assert_eq!(fixture.rrsets(name, "")[0]["records"], json!([{"content": "192.0.2.4", "disabled": true}]));
    assert_eq!(fixture.rrsets(name, "&include_disabled=false"), json!([]));
    let whole = fixture.server.get(&fixture.path).expect(200);
    assert!(whole["rrsets"].as_array().unwrap().iter().any(|rrset| rrset["name"] == name && rrset["ttl"] == 60));

    fixture.patched(&json!([{"name": name, "type": "A", "changetype": "DELETE"}]));
    assert_eq!(fixture.rrsets(name, ""), json!([]));
}

#[test]
fn a_patch_is_atomic_and_ordered() {
    let fixture = Fixture::new();
    let name = "www.r.test.";
    fixture.patched(&json!([change(name, "A", "REPLACE", &["192.0.2.1"])]));
    fixture.patched(&json!([
        {"name": name, "type": "A", "changetype": "DELETE", "records": [{"content": "192.0.2.1", "name": name}]},
        change(name, "CNAME", "REPLACE", &["target.test."]),
    ]));
    assert_eq!((fixture.answered(name, Rtype::A), fixture.answered(name, Rtype::CNAME)), (0, 1));
    let head = fixture.server.control.head().unwrap();
    let refused =
        json!([change("ok.r.test.", "A", "REPLACE", &["192.0.2.1"]), change(name, "TXT", "REPLACE", &["\"x\""])]);
    assert_eq!(fixture.patch(&refused), 422);
    assert_eq!(fixture.answered("ok.r.test.", Rtype::A), 0);
    assert_eq!(fixture.server.control.head().unwrap(), head);
}

#[test]
fn single_records_come_and_go() {
    let fixture = Fixture::new();
    let name = "_acme-challenge.r.test.";
    for _ in 0..2 {
        fixture.patched(&json!([change(name, "TXT", "EXTEND", &["\"one\""])]));
        fixture.patched(&json!([change(name, "TXT", "EXTEND", &["\"two\""])]));
    }
    assert_eq!(fixture.answered(name, Rtype::TXT), 2);
    for _ in 0..2 {
        fixture.patched(
            &json!([{"name": name, "type": "TXT", "changetype": "PRUNE", "records": [{"content": "\"one\""}]}]),
        );
    }
    assert_eq!(fixture.rrsets(name, "")[0]["records"], json!([{"content": "\"two\"", "disabled": false}]));
    fixture.patched(&json!([{"name": name, "type": "TXT", "changetype": "REPLACE", "comments": [{"content": "c"}]}]));
    fixture.patched(&json!([change(name, "TXT", "PRUNE", &["\"two\""])]));
    assert_eq!(fixture.rrsets(name, ""), json!([]), "the last record takes the comments along");
    let no_ttl = json!([{"name": name, "type": "TXT", "changetype": "EXTEND", "records": [{"content": "\"x\""}]}]);
    assert_eq!(fixture.patch(&no_ttl), 422);
}

#[test]
fn a_record_is_switched_off_and_on_by_itself() {
    let fixture = Fixture::new();
    let name = "s.r.test.";
    fixture.patched(&json!([change(name, "A", "REPLACE", &["192.0.2.1", "192.0.2.2"])]));
    let mut off = change(name, "A", "EXTEND", &["192.0.2.2"]);
    off["records"][0]["disabled"] = json!(true);
    fixture.patched(&json!([off]));
    assert_eq!(fixture.answered(name, Rtype::A), 1);
    assert_eq!(fixture.rrsets(name, "")[0]["records"].as_array().unwrap().len(), 2);
    fixture.patched(&json!([change(name, "A", "EXTEND", &["192.0.2.2"])]));
    assert_eq!(fixture.answered(name, Rtype::A), 2);
    assert_eq!(fixture.rrsets(name, "")[0]["records"].as_array().unwrap().len(), 2);
    fixture.patched(&json!([off]));
    fixture.patched(&json!([change(name, "A", "PRUNE", &["192.0.2.2"])]));
    assert_eq!(fixture.rrsets(name, "")[0]["records"], json!([{"content": "192.0.2.1", "disabled": false}]));
}

#[test]
fn concurrent_clients_lose_nothing() {
    let fixture = Fixture::new();
    let name = "_acme-challenge.r.test.";
    fixture
        .patched(&json!([{"name": name, "type": "TXT", "changetype": "REPLACE", "comments": [{"content": "kept"}]}]));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let fixture = &fixture;
            scope.spawn(move || {
                for number in 0..5 {
                    let content = format!("\"{thread}-{number}\"");
                    fixture.patched(&json!([change(name, "TXT", "EXTEND", &[&content])]));
                }
            });
        }
    });
    assert_eq!(fixture.answered(name, Rtype::TXT), 20);
    assert_eq!(fixture.rrsets(name, "")[0]["comments"][0]["content"], "kept");
}

/// Many zones, made without HTTP.
fn make_zones(server: &Server, count: u32) {
    let ttl = Ttl::new(60).unwrap();
    let requests = (0..count).map(|number| {
        let zone: Name = format!("z{number:05}.many.test.").parse().unwrap();
        let owner = zone.child(b"www").unwrap();
        let address: Box<[u8]> = (0x0a00_0000 | number).to_be_bytes().into();
        let contents = vec![Rrset { owner, rtype: Rtype::A, ttl, rdatas: vec![address] }];
        Request::Create { zone, meta: ZoneMeta::default(), contents, signing: Signing::Off }
    });
    server.control.submit_wait(&local(), "", requests.collect()).unwrap();
}

#[test]
fn a_long_list_is_streamed_and_whole() {
    const COUNT: u32 = 2_345;
    let server = Server::start();
    make_zones(&server, COUNT);
    let reply = server.get(ZONES);
    assert_eq!(reply.header("transfer-encoding"), "chunked");
    assert_eq!(reply.header("content-type"), "application/json");
    let list = reply.expect(200);
    let names: BTreeSet<&str> = list.as_array().unwrap().iter().map(|zone| zone["name"].as_str().unwrap()).collect();
    assert_eq!((list.as_array().unwrap().len(), names.len()), (COUNT as usize, COUNT as usize));
    assert!(reply.text.contains("\"name\":\"z00007.many.test.\""), "scripts look for this very text");
    let one = server.get(&format!("{ZONES}?zone=z00007.many.test.&dnssec=false")).expect(200);
    assert_eq!((one.as_array().unwrap().len(), &one[0]["name"]), (1, &json!("z00007.many.test.")));
    assert!(one[0].get("dnssec").is_none());
    assert_eq!(server.get(&format!("{ZONES}?zone=many.test.")).expect(200), json!([]), "the name itself only");
}

#[test]
fn a_key_sees_its_zones_only() {
    let server = Server::start();
    make_zones(&server, 20);
    let zones = vec!["z00003.many.test.".to_owned().try_into().unwrap()];
    let scope = Scope { zones, types: vec!["TXT".to_owned()], ..Scope::default() };
    let (_, key) = server.control.create_key(&local(), "acme", scope, None).unwrap();
    let list = server.call_as(&key, "GET", ZONES, None).expect(200);
    assert_eq!((list.as_array().unwrap().len(), &list[0]["name"]), (1, &json!("z00003.many.test.")));
    assert_eq!(server.call_as(&key, "GET", &format!("{ZONES}/z00004.many.test."), None).status, 403);
    let patch = |rtype: &str, content: &str| {
        let rrsets = json!([change("a.z00003.many.test.", rtype, "EXTEND", &[content])]);
        let path = format!("{ZONES}/z00003.many.test.");
        server.call_as(&key, "PATCH", &path, Some(json!({"rrsets": rrsets})))
    };
    assert_eq!(patch("TXT", "\"x\"").status, 204);
    let refused = patch("A", "192.0.2.1").expect(403);
    assert!(refused["error"].as_str().unwrap().contains("A records"), "{refused}");
    let hits = server.call_as(&key, "GET", "/api/v1/servers/localhost/search-data?q=*many*", None).expect(200);
    assert!(hits.as_array().unwrap().iter().all(|hit| hit["zone_id"] == "z00003.many.test."), "{hits}");
}

#[test]
fn a_large_zone_is_streamed_and_exported() {
    const COUNT: u32 = 6_000;
    let server = Server::start();
    let ttl = Ttl::new(60).unwrap();
    let zone: Name = "large.test.".parse().unwrap();
    let contents = (0..COUNT).map(|number| {
        let owner = zone.child(format!("h{number:05}").as_bytes()).unwrap();
        Rrset { owner, rtype: Rtype::A, ttl, rdatas: vec![number.to_be_bytes().into()] }
    });
    let request = Request::Create {
        zone: zone.clone(),
        meta: ZoneMeta::default(),
        contents: contents.collect(),
        signing: Signing::Off,
    };
    server.control.submit_wait(&local(), "", vec![request]).unwrap();
    let reply = server.get(&format!("{ZONES}/large.test."));
    assert_eq!(reply.header("transfer-encoding"), "chunked");
    assert_eq!(reply.expect(200)["rrsets"].as_array().unwrap().len(), COUNT as usize + 2);
    let one = server.get(&format!("{ZONES}/large.test.?rrset_name=h00042.large.test.&rrset_type=A")).expect(200);
    assert_eq!(one["rrsets"].as_array().unwrap().len(), 1);
    let text = server.get(&format!("{ZONES}/large.test./export"));
    assert_eq!(text.text.lines().count(), COUNT as usize + 2);
    assert!(text.text.contains("h00042.large.test.\t60\tIN\tA\t0.0.0.42\n"));
    let headers = [("x-api-key", server.key.as_str()), ("accept", "application/json")];
    let as_json = server.send("GET", &format!("{ZONES}/large.test./export"), &headers, Vec::new()).expect(200);
    assert_eq!(as_json["zone"].as_str().unwrap(), text.text);
}

#[test]
fn searches_find_zones_records_and_comments() {
    let fixture = Fixture::new();
    let mut with_comment = change("found.r.test.", "A", "REPLACE", &["192.0.2.77"]);
    with_comment["comments"] = json!([{"content": "Ticket 4711"}]);
    fixture.patched(&json!([with_comment]));
    let find = |query: &str| {
        let hits = fixture.server.get(&format!("/api/v1/servers/localhost/search-data?{query}")).expect(200);
        let hits = hits.as_array().unwrap().clone();
        hits.iter().map(|hit| hit["object_type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(find("q=*found*"), ["comment", "record"]);
    assert_eq!(find("q=r.test&object_type=zone"), ["zone"]);
    assert_eq!(find("q=192.0.2.7%3F"), ["record"]);
    assert_eq!(find("q=*ticket*"), ["comment"]);
    assert_eq!(find("q=*&max=2").len(), 2);
    assert_eq!(find("q=*nowhere*"), Vec::<String>::new());
}
