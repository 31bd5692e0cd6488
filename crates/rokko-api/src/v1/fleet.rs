//! The fleet: its PoPs, tokens to join, and proof.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use rokko_control::fleet::{self, PopProgress, PopStatus, TOKEN_MS_DEFAULT};
use rokko_model::{Permission, UnixMillis};
use rokko_wire::Rcode;

use super::args::Segments;
use super::dto::ProblemDocument;
use super::fleet_dto::{Fleet, NewToken, Pop, PopChange, PopEdit, PopState, Progress, Token, Verified};
use crate::auth::Caller;
use crate::body::Json;
use crate::problem::Problem;
use crate::state::{ApiState, FleetLink};
use crate::{task, timestamp};

fn text(at: Option<UnixMillis>) -> Option<String> {
    at.map(timestamp::to_text)
}

impl From<&PopStatus> for Pop {
    fn from(status: &PopStatus) -> Self {
        let (record, report) = (&status.record, status.report.as_ref());
        Self {
            name: record.name.clone(),
            state: match status.state {
                fleet::PopState::InSync => PopState::Insync,
                fleet::PopState::Behind => PopState::Behind,
                fleet::PopState::Diverged => PopState::Diverged,
                fleet::PopState::Ahead => PopState::Ahead,
                fleet::PopState::Unreachable => PopState::Unreachable,
                fleet::PopState::Expected => PopState::Expected,
                fleet::PopState::Revoked => PopState::Revoked,
            },
            relay: record.relay,
            drained: record.drained,
            via: status.via.clone(),
            revision: status.revision.0,
            lag: status.lag,
            lag_ms: status.lag_ms,
            digest_good: status.digest_good,
            age_ms: report.map(|report| report.age_ms),
            last_contact: text(status.last_contact),
            unreachable_since: text(status.unreachable_since),
            zones: report.map(|report| report.zones),
            zones_missing: report.map_or(0, |report| report.zones_missing),
            responses_per_second: status.rates.iter().map(|(rcode, rate)| (rcode_text(*rcode), *rate)).collect(),
            version: report.map(|report| report.version.clone()),
            certificate_expires: text(report.map(|report| report.certificate_expires)),
            differing: status.differing.clone(),
            verified: status.verified.map(|verified| Verified {
                revision: verified.revision.0,
                at: timestamp::to_text(verified.at),
                zones: verified.zones,
                octets: verified.octets,
                digest: verified.digest.to_string(),
                good: verified.good,
            }),
            joined_at: timestamp::to_text(record.joined_at),
            revoked_at: text(record.revoked_at),
        }
    }
}

impl From<&fleet::PopChange> for PopChange {
    fn from(change: &fleet::PopChange) -> Self {
        let (state, applied_at, unreachable_since) = match change.progress {
            PopProgress::Pending => (Progress::Pending, None, None),
            PopProgress::Applied(at) => (Progress::Applied, at, None),
            PopProgress::Diverged => (Progress::Diverged, None, None),
            PopProgress::Unreachable(since) => (Progress::Unreachable, None, since),
        };
        Self {
            name: change.name.clone(),
            state,
            applied_at: text(applied_at),
            unreachable_since: text(unreachable_since),
            drained: change.drained,
        }
    }
}

/// The mnemonic of an RCODE, or its number.
fn rcode_text(rcode: u16) -> String {
    Rcode(rcode).to_string()
}

/// Show all PoPs and how they are.
#[utoipa::path(get, path = "/v1/fleet", tag = "fleet",
    responses((status = 200, body = Fleet), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn show(Caller(who): Caller, State(state): State<ApiState>) -> Result<Answer<Fleet>, Problem> {
    let read = task::read(&state.control, move |control| {
        let pops = control.fleet(&who)?;
        let revision = control.applied();
        let digest = control.digest_at(revision).map(|digest| digest.to_string());
        Ok(Fleet {
            revision: revision.0,
            insync: control.in_sync().0,
            digest,
            pops: pops.iter().map(Pop::from).collect(),
        })
    });
    Ok(Answer(read.await?))
}

/// Make a token with which one PoP can join once.
#[utoipa::path(post, path = "/v1/fleet/tokens", tag = "fleet", request_body = NewToken,
    responses((status = 201, body = Token), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn token(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Json(asked, _room): Json<NewToken>,
) -> Result<(StatusCode, Answer<Token>), Problem> {
    let link = link(&state)?;
    let good_for_ms = asked.good_for_s.map_or(TOKEN_MS_DEFAULT, |seconds| seconds.saturating_mul(1000));
    let expires_at = UnixMillis(state.control.now().0.saturating_add(good_for_ms));
    let token = link
        .token(&asked.name, asked.relay, expires_at, asked.address.as_deref())
        .map_err(|detail| Problem::unprocessable("bad-token", detail))?;
    let name = asked.name.clone();
    let opened = task::read(&state.control, move |control| {
        control.open_fleet_token(&who, &token.hash, &asked.name, asked.relay, expires_at)?;
        Ok(token.text)
    });
    let token = opened.await?;
    Ok((StatusCode::CREATED, Answer(Token { token, name, expires_at: timestamp::to_text(expires_at) })))
}

/// Drain a PoP, or end that.
#[utoipa::path(patch, path = "/v1/fleet/pops/{name}", tag = "fleet", request_body = PopEdit,
    params(("name" = String, Path, description = "The PoP's name")),
    responses((status = 200, body = Pop), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn edit(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(name): Segments<String>,
    Json(asked, _room): Json<PopEdit>,
) -> Result<Answer<Pop>, Problem> {
    let changed = task::read(&state.control, move |control| {
        control.drain_pop(&who, &name, asked.drained)?;
        pop_of(control, &who, &name)
    });
    let pop = changed.await?;
    if let Some(link) = &state.fleet {
        link.changed(&pop.name);
    }
    Ok(Answer(pop))
}

/// Put a PoP out of the fleet, for good. It goes on answering with what it has; only it can stop itself.
#[utoipa::path(delete, path = "/v1/fleet/pops/{name}", tag = "fleet",
    params(("name" = String, Path, description = "The PoP's name")),
    responses((status = 200, body = Pop), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn revoke(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(name): Segments<String>,
) -> Result<Answer<Pop>, Problem> {
    let changed = task::read(&state.control, move |control| {
        control.revoke_pop(&who, &name)?;
        pop_of(control, &who, &name)
    });
    let pop = changed.await?;
    if let Some(link) = &state.fleet {
        link.changed(&pop.name);
    }
    Ok(Answer(pop))
}

/// Have every PoP read all that it serves from and compute its digest anew. The outcome is in the fleet's view once it is there.
#[utoipa::path(post, path = "/v1/fleet/verify", tag = "fleet",
    responses((status = 202, body = Fleet), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn verify(
    caller: Caller,
    State(state): State<ApiState>,
) -> Result<(StatusCode, Answer<Fleet>), Problem> {
    caller.0.scope.allows(Permission::Administer).map_err(rokko_control::ControlError::from)?;
    // What is shown was there before, so that the client can tell new outcomes.
    let before = show(caller, State(state.clone())).await?;
    link(&state)?.verify();
    Ok((StatusCode::ACCEPTED, before))
}

fn pop_of(
    control: &rokko_control::Control,
    who: &rokko_control::Identity,
    name: &str,
) -> Result<Pop, rokko_control::ControlError> {
    let pops = control.fleet(who)?;
    let found = pops.iter().find(|status| status.record.name == name);
    found.map(Pop::from).ok_or_else(|| rokko_control::ControlError::NoSuchPop { name: name.to_owned() })
}

fn link(state: &ApiState) -> Result<&dyn FleetLink, Problem> {
    let detail = "this node serves no PoPs: set fleet.listen in its configuration, or start it with --fleet-listen";
    state.fleet.as_deref().ok_or_else(|| Problem::unprocessable("no-fleet", detail))
}
