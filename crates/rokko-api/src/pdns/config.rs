//! The settings that clients look at to learn what the server can do. There are no secrets among them.

use axum::Json;
use axum::extract::Path;
use serde_json::{Value, json};

use super::failure::Failure;

/// In PowerDNS's names, by name.
const SETTINGS: &[(&str, &str)] = &[
    ("api", "yes"),
    ("default-api-rectify", "no"),
    ("default-soa-edit", ""),
    ("dnsupdate", "no"),
    ("enable-lua-records", "no"),
    ("expand-alias", "no"),
    ("launch", "rokko"),
    ("primary", "no"),
    ("secondary", "no"),
    ("webserver", "yes"),
];

pub(super) async fn list() -> Json<Value> {
    Json(SETTINGS.iter().map(setting).collect())
}

pub(super) async fn one(Path(params): Path<Vec<(String, String)>>) -> Result<Json<Value>, Failure> {
    let name = params.iter().find_map(|(key, value)| (key == "name").then_some(value.as_str())).unwrap_or_default();
    let found = SETTINGS.iter().find(|(known, _)| *known == name);
    found.map(|found| Json(setting(found))).ok_or_else(|| Failure::not_found(format!("there is no setting '{name}'")))
}

fn setting((name, value): &(&str, &str)) -> Value {
    json!({"name": name, "type": "ConfigSetting", "value": value})
}
