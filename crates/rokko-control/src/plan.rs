//! From a request to a commit: authorise, resolve, number, check.

use std::cell::RefCell;
use std::collections::HashMap;

use rokko_dnssec::Conformed;
use rokko_model::{ChangeKind, Dnssec, Expect, Permission, Request, UnixMillis, ZoneMeta};
use rokko_store::{Commit, NewState, SigningKey, StoreError, VersionBefore};
use rokko_wire::{Name, Rtype};
use rokko_zone::check::{Finding, check_touched, check_zone};
use rokko_zone::file::Severity;
use rokko_zone::{Delta, Digest, Edit, EditError, Revision, Zone, ZonePageChanges};

use crate::contents::{complete, move_serial, only_an_older_serial};
use crate::dnssec::{is_made, keep_own};
use crate::{Committed, ControlError, Identity, Shared, rollback};

/// The most octets of the records that one change set touches, before and afterwards together.
const CHANGE_OCTETS_MAX: usize = 900_000_000;
/// How many warnings are passed on with one change.
const WARNINGS_MAX: usize = 100;

/// Works out the commits of one append.
pub(crate) struct Planner<'a> {
    pub(crate) shared: &'a Shared,
    /// The time of the change set that is being planned; all its changes have it.
    pub(crate) at: UnixMillis,
    head: Revision,
    commits: Vec<Commit>,
    /// What zones are after the commits so far; `None`: deleted.
    zones: HashMap<Name, Option<Zone>>,
    metas: HashMap<Name, ZoneMeta>,
    /// The metadata that was read last, as the store has it.
    meta_read: RefCell<Option<(Name, ZoneMeta)>>,
    /// The digest of all zones after the commits so far.
    digest: Digest,
    /// About how many octets the changes of the commits have.
    octets: usize,
    /// How many they may have with the job that is being planned.
    octets_max: usize,
    /// Private keys that have to be stored before the commits.
    pub(crate) keys: Vec<SigningKey>,
}

/// The commits of one append, and what they come to.
pub(crate) struct Planned {
    /// The revision that they follow.
    pub(crate) after: Revision,
    pub(crate) commits: Vec<Commit>,
    /// What the zones in them are afterwards; `None`: deleted.
    pub(crate) zones: HashMap<Name, Option<Zone>>,
    pub(crate) digest: Digest,
    /// Private keys that have to be stored before the commits.
    pub(crate) keys: Vec<SigningKey>,
}

/// A zone's way from one version to the next.
pub(crate) struct Step {
    pub(crate) kind: ChangeKind,
    /// The version before; `None`: the zone did not exist.
    pub(crate) before: Option<Zone>,
    pub(crate) delta: Delta,
    /// The metadata, if it changes.
    pub(crate) meta: Option<ZoneMeta>,
    /// Whether the whole zone has to be checked, and not what is touched alone.
    pub(crate) whole: bool,
    /// What a walk of the signer brings.
    pub(crate) walk: Option<Box<Conformed>>,
}

impl Step {
    pub(crate) fn new(kind: ChangeKind, before: Option<Zone>, delta: Delta) -> Self {
        Self { kind, before, delta, meta: None, whole: false, walk: None }
    }
}

impl<'a> Planner<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Result<Self, StoreError> {
        let (head, digest) = (shared.store.head()?, shared.mirror.digest());
        let (zones, metas) = (HashMap::new(), HashMap::new());
        Ok(Self {
            shared,
            at: shared.now(),
            head,
            commits: Vec::new(),
            zones,
            metas,
            digest,
            octets: 0,
            octets_max: 0,
            keys: Vec::new(),
            meta_read: RefCell::default(),
        })
    }

    /// About how many octets the changes planned so far have.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// What was planned.
    pub(crate) fn finish(self) -> Planned {
        Planned { after: self.head, commits: self.commits, zones: self.zones, digest: self.digest, keys: self.keys }
    }

    /// Plans all requests of a change set, or none.
    pub(crate) fn job(
        &mut self,
        who: &Identity,
        reason: &str,
        requests: Vec<Request>,
    ) -> Result<Vec<Committed>, ControlError> {
        let limit = self.shared.options.limits.requests_max;
        if requests.len() > limit {
            return Err(ControlError::TooLarge {
                what: "the number of changes at once".to_owned(),
                limit: limit as u64,
            });
        }
        self.at = self.shared.now();
        let (commits_before, digest_before, octets_before) = (self.commits.len(), self.digest.clone(), self.octets);
        self.octets_max = self.octets + CHANGE_OCTETS_MAX;
        let touched: Vec<Name> = requests.iter().map(|request| request.zone().clone()).collect();
        let saved: Vec<_> =
            touched.iter().map(|name| (self.zones.get(name).cloned(), self.metas.get(name).cloned())).collect();
        let outcome: Result<Vec<Committed>, ControlError> =
            requests.into_iter().map(|request| self.request(who, reason, request)).collect();
        if outcome.is_err() {
            self.commits.truncate(commits_before);
            (self.digest, self.octets) = (digest_before, octets_before);
            for (name, (zone, meta)) in touched.into_iter().zip(saved) {
                restore(&mut self.zones, &name, zone);
                restore(&mut self.metas, &name, meta);
            }
        }
        outcome
    }

    fn request(&mut self, who: &Identity, reason: &str, request: Request) -> Result<Committed, ControlError> {
        authorise(who, &request)?;
        let name = request.zone().clone();
        let current = self.current(&name);
        if let Expect::Version(version) = request.expect()
            && current.as_ref().map(Zone::revision) != Some(version)
        {
            return Err(ControlError::Stale { zone: name, current: current.as_ref().map(Zone::revision) });
        }
        let step = self.step(request, current)?;
        self.commit(who, reason, name, step)
    }

    fn step(&mut self, request: Request, current: Option<Zone>) -> Result<Step, ControlError> {
        match request {
            Request::Create { zone, mut meta, mut contents, signing } => {
                if current.is_some() {
                    return Err(ControlError::Exists { zone });
                }
                complete(&zone, &mut contents, &self.shared.options.defaults, self.at);
                meta.dnssec = self.begin_signing(&zone, &mut contents, signing)?;
                let delta = Delta::creating(&zone, contents).map_err(edit_error(&zone))?;
                Ok(Step { meta: Some(meta), whole: true, ..Step::new(ChangeKind::Create, None, delta) })
            }
            Request::Import { zone, contents, .. } => self.import(&zone, current, contents),
            Request::Edit { zone, edits, annotations, .. } => {
                let before = current.ok_or_else(|| ControlError::NotFound { zone: zone.clone() })?;
                let meta = self.annotated(&zone, annotations)?;
                self.edit(before, &edits, meta)
            }
            Request::SetMeta { zone, mut meta, .. } => {
                let before = current.ok_or_else(|| ControlError::NotFound { zone: zone.clone() })?;
                let now = self.meta(&zone)?;
                meta.dnssec.clone_from(&now.dnssec);
                let changed = now != meta;
                let meta = changed.then_some(meta);
                Ok(Step { meta, ..Step::new(ChangeKind::Meta, Some(before), Delta::default()) })
            }
            Request::Rollback { zone, to, .. } => rollback::step(self, &zone, to, current),
            Request::Delete { zone, .. } => {
                let before = current.ok_or_else(|| ControlError::NotFound { zone: zone.clone() })?;
                let delta = before.resolve_whole([]).map_err(edit_error(&zone))?;
                Ok(Step::new(ChangeKind::Delete, Some(before), delta))
            }
            Request::Sign { zone, step, .. } => {
                let before = current.ok_or_else(|| ControlError::NotFound { zone: zone.clone() })?;
                self.sign_step(before, step)
            }
        }
    }

    fn import(
        &mut self,
        zone: &Name,
        current: Option<Zone>,
        contents: Vec<rokko_zone::Rrset>,
    ) -> Result<Step, ControlError> {
        let Some(before) = current else {
            let delta = Delta::creating(zone, contents).map_err(edit_error(zone))?;
            let meta = Some(ZoneMeta::default());
            return Ok(Step { meta, whole: true, ..Step::new(ChangeKind::Import, None, delta) });
        };
        let mut delta = before.resolve_whole(contents).map_err(edit_error(zone))?;
        let meta = self.meta(zone)?;
        if meta.dnssec.is_some() {
            keep_own(zone, &mut delta);
        }
        if only_an_older_serial(&before, &delta) {
            delta = Delta::default();
        }
        if !delta.is_empty() {
            move_serial(&before, &mut delta, meta.soa_edit, self.at);
        }
        Ok(Step { whole: true, ..Step::new(ChangeKind::Import, Some(before), delta) })
    }

    fn edit(&mut self, before: Zone, edits: &[Edit], meta: Option<ZoneMeta>) -> Result<Step, ControlError> {
        let apex = before.apex();
        let mut delta = before.resolve(edits).map_err(edit_error(&apex))?;
        if !delta.is_empty() {
            let now = match &meta {
                Some(meta) => meta,
                None => &self.meta(&apex)?,
            };
            if now.dnssec.is_some()
                && let Some(made) = delta.changes.iter().find(|change| is_made(&apex, &change.owner, change.rtype))
            {
                let (owner, rtype) = (made.owner.clone(), made.rtype);
                return Err(ControlError::MadeBySigning { zone: apex, owner, rtype });
            }
            move_serial(&before, &mut delta, now.soa_edit, self.at);
        }
        Ok(Step { meta, ..Step::new(ChangeKind::Edit, Some(before), delta) })
    }

    /// Checks a step's outcome and adds its commit.
    fn commit(&mut self, who: &Identity, reason: &str, name: Name, step: Step) -> Result<Committed, ControlError> {
        let Step { kind, before, mut delta, mut meta, whole, walk } = step;
        let walks = walk.as_ref().is_some_and(|walk| !walk.delta.is_empty());
        if let Some(before) = before.as_ref().filter(|_| delta.is_empty() && meta.is_none() && !walks) {
            let (revision, serial) = (before.revision(), Some(before.serial()));
            return Ok(Committed { zone: name, revision, serial, changed: false, warnings: Vec::new() });
        }
        let revision = self.next_revision();
        let deleted = kind == ChangeKind::Delete;
        let own: Vec<Name> = delta.owners().cloned().collect();
        let mut gate = None;
        if !deleted && let Some(mut dnssec) = self.dnssec(&name, meta.as_ref())? {
            let kept = dnssec.clone();
            (delta, gate) = self.sign(&name, before.as_ref(), delta, walk, &mut dnssec, revision)?;
            if dnssec != kept {
                let changed = meta.take().map_or_else(|| self.meta(&name), Ok)?;
                meta = Some(ZoneMeta { dnssec: Some(dnssec), ..changed });
            }
        }
        self.octets += delta.octets();
        if self.octets > self.octets_max {
            let what = format!("the octets of the records that change in {name}");
            return Err(ControlError::TooLarge { what, limit: CHANGE_OCTETS_MAX as u64 });
        }
        let version = before.as_ref().map_or(VersionBefore::Absent, |zone| VersionBefore::At(zone.revision()));
        let (zone, pages) =
            before.clone().unwrap_or_else(|| Zone::empty(&name)).apply(&delta, revision).map_err(edit_error(&name))?;
        let warnings = if deleted { Vec::new() } else { self.check(&zone, &own, whole)? };
        if let Some(gate) = gate {
            gate.pass(&zone, &delta)?;
        }
        let after = if deleted { NewState::Absent } else { present(&zone, meta.clone(), pages) };
        let serial = (!deleted).then(|| zone.serial());
        self.digest.replace(before.as_ref(), (!deleted).then_some(&zone), &delta);
        self.commits.push(Commit {
            zone: name.clone(),
            before: version,
            at: self.at,
            actor: who.actor.clone(),
            reason: reason.to_owned(),
            kind,
            delta,
            after,
            digest: self.digest.short(),
        });
        if let Some(meta) = meta {
            self.metas.insert(name.clone(), meta);
        }
        self.zones.insert(name.clone(), (!deleted).then_some(zone));
        Ok(Committed { zone: name, revision, serial, changed: true, warnings })
    }

    /// The findings about a zone that do not keep it out. Records that a later change may add are only missed.
    fn check(&self, zone: &Zone, touched: &[Name], whole: bool) -> Result<Vec<Finding>, ControlError> {
        let limit = self.shared.options.limits.zone_records_max;
        let apex = &zone.apex();
        if zone.records() > limit {
            return Err(ControlError::TooLarge { what: format!("the number of records of {apex}"), limit });
        }
        let mut findings = if whole { check_zone(apex, zone) } else { check_touched(apex, zone, touched) };
        for finding in &mut findings {
            if finding.is_incomplete() && !matches!(finding.code, "no-soa" | "no-ns") {
                finding.severity = Severity::Warning;
            }
        }
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(ControlError::Invalid { zone: apex.clone(), findings });
        }
        findings.truncate(WARNINGS_MAX);
        Ok(findings)
    }

    /// The revision that the next commit gets.
    pub(crate) fn next_revision(&self) -> Revision {
        Revision(self.head.0 + self.commits.len() as u64 + 1)
    }

    fn current(&self, name: &Name) -> Option<Zone> {
        match self.zones.get(name) {
            Some(zone) => zone.clone(),
            None => self.shared.current(name),
        }
    }

    pub(crate) fn meta(&self, name: &Name) -> Result<ZoneMeta, ControlError> {
        if let Some(meta) = self.metas.get(name) {
            return Ok(meta.clone());
        }
        // Nobody but this thread changes it, and one request asks several times.
        if let Some((_, meta)) = self.meta_read.borrow().as_ref().filter(|(zone, _)| zone == name) {
            return Ok(meta.clone());
        }
        let meta = self.shared.store.zone(name)?.map(|record| record.meta).unwrap_or_default();
        self.meta_read.replace(Some((name.clone(), meta.clone())));
        Ok(meta)
    }

    /// How the zone is signed, if it is.
    fn dnssec(&self, name: &Name, meta: Option<&ZoneMeta>) -> Result<Option<Box<Dnssec>>, ControlError> {
        match meta {
            Some(meta) => Ok(meta.dnssec.clone()),
            None => Ok(self.meta(name)?.dnssec),
        }
    }

    /// The zone's metadata with annotations changed, if that changes anything.
    fn annotated(
        &self,
        zone: &Name,
        annotations: Vec<(String, rokko_model::Annotation)>,
    ) -> Result<Option<ZoneMeta>, ControlError> {
        if annotations.is_empty() {
            return Ok(None);
        }
        let before = self.meta(zone)?;
        let mut meta = before.clone();
        for (key, annotation) in annotations {
            if annotation.is_empty() {
                meta.annotations.remove(&key);
            } else {
                meta.annotations.insert(key, annotation);
            }
        }
        Ok((meta != before).then_some(meta))
    }
}

fn authorise(who: &Identity, request: &Request) -> Result<(), ControlError> {
    let zone = request.zone();
    match request {
        Request::Edit { edits, annotations, .. } => {
            let annotated = annotations.iter().filter_map(|(key, _)| key.rsplit(' ').next()?.parse().ok());
            let types: Vec<Rtype> = edits.iter().map(|edit| edit.target().1).chain(annotated).collect();
            who.scope.allows(Permission::Edit(zone, &types))?;
        }
        _ => who.scope.allows(Permission::Manage(zone))?,
    }
    Ok(())
}

fn present(zone: &Zone, meta: Option<ZoneMeta>, pages: ZonePageChanges) -> NewState {
    NewState::Present { serial: zone.serial(), records: zone.records(), meta, pages }
}

fn restore<T>(map: &mut HashMap<Name, T>, name: &Name, value: Option<T>) {
    match value {
        Some(value) => drop(map.insert(name.clone(), value)),
        None => drop(map.remove(name)),
    }
}

pub(crate) fn edit_error(zone: &Name) -> impl Fn(EditError) -> ControlError {
    move |source| ControlError::Edit { zone: zone.clone(), source }
}
