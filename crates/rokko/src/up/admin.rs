//! The administrator's key at the first start.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rokko_control::{Control, Identity};
use rokko_model::ApiKey;

use crate::failure::Failure;

/// The file in the data folder.
const FILE: &str = "admin.key";

/// A key that was made at this start.
pub(crate) struct NewKey {
    pub(crate) text: String,
    pub(crate) file: PathBuf,
    pub(crate) was_given: bool,
}

/// Makes the administrator's key if there is no key yet: from `ROKKO_API_KEY`, or at random.
///
/// A random key's file is written before the key is made, so that a crash in between loses nothing: the next start
/// takes the text from the file. A given key may be refused, so its file is written after.
pub(crate) fn ensure(control: &Control, data_dir: &Path) -> Result<Option<NewKey>, Failure> {
    let failed = |error: rokko_control::ControlError| {
        Failure::failed(format!("the administrator's key could not be made: {}", super::chain(&error)))
    };
    if !control.keys(&Identity::local()).map_err(failed)?.is_empty() {
        return Ok(None);
    }
    let file = data_dir.join(FILE);
    let keep =
        |text: &str| write(&file, text).map_err(|error| Failure::io(format_args!("write {}", file.display()), &error));
    let given = std::env::var("ROKKO_API_KEY").ok().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    if let Some(text) = given {
        control.ensure_administrator(Some(&text)).map_err(failed)?;
        keep(&text)?;
        return Ok(Some(NewKey { text, file, was_given: true }));
    }
    let left = std::fs::read_to_string(&file).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let text = left.map_or_else(random, Ok)?;
    keep(&text)?;
    control.ensure_administrator(Some(&text)).map_err(failed)?;
    Ok(Some(NewKey { text, file, was_given: false }))
}

fn random() -> Result<String, Failure> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(|error| Failure::failed(format!("the system has no randomness: {error}")))?;
    Ok(ApiKey::text_from_entropy(&entropy).1)
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let mut out: File = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(file)?;
    // The mode above does not change a file that was there.
    out.set_permissions(Permissions::from_mode(0o600))?;
    writeln!(out, "{text}")?;
    out.sync_all()
}
