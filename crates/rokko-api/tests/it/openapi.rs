//! The OpenAPI document in the repository is the one that the code makes.

use std::path::Path;

use crate::support::Server;

/// `UPDATE=1` writes the document anew.
#[test]
fn the_committed_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let made = rokko_api::v1::openapi().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == made, "docs/openapi.json is old: run this test with UPDATE=1 and commit the file");
}

#[test]
fn every_documented_route_is_served_and_refuses_strangers() {
    let server = Server::start();
    let document = server.send("GET", "/v1/openapi.json", &[], Vec::new()).expect(200);
    let mut checked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let is_open = operation["security"]
                .as_array()
                .is_some_and(|list| list.iter().any(|one| one == &serde_json::json!({})));
            let real = path.replace("{revision}", "1").replace(['{', '}'], "");
            let reply = server.send(&method.to_uppercase(), &real, &[], Vec::new());
            assert_eq!(reply.status, if is_open { 200 } else { 401 }, "{method} {path}: {}", reply.text);
            checked += 1;
        }
    }
    assert!(checked >= 24, "{checked}");
}
