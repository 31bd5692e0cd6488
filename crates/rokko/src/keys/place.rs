//! Where keys are: a data folder, its store, and the master key that opens them.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use rokko_dnssec::PublicKey;
use rokko_keys::{
    KeyId, KeyRing, KeyRingOptions, MasterKey, MasterKeyError, MasterKeySource, StoredKey, master_key_id_of,
};
use rokko_model::UnixMillis;
use rokko_store::{KeyAction, KeyAudit, KeyStore, SigningKey, SqliteKeys};
use serde::Serialize;

use crate::config;
use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::record::zone_name;
use crate::up::chain;
use crate::up::node::STORE_FILE;
use crate::up::signing::MASTER_KEY_FILE;

/// How many keys are read at once.
const PART: usize = 1000;

#[derive(Clone, Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The node's configuration file, which says where its data folder and its master key are.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The node's data folder [default: ./rokko-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The file with the master key [default: `master.key` in the data folder].
    #[arg(long, value_name = "FILE", group = "master")]
    master_key_file: Option<PathBuf>,
    /// An environment variable with the master key.
    #[arg(long, value_name = "NAME", group = "master")]
    master_key_variable: Option<String>,
    /// A systemd credential with the master key.
    #[arg(long, value_name = "NAME", group = "master")]
    master_key_credential: Option<String>,
}

impl PlaceArgs {
    /// The flags, then the configuration, then the defaults.
    pub(super) fn find(&self) -> Result<Site, Failure> {
        let config = config::load(self.config.as_deref())?;
        let data_dir = self.data_dir.clone().unwrap_or(config.data_dir);
        let named = self.master_key_variable.clone().map(MasterKeySource::Environment);
        let named = named.or_else(|| self.master_key_credential.clone().map(MasterKeySource::Credential));
        let named = named.or_else(|| self.master_key_file.clone().map(MasterKeySource::File));
        let default = || MasterKeySource::File(data_dir.join(MASTER_KEY_FILE));
        let master = named.or(config.dnssec.master_key).unwrap_or_else(default);
        Ok(Site { data_dir, master })
    }
}

/// The data folder of a node and the place of its master key.
pub(super) struct Site {
    pub(super) data_dir: PathBuf,
    pub(super) master: MasterKeySource,
}

impl Site {
    /// The file of the master key; a failure if it is elsewhere.
    pub(super) fn master_key_file(&self) -> Result<PathBuf, Failure> {
        match &self.master {
            MasterKeySource::File(file) => Ok(file.clone()),
            other => {
                Err(Failure::usage(format!("the master key is in {other}: name a file with --to or --master-key-file")))
            }
        }
    }

    pub(super) fn store_path(&self) -> PathBuf {
        self.data_dir.join(STORE_FILE)
    }

    pub(super) fn load_master(&self) -> Result<MasterKey, Failure> {
        MasterKey::load(&self.master).map_err(|error| master_failure(&error))
    }

    /// The tables of keys, whether a node runs or not.
    pub(super) fn open_store(&self) -> Result<SqliteKeys, Failure> {
        let path = self.store_path();
        if !path.exists() {
            let text = format!(
                "there is no store in {}: start the node once, or name its folder with --data-dir",
                self.data_dir.display()
            );
            return Err(Failure::new(Kind::NotFound, text));
        }
        SqliteKeys::open(&path).map_err(|error| Failure::failed(chain(&error)))
    }

    pub(super) fn open(&self) -> Result<Place, Failure> {
        let store = self.open_store()?;
        let ring = KeyRing::new(self.load_master()?, KeyRingOptions::default());
        Ok(Place { store, ring })
    }
}

pub(super) fn master_failure(error: &MasterKeyError) -> Failure {
    let hint = match error {
        MasterKeyError::Missing(_) => "; a node makes it at its first start, or: rokko keys init",
        _ => "",
    };
    Failure::failed(format!("{}{hint}", chain(error)))
}

/// A store of keys and what opens them.
pub(super) struct Place {
    pub(super) store: SqliteKeys,
    pub(super) ring: KeyRing,
}

#[derive(Serialize)]
struct Made {
    master_key: String,
    file: String,
}

/// Makes the master key, unless there is one, or keys that need another one.
pub(super) fn init(place: &Site, output: &mut Output) -> Result<ExitCode, Failure> {
    let file = place.master_key_file()?;
    if place.store_path().exists()
        && let Some(key) = place.open_store()?.signing_keys(None, 1).map_err(|error| store_failure(&error))?.pop()
        && let Ok(needed) = master_key_id_of(&key.wrapped)
    {
        return Err(Failure::failed(format!(
            "the store has signing keys that need the master key {needed}: bring that one back, by `rokko keys combine` if there are shares"
        )));
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&place.data_dir)
        .map_err(|error| Failure::io(format_args!("make the folder {}", place.data_dir.display()), &error))?;
    let made = MasterKey::create(&file).map_err(|error| master_failure(&error))?;
    let made = Made { master_key: made.id().to_string(), file: file.display().to_string() };
    output.value(&made, |made| {
        format!(
            "Made the master key {} in {}.\nWithout it no signing key can be read: keep a copy elsewhere, such as shares (rokko keys split).",
            made.master_key, made.file
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn store_failure(error: &rokko_store::StoreError) -> Failure {
    Failure::failed(chain(error))
}

/// The public part of a key from the store.
pub(super) fn public_of(key: &SigningKey) -> Result<PublicKey, Failure> {
    PublicKey::of_rdata(&key.public)
        .ok_or_else(|| Failure::failed(format!("the store is damaged: the public part of the key {} is none", key.id)))
}

/// A key from the store as a keyring wants it.
pub(super) fn stored<'a>(key: &'a SigningKey, public: &'a PublicKey) -> StoredKey<'a> {
    StoredKey { id: KeyId(key.id.0), zone: &key.zone, public, wrapped: &key.wrapped }
}

/// Calls `each` with every key of a zone, or of all zones.
pub(super) fn each_key(
    store: &dyn KeyStore,
    zone: Option<&str>,
    mut each: impl FnMut(SigningKey) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if let Some(zone) = zone {
        let keys = store.signing_keys_of(&zone_name(zone)?).map_err(|error| store_failure(&error))?;
        return keys.into_iter().try_for_each(each);
    }
    let mut after = None;
    loop {
        let part = store.signing_keys(after.as_ref(), PART).map_err(|error| store_failure(&error))?;
        let Some(last) = part.last() else { return Ok(()) };
        after = Some(last.id);
        part.into_iter().try_for_each(&mut each)?;
    }
}

/// An entry of the record of movements, of now, about a key or about the master key.
pub(super) fn audit(action: KeyAction, key: Option<&SigningKey>, recipient: &str) -> KeyAudit {
    KeyAudit {
        at: now(),
        actor: actor(),
        action,
        zone: key.map(|key| key.zone.clone()),
        key: key.map(|key| key.id),
        recipient: recipient.to_owned(),
    }
}

/// Who is at the command line, as far as the environment says.
fn actor() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    user.filter(|user| !user.is_empty()).map_or_else(|| "local".to_owned(), |user| format!("local ({user})"))
}

pub(super) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
