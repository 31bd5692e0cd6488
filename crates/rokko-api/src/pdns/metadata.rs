//! Free metadata of a zone. It is kept and given back; no kind has an effect of its own.

use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use rokko_model::ZoneMeta;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::request::{Body, Caller};
use super::soa_edit;
use super::turns::Turns;
use super::zone_id::ZonePath;
use super::zone_meta::{API_RECTIFY, MASTERS, SOA_EDIT, set_extra, update};
use crate::state::ApiState;
use crate::task::read;

/// The most values of one kind.
const VALUES_MAX: usize = 1_000;
/// The most octets of one value.
const VALUE_LEN_MAX: usize = 65_536;
/// The most kinds of a zone.
const KINDS_MAX: usize = 100;

/// The kinds beside `X-…` that clients may set.
const WRITABLE: &[&str] = &[
    "ALLOW-AXFR-FROM",
    "ALLOW-DNSUPDATE-FROM",
    "ALSO-NOTIFY",
    "AXFR-MASTER-TSIG",
    "AXFR-SOURCE",
    "FORWARD-DNSUPDATE",
    "GSS-ACCEPTOR-PRINCIPAL",
    "GSS-ALLOW-AXFR-PRINCIPAL",
    "IXFR",
    "NOTIFY-DNSUPDATE",
    "PUBLISH-CDNSKEY",
    "PUBLISH-CDS",
    "SIGNALING-ZONE",
    "SLAVE-RENOTIFY",
    "SOA-EDIT-DNSUPDATE",
    "TSIG-ALLOW-AXFR",
    "TSIG-ALLOW-DNSUPDATE",
];

/// One kind with its values.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with kind and metadata")]
pub(super) struct MetadataIn {
    kind: Option<String>,
    metadata: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Metadata {
    kind: String,
    #[serde(rename = "metadata")]
    values: Vec<String>,
    #[serde(rename = "type")]
    what: &'static str,
}

impl Metadata {
    fn of(meta: &ZoneMeta, kind: &str) -> Self {
        let values = meta.extra.get(kind).cloned().unwrap_or_default();
        Self { kind: kind.to_owned(), values, what: "Metadata" }
    }
}

pub(super) async fn list(
    State(state): State<ApiState>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
) -> Result<Json<Vec<Metadata>>, Failure> {
    let meta = read(&state.control, move |control| control.zone(&who, &zone)).await?.record.meta;
    let mut all: Vec<Metadata> =
        meta.extra.keys().filter(|kind| *kind != MASTERS).map(|kind| Metadata::of(&meta, kind)).collect();
    let soa_edit_api = soa_edit::shown(&meta);
    if !soa_edit_api.is_empty() {
        let values = vec![soa_edit_api.to_owned()];
        all.push(Metadata { kind: "SOA-EDIT-API".to_owned(), values, what: "Metadata" });
    }
    all.sort_by(|a, b| a.kind.cmp(&b.kind));
    Ok(Json(all))
}

pub(super) async fn one(
    State(state): State<ApiState>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
    params: RawPathParams,
) -> Result<Json<Metadata>, Failure> {
    let kind = kind_in(&params)?;
    let meta = read(&state.control, move |control| control.zone(&who, &zone)).await?.record.meta;
    Ok(Json(Metadata::of(&meta, &kind)))
}

/// Adds values to what the kind has.
pub(super) async fn add(
    State(state): State<ApiState>,
    Extension(turns): Extension<Turns>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
    body: Body<MetadataIn>,
) -> Result<(StatusCode, Json<Metadata>), Failure> {
    let kind = body.value.kind.as_deref();
    let kind = kind.ok_or_else(|| Failure::unprocessable("Key 'kind' not present or not a String"))?;
    check_kind(kind)?;
    let values = values_in(&body)?;
    let change = |meta: &mut ZoneMeta| {
        let mut all = Metadata::of(meta, kind).values;
        all.extend(values.iter().filter(|value| !all.contains(value)).cloned().collect::<Vec<_>>());
        set(meta, kind, all)
    };
    let metadata = update(&state.control, &turns, &who, zone, change).await?;
    Ok((StatusCode::CREATED, Json(metadata)))
}

/// Replaces the values of a kind.
pub(super) async fn replace(
    State(state): State<ApiState>,
    Extension(turns): Extension<Turns>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
    params: RawPathParams,
    body: Body<MetadataIn>,
) -> Result<Json<Metadata>, Failure> {
    let kind = kind_in(&params)?;
    let values = values_in(&body)?;
    let change = |meta: &mut ZoneMeta| set(meta, &kind, values.to_vec());
    Ok(Json(update(&state.control, &turns, &who, zone, change).await?))
}

pub(super) async fn remove(
    State(state): State<ApiState>,
    Extension(turns): Extension<Turns>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
    params: RawPathParams,
) -> Result<StatusCode, Failure> {
    let kind = kind_in(&params)?;
    update(&state.control, &turns, &who, zone, |meta: &mut ZoneMeta| set(meta, &kind, Vec::new())).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn set(meta: &mut ZoneMeta, kind: &str, values: Vec<String>) -> Result<Metadata, Failure> {
    if values.len() > VALUES_MAX || values.iter().any(|value| value.len() > VALUE_LEN_MAX) {
        let message = format!("{kind} has at most {VALUES_MAX} values of at most {VALUE_LEN_MAX} octets");
        return Err(Failure::unprocessable(message));
    }
    set_extra(meta, kind, (!values.is_empty()).then_some(values));
    if meta.extra.len() > KINDS_MAX {
        return Err(Failure::unprocessable(format!("a zone has at most {KINDS_MAX} kinds of metadata")));
    }
    Ok(Metadata::of(meta, kind))
}

fn values_in(body: &Body<MetadataIn>) -> Result<&[String], Failure> {
    let values = body.value.metadata.as_deref();
    values.ok_or_else(|| Failure::unprocessable("Key 'metadata' not present or not an Array of Strings"))
}

fn kind_in(params: &RawPathParams) -> Result<String, Failure> {
    let kind = params.iter().find_map(|(name, value)| (name == "kind").then_some(value)).unwrap_or_default();
    check_kind(kind)?;
    Ok(kind.to_owned())
}

fn check_kind(kind: &str) -> Result<(), Failure> {
    let known = kind.starts_with("X-") || WRITABLE.contains(&kind);
    if known && ![SOA_EDIT, API_RECTIFY].contains(&kind) {
        return Ok(());
    }
    Err(Failure::unprocessable(format!("Unsupported metadata kind '{kind}'")))
}
