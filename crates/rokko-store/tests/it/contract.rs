//! The SQLite adapter fulfils the contract.

use std::path::{Path, PathBuf};

use rokko_store::contract::{self, Harness};
use rokko_store::{SqliteStore, Store};
use tempfile::TempDir;

struct Sqlite {
    folder: TempDir,
    stores: u32,
    /// The file of the store that was opened last.
    current: PathBuf,
}

impl Sqlite {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), stores: 0, current: PathBuf::new() }
    }
}

impl Harness for Sqlite {
    fn fresh(&mut self) -> Box<dyn Store> {
        self.current = self.new_path();
        Box::new(SqliteStore::open(&self.current).unwrap())
    }

    fn reopen(&mut self, store: Box<dyn Store>) -> Box<dyn Store> {
        drop(store);
        Box::new(SqliteStore::open(&self.current).unwrap())
    }

    fn new_path(&mut self) -> PathBuf {
        self.stores += 1;
        self.folder.path().join(format!("{}.db", self.stores))
    }

    fn restore(&mut self, backup: &Path) -> Box<dyn Store> {
        Box::new(SqliteStore::open(backup).unwrap())
    }
}

macro_rules! cases {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let (_, case) = contract::CASES.iter().find(|(name, _)| *name == stringify!($name)).unwrap();
                case(&mut Sqlite::new());
            }
        )*

        #[test]
        fn every_case_is_run() {
            let here = [$(stringify!($name)),*];
            assert!(contract::CASES.iter().map(|(name, _)| *name).eq(here));
        }
    };
}

cases! {
    an_empty_store_has_nothing
    a_change_is_seen_at_once
    a_stale_change_is_refused_with_what_is_current
    changes_of_one_call_are_all_or_nothing
    a_call_may_build_on_itself
    a_deleted_zone_keeps_its_history_and_can_return
    history_comes_newest_first_in_parts
    metadata_has_a_history
    extreme_values_survive
    both_trees_of_a_signed_zone_survive
    a_large_zone_changes_by_pages
    listings_are_in_canonical_order
    filters_select
    a_cursor_meets_every_zone_once
    revisions_of_many_threads_have_no_gap
    only_one_of_two_rivals_wins
    loads_see_one_state
    appends_go_on_during_a_load
    everything_survives_a_restart
    keys_and_settings_are_kept
    revisions_are_never_used_again
    a_backup_is_one_state
    signing_keys_are_kept
    movements_of_keys_are_remembered
    random_histories_equal_the_model
}
