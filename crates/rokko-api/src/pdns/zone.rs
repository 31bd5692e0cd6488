//! One zone.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use rokko_control::{Control, ControlError, Identity};
use rokko_dnssec::life::Command;
use rokko_model::{Annotation, Expect, Request};
use rokko_wire::{Name, Rtype};
use rokko_zone::Rrset;

use super::describe::{Selection, ZoneSource};
use super::failure::Failure;
use super::request::{Body, Caller, Params};
use super::turns::Turns;
use super::zone_id::ZonePath;
use super::zone_meta::{ZoneIn, update};
use super::zones::{json_of, read_rrsets};
use crate::state::ApiState;
use crate::task::{blocking, read, submit, submit_one};

/// How often a replacement is repeated when the zone changes meanwhile.
const TRIES_MAX: usize = 64;

/// Annotations by the keys of their RRsets.
pub(super) type Annotations = BTreeMap<String, Annotation>;
/// A zone's full contents.
pub(super) type Whole = (Vec<Rrset>, Annotations);

pub(super) async fn show(
    State(state): State<ApiState>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
    params: Params,
) -> Result<Response, Failure> {
    let include_disabled = params.flag("include_disabled", true)?;
    let selection = match (params.flag("rrsets", true)?, params.text("rrset_name")) {
        (false, _) => Selection::Nothing,
        (true, None) => Selection::All,
        (true, Some(name)) => selection_of(name, params.text("rrset_type"))?,
    };
    let view = read(&state.control, move |control| control.zone(&who, &zone)).await?;
    json_of(StatusCode::OK, ZoneSource::new(view, selection, include_disabled)).await
}

/// One name's RRsets. As in PowerDNS, a type alone selects nothing, and the name's trailing dot may be missing.
fn selection_of(name: &str, rtype: Option<&str>) -> Result<Selection, Failure> {
    let owner: Result<Name, _> = name.parse();
    let owner = owner.map_err(|error| Failure::unprocessable(format!("Unable to parse DNS Name '{name}': {error}")))?;
    let rtype: Option<Rtype> = rtype
        .map(|text| text.parse().map_err(|error| Failure::unprocessable(format!("rrset_type '{text}': {error}"))))
        .transpose()?;
    Ok(Selection::Of(owner, rtype))
}

/// Has a zone signed or unsigned, if it is not so already.
fn set_signed(control: &Control, who: &Identity, zone: &Name, signed: bool) -> Result<(), ControlError> {
    let now = control.dnssec(who, zone)?;
    if now.is_some_and(|view| view.state.signed) != signed {
        let command = if signed { Command::Sign } else { Command::Unsign };
        control.dnssec_command(who, zone, "", None, &command)?;
    }
    Ok(())
}

/// Changes metadata, and replaces all RRsets if there are any in the body.
pub(super) async fn put(
    State(state): State<ApiState>,
    Extension(turns): Extension<Turns>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
    body: Body<ZoneIn>,
) -> Result<StatusCode, Failure> {
    let mut given = body.value;
    if let Some(signed) = given.dnssec() {
        let (asking, name) = (who.clone(), zone.clone());
        read(&state.control, move |control| set_signed(control, &asking, &name, signed)).await?;
    }
    let Some(rrsets) = given.rrsets.take() else {
        update(&state.control, &turns, &who, zone, |meta| given.apply(meta)).await?;
        return Ok(StatusCode::NO_CONTENT);
    };
    let (name, now_s) = (zone.clone(), state.control.now().0 / 1000);
    let (contents, annotations) = blocking(move || read_rrsets(&name, rrsets, now_s)).await?;
    if !contents.iter().any(|rrset| rrset.owner == zone && rrset.rtype == Rtype::SOA) {
        return Err(Failure::unprocessable("Must give SOA record for zone when replacing all RR sets"));
    }
    let _turn = turns.of(&zone).await;
    let mut tries_left = TRIES_MAX;
    loop {
        let (asking, name) = (who.clone(), zone.clone());
        let view = read(&state.control, move |control| control.zone(&asking, &name)).await?;
        let mut meta = view.record.meta;
        given.apply(&mut meta)?;
        meta.annotations.clone_from(&annotations);
        // Both are one change; the second follows on whatever the first one made of the zone.
        let expect = Expect::Version(view.record.revision);
        let requests = vec![
            Request::SetMeta { zone: zone.clone(), expect, meta },
            Request::Import { zone: zone.clone(), expect: Expect::Any, contents: contents.clone() },
        ];
        tries_left -= 1;
        match submit(&state.control, &who, "", requests).await {
            Ok(_) => return Ok(StatusCode::NO_CONTENT),
            Err(ControlError::Stale { .. }) if tries_left > 0 => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) async fn delete(
    State(state): State<ApiState>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
) -> Result<StatusCode, Failure> {
    submit_one(&state.control, &who, "", Request::Delete { zone, expect: Expect::Any }).await?;
    Ok(StatusCode::NO_CONTENT)
}
