//! The suite that every adapter passes unchanged.
//!
//! An adapter's integration test gives a [`Harness`] and calls [`run`], or each of [`CASES`] by itself. The cases
//! act through the [`crate::Store`] trait alone, and panic where a store departs from its contract. Random
//! ones are seeded, and a failure names the seed.

mod change;
mod concurrent;
mod durable;
mod keys;
mod listing;
pub mod model;
mod random;

use std::path::{Path, PathBuf};

use crate::Store;

/// What the suite needs to know of an adapter.
pub trait Harness {
    /// A new, empty store, apart from all others.
    fn fresh(&mut self) -> Box<dyn Store>;

    /// Closes a store and opens the same one again.
    fn reopen(&mut self, store: Box<dyn Store>) -> Box<dyn Store>;

    /// The path of a file that does not exist yet, in a folder that does.
    fn new_path(&mut self) -> PathBuf;

    /// A store made of a backup alone.
    fn restore(&mut self, backup: &Path) -> Box<dyn Store>;
}

/// One demand of the contract.
pub type Case = fn(&mut dyn Harness);

/// All demands by name.
pub const CASES: &[(&str, Case)] = &[
    ("an_empty_store_has_nothing", change::an_empty_store_has_nothing),
    ("a_change_is_seen_at_once", change::a_change_is_seen_at_once),
    ("a_stale_change_is_refused_with_what_is_current", change::a_stale_change_is_refused_with_what_is_current),
    ("changes_of_one_call_are_all_or_nothing", change::changes_of_one_call_are_all_or_nothing),
    ("a_call_may_build_on_itself", change::a_call_may_build_on_itself),
    ("a_deleted_zone_keeps_its_history_and_can_return", change::a_deleted_zone_keeps_its_history_and_can_return),
    ("history_comes_newest_first_in_parts", change::history_comes_newest_first_in_parts),
    ("metadata_has_a_history", change::metadata_has_a_history),
    ("extreme_values_survive", change::extreme_values_survive),
    ("both_trees_of_a_signed_zone_survive", change::both_trees_of_a_signed_zone_survive),
    ("a_large_zone_changes_by_pages", change::a_large_zone_changes_by_pages),
    ("listings_are_in_canonical_order", listing::listings_are_in_canonical_order),
    ("filters_select", listing::filters_select),
    ("a_cursor_meets_every_zone_once", listing::a_cursor_meets_every_zone_once),
    ("revisions_of_many_threads_have_no_gap", concurrent::revisions_of_many_threads_have_no_gap),
    ("only_one_of_two_rivals_wins", concurrent::only_one_of_two_rivals_wins),
    ("loads_see_one_state", concurrent::loads_see_one_state),
    ("appends_go_on_during_a_load", concurrent::appends_go_on_during_a_load),
    ("everything_survives_a_restart", durable::everything_survives_a_restart),
    ("keys_and_settings_are_kept", durable::keys_and_settings_are_kept),
    ("revisions_are_never_used_again", durable::revisions_are_never_used_again),
    ("a_backup_is_one_state", durable::a_backup_is_one_state),
    ("signing_keys_are_kept", keys::signing_keys_are_kept),
    ("movements_of_keys_are_remembered", keys::movements_of_keys_are_remembered),
    ("random_histories_equal_the_model", random::random_histories_equal_the_model),
];

/// Runs every case.
///
/// # Panics
///
/// Where the store departs from the contract.
pub fn run(harness: &mut dyn Harness) {
    for (_, case) in CASES {
        case(harness);
    }
}
