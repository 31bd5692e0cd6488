//! Appending: the log and what follows from it move in one transaction.

use rokko_model::ZoneMeta;
use rokko_wire::Name;
use rokko_zone::tree::PageChanges;
use rokko_zone::{Revision, Serial, ZonePageChanges};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::error::{damaged, failed};
use super::row::{self, ZoneId};
use super::{TREE_MAIN, TREE_NSEC3};
use crate::{Commit, NewState, StoreError, VersionBefore};

/// What a commit costs in the write-ahead log beside its own octets: the database pages that it touches.
const COMMIT_OCTETS: usize = 16 << 10;

/// Why a transaction was given up.
enum Failure {
    /// The zone's version is another one; which one is only known after everything is rolled back.
    Stale(Name),
    Other(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Other(error)
    }
}

/// What was appended.
pub(super) struct Appended {
    /// The revision of the first commit.
    pub(super) first: Revision,
    /// About how many octets went into the write-ahead log.
    pub(super) octets: u64,
}

pub(super) fn append(connection: &mut Connection, commits: &[Commit]) -> Result<Appended, StoreError> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed("starting an append"))?;
    match append_within(&transaction, commits) {
        Ok(appended) => {
            transaction.commit().map_err(failed("committing an append"))?;
            Ok(appended)
        }
        Err(failure) => {
            // SQLite has rolled back by itself after some errors, and then has nothing to do here.
            drop(transaction);
            Err(match failure {
                Failure::Stale(zone) => {
                    let current = current_version(connection, &zone)?.map(|(_, revision)| revision);
                    StoreError::Stale { zone, current }
                }
                Failure::Other(error) => error,
            })
        }
    }
}

/// The zone's number and the revision of its last change.
fn current_version(connection: &Connection, zone: &Name) -> Result<Option<(ZoneId, Revision)>, StoreError> {
    let read = failed("looking a zone up");
    let mut find =
        connection.prepare_cached("SELECT zone_id, revision FROM zones WHERE sort_key = ?1").map_err(&read)?;
    find.query_row([row::sort_key(zone).as_bytes()], |row| {
        Ok((row.get(0)?, Revision(row.get::<_, i64>(1)?.cast_unsigned())))
    })
    .optional()
    .map_err(&read)
}

pub(super) fn head(connection: &Connection) -> Result<Revision, StoreError> {
    let read = failed("reading the last revision");
    let mut last = connection.prepare_cached("SELECT max(revision) FROM log").map_err(&read)?;
    let last: Option<i64> = last.query_row([], |row| row.get(0)).map_err(&read)?;
    Ok(Revision(last.unwrap_or(0).cast_unsigned()))
}

fn append_within(transaction: &Transaction<'_>, commits: &[Commit]) -> Result<Appended, Failure> {
    let first = head(transaction)?.next();
    let (mut revision, mut octets, mut more_zones) = (first, 0, 0_i64);
    for commit in commits {
        let current = current_version(transaction, &commit.zone)?;
        let expected = match commit.before {
            VersionBefore::Absent => None,
            VersionBefore::At(revision) => Some(revision),
        };
        if current.map(|(_, revision)| revision) != expected {
            return Err(Failure::Stale(commit.zone.clone()));
        }
        let zone_id = current.map(|(zone_id, _)| zone_id);
        octets += match &commit.after {
            NewState::Present { serial, records, meta, pages } => {
                more_zones += i64::from(zone_id.is_none());
                let state = State { revision, serial: *serial, records: *records, meta: meta.as_ref() };
                let zone_id = put_zone(transaction, commit, zone_id, &state)?;
                put_pages(transaction, commit, zone_id, pages)?
            }
            NewState::Absent => {
                more_zones -= i64::from(zone_id.is_some());
                zone_id.map_or(Ok(0), |zone_id| remove_zone(transaction, zone_id))?
            }
        };
        octets += put_log(transaction, commit, revision)? + COMMIT_OCTETS;
        revision = revision.next();
    }
    if more_zones != 0 {
        let write = failed("counting zones");
        let mut count = transaction.prepare_cached("UPDATE totals SET zones = zones + ?1").map_err(&write)?;
        count.execute([more_zones]).map_err(&write)?;
    }
    Ok(Appended { first, octets: octets as u64 })
}

/// A zone's row after a commit.
struct State<'c> {
    revision: Revision,
    serial: Serial,
    records: u64,
    meta: Option<&'c ZoneMeta>,
}

fn put_zone(
    transaction: &Transaction<'_>,
    commit: &Commit,
    zone_id: Option<ZoneId>,
    state: &State<'_>,
) -> Result<ZoneId, StoreError> {
    let write = failed("writing a zone");
    let (revision, records) = (row::to_column(state.revision.0), row::to_column(state.records));
    let at = row::to_column(commit.at.0);
    let Some(zone_id) = zone_id else {
        let default = ZoneMeta::default();
        let meta = state.meta.unwrap_or(&default);
        let mut insert = prepare(
            transaction,
            "INSERT INTO zones (sort_key, name, revision, serial, records, changed_at, account, meta)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let key = row::sort_key(&commit.zone);
        let (name, text) = (commit.zone.to_string(), row::meta_text(meta)?);
        let columns = params![key.as_bytes(), name, revision, state.serial.0, records, at, meta.account, text];
        return insert.insert(columns).map_err(&write);
    };
    let mut update = prepare(
        transaction,
        "UPDATE zones SET revision = ?2, serial = ?3, records = ?4, changed_at = ?5 WHERE zone_id = ?1",
    )?;
    update.execute(params![zone_id, revision, state.serial.0, records, at]).map_err(&write)?;
    if let Some(meta) = state.meta {
        let mut update = prepare(transaction, "UPDATE zones SET account = ?2, meta = ?3 WHERE zone_id = ?1")?;
        update.execute(params![zone_id, meta.account, row::meta_text(meta)?]).map_err(&write)?;
    }
    Ok(zone_id)
}

/// Deletes the pages that were replaced and puts the new ones; returns their octets.
fn put_pages(
    transaction: &Transaction<'_>,
    commit: &Commit,
    zone_id: ZoneId,
    pages: &ZonePageChanges,
) -> Result<usize, StoreError> {
    let main = put_tree(transaction, commit, (zone_id, TREE_MAIN), &pages.main)?;
    let nsec3 = put_tree(transaction, commit, (zone_id, TREE_NSEC3), &pages.nsec3)?;
    Ok(main + nsec3)
}

fn put_tree(
    transaction: &Transaction<'_>,
    commit: &Commit,
    (zone_id, tree): (ZoneId, i64),
    pages: &PageChanges,
) -> Result<usize, StoreError> {
    let write = failed("writing the pages of a zone");
    if !pages.removed.is_empty() {
        let mut delete = prepare(transaction, "DELETE FROM pages WHERE zone_id = ?1 AND tree = ?2 AND first_key = ?3")?;
        for first_key in &pages.removed {
            let found = delete.execute(params![zone_id, tree, first_key]).map_err(&write)?;
            if found != 1 {
                return Err(damaged(format!("zone {}", commit.zone), "a page that is to be replaced is not there"));
            }
        }
    }
    if pages.added.is_empty() {
        return Ok(0);
    }
    let mut insert = prepare(transaction, "INSERT INTO pages VALUES (?1, ?2, ?3, ?4)")?;
    let mut octets = 0;
    for page in &pages.added {
        insert.execute(params![zone_id, tree, page.first_key(), page.as_bytes()]).map_err(&write)?;
        octets += page.as_bytes().len();
    }
    Ok(octets)
}

fn remove_zone(transaction: &Transaction<'_>, zone_id: ZoneId) -> Result<usize, StoreError> {
    let write = failed("removing a zone");
    let pages = prepare(transaction, "DELETE FROM pages WHERE zone_id = ?1")?.execute([zone_id]).map_err(&write)?;
    prepare(transaction, "DELETE FROM zones WHERE zone_id = ?1")?.execute([zone_id]).map_err(&write)?;
    Ok(pages * rokko_zone::page::PAGE_SIZE_TARGET)
}

fn put_log(transaction: &Transaction<'_>, commit: &Commit, revision: Revision) -> Result<usize, StoreError> {
    let mut insert = prepare(
        transaction,
        "INSERT INTO log (revision, zone_key, before, at, actor, address, reason, kind, serial, rrsets_changed, meta, digest, delta_crc, delta)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    let before = match commit.before {
        VersionBefore::Absent => None,
        VersionBefore::At(revision) => Some(row::to_column(revision.0)),
    };
    let (serial, meta) = match &commit.after {
        NewState::Present { serial, meta, .. } => (Some(serial.0), meta.as_ref().map(row::meta_text).transpose()?),
        NewState::Absent => (None, None),
    };
    let delta = commit.delta.encode();
    let key = row::sort_key(&commit.zone);
    insert
        .execute(params![
            row::to_column(revision.0),
            key.as_bytes(),
            before,
            row::to_column(commit.at.0),
            commit.actor.name,
            commit.actor.address,
            commit.reason,
            row::kind_text(commit.kind),
            serial,
            row::to_column(commit.delta.changes.len() as u64),
            meta,
            commit.digest.0,
            crc32fast::hash(&delta),
            delta,
        ])
        .map_err(failed("writing the log"))?;
    Ok(delta.len())
}

fn prepare<'t>(transaction: &'t Transaction<'_>, sql: &str) -> Result<CachedStatement<'t>, StoreError> {
    transaction.prepare_cached(sql).map_err(failed("preparing an append"))
}
