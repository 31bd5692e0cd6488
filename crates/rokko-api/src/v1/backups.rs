//! Backups of the store.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use rokko_control::{Control, Identity};
use rokko_model::Permission;

use super::dto::{Backup, NewBackup, ProblemDocument};
use crate::auth::Caller;
use crate::body::Json;
use crate::problem::Problem;
use crate::state::ApiState;
use crate::task;

/// The longest name of a backup in octets.
const NAME_LEN_MAX: usize = 200;

/// Write a consistent copy of the store to a new file in the node's backup folder.
#[utoipa::path(post, path = "/v1/backups", tag = "node", request_body = NewBackup,
    responses((status = 201, body = Backup), (status = 409, description = "There is such a file", body = ProblemDocument),
        (status = "4XX", body = ProblemDocument)))]
pub(super) async fn create(
    Caller(who): Caller,
    State(state): State<ApiState>,
    Json(asked, _room): Json<NewBackup>,
) -> Result<(StatusCode, Answer<Backup>), Problem> {
    who.scope.allows(Permission::Administer).map_err(rokko_control::ControlError::from)?;
    check_name(&asked.path)?;
    let Ok(turn) = state.backup_turn.clone().try_acquire_owned() else {
        return Err(Problem::unavailable("backup-running", "another backup is being written: wait for its end", 10));
    };
    let folder = state.backups.clone();
    let control = state.control.clone();
    let made = task::blocking(move || {
        let _turn = turn;
        write(&control, &who, &folder, &asked.path)
    });
    Ok((StatusCode::CREATED, Answer(made.await?)))
}

fn check_name(name: &str) -> Result<(), Problem> {
    let good = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    if (1..=NAME_LEN_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(good) {
        return Ok(());
    }
    let detail = format!(
        "path is the name of a new file in the node's backup folder: up to {NAME_LEN_MAX} letters, digits, dots, dashes and underscores, no dot in front"
    );
    Err(Problem::unprocessable("bad-path", detail))
}

fn write(control: &Control, who: &Identity, folder: &Path, name: &str) -> Result<Backup, Problem> {
    let failed = |doing: &str, error: &io::Error| {
        tracing::error!(%error, folder = %folder.display(), "{doing} failed");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "backup-failed",
            "the backup failed: the node's log has the cause",
        )
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| failed("making the backup folder", &error))?;
    let path = folder.join(name);
    if path.exists() {
        let detail = format!("the backup folder has a file {name} already: choose a new name");
        return Err(Problem::new(StatusCode::CONFLICT, "backup-exists", detail));
    }
    control.backup(who, &path, &mut |_, _| ())?;
    let bytes = fs::metadata(&path).map_err(|error| failed("looking at the backup", &error))?.len();
    Ok(Backup { path: path.display().to_string(), bytes })
}
