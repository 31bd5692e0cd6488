//! API keys.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use rokko_model::{ApiKey, KeyId, Scope, ZonePattern};
use rokko_wire::Rtype;

use super::args::Segments;
use super::dto::{CreatedKey, Key, KeyList, NewKey, ProblemDocument};
use crate::auth::Caller;
use crate::body::Json;
use crate::problem::Problem;
use crate::state::ApiState;
use crate::{task, timestamp};

/// The longest name of a key in octets.
const NAME_LEN_MAX: usize = 100;
/// How many zones, and how many types, a key may list.
const SCOPE_ITEMS_MAX: usize = 1_000;

impl From<&ApiKey> for Key {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            administrator: key.scope.administrator,
            zones: key.scope.zones.iter().cloned().map(String::from).collect(),
            types: key.scope.types.clone(),
            read_only: key.scope.read_only,
            created_at: timestamp::to_text(key.created_at),
            expires_at: key.expires_at.map(timestamp::to_text),
            revoked_at: key.revoked_at.map(timestamp::to_text),
        }
    }
}

/// List all keys, revoked ones too.
#[utoipa::path(get, path = "/v1/keys", tag = "keys",
    responses((status = 200, body = KeyList), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn list(Caller(who): Caller, State(state): State<ApiState>) -> Result<Answer<KeyList>, Problem> {
    let keys = task::read(&state.control, move |control| control.keys(&who)).await?;
    Ok(Answer(KeyList { keys: keys.iter().map(Key::from).collect() }))
}

/// Make a key. Its text is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = NewKey,
    responses((status = 201, body = CreatedKey), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn create(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Json(asked, _room): Json<NewKey>,
) -> Result<(StatusCode, Answer<CreatedKey>), Problem> {
    if asked.name.is_empty() || asked.name.len() > NAME_LEN_MAX || asked.name.contains(char::is_control) {
        let detail = format!("a key's name has 1 to {NAME_LEN_MAX} octets and no control characters");
        return Err(Problem::unprocessable("bad-key-name", detail));
    }
    let scope = scope_of(&asked)?;
    let expires_at = match asked.expires_at.as_deref() {
        None => None,
        Some(text) => Some(timestamp::from_text(text).ok_or_else(|| {
            let detail = "expires_at is not a time in RFC 3339, such as 2030-01-31T12:00:00Z";
            Problem::unprocessable("bad-time", detail)
        })?),
    };
    if expires_at.is_some_and(|end| end <= state.control.now()) {
        let detail = "expires_at has passed already: the key would never work";
        return Err(Problem::unprocessable("past-time", detail));
    }
    let name = asked.name;
    let made = task::read(&state.control, move |control| control.create_key(&who, &name, scope, expires_at));
    let (key, text) = made.await?;
    Ok((StatusCode::CREATED, Answer(CreatedKey { info: Key::from(&key), key: text })))
}

fn scope_of(asked: &NewKey) -> Result<Scope, Problem> {
    let limited = !asked.zones.is_empty() || !asked.types.is_empty() || asked.read_only;
    if asked.administrator && limited {
        let detail = "an administrator's key has no limits: leave out administrator, or zones, types and read_only";
        return Err(Problem::unprocessable("limited-administrator", detail));
    }
    if asked.zones.len() > SCOPE_ITEMS_MAX || asked.types.len() > SCOPE_ITEMS_MAX {
        let detail = format!("a key may list {SCOPE_ITEMS_MAX} zones and as many types");
        return Err(Problem::unprocessable("large-scope", detail));
    }
    let pattern = |text: &String| {
        ZonePattern::try_from(text.clone()).map_err(|error| {
            Problem::unprocessable("bad-name", format!("{text:?} is neither a zone's name nor *.NAME: {error}"))
        })
    };
    let rtype = |text: &String| {
        let known: Result<Rtype, _> = text.parse();
        known
            .map(|rtype| rtype.to_string())
            .map_err(|error| Problem::unprocessable("unknown-type", format!("{text:?}: {error}")))
    };
    Ok(Scope {
        administrator: asked.administrator,
        zones: asked.zones.iter().map(pattern).collect::<Result<_, _>>()?,
        types: asked.types.iter().map(rtype).collect::<Result<_, _>>()?,
        read_only: asked.read_only,
    })
}

/// Make a key stop working, at once and for good.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", params(("id" = String, Path, description = "The key's public id")),
    responses((status = 200, body = Key), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn revoke(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Answer<Key>, Problem> {
    let key = task::read(&state.control, move |control| control.revoke_key(&who, &KeyId(id))).await?;
    Ok(Answer(Key::from(&key)))
}
