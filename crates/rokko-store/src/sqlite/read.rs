//! Reading zones without their records, and the log.

use rokko_wire::Name;
use rokko_wire::key::KEY_LEN_MAX;
use rokko_zone::{Delta, Revision};
use rusqlite::{Connection, OptionalExtension, Params};

use super::error::{damaged, failed};
use super::row::{self, LOG_COLUMNS, ZONE_COLUMNS, ZoneId};
use crate::{LogEntry, StoreError, ZoneFilter, ZoneRecord};

pub(super) fn zone(connection: &Connection, name: &Name) -> Result<Option<(ZoneId, ZoneRecord)>, StoreError> {
    zone_by_key(connection, row::sort_key(name).as_bytes())
}

fn zone_by_key(connection: &Connection, key: &[u8]) -> Result<Option<(ZoneId, ZoneRecord)>, StoreError> {
    let read = failed("reading a zone");
    let sql = format!("SELECT {ZONE_COLUMNS} FROM zones WHERE sort_key = ?1");
    let mut find = connection.prepare_cached(&sql).map_err(&read)?;
    let mut rows = find.query([key]).map_err(&read)?;
    rows.next().map_err(&read)?.map(row::zone_record).transpose()
}

pub(super) fn zone_count(connection: &Connection) -> Result<u64, StoreError> {
    let read = failed("counting zones");
    let mut count = connection.prepare_cached("SELECT zones FROM totals").map_err(&read)?;
    let count: i64 = count.query_row([], |row| row.get(0)).map_err(&read)?;
    u64::try_from(count).map_err(|_| damaged("the number of zones", "it is negative"))
}

/// The sort keys that a listing looks at: from `low` on, below `high`.
struct Range {
    low: Vec<u8>,
    high: Vec<u8>,
}

impl Range {
    fn new(after: Option<&Name>, below: Option<&Name>) -> Self {
        // Every key ends with a zero octet, so the least string above a key is the key and one more zero; and
        // the least string above all keys that start with a key ends with a one instead of its last zero.
        let mut low = after.map_or_else(Vec::new, |after| [row::sort_key(after).as_bytes(), &[0]].concat());
        let mut high = vec![0xff; KEY_LEN_MAX];
        if let Some(below) = below.filter(|below| !below.is_root()) {
            let key = row::sort_key(below);
            low = low.max(key.as_bytes().to_vec());
            high = key.as_bytes().to_vec();
            if let Some(last) = high.last_mut() {
                *last = 1;
            }
        }
        Self { low, high }
    }
}

/// A listing. With an account, its index leads; else, or for the zones of no account, the sort keys.
pub(super) fn zones(
    connection: &Connection,
    after: Option<&Name>,
    limit: usize,
    filter: &ZoneFilter,
) -> Result<Vec<ZoneRecord>, StoreError> {
    let Range { low, high } = Range::new(after, filter.below.as_ref());
    let condition = match filter.account.as_deref() {
        None => "sort_key >= ?1 AND sort_key < ?2 AND ?3 = ''",
        Some("") => "sort_key >= ?1 AND sort_key < ?2 AND account = ?3",
        Some(_) => "account = ?3 AND account <> '' AND sort_key >= ?1 AND sort_key < ?2",
    };
    let account = filter.account.as_deref().unwrap_or("");
    match filter.name_contains.as_deref() {
        None | Some("") => {
            let sql = format!("SELECT {ZONE_COLUMNS} FROM zones WHERE {condition} ORDER BY sort_key LIMIT ?4");
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let records = all(connection, &sql, (low, high, account, limit), row::zone_record)?;
            Ok(records.into_iter().map(|(_, record)| record).collect())
        }
        Some(text) => {
            let sql = format!("SELECT sort_key FROM zones WHERE {condition} ORDER BY sort_key");
            zones_with_text(connection, &sql, (&low, &high, account), limit, text)
        }
    }
}

/// Looks at one name after another, in an index alone, and reads only the zones whose names have the text.
fn zones_with_text(
    connection: &Connection,
    sql: &str,
    range: (&[u8], &[u8], &str),
    limit: usize,
    text: &str,
) -> Result<Vec<ZoneRecord>, StoreError> {
    let read = failed("listing zones");
    let one_state = connection.unchecked_transaction().map_err(&read)?;
    let mut found = Vec::new();
    let mut list = one_state.prepare_cached(sql).map_err(&read)?;
    let mut rows = list.query(range).map_err(&read)?;
    while found.len() < limit {
        let Some(row) = rows.next().map_err(&read)? else { break };
        let key = row::blob(row, 0)?;
        if row::name_of(key)?.to_string().contains(text) {
            found.extend(zone_by_key(&one_state, key)?.map(|(_, record)| record));
        }
    }
    Ok(found)
}

pub(super) fn history(
    connection: &Connection,
    zone: &Name,
    before: Option<Revision>,
    limit: usize,
) -> Result<Vec<LogEntry>, StoreError> {
    let sql =
        format!("SELECT {LOG_COLUMNS} FROM log WHERE zone_key = ?1 AND revision < ?2 ORDER BY revision DESC LIMIT ?3");
    let before = before.map_or(i64::MAX, |revision| i64::try_from(revision.0).unwrap_or(i64::MAX));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    all(connection, &sql, (row::sort_key(zone).as_bytes(), before, limit), row::log_entry)
}

pub(super) fn entries(connection: &Connection, after: Revision, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
    let sql = format!("SELECT {LOG_COLUMNS} FROM log WHERE revision > ?1 ORDER BY revision LIMIT ?2");
    let after = i64::try_from(after.0).unwrap_or(i64::MAX);
    all(connection, &sql, (after, i64::try_from(limit).unwrap_or(i64::MAX)), row::log_entry)
}

pub(super) fn entry(connection: &Connection, revision: Revision) -> Result<Option<(LogEntry, Delta)>, StoreError> {
    let read = failed("reading the log");
    let sql = format!("SELECT {LOG_COLUMNS}, delta_crc, delta FROM log WHERE revision = ?1");
    let mut find = connection.prepare_cached(&sql).map_err(&read)?;
    let mut rows = find.query([row::to_column(revision.0)]).map_err(&read)?;
    let Some(found) = rows.next().map_err(&read)? else { return Ok(None) };
    let place = || format!("revision {revision}");
    let bytes = row::blob(found, 13)?;
    if found.get::<_, i64>(12).map_err(&read)? != i64::from(crc32fast::hash(bytes)) {
        return Err(damaged(place(), "the checksum of its change does not match"));
    }
    let delta = Delta::decode(bytes).map_err(|error| damaged(place(), &error))?;
    Ok(Some((row::log_entry(found)?, delta)))
}

pub(super) fn keys(connection: &Connection) -> Result<Vec<rokko_model::ApiKey>, StoreError> {
    all(connection, "SELECT key_id, key FROM keys ORDER BY key_id", [], |row| {
        let read = failed("reading the keys");
        let (id, text): (String, String) = (row.get(0).map_err(&read)?, row.get(1).map_err(&read)?);
        serde_json::from_str(&text).map_err(|error| damaged(format!("key {id}"), &error))
    })
}

pub(super) fn setting(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let read = failed("reading a setting");
    let mut find = connection.prepare_cached("SELECT value FROM settings WHERE name = ?1").map_err(&read)?;
    find.query_row([name], |row| row.get(0)).optional().map_err(&read)
}

/// All rows of a query, each made into a value.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    value: impl Fn(&rusqlite::Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let read = failed("reading the store");
    let mut statement = connection.prepare_cached(sql).map_err(&read)?;
    let mut rows = statement.query(params).map_err(&read)?;
    let mut values = Vec::new();
    while let Some(row) = rows.next().map_err(&read)? {
        values.push(value(row)?);
    }
    Ok(values)
}
