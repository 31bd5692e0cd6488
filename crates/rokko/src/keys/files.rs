//! `rokko keys import` and `export`: BIND's format.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rokko_keys::{BIND_FILE_MAX, BindKey, BindTimes, write_secret};
use rokko_model::UnixMillis;
use rokko_store::{KeyAction, KeyChange, KeyStore, SigningKey, SigningKeyId};
use serde::Serialize;

use super::place::{Place, Site, audit, now, public_of, store_failure, stored};
use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::record::zone_name;
use crate::up::{chain, unix_s};

/// A key that came or went.
#[derive(Serialize)]
struct Moved {
    id: String,
    zone: String,
    tag: u16,
    file: String,
}

pub(super) fn import(place: &Site, files: &[PathBuf], output: &mut Output) -> Result<ExitCode, Failure> {
    let place = place.open()?;
    let mut stems: Vec<PathBuf> = files.iter().map(|file| stem(file)).collect();
    stems.sort();
    stems.dedup();
    let (mut change, mut moved) = (KeyChange::default(), Vec::new());
    for stem in &stems {
        let (key, entry) = import_one(&place, stem, &change.put)?;
        change.audit.push(audit(KeyAction::Import, Some(&key), &entry.file));
        change.put.push(key);
        moved.push(entry);
    }
    place.store.change_signing_keys(&change).map_err(|error| store_failure(&error))?;
    report(&moved, "Imported", output)
}

/// The name of a pair of files without `.key` and `.private`.
fn stem(file: &Path) -> PathBuf {
    match file.extension().and_then(|end| end.to_str()) {
        Some("key" | "private") => file.with_extension(""),
        _ => file.to_owned(),
    }
}

fn import_one(place: &Place, stem: &Path, before: &[SigningKey]) -> Result<(SigningKey, Moved), Failure> {
    let file = |end: &str| PathBuf::from(format!("{}.{end}", stem.display()));
    let failed = |text: String| Failure::failed(format!("{}: {text}", stem.display()));
    let (key, private) = (read(&file("key"))?, read(&file("private"))?);
    let key = BindKey::parse(&key, &private).map_err(|error| failed(error.to_string()))?;
    let id = |key: SigningKey| key.id;
    let rdata = key.public.to_rdata();
    let there = place.store.signing_keys_of(&key.zone).map_err(|error| store_failure(&error))?;
    if let Some(id) =
        there.iter().chain(before).find(|other| *other.public == *rdata && other.zone == key.zone).cloned().map(id)
    {
        return Err(failed(format!("this key is there already, as {id}")));
    }
    let taken = place.ring.add(&key.zone, key.public.clone(), &key.private).map_err(|error| failed(chain(&error)))?;
    note_schedule(stem, &key.times);
    let made_at = key.times.created.map_or_else(now, |created_s| UnixMillis(created_s.saturating_mul(1000)));
    let tag = taken.public.tag();
    let key = SigningKey {
        id: SigningKeyId(taken.id.0),
        zone: key.zone,
        made_at,
        public: rdata.into(),
        wrapped: taken.wrapped,
    };
    let moved =
        Moved { id: key.id.to_string(), zone: key.zone.to_string(), tag, file: file("private").display().to_string() };
    Ok((key, moved))
}

/// Says what of the file's schedule matters: a key that is on its way out should sign nothing here.
fn note_schedule(stem: &Path, times: &BindTimes) {
    let now_s = unix_s();
    let is_over = |time: Option<u64>| time.is_some_and(|time| time <= now_s);
    let state = if is_over(times.delete) {
        "was to be deleted"
    } else if is_over(times.revoke) {
        "is revoked"
    } else if is_over(times.inactive) {
        "no longer signs"
    } else {
        return;
    };
    output::note(format_args!(
        "{}: this key {state} by the times in its file, which are not taken over.",
        stem.display()
    ));
}

fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::io(format_args!("read {}", file.display()), &error);
    if std::fs::metadata(file).map_err(failed)?.len() > BIND_FILE_MAX as u64 {
        return Err(Failure::failed(format!("{} is too long for a key", file.display())));
    }
    std::fs::read_to_string(file).map_err(failed)
}

pub(super) fn export(
    place: &Site,
    ids: &[String],
    zone: Option<&str>,
    to: &Path,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let place = place.open()?;
    let keys = match zone {
        Some(zone) => place.store.signing_keys_of(&zone_name(zone)?).map_err(|error| store_failure(&error))?,
        None => ids.iter().map(|id| find(&place, id)).collect::<Result<_, _>>()?,
    };
    if keys.is_empty() {
        return Err(Failure::new(Kind::NotFound, "there are no such keys"));
    }
    let mut moved = Vec::new();
    for key in &keys {
        let public = public_of(key)?;
        let private = place.ring.reveal(&stored(key, &public)).map_err(|error| Failure::failed(chain(&error)))?;
        let times = BindTimes { created: Some(key.made_at.0 / 1000), ..BindTimes::default() };
        let bind = BindKey { zone: key.zone.clone(), public, private, times };
        let file = to.join(bind.file_stem());
        // Remembered first: a key that went out unseen is worse than one that is said to have gone and has not.
        let entry = audit(KeyAction::Export, Some(key), &file.display().to_string());
        let change = KeyChange { audit: vec![entry], ..KeyChange::default() };
        place.store.change_signing_keys(&change).map_err(|error| store_failure(&error))?;
        write(&file, &bind)?;
        moved.push(Moved {
            id: key.id.to_string(),
            zone: key.zone.to_string(),
            tag: bind.public.tag(),
            file: file.display().to_string(),
        });
    }
    report(&moved, "Exported", output)
}

fn find(place: &Place, id: &str) -> Result<SigningKey, Failure> {
    let parsed: SigningKeyId = id.parse().map_err(|error| Failure::usage(format!("`{id}`: {error}")))?;
    let key = place.store.signing_key(&parsed).map_err(|error| store_failure(&error))?;
    key.ok_or_else(|| Failure::new(Kind::NotFound, format!("there is no key {id}")))
}

/// Writes both files, and replaces none.
fn write(stem: &Path, key: &BindKey) -> Result<(), Failure> {
    let file = |end: &str| PathBuf::from(format!("{}.{end}", stem.display()));
    let private = key.private_text().map_err(|error| Failure::failed(error.to_string()))?;
    let (private_file, key_file) = (file("private"), file("key"));
    write_secret(&private_file, private.as_bytes())
        .map_err(|error| Failure::io(format_args!("write {}", private_file.display()), &error))?;
    let written = OpenOptions::new().write(true).create_new(true).open(&key_file);
    written
        .and_then(|mut out| out.write_all(key.key_text().as_bytes()))
        .map_err(|error| Failure::io(format_args!("write {}", key_file.display()), &error))
}

fn report(moved: &[Moved], what: &str, output: &mut Output) -> Result<ExitCode, Failure> {
    if output.is_json() {
        output.json(&moved)?;
        return Ok(ExitCode::SUCCESS);
    }
    for key in moved {
        output.line(format_args!("{what} the key {} of {} ({}, {}).", key.tag, key.zone, key.id, key.file))?;
    }
    Ok(ExitCode::SUCCESS)
}
