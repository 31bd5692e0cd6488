//! From the store to the mirror that this node answers from: at the start, and with each append.

use std::sync::Arc;

use rokko_feed::SetId;
use rokko_feed::frame::FrameWriter;
use rokko_mirror::Mirror;
use rokko_store::{Commit, NewState, Store, StoreError, VersionBefore};
use rokko_zone::{CatalogReader, Digest, Revision};

use crate::ControlError;

/// Where the set's identity is kept.
const SETTING: &str = "set";
/// A mirror that lags by more revisions is filled anew from the store's pages.
const REPLAY_MAX: u64 = 100_000;
/// How many revisions are put into the mirror at once.
const REPLAY_CHUNK: u64 = 1_000;
/// How many zones are taken out of the catalog at once.
const CLEAR_CHUNK: usize = 50_000;

/// The identity of the store's data, made when it is first asked for.
pub(crate) fn set_id(store: &dyn Store) -> Result<SetId, ControlError> {
    if let Some(octets) = store.setting(SETTING)? {
        let octets: [u8; 16] = octets.try_into().map_err(|_| StoreError::Damaged {
            place: "the identity of the data".to_owned(),
            what: "it has not 16 octets".to_owned(),
        })?;
        return Ok(SetId(octets));
    }
    let mut octets = [0; 16];
    getrandom::fill(&mut octets)
        .map_err(|error| ControlError::System { doing: "reading entropy", source: error.into() })?;
    store.put_setting(SETTING, &octets)?;
    Ok(SetId(octets))
}

/// Brings the mirror to what the store has: by the revisions that it lacks, or anew if it is damaged, of another history or
/// too far behind.
pub(crate) fn prepare(store: &dyn Store, mirror: &Mirror, set: SetId) -> Result<(), ControlError> {
    let head = store.head()?;
    match catch_up(store, mirror, set, head) {
        Ok(true) => Ok(()),
        Ok(false) => fill(store, mirror, set),
        Err(ControlError::Mirror(error)) => {
            tracing::warn!("the mirror cannot be brought up to date, so it is filled anew from the store: {error}");
            fill(store, mirror, set)
        }
        Err(other) => Err(other),
    }
}

/// Whether the mirror now has all that the store has.
fn catch_up(store: &dyn Store, mirror: &Mirror, set: SetId, head: Revision) -> Result<bool, ControlError> {
    mirror.claim(set)?;
    let (at, _, expected, digest) = mirror.position();
    let behind = match head.0.checked_sub(at.0) {
        Some(behind) if at > Revision(0) || head == Revision(0) => behind,
        _ => u64::MAX,
    };
    if expected != digest || behind > REPLAY_MAX {
        return Ok(false);
    }
    if at > Revision(0) && digest_of(store, at)? != Some(expected) {
        tracing::warn!(revision = %at, "the mirror has another history than the store, so it is filled anew");
        return Ok(false);
    }
    let mut from = at;
    while from < head {
        let to = Revision(head.0.min(from.0 + REPLAY_CHUNK));
        let applied = match frame_of(store, set, from, to)? {
            Some(frame) => mirror.apply(&[frame])?,
            None => return Ok(false),
        };
        if !applied.matches {
            tracing::warn!(revision = %to, "the mirror's digest is not the store's, so the mirror is filled anew");
            return Ok(false);
        }
        from = to;
    }
    Ok(true)
}

fn digest_of(store: &dyn Store, revision: Revision) -> Result<Option<rokko_zone::ShortDigest>, StoreError> {
    let entry = store.entries(Revision(revision.0 - 1), 1)?.pop();
    Ok(entry.filter(|entry| entry.revision == revision).and_then(|entry| entry.digest))
}

/// The frame of the revisions after `from` up to `to`; `None` where the log has no digest.
fn frame_of(store: &dyn Store, set: SetId, from: Revision, to: Revision) -> Result<Option<Arc<[u8]>>, ControlError> {
    let mut writer = FrameWriter::new(set, from);
    let mut last = None;
    for revision in from.0 + 1..=to.0 {
        let revision = Revision(revision);
        let (entry, delta) = store.entry(revision)?.ok_or(ControlError::NoSuchRevision { revision })?;
        if writer.push(&entry.zone, entry.before, entry.serial.is_some().then_some(&delta)).is_err() {
            return Ok(None);
        }
        last = entry.digest.map(|digest| (entry.at.0, digest));
    }
    Ok(last.map(|(at, digest)| writer.finish(at, digest).into()))
}

/// Fills the mirror from the store's pages.
fn fill(store: &dyn Store, mirror: &Mirror, set: SetId) -> Result<(), ControlError> {
    let catalog = mirror.catalog();
    let reader = CatalogReader::new(Arc::clone(catalog));
    let mut gone = Vec::new();
    for zone in (0..CatalogReader::PARTS).flat_map(|part| reader.zones_in(part)) {
        gone.push((zone.apex(), None));
        if gone.len() == CLEAR_CHUNK {
            catalog.publish(gone.drain(..));
        }
    }
    catalog.publish(gone);
    let (mut digest, mut zones) = (Digest::default(), catalog.start_fill());
    let revision = store.load_all(&mut |zone| {
        digest.add_zone(zone.view());
        zones.push(zone);
    })?;
    catalog.fill(vec![zones]);
    let at = match revision.0.checked_sub(1) {
        Some(before) => store.entries(Revision(before), 1)?.first().map_or(0, |entry| entry.at.0),
        None => 0,
    };
    Ok(mirror.adopt(set, revision, at, digest)?)
}

/// The frame of commits that were appended.
pub(crate) fn frame(
    set: SetId,
    after: Revision,
    commits: &[Commit],
) -> Result<Arc<[u8]>, rokko_feed::frame::FrameFull> {
    let mut writer = FrameWriter::new(set, after);
    let (mut at, mut digest) = (0, Digest::default().short());
    for commit in commits {
        let before = match commit.before {
            VersionBefore::Absent => None,
            VersionBefore::At(revision) => Some(revision),
        };
        let exists = matches!(commit.after, NewState::Present { .. });
        writer.push(&commit.zone, before, exists.then_some(&commit.delta))?;
        (at, digest) = (commit.at.0, commit.digest);
    }
    Ok(writer.finish(at, digest).into())
}
