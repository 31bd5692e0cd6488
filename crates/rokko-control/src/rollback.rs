//! Going back: the state of a zone at an earlier revision as a new change.

use std::collections::BTreeSet;

use rokko_model::{ChangeKind, ZoneMeta};
use rokko_store::LogEntry;
use rokko_wire::{Name, Rtype};
use rokko_zone::{Contents, Delta, Revision, RrsetDelta, Zone};

use crate::ControlError;
use crate::contents::move_serial;
use crate::dnssec::is_made;
use crate::plan::{Planner, Step, edit_error};

/// How many revisions are read at once.
const CHUNK: usize = 256;

/// The step that makes a zone what it was right after revision `to`.
pub(crate) fn step(
    planner: &Planner<'_>,
    name: &Name,
    to: Revision,
    current: Option<Zone>,
) -> Result<Step, ControlError> {
    let (later, mut meta) = history_after(planner, name, to)?;
    let now = current.clone().unwrap_or_else(|| Zone::empty(name));
    let mut target = now.clone();
    let mut touched = BTreeSet::new();
    for entry in later {
        let (_, delta) = planner
            .shared
            .store
            .entry(entry.revision)?
            .ok_or(ControlError::NoSuchRevision { revision: entry.revision })?;
        touched.extend(delta.changes.iter().map(|change| (change.owner.clone(), change.rtype)));
        target = target.apply(&delta.inverse(), to).map_err(edit_error(name))?.0;
    }
    let dnssec = if current.is_some() { planner.meta(name)?.dnssec } else { meta.dnssec.take() };
    if dnssec.is_some() {
        touched.retain(|(owner, rtype)| !is_made(name, owner, *rtype));
    }
    meta.dnssec = dnssec;
    let mut delta = difference(&now, &target, touched);
    if current.is_some() && !delta.is_empty() {
        move_serial(&now, &mut delta, meta.soa_edit, planner.at);
    }
    let meta = (current.is_none() || planner.meta(name)? != meta).then_some(meta);
    Ok(Step { meta, whole: true, ..Step::new(ChangeKind::Rollback, current, delta) })
}

/// The zone's revisions after `to`, newest first, and its metadata at `to`.
fn history_after(planner: &Planner<'_>, name: &Name, to: Revision) -> Result<(Vec<LogEntry>, ZoneMeta), ControlError> {
    let nothing = || ControlError::NothingToRestore { zone: name.clone(), revision: to };
    let (mut later, mut before, mut existed) = (Vec::new(), None, false);
    loop {
        let chunk = planner.shared.store.history(name, before, CHUNK)?;
        before = Some(chunk.last().ok_or_else(nothing)?.revision);
        for entry in chunk {
            if entry.revision > to {
                later.push(entry);
                continue;
            }
            if !existed && entry.kind == ChangeKind::Delete {
                return Err(nothing());
            }
            existed = true;
            if let Some(meta) = entry.meta {
                return Ok((later, meta));
            }
        }
    }
}

/// How the RRsets named differ between two versions.
fn difference(from: &Zone, to: &Zone, touched: BTreeSet<(Name, Rtype)>) -> Delta {
    let contents = |zone: &Zone, owner: &Name, rtype| zone.rrset(owner, rtype).map(Contents::of);
    let changes = touched.into_iter().map(|(owner, rtype)| {
        let (before, after) = (contents(from, &owner, rtype), contents(to, &owner, rtype));
        RrsetDelta { owner, rtype, before, after }
    });
    Delta { changes: changes.filter(|change| change.before != change.after).collect() }
}
