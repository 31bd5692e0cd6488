//! Importing into a stopped node's store.

use std::path::Path;
use std::sync::Arc;

use rokko_control::{Committed, Control, ControlError, Identity};
use rokko_mirror::Durability;
use rokko_model::{Expect, Request, Signing, ZoneMeta};
use rokko_zone::Revision;
use rokko_zone::file::Severity;

use super::{Done, Order, Outcome, Prepared};
use crate::config;
use crate::failure::{Failure, Kind};
use crate::up::{chain, keep, node};

/// The control plane over a store that no node has open.
pub(super) struct LocalTarget {
    control: Control,
    who: Identity,
}

impl LocalTarget {
    pub(super) fn open(data_dir: &Path) -> Result<Self, Failure> {
        let mut config = config::load(None)?;
        // Whoever may write the data folder may import any number at once.
        config.limits.requests_max = usize::MAX;
        let store = node::open_store(data_dir)?;
        let (mirror, _) = keep::open(data_dir, Durability::Lazy)?;
        let control = node::open_control(store, Arc::clone(&mirror), &config, data_dir)?;
        Ok(Self { control, who: Identity::local() })
    }

    /// Imports a batch at once; if it is refused, zone by zone, unless it is to be all or nothing.
    pub(super) fn submit(&self, batch: Vec<Prepared>, order: &Order<'_>) -> Vec<Outcome> {
        let try_again = batch.len() > 1 && !order.atomic;
        let stubs: Vec<Prepared> = batch.iter().map(Prepared::stub).collect();
        let kept = if try_again { batch.clone() } else { Vec::new() };
        match self.commit(batch, order) {
            Ok(done) => stubs.iter().zip(done).map(|(stub, done)| stub.outcome(Ok(done))).collect(),
            Err(error) if try_again && concerns_one_zone(&error) => {
                kept.into_iter().flat_map(|prepared| self.submit(vec![prepared], order)).collect()
            }
            Err(error) => stubs.iter().map(|stub| stub.outcome(Err(failure(&error)))).collect(),
        }
    }

    fn commit(&self, batch: Vec<Prepared>, order: &Order<'_>) -> Result<Vec<Done>, ControlError> {
        let (mut requests, mut last_of_zone) = (Vec::new(), Vec::new());
        for prepared in batch {
            self.add_requests(prepared, order, &mut requests)?;
            last_of_zone.push(requests.len() - 1);
        }
        let committed = self.control.submit_wait(&self.who, order.reason, requests)?;
        let mut done = Vec::with_capacity(last_of_zone.len());
        let mut start = 0;
        for last in last_of_zone {
            let of_zone: &[Committed] = committed.get(start..=last).unwrap_or_default();
            let changed = of_zone.iter().any(|committed| committed.changed);
            let (version, serial) = of_zone.last().map_or((0, None), |last| (last.revision.0, last.serial));
            done.push(Done { version, serial: serial.map(|serial| serial.0), changed });
            start = last + 1;
        }
        Ok(done)
    }

    fn add_requests(&self, prepared: Prepared, order: &Order<'_>, out: &mut Vec<Request>) -> Result<(), ControlError> {
        let Prepared { zone, rrsets: contents, .. } = prepared;
        let expect = order.if_version.map_or(Expect::Any, |version| Expect::Version(Revision(version)));
        let Some(account) = order.account else {
            out.push(Request::Import { zone, expect, contents });
            return Ok(());
        };
        let account = account.to_owned();
        match self.control.zone(&self.who, &zone) {
            Ok(view) => {
                let meta = ZoneMeta { account, ..view.record.meta };
                out.push(Request::Import { zone: zone.clone(), expect, contents });
                out.push(Request::SetMeta { zone, expect: Expect::Any, meta });
            }
            Err(ControlError::NotFound { .. }) => {
                let meta = ZoneMeta { account, ..ZoneMeta::default() };
                out.push(Request::Create { zone, meta, contents, signing: Signing::Off });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn close(self) {
        self.control.stop();
    }
}

impl Prepared {
    fn stub(&self) -> Self {
        Self { file: self.file.clone(), zone: self.zone.clone(), rrsets: Vec::new(), records: self.records }
    }
}

/// Whether the others of the batch may do without the one that was refused.
fn concerns_one_zone(error: &ControlError) -> bool {
    !matches!(error, ControlError::Store(_) | ControlError::Stopping | ControlError::System { .. })
}

fn failure(error: &ControlError) -> Failure {
    let mut text = chain(error);
    if let ControlError::Invalid { findings, .. } = error {
        for finding in findings.iter().filter(|finding| finding.severity == Severity::Error).skip(1) {
            text = format!("{text}\n  {}: {}", finding.owner, finding.message);
        }
    }
    let kind = if matches!(error, ControlError::Stale { .. }) { Kind::Stale } else { Kind::Failed };
    Failure::new(kind, text)
}
