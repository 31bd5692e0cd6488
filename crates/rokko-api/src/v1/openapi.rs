//! The OpenAPI document, made from the handlers and documents themselves.

use axum::Json as Answer;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{backups, batches, changes, dnssec, events, files, fleet, health, history, keys, metrics, rrsets, zones};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rokko",
        description = "The native API: zones, their RRsets, change sets, history, keys. Errors are application/problem+json. Versions are revisions, and an answer's ETag is the version for If-Match.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
    ),
    paths(
        zones::list, zones::create, zones::show, zones::patch, zones::remove,
        rrsets::list, rrsets::show, rrsets::put, rrsets::remove,
        changes::create, changes::show, events::watch, batches::create,
        files::export, files::import,
        history::list, history::show, history::restore,
        dnssec::show, dnssec::change, dnssec::verify,
        fleet::show, fleet::token, fleet::edit, fleet::revoke, fleet::verify,
        keys::list, keys::create, keys::revoke,
        backups::create, health::show, metrics::show, show
    ),
    modifiers(&Keys),
    security(("key" = []), ("bearer" = []))
)]
struct Document;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
        let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        components.add_security_scheme("key", header);
        components.add_security_scheme("bearer", bearer);
    }
}

/// The OpenAPI 3.1 document of `/v1`.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Show this document. Needs no key.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "node", security(()),
    responses((status = 200, description = "The OpenAPI document")))]
pub(super) async fn show() -> Answer<utoipa::openapi::OpenApi> {
    Answer(openapi())
}
