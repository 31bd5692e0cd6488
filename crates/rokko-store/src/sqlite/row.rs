//! Values of the contract as columns, and back.

use rokko_model::{Actor, ChangeKind, UnixMillis, ZoneMeta};
use rokko_wire::key::name_of_key;
use rokko_wire::{KeyBuf, Name};
use rokko_zone::{Revision, Serial, ShortDigest};
use rusqlite::Row;

use super::error::{damaged, failed};
use crate::{LogEntry, StoreError, ZoneRecord};

/// The columns that [`zone_record`] reads.
pub(super) const ZONE_COLUMNS: &str = "zone_id, sort_key, revision, serial, records, changed_at, meta";

/// The columns that [`log_entry`] reads.
pub(super) const LOG_COLUMNS: &str =
    "revision, zone_key, before, at, actor, address, reason, kind, serial, rrsets_changed, meta, digest";

/// A zone's number within the database.
pub(super) type ZoneId = i64;

/// The key that sorts zones, which is that of the name below the root.
pub(super) fn sort_key(name: &Name) -> KeyBuf {
    KeyBuf::below(name, &Name::root()).expect("every name lies below the root")
}

/// The name that has a stored sort key.
pub(super) fn name_of(sort_key: &[u8]) -> Result<Name, StoreError> {
    name_of_key(sort_key, &Name::root()).ok_or_else(|| damaged("a zone's sort key", "it is not that of a name"))
}

/// Numbers are kept as SQLite's signed integers; the conversion loses nothing either way.
pub(super) fn to_column(number: u64) -> i64 {
    number.cast_signed()
}

pub(super) fn meta_text(meta: &ZoneMeta) -> Result<String, StoreError> {
    serde_json::to_string(meta)
        .map_err(|error| StoreError::Backend { doing: "writing zone metadata".to_owned(), source: Box::new(error) })
}

pub(super) fn zone_record(row: &Row<'_>) -> Result<(ZoneId, ZoneRecord), StoreError> {
    let read = failed("reading a zone");
    let name = name_of(blob(row, 1)?)?;
    let place = || format!("zone {name}");
    let serial = serial(row.get(3).map_err(&read)?).ok_or_else(|| damaged(place(), "its serial is no serial"))?;
    let meta = meta_of(text(row, 6)?).map_err(|error| damaged(place(), &error))?;
    let record = ZoneRecord {
        revision: Revision(row.get::<_, i64>(2).map_err(&read)?.cast_unsigned()),
        serial,
        records: row.get::<_, i64>(4).map_err(&read)?.cast_unsigned(),
        changed_at: UnixMillis(row.get::<_, i64>(5).map_err(&read)?.cast_unsigned()),
        meta,
        name,
    };
    Ok((row.get(0).map_err(&read)?, record))
}

pub(super) fn log_entry(row: &Row<'_>) -> Result<LogEntry, StoreError> {
    let read = failed("reading the log");
    let revision = Revision(row.get::<_, i64>(0).map_err(&read)?.cast_unsigned());
    let place = || format!("revision {revision}");
    let kind = kind_of(text(row, 7)?).ok_or_else(|| damaged(place(), "its kind is unknown"))?;
    let after: Option<i64> = row.get(8).map_err(&read)?;
    let after = after.map(|number| serial(number).ok_or_else(|| damaged(place(), "its serial is no serial")));
    let meta: Option<String> = row.get(10).map_err(&read)?;
    let meta = meta.map(|text| meta_of(&text).map_err(|error| damaged(place(), &error)));
    Ok(LogEntry {
        revision,
        zone: name_of(blob(row, 1)?)?,
        before: row.get::<_, Option<i64>>(2).map_err(&read)?.map(|number| Revision(number.cast_unsigned())),
        at: UnixMillis(row.get::<_, i64>(3).map_err(&read)?.cast_unsigned()),
        actor: Actor { name: row.get(4).map_err(&read)?, address: row.get(5).map_err(&read)? },
        reason: row.get(6).map_err(&read)?,
        kind,
        serial: after.transpose()?,
        rrsets_changed: row.get::<_, i64>(9).map_err(&read)?.cast_unsigned(),
        meta: meta.transpose()?,
        digest: digest(row, 11).map_err(|error| damaged(place(), &error))?,
    })
}

/// The digest in a column.
fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ShortDigest>> {
    Ok(row.get::<_, Option<[u8; 32]>>(column)?.map(ShortDigest))
}

/// A column's octets without a copy.
pub(super) fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], StoreError> {
    let value = row.get_ref(column).map_err(failed("reading the store"))?;
    value.as_blob().map_err(|error| damaged("the database file", &error))
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, StoreError> {
    let value = row.get_ref(column).map_err(failed("reading the store"))?;
    value.as_str().map_err(|error| damaged("the database file", &error))
}

fn serial(number: i64) -> Option<Serial> {
    u32::try_from(number).ok().map(Serial)
}

fn meta_of(text: &str) -> Result<ZoneMeta, serde_json::Error> {
    serde_json::from_str(text)
}

pub(super) fn kind_text(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Create => "create",
        ChangeKind::Edit => "edit",
        ChangeKind::Import => "import",
        ChangeKind::Meta => "meta",
        ChangeKind::Rollback => "rollback",
        ChangeKind::Delete => "delete",
        ChangeKind::Sign => "sign",
    }
}

fn kind_of(text: &str) -> Option<ChangeKind> {
    use ChangeKind::{Create, Delete, Edit, Import, Meta, Rollback, Sign};
    [Create, Edit, Import, Meta, Rollback, Delete, Sign].into_iter().find(|kind| kind_text(*kind) == text)
}
