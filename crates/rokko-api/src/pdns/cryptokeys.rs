//! DNSSEC keys: which ones a zone has. They are made, used and replaced by the zone's policy.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use rokko_control::dnssec::DnssecView;
use rokko_dnssec::life::{Goal, Role};
use rokko_wire::{Name, Rtype};
use rokko_zone::rdata;
use serde_json::{Value, json};

use super::failure::Failure;
use super::request::Caller;
use super::zone_id::ZonePath;
use crate::state::ApiState;
use crate::task::read;

/// Why keys are not made here.
pub(super) const BY_POLICY: &str = "keys and denial of existence follow from the zone's DNSSEC policy: set 'dnssec' of the zone, or use `rokko dnssec` and /v1/zones/{zone}/dnssec";

pub(super) async fn list(
    State(state): State<ApiState>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
) -> Result<Json<Value>, Failure> {
    let view = read(&state.control, move |control| Ok((control.dnssec(&who, &zone)?, zone))).await?;
    Ok(Json(Value::Array(keys_of(&view.1, view.0))))
}

pub(super) async fn create(
    State(state): State<ApiState>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
) -> Result<Json<Value>, Failure> {
    read(&state.control, move |control| control.zone(&who, &zone)).await?;
    Err(Failure::unprocessable(BY_POLICY))
}

pub(super) async fn one(
    State(state): State<ApiState>,
    Caller(who): Caller,
    method: Method,
    ZonePath(zone): ZonePath,
    axum::extract::Path(path): axum::extract::Path<Vec<(String, String)>>,
) -> Result<Json<Value>, Failure> {
    if ![Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(&method) {
        return Err(Failure::method_not_allowed());
    }
    let (view, zone) = read(&state.control, move |control| Ok((control.dnssec(&who, &zone)?, zone))).await?;
    let wanted = path.last().and_then(|(_, id)| id.parse::<u16>().ok());
    let found = keys_of(&zone, view).into_iter().find(|key| wanted.is_some_and(|tag| key["id"] == tag));
    let found = found.ok_or_else(|| Failure::not_found("the zone has no such key"))?;
    if method == Method::PUT || method == Method::DELETE {
        return Err(Failure::unprocessable(BY_POLICY));
    }
    Ok(Json(found))
}

/// The keys as PowerDNS shows them; the id is the key tag.
fn keys_of(zone: &Name, view: Option<DnssecView>) -> Vec<Value> {
    let Some(view) = view else { return Vec::new() };
    let published = view.state.dnskey.current();
    let keys = view.state.keys.iter().map(|key| {
        let role = match key.role {
            Role::Csk => "csk",
            Role::Ksk => "ksk",
            Role::Zsk => "zsk",
        };
        let ds = rokko_dnssec::DigestType::Sha256;
        let ds = key.role.is_entry().then(|| rdata::to_text(Rtype::DS, &key.public.ds(zone, ds)));
        json!({
            "type": "Cryptokey",
            "id": key.public.tag(),
            "keytype": role,
            "active": matches!(key.goal, Goal::In | Goal::Roll),
            "published": published.keys.has(key.slot),
            "dnskey": rdata::to_text(Rtype::DNSKEY, &key.public.to_rdata()),
            "ds": ds.into_iter().collect::<Vec<_>>(),
            "flags": key.public.flags,
            "algorithm": key.public.algorithm.mnemonic().to_uppercase(),
        })
    });
    keys.collect()
}
