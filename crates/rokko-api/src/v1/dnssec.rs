//! How zones are signed.

use axum::Json as Answer;
use axum::extract::State;
use rokko_control::dnssec::DnssecView;
use rokko_dnssec::PublicKey;
use rokko_dnssec::life::{self, Command, Goal, KeyExplanation, Role};
use rokko_model::UnixMillis;
use rokko_wire::{Name, Rtype};
use rokko_zone::rdata;

use super::args::{Segments, reason, zone_name};
use super::dnssec_dto::{DnssecAction, DnssecRequest, DnssecVerified, KeyRole, RecordState, ZoneDnssec, ZoneKey};
use super::dto::ProblemDocument;
use crate::auth::Caller;
use crate::body::Json;
use crate::problem::Problem;
use crate::state::ApiState;
use crate::task;
use crate::timestamp;

/// Show how a zone is signed, what state each key is in, and what it waits for.
#[utoipa::path(get, path = "/v1/zones/{zone}/dnssec", tag = "dnssec",
    params(("zone" = String, Path, description = "The zone's name")),
    responses((status = 200, body = ZoneDnssec), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn show(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(zone): Segments<String>,
) -> Result<Answer<ZoneDnssec>, Problem> {
    let zone = zone_name(&zone)?;
    let name = zone.clone();
    let view = task::read(&state.control, move |control| control.dnssec(&who, &name)).await?;
    Ok(Answer(describe(&zone, view)))
}

/// Sign a zone, make it unsigned, or replace its keys. What has to happen one after the other goes on by itself.
#[utoipa::path(post, path = "/v1/zones/{zone}/dnssec", tag = "dnssec", request_body = DnssecRequest,
    params(("zone" = String, Path, description = "The zone's name")),
    responses((status = 200, body = ZoneDnssec), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn change(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(zone): Segments<String>,
    Json(asked, _room): Json<DnssecRequest>,
) -> Result<Answer<ZoneDnssec>, Problem> {
    let zone = zone_name(&zone)?;
    let (command, why) = (command_of(&asked)?, reason(asked.reason.clone())?);
    let name = zone.clone();
    let work = task::read(&state.control, move |control| {
        control.dnssec_command(&who, &name, &why, asked.policy.as_deref(), &command)?;
        control.dnssec(&who, &name)
    });
    Ok(Answer(describe(&zone, work.await?)))
}

/// Verify all signatures of a zone and its denial of existence as a validator would.
#[utoipa::path(post, path = "/v1/zones/{zone}/dnssec/verify", tag = "dnssec",
    params(("zone" = String, Path, description = "The zone's name")),
    responses((status = 200, body = DnssecVerified), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn verify(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(zone): Segments<String>,
) -> Result<Answer<DnssecVerified>, Problem> {
    let zone = zone_name(&zone)?;
    let name = zone.clone();
    let problem = task::read(&state.control, move |control| control.dnssec_verify(&who, &name)).await?;
    Ok(Answer(DnssecVerified { zone: zone.to_string(), good: problem.is_none(), problem }))
}

fn command_of(asked: &DnssecRequest) -> Result<Command, Problem> {
    let role = asked.role.map(|role| match role {
        KeyRole::Csk => Role::Csk,
        KeyRole::Ksk => Role::Ksk,
        KeyRole::Zsk => Role::Zsk,
    });
    let key = || {
        let bad = |what: String| Problem::unprocessable("bad-key", what);
        let text = asked.key.as_deref();
        let text = text.ok_or_else(|| bad("key is missing: the DNSKEY record data, such as 257 3 13 …".to_owned()))?;
        let rdata = rdata::from_text(Rtype::DNSKEY, text, None).map_err(|error| bad(format!("key: {error}")))?;
        PublicKey::of_rdata(&rdata).ok_or_else(|| bad("key: this is not a key that signs zones".to_owned()))
    };
    Ok(match asked.action {
        DnssecAction::Sign => Command::Sign,
        DnssecAction::Unsign => Command::Unsign,
        DnssecAction::Roll => Command::Roll { role, emergency: asked.emergency },
        DnssecAction::Cancel => Command::Cancel { role },
        DnssecAction::AddKey => Command::AddForeign(key()?),
        DnssecAction::RemoveKey => Command::RemoveForeign(key()?),
        DnssecAction::ForgetTimes => Command::ForgetTimes,
    })
}

fn describe(zone: &Name, view: Option<DnssecView>) -> ZoneDnssec {
    let Some(view) = view else {
        return ZoneDnssec {
            zone: zone.to_string(),
            signed: false,
            policy: None,
            summary: format!("{zone} is not signed here."),
            complete: true,
            keys: Vec::new(),
            waits: Vec::new(),
            next_at: None,
            ds: Vec::new(),
            dnskey: Vec::new(),
            expires_first: None,
        };
    };
    let dnskeys = view.records.dnskey.map(|rrset| rrset.rdatas).unwrap_or_default();
    ZoneDnssec {
        zone: zone.to_string(),
        signed: true,
        policy: Some(view.policy),
        summary: view.explanation.summary,
        complete: view.complete,
        keys: view.explanation.keys.into_iter().map(key_of).collect(),
        waits: view.explanation.waits,
        next_at: view.explanation.next_at.map(time),
        ds: view.ds.iter().map(|ds| rdata::to_text(Rtype::DS, ds)).collect(),
        dnskey: dnskeys.iter().map(|key| rdata::to_text(Rtype::DNSKEY, key)).collect(),
        expires_first: view.expires_first.map(time),
    }
}

fn key_of(key: KeyExplanation) -> ZoneKey {
    ZoneKey {
        tag: key.tag,
        role: match key.role {
            Role::Csk => KeyRole::Csk,
            Role::Ksk => KeyRole::Ksk,
            Role::Zsk => KeyRole::Zsk,
        },
        algorithm: key.algorithm.to_string(),
        id: key.id.map(|id| id.to_string()),
        goal: match key.goal {
            Goal::In => "in",
            Goal::Roll => "roll",
            Goal::Standby => "standby",
            Goal::Out => "out",
        }
        .to_owned(),
        since: time(key.since),
        dnskey: state_of(key.dnskey),
        key_signature: key.key_signature.map(state_of),
        zone_signatures: key.zone_signatures.map(state_of),
        ds: key.ds.map(state_of),
        text: key.text,
    }
}

fn state_of(state: life::RecordState) -> RecordState {
    match state {
        life::RecordState::Hidden => RecordState::Hidden,
        life::RecordState::Rumoured => RecordState::Rumoured,
        life::RecordState::Omnipresent => RecordState::Omnipresent,
        life::RecordState::Unretentive => RecordState::Unretentive,
    }
}

fn time(seconds: u64) -> String {
    timestamp::to_text(UnixMillis(seconds.saturating_mul(1000)))
}
