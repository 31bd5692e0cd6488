//! `rokko keys list` and `audit`.

use std::process::ExitCode;

use rokko_keys::master_key_id_of;
use rokko_store::{KeyAudit, KeyStore, SigningKey};
use serde::Serialize;

use super::place::{Site, each_key, public_of, store_failure};
use crate::failure::Failure;
use crate::output::{Output, Table};
use crate::time::rfc3339;

/// How many movements are read at once.
const PART: usize = 1000;

#[derive(Serialize)]
struct Row {
    id: String,
    zone: String,
    algorithm: String,
    tag: u16,
    flags: u16,
    made_at: String,
    master_key: String,
}

pub(super) fn keys(place: &Site, zone: Option<&str>, output: &mut Output) -> Result<ExitCode, Failure> {
    let store = place.open_store()?;
    let mut rows = Vec::new();
    each_key(&store, zone, |key| {
        rows.push(row(&key)?);
        Ok(())
    })?;
    if output.is_json() {
        output.json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["ID", "ZONE", "ALGORITHM", "TAG", "ROLE", "MADE", "MASTER KEY"]);
    for row in rows {
        let role = if row.flags & 1 == 1 { "secure entry point" } else { "zone" };
        let tag = row.tag.to_string();
        table.row([row.id, row.zone, row.algorithm, tag, role.to_owned(), row.made_at, row.master_key]);
    }
    if table.is_empty() { output.line("No signing keys.") } else { output.line(table) }?;
    Ok(ExitCode::SUCCESS)
}

fn row(key: &SigningKey) -> Result<Row, Failure> {
    let public = public_of(key)?;
    Ok(Row {
        id: key.id.to_string(),
        zone: key.zone.to_string(),
        algorithm: public.algorithm.to_string(),
        tag: public.tag(),
        flags: public.flags,
        made_at: rfc3339(key.made_at.0 / 1000),
        master_key: master_key_id_of(&key.wrapped).map_or_else(|_| "damaged".to_owned(), |id| id.to_string()),
    })
}

#[derive(Serialize)]
struct Movement {
    at: String,
    actor: String,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    recipient: String,
}

impl From<KeyAudit> for Movement {
    fn from(entry: KeyAudit) -> Self {
        Self {
            at: rfc3339(entry.at.0 / 1000),
            actor: entry.actor,
            action: entry.action.as_str(),
            zone: entry.zone.map(|zone| zone.to_string()),
            key: entry.key.map(|key| key.to_string()),
            recipient: entry.recipient,
        }
    }
}

pub(super) fn audit(place: &Site, output: &mut Output) -> Result<ExitCode, Failure> {
    let store = place.open_store()?;
    let mut movements: Vec<Movement> = Vec::new();
    loop {
        let part = store.key_audit(movements.len() as u64, PART).map_err(|error| store_failure(&error))?;
        if part.is_empty() {
            break;
        }
        movements.extend(part.into_iter().map(Movement::from));
    }
    if output.is_json() {
        output.json(&movements)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["AT", "ACTOR", "ACTION", "ZONE", "KEY", "WHERE"]);
    for movement in movements {
        let of = |text: Option<String>| text.unwrap_or_else(|| "master key".to_owned());
        let Movement { at, actor, action, zone, key, recipient } = movement;
        table.row([at, actor, action.to_owned(), of(zone), of(key), recipient]);
    }
    if table.is_empty() { output.line("No key has been moved.") } else { output.line(table) }?;
    Ok(ExitCode::SUCCESS)
}
