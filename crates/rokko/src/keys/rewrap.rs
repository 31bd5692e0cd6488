//! `rokko keys rewrap`: all keys under another master key.
//!
//! Keys that have the new one already are left alone, so that a run that was cut off is simply made again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rokko_keys::{KeyRing, KeyRingOptions, MasterKey, MasterKeySource, master_key_id_of};
use rokko_store::{KeyAction, KeyChange, KeyStore, SigningKey, SqliteStore};
use serde::Serialize;

use super::place::{Site, audit, each_key, master_failure, public_of, store_failure, stored};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::up::chain;

/// How many keys are stored at once.
const PART: usize = 1000;

#[derive(Serialize)]
struct Report {
    keys: u64,
    from: String,
    to: String,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    former_file: Option<String>,
}

pub(super) fn run(place: &Site, to: Option<PathBuf>, output: &mut Output) -> Result<ExitCode, Failure> {
    // The lock keeps a node away, which has the present master key in memory.
    drop(place.open_store()?);
    let store = SqliteStore::open(&place.store_path()).map_err(|error| store_failure(&error))?;
    let old = place.load_master()?;
    let in_place = to.is_none();
    let file = match to {
        Some(file) => file,
        None => with_end(&place.master_key_file()?, "new"),
    };
    let new = load_or_make(&file)?;
    if new.id() == old.id() {
        return Err(Failure::usage(format!("{} holds the present master key", file.display())));
    }
    let (from_id, to_id) = (old.id().to_string(), new.id().to_string());
    let keys = rewrap(&store, old, &new)?;
    let what = format!("from master key {from_id} to {to_id}, {}", output::count(keys, "key"));
    let change = KeyChange { audit: vec![audit(KeyAction::Rewrap, None, &what)], ..KeyChange::default() };
    store.change_signing_keys(&change).map_err(|error| store_failure(&error))?;
    let mut report = Report { keys, from: from_id, to: to_id, file: file.display().to_string(), former_file: None };
    if in_place {
        let present = place.master_key_file()?;
        let former = with_end(&present, &report.from);
        // The name always leads to a master key: first the old one gets a second name, then the new one takes the first.
        let linked = std::fs::hard_link(&present, &former);
        let replaced = linked.and_then(|()| std::fs::rename(&file, &present));
        replaced.map_err(|error| {
            let text = format_args!("put {} in the place of {}; do that by hand", file.display(), present.display())
                .to_string();
            Failure::io(text, &error)
        })?;
        report.file = present.display().to_string();
        report.former_file = Some(former.display().to_string());
    }
    output.value(&report, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(report: &Report) -> String {
    let Report { keys, from, to, file, former_file } = report;
    let next = match former_file {
        Some(former) => {
            format!("The former one is in {former}: older backups of the store need it. Delete it when there are none.")
        }
        None => format!("Configure {file} before the node starts again."),
    };
    format!(
        "Wrapped {} under the master key {to} in place of {from}; it is in {file}.\n{next}",
        output::count(*keys, "key")
    )
}

fn with_end(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}

fn load_or_make(file: &Path) -> Result<MasterKey, Failure> {
    let made =
        if file.exists() { MasterKey::load(&MasterKeySource::File(file.to_owned())) } else { MasterKey::create(file) };
    made.map_err(|error| master_failure(&error))
}

fn rewrap(store: &SqliteStore, old: MasterKey, new: &MasterKey) -> Result<u64, Failure> {
    let ring = KeyRing::new(old, KeyRingOptions::default());
    let (mut keys, mut change) = (0, KeyChange::default());
    each_key(store, None, |key| {
        if master_key_id_of(&key.wrapped).is_ok_and(|id| id == new.id()) {
            return Ok(());
        }
        let public = public_of(&key)?;
        let wrapped = ring.rewrap(&stored(&key, &public), new);
        let wrapped = wrapped.map_err(|error| Failure::failed(format!("the key {}: {}", key.id, chain(&error))))?;
        keys += 1;
        change.put.push(SigningKey { wrapped, ..key });
        if change.put.len() < PART {
            return Ok(());
        }
        store.change_signing_keys(&std::mem::take(&mut change)).map_err(|error| store_failure(&error))
    })?;
    store.change_signing_keys(&change).map_err(|error| store_failure(&error))?;
    Ok(keys)
}
