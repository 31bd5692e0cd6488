//! Changing RRsets: one PATCH is one change, carried out wholly or not at all, its RRsets in their order.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use rokko_control::{ControlError, ZoneView};
use rokko_model::{Annotation, Expect, Request};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Edit, Rrset, Ttl, rdata};
use serde::Deserialize;

use super::content;
use super::failure::Failure;
use super::records::{ChangeType, Reader, RrsetChange, RrsetIn, annotation_key};
use super::request::{Body, Caller};
use super::turns::Turns;
use super::zone_id::ZonePath;
use crate::body::from_json;
use crate::state::ApiState;
use crate::task::{blocking, read, submit_one};

/// How often a change that touches annotations is repeated when the zone changes meanwhile.
const TRIES_MAX: usize = 64;

/// The body of a PATCH.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "an object with rrsets")]
pub(super) struct PatchIn {
    rrsets: Option<Vec<RrsetIn>>,
}

pub(super) async fn patch(
    State(state): State<ApiState>,
    Extension(turns): Extension<Turns>,
    Caller(who): Caller,
    ZonePath(zone): ZonePath,
    body: Body<PatchIn>,
) -> Result<StatusCode, Failure> {
    let mut view = zone_view(&state, &who, &zone).await?;
    let given = body.value.rrsets.ok_or_else(|| Failure::unprocessable("No rrsets given in update request"))?;
    let now_s = state.control.now().0 / 1000;
    let name = zone.clone();
    let changes = blocking(move || read_changes(&name, given, now_s)).await?;
    let mut turn = None;
    let mut tries_left = TRIES_MAX;
    loop {
        let plan = Plan::of(&changes, &view)?;
        if turn.is_none() && plan.expect != Expect::Any {
            turn = Some(turns.of(&zone).await);
            view = zone_view(&state, &who, &zone).await?;
            continue;
        }
        let request =
            Request::Edit { zone: zone.clone(), expect: plan.expect, edits: plan.edits, annotations: plan.annotations };
        tries_left -= 1;
        match submit_one(&state.control, &who, "", request).await {
            Ok(_) => return Ok(StatusCode::NO_CONTENT),
            Err(ControlError::Stale { .. }) if tries_left > 0 => view = zone_view(&state, &who, &zone).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn zone_view(state: &ApiState, who: &rokko_control::Identity, zone: &Name) -> Result<ZoneView, Failure> {
    let (who, zone) = (who.clone(), zone.clone());
    Ok(read(&state.control, move |control| control.zone(&who, &zone)).await?)
}

fn read_changes(zone: &Name, given: Vec<RrsetIn>, now_s: u64) -> Result<Vec<RrsetChange>, Failure> {
    let mut reader = Reader::new(zone, now_s);
    let changes: Vec<RrsetChange> = given.into_iter().filter_map(|rrset| reader.change(rrset)).collect();
    let problems = reader.into_problems();
    if problems.is_empty() { Ok(changes) } else { Err(Failure::all(problems)) }
}

/// How many RRsets the body of a PATCH changes; `None` if it is refused for what it says, whatever the zone holds.
///
/// For programs that have a body and no server, such as a fuzzer. `now_s` is the Unix time, which comments without a time get.
pub fn patch_len(zone: &Name, body: &[u8], now_s: u64) -> Option<usize> {
    let given = from_json::<PatchIn>(body).ok()?.rrsets?;
    read_changes(zone, given, now_s).ok().map(|changes| changes.len())
}

/// What a PATCH comes to on one version of the zone.
struct Plan {
    edits: Vec<Edit>,
    annotations: Vec<(String, Annotation)>,
    /// The version, if the annotations depend on it; records never do.
    expect: Expect,
}

impl Plan {
    fn of(changes: &[RrsetChange], view: &ZoneView) -> Result<Self, Failure> {
        let mut planner = Planner { view, edits: Vec::new(), annotations: BTreeMap::new() };
        for change in changes {
            planner.change(change)?;
        }
        planner.finish()
    }
}

struct Planner<'a> {
    view: &'a ZoneView,
    edits: Vec<Edit>,
    /// What annotations are after the changes so far.
    annotations: BTreeMap<String, Annotation>,
}

impl Planner<'_> {
    fn change(&mut self, change: &RrsetChange) -> Result<(), Failure> {
        let RrsetChange { owner, rtype, .. } = change;
        let (owner, rtype) = (owner.clone(), *rtype);
        match change.change {
            ChangeType::Delete => {
                self.edits.push(Edit::Delete { owner, rtype });
                *self.annotation(change) = Annotation::default();
            }
            ChangeType::Replace => self.replace(change),
            ChangeType::Extend => self.extend(change)?,
            ChangeType::Prune => {
                let rdatas = every_record(change);
                let gone = contents_of(rtype, &rdatas);
                self.annotation(change).disabled.retain(|record| !gone.contains(&record_text(rtype, &record.content)));
                self.edits.push(Edit::Prune { owner, rtype, rdatas });
            }
        }
        Ok(())
    }

    fn replace(&mut self, change: &RrsetChange) {
        if let Some(records) = &change.records {
            let (owner, rtype) = (change.owner.clone(), change.rtype);
            let ttl = change.ttl.unwrap_or(Ttl::MAX);
            self.annotation(change).disabled = change.disabled_records(ttl);
            self.edits.push(if records.enabled.is_empty() {
                Edit::Delete { owner, rtype }
            } else {
                Edit::Replace(Rrset { owner, rtype, ttl, rdatas: records.enabled.clone() })
            });
        }
        if let Some(comments) = &change.comments {
            self.annotation(change).comments.clone_from(comments);
        } else if change.records.as_ref().is_some_and(|r| r.enabled.is_empty() && r.disabled.is_empty()) {
            self.annotation(change).comments.clear();
        }
    }

    fn extend(&mut self, change: &RrsetChange) -> Result<(), Failure> {
        let (owner, rtype) = (change.owner.clone(), change.rtype);
        let Some(records) = &change.records else { return Ok(()) };
        let current_ttl = || self.view.zone.rrset(&owner, rtype).map(rokko_zone::RrsetRef::ttl);
        let ttl = change.ttl.or_else(current_ttl).ok_or_else(|| {
            Failure::unprocessable(format!("RRset {owner} IN {rtype}: Key 'ttl' not an Integer or not present"))
        })?;
        let given = contents_of(rtype, &every_record(change));
        let off = change.disabled_records(ttl);
        let annotation = self.annotation(change);
        annotation.disabled.retain(|record| !given.contains(&record_text(rtype, &record.content)));
        annotation.disabled.extend(off);
        if let Some(comments) = &change.comments {
            annotation.comments.clone_from(comments);
        }
        if !records.disabled.is_empty() {
            self.edits.push(Edit::Prune { owner: owner.clone(), rtype, rdatas: records.disabled.clone() });
        }
        if !records.enabled.is_empty() {
            self.edits.push(Edit::Extend(Rrset { owner, rtype, ttl, rdatas: records.enabled.clone() }));
        }
        Ok(())
    }

    fn annotation(&mut self, change: &RrsetChange) -> &mut Annotation {
        let key = change.key();
        let kept = &self.view.record.meta.annotations;
        self.annotations.entry(key).or_insert_with_key(|key| kept.get(key).cloned().unwrap_or_default())
    }

    fn finish(self) -> Result<Plan, Failure> {
        let Self { view, edits, mut annotations } = self;
        let kept = &view.record.meta.annotations;
        // A PRUNE may have left comments without any record.
        if annotations.values().any(|annotation| !annotation.comments.is_empty())
            && edits.iter().any(|edit| matches!(edit, Edit::Prune { .. }))
        {
            let delta = view
                .zone
                .resolve(&edits)
                .map_err(|source| Failure::from(ControlError::Edit { zone: view.record.name.clone(), source }))?;
            for change in delta.changes.iter().filter(|change| change.after.is_none()) {
                let annotation = annotations.get_mut(&annotation_key(&change.owner, change.rtype));
                if let Some(annotation) = annotation.filter(|annotation| annotation.disabled.is_empty()) {
                    annotation.comments.clear();
                }
            }
        }
        let depends = annotations.iter().any(|(key, after)| !after.is_empty() || kept.contains_key(key));
        let expect = if depends { Expect::Version(view.record.revision) } else { Expect::Any };
        let changed = annotations.into_iter().filter(|(key, after)| match kept.get(key) {
            Some(before) => before != after,
            None => !after.is_empty(),
        });
        Ok(Plan { edits, annotations: changed.collect(), expect })
    }
}

fn every_record(change: &RrsetChange) -> Vec<Box<[u8]>> {
    change.records.iter().flat_map(|records| records.enabled.iter().chain(&records.disabled)).cloned().collect()
}

fn contents_of(rtype: Rtype, rdatas: &[Box<[u8]>]) -> Vec<Box<[u8]>> {
    rdatas.iter().map(|data| rdata::canonical(rtype, data).into()).collect()
}

/// The canonical data of a record that is switched off; what can't be read any more equals nothing.
fn record_text(rtype: Rtype, text: &str) -> Box<[u8]> {
    content::from_text(rtype, text).map(|data| rdata::canonical(rtype, &data).into()).unwrap_or_default()
}
