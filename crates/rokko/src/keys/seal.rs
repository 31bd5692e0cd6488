//! `rokko keys seal` and `open`: keys on their way to another site.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rokko_keys::{BindKey, BindTimes, Identity, MovedKey, Recipient, SealError, Sealer, open_seal};
use rokko_model::UnixMillis;
use rokko_store::{KeyAction, KeyChange, KeyStore, SigningKey, SigningKeyId};
use serde::Serialize;
use zeroize::Zeroizing;

use super::place::{Place, PlaceArgs, Site, audit, each_key, public_of, store_failure, stored};
use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::up::chain;

/// How many keys are stored at once.
const PART: usize = 1000;

#[derive(Debug, Args)]
pub(crate) struct SealArgs {
    /// The file that is made.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Who opens it: a recipient of age (`age1…`); repeatable, and each opens it alone.
    #[arg(long, value_name = "RECIPIENT", required = true)]
    to: Vec<String>,
    /// Only keys of this zone; repeatable. Without it: all keys.
    #[arg(long = "zone", value_name = "ZONE")]
    zones: Vec<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Serialize)]
struct Report {
    keys: u64,
    /// Those that a token keeps, or that were there already.
    left_out: u64,
    file: String,
}

pub(super) fn seal(args: &SealArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let recipients = args.to.iter().map(|text| text.parse()).collect::<Result<Vec<Recipient>, _>>();
    let recipients = recipients.map_err(|error| Failure::usage(error.to_string()))?;
    let place = args.place.find()?.open()?;
    let mut writing = OpenOptions::new();
    let out = writing.write(true).create_new(true).mode(0o600).open(&args.file);
    let out = out.map_err(|error| Failure::io(format_args!("make {}", args.file.display()), &error))?;
    match seal_into(args, &place, &recipients, out) {
        Ok(report) => {
            output.value(&report, |report| {
                format!("Sealed {} into {}.", output::count(report.keys, "key"), report.file)
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            // Half a seal opens nowhere; what failed is told in any case.
            let _ = std::fs::remove_file(&args.file);
            Err(failure)
        }
    }
}

fn seal_into(args: &SealArgs, place: &Place, recipients: &[Recipient], out: File) -> Result<Report, Failure> {
    let seal_failure = |error: SealError| Failure::failed(chain(&error));
    let to: Vec<String> = recipients.iter().map(ToString::to_string).collect();
    let mut sealer = Sealer::new(recipients, BufWriter::new(out)).map_err(seal_failure)?;
    let (mut keys, mut left_out, mut change) = (0, 0, KeyChange::default());
    let zones: Vec<Option<&str>> =
        if args.zones.is_empty() { vec![None] } else { args.zones.iter().map(|zone| Some(zone.as_str())).collect() };
    for zone in zones {
        each_key(&place.store, zone, |key| {
            let moved = reveal(place, &key)?;
            if moved.key.private.is_in_token() {
                left_out += 1;
                output::note(format_args!("The key {} stays out: a token keeps it.", key.id));
                return Ok(());
            }
            sealer.put(&moved).map_err(seal_failure)?;
            keys += 1;
            change.audit.push(audit(KeyAction::Seal, Some(&key), &to.join(" ")));
            if change.audit.len() >= PART { remember(place, &mut change) } else { Ok(()) }
        })?;
    }
    if keys == 0 {
        return Err(Failure::new(Kind::NotFound, "there are no keys to be sealed"));
    }
    // Remembered before the seal opens anywhere.
    remember(place, &mut change)?;
    let mut out = sealer.finish().map_err(seal_failure)?;
    let finished = out.flush().and_then(|()| out.get_ref().sync_all());
    finished.map_err(|error| Failure::io(format_args!("write {}", args.file.display()), &error))?;
    Ok(Report { keys, left_out, file: args.file.display().to_string() })
}

fn reveal(place: &Place, key: &SigningKey) -> Result<MovedKey, Failure> {
    let public = public_of(key)?;
    let private = place.ring.reveal(&stored(key, &public)).map_err(|error| Failure::failed(chain(&error)))?;
    let times = BindTimes { created: Some(key.made_at.0 / 1000), ..BindTimes::default() };
    let id = rokko_keys::KeyId(key.id.0);
    Ok(MovedKey { id, made_at_ms: key.made_at.0, key: BindKey { zone: key.zone.clone(), public, private, times } })
}

fn remember(place: &Place, change: &mut KeyChange) -> Result<(), Failure> {
    let change = std::mem::take(change);
    place.store.change_signing_keys(&change).map_err(|error| store_failure(&error))
}

pub(super) fn open(place: &Site, file: &Path, identity: &Path, output: &mut Output) -> Result<ExitCode, Failure> {
    let place = place.open()?;
    let reading = |path: &Path, error: &std::io::Error| Failure::io(format_args!("read {}", path.display()), error);
    let text = std::fs::read_to_string(identity).map(Zeroizing::new).map_err(|error| reading(identity, &error))?;
    let identities =
        Identity::parse_file(&text).map_err(|error| Failure::usage(format!("{}: {error}", identity.display())))?;
    let input = File::open(file).map_err(|error| reading(file, &error))?;
    let (mut keys, mut left_out, mut change) = (0, 0, KeyChange::default());
    let from = file.display().to_string();
    open_seal(&identities, BufReader::new(input), |moved| -> Result<(), Stop> {
        let id = SigningKeyId(moved.id.0);
        if place.store.signing_key(&id).map_err(|error| store_failure(&error))?.is_some() {
            left_out += 1;
            return Ok(());
        }
        let MovedKey { id, made_at_ms, key } = moved;
        let taken = place.ring.add_as(id, &key.zone, key.public, &key.private);
        let taken =
            taken.map_err(|error| Failure::failed(format!("the key {id} of {}: {}", key.zone, chain(&error))))?;
        let key = SigningKey {
            id: SigningKeyId(id.0),
            zone: key.zone,
            made_at: UnixMillis(made_at_ms),
            public: taken.public.to_rdata().into(),
            wrapped: taken.wrapped,
        };
        keys += 1;
        change.audit.push(audit(KeyAction::Open, Some(&key), &from));
        change.put.push(key);
        if change.put.len() >= PART { Ok(remember(&place, &mut change)?) } else { Ok(()) }
    })
    .map_err(|stop| stop.0)?;
    remember(&place, &mut change)?;
    let report = Report { keys, left_out, file: from };
    output.value(&report, |report| {
        let there = match report.left_out {
            0 => String::new(),
            1 => " Another one was there already.".to_owned(),
            there => format!(" {there} others were there already."),
        };
        format!("Took {} from {}.{there}", output::count(report.keys, "key"), report.file)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Why opening stopped: the seal, or what was done with a key.
struct Stop(Failure);

impl From<SealError> for Stop {
    fn from(error: SealError) -> Self {
        Self(Failure::failed(chain(&error)))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}
