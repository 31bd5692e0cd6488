//! Reading zones with their records.

use rokko_wire::Name;
use rokko_zone::{Page, Revision, Zone};
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::{Connection, Rows};

use super::error::{damaged, failed, is_corruption};
use super::row::{self, ZoneId};
use super::{TREE_MAIN, TREE_NSEC3, append, read};
use crate::{StoreError, ZoneRecord};

/// Pages of one zone as they are gathered.
#[derive(Default)]
struct Pages {
    main: Vec<Page>,
    nsec3: Vec<Page>,
}

impl Pages {
    /// Takes the page in columns `tree`, `first_key` and `bytes` of a row, from `column` on.
    fn take(&mut self, row: &rusqlite::Row<'_>, column: usize) -> Result<(), String> {
        let tree: i64 = row.get(column).map_err(|error| error.to_string())?;
        let first_key = row::blob(row, column + 1).map_err(|error| error.to_string())?;
        let bytes = row::blob(row, column + 2).map_err(|error| error.to_string())?;
        let pages = match tree {
            TREE_MAIN => &mut self.main,
            TREE_NSEC3 => &mut self.nsec3,
            _ => return Err(format!("a page belongs to the unknown tree {tree}")),
        };
        let page = Page::open(bytes).map_err(|error| error.to_string())?;
        if page.first_key() != first_key {
            return Err("a page is kept under a key that is not its first".to_owned());
        }
        if pages.last().is_some_and(|last| last.view().last_key() >= first_key) {
            return Err("two pages overlap".to_owned());
        }
        pages.push(page);
        Ok(())
    }

    fn into_zone(self, name: &Name, revision: Revision, records: u64) -> Result<Zone, StoreError> {
        let place = format!("zone {name}");
        let zone = Zone::from_pages(name, revision, self.main, self.nsec3);
        if zone.records() == records {
            Ok(zone)
        } else {
            Err(damaged(place, &format!("its pages hold {} records and should hold {records}", zone.records())))
        }
    }
}

pub(super) fn load_zone(connection: &Connection, name: &Name) -> Result<Option<(ZoneRecord, Zone)>, StoreError> {
    let reading = failed("reading the pages of a zone");
    let one_state = connection.unchecked_transaction().map_err(&reading)?;
    let Some((zone_id, record)) = read::zone(&one_state, name)? else { return Ok(None) };
    let place = || format!("zone {name}");
    let mut statement = one_state
        .prepare_cached("SELECT tree, first_key, bytes FROM pages WHERE zone_id = ?1 ORDER BY tree, first_key")
        .map_err(&reading)?;
    let mut rows = statement.query([zone_id]).map_err(&reading)?;
    let mut pages = Pages::default();
    while let Some(row) = Rows::next(&mut rows).map_err(|error| in_zone(name, error))? {
        pages.take(row, 0).map_err(|what| damaged(place(), &what))?;
    }
    let zone = pages.into_zone(&record.name, record.revision, record.records)?;
    Ok(Some((record, zone)))
}

/// Reads zones and pages side by side, both in the order of the zones' numbers, which is that of the file.
pub(super) fn load_all(connection: &Connection, each: &mut dyn FnMut(Zone)) -> Result<Revision, StoreError> {
    let reading = failed("reading all zones");
    let one_state = connection.unchecked_transaction().map_err(&reading)?;
    let head = append::head(&one_state)?;
    let mut zones = one_state
        .prepare_cached("SELECT zone_id, sort_key, revision, records FROM zones ORDER BY zone_id")
        .map_err(&reading)?;
    let mut zones = zones.query([]).map_err(&reading)?;
    let mut pages = one_state
        .prepare_cached("SELECT zone_id, tree, first_key, bytes FROM pages ORDER BY zone_id, tree, first_key")
        .map_err(&reading)?;
    let mut pages = PageCursor { rows: pages.query([]).map_err(&reading)?, at: None };
    pages.advance().map_err(&reading)?;
    while let Some(row) = Rows::next(&mut zones).map_err(&reading)? {
        let zone_id: ZoneId = row.get(0).map_err(&reading)?;
        let name = row::name_of(row::blob(row, 1)?)?;
        let revision = Revision(row.get::<_, i64>(2).map_err(&reading)?.cast_unsigned());
        let records = row.get::<_, i64>(3).map_err(&reading)?.cast_unsigned();
        let mut found = Pages::default();
        while pages.at == Some(zone_id) {
            pages.take_into(&mut found).map_err(|what| damaged(format!("zone {name}"), &what))?;
            pages.advance().map_err(|error| in_zone(&name, error))?;
        }
        pages.no_page_before(zone_id)?;
        each(found.into_zone(&name, revision, records)?);
    }
    pages.no_page_before(ZoneId::MAX)?;
    Ok(head)
}

/// Walks over all pages.
struct PageCursor<'s> {
    rows: Rows<'s>,
    /// The zone of the page that it stands on.
    at: Option<ZoneId>,
}

impl PageCursor<'_> {
    fn advance(&mut self) -> rusqlite::Result<()> {
        self.rows.advance()?;
        self.at = self.rows.get().map(|row| row.get(0)).transpose()?;
        Ok(())
    }

    fn take_into(&self, pages: &mut Pages) -> Result<(), String> {
        self.rows.get().map_or(Ok(()), |row| pages.take(row, 1))
    }

    fn no_page_before(&self, zone_id: ZoneId) -> Result<(), StoreError> {
        match self.at {
            Some(at) if at < zone_id => Err(damaged(format!("zone number {at}"), "pages of a zone that is not there")),
            _ => Ok(()),
        }
    }
}

/// An error met while a zone's pages were read.
fn in_zone(name: &Name, error: rusqlite::Error) -> StoreError {
    if is_corruption(&error) {
        damaged(format!("zone {name}"), &error)
    } else {
        failed("reading the pages of a zone")(error)
    }
}
