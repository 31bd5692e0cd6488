//! `/api`, `/api/v1` and the one server.

use axum::Json;
use serde_json::{Value, json};

use super::{SERVER_ID, SERVER_URL, VERSION};

pub(super) async fn versions() -> Json<Value> {
    Json(json!([{"url": "/api/v1", "version": 1}]))
}

pub(super) async fn features() -> Json<Value> {
    Json(json!([{"api_features": [], "server_url": "/api/v1/servers{/server}"}]))
}

pub(super) async fn list() -> Json<Value> {
    Json(json!([server()]))
}

pub(super) async fn one() -> Json<Value> {
    Json(server())
}

fn server() -> Value {
    json!({
        "autoprimaries_url": format!("{SERVER_URL}/autoprimaries{{/autoprimary}}"),
        "config_url": format!("{SERVER_URL}/config{{/config_setting}}"),
        "daemon_type": "authoritative",
        "id": SERVER_ID,
        "type": "Server",
        "url": SERVER_URL,
        "version": VERSION,
        "zones_url": format!("{SERVER_URL}/zones{{/zone}}"),
    })
}
