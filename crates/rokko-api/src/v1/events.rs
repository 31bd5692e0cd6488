//! Changes as they happen, as server-sent events.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use rokko_control::{Control, Identity};
use rokko_model::Permission;
use rokko_zone::Revision;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::changes::status_document;
use super::dto::ProblemDocument;
use crate::auth::Caller;
use crate::body::Params;
use crate::problem::Problem;
use crate::state::ApiState;
use crate::stream::Pieces;
use crate::task;

/// How often a watcher looks for what is new.
const STEP: Duration = Duration::from_millis(10);
/// How often a comment is sent when nothing happens, so that a connection that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How many revisions are sent at once.
const CHUNK: usize = 500;
/// How many events wait for a slow watcher; it gets the later ones when it has read them.
const PIECES_MAX: usize = 2;

/// Where to start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// Send what came after this revision; if absent, what comes from now on. The header Last-Event-ID goes before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<u64>,
}

/// Watch changes: an event `committed` for each revision, and an event `insync` when all PoPs have one.
#[utoipa::path(get, path = "/v1/changes/events", tag = "changes",
    params(EventsQuery, ("Last-Event-ID" = Option<u64>, Header, description = "The last event that was seen")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = "4XX", body = ProblemDocument)))]
pub(super) async fn watch(
    Caller(who): Caller,
    State(state): State<ApiState>,
    headers: HeaderMap,
    Params(query): Params<EventsQuery>,
) -> Result<Response, Problem> {
    who.scope.allows(Permission::Administer).map_err(rokko_control::ControlError::from)?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let after = last.or(query.after).map_or(state.control.applied(), Revision);
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::spawn(send(state.control.clone(), who, after, sender));
    let media_type = HeaderValue::from_static("text/event-stream");
    Ok(([(header::CONTENT_TYPE, media_type)], Body::new(Pieces(receiver))).into_response())
}

type Sender = mpsc::Sender<Result<Bytes, rokko_control::ControlError>>;

/// Sends events until the watcher is gone.
async fn send(control: Control, who: Identity, after: Revision, sender: Sender) {
    let (mut committed, mut in_sync) = (after, control.in_sync());
    let mut quiet = tokio::time::Instant::now();
    loop {
        let mut text = String::new();
        if control.applied() > committed {
            let (from, who) = (committed, who.clone());
            let read = task::read(&control, move |control| events_after(control, &who, from)).await;
            match read {
                Ok((events, last)) => (text, committed) = (events, last),
                Err(error) => {
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            }
        }
        let now_in_sync = control.in_sync().min(committed);
        if now_in_sync > in_sync {
            in_sync = now_in_sync;
            text.extend(["event: insync\ndata: {\"revision\":", &in_sync.to_string(), "}\n\n"]);
        }
        if text.is_empty() && quiet.elapsed() >= KEEP_ALIVE {
            text.push_str(": nothing new\n\n");
        }
        if text.is_empty() {
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(STEP) => {}
            }
        } else {
            quiet = tokio::time::Instant::now();
            if sender.send(Ok(text.into())).await.is_err() {
                return;
            }
        }
    }
}

fn events_after(
    control: &Control,
    who: &Identity,
    after: Revision,
) -> Result<(String, Revision), rokko_control::ControlError> {
    let (mut text, mut last) = (String::new(), after);
    for status in control.changes(who, after, CHUNK)? {
        last = status.entry.revision;
        let document = serde_json::to_string(&status_document(&status)).unwrap_or_default();
        text.extend(["id: ", &last.to_string(), "\nevent: committed\ndata: ", &document, "\n\n"]);
    }
    Ok((text, last))
}
