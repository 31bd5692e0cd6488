//! Importing into a running node.

use rokko_api::v1::dto::{Batch, BatchChange, BatchDone, BatchOp, Change, NewZone, Zone, ZonePatch};
use rokko_zone::file::write_rrsets;
use ureq::http::Method;

use super::{Done, Order, Outcome, Prepared};
use crate::args::ApiArgs;
use crate::change::reason;
use crate::client::{Body, Client, UrlPath};
use crate::failure::{Failure, Kind};

/// The most octets of zone files that go into one batch; a larger zone goes alone.
const BATCH_OCTETS_MAX: usize = 4 << 20;

/// The API of a running node.
pub(super) struct ApiTarget(Client);

impl ApiTarget {
    pub(super) fn open(args: &ApiArgs) -> Result<Self, Failure> {
        Ok(Self(Client::new(args)?))
    }

    /// Imports zones in batches; if one is refused, zone by zone, unless it is to be all or nothing.
    pub(super) fn submit(&self, zones: Vec<Prepared>, order: &Order<'_>) -> Vec<Outcome> {
        let mut texts = Vec::with_capacity(zones.len());
        for prepared in &zones {
            let mut text = String::new();
            // Writing to a string does not fail.
            let _ = write_rrsets(&prepared.zone, &prepared.rrsets, &mut text);
            texts.push(text);
        }
        let mut items: Vec<(Prepared, String)> = zones.into_iter().zip(texts).collect();
        if order.atomic && items.len() > 1 {
            return self.batch(&items, order);
        }
        let mut outcomes = Vec::new();
        while !items.is_empty() {
            let mut octets = 0;
            let fits = |(_, text): &&(Prepared, String)| {
                octets += text.len();
                octets <= BATCH_OCTETS_MAX
            };
            let count = items.iter().take_while(fits).count().max(1);
            let rest = items.split_off(count);
            outcomes.extend(self.batch(&items, order));
            items = rest;
        }
        outcomes
    }

    fn batch(&self, items: &[(Prepared, String)], order: &Order<'_>) -> Vec<Outcome> {
        // Only a zone that is new can get its account in a batch.
        let alone = items.len() == 1 || order.account.is_some() && !order.atomic;
        if alone {
            return items.iter().map(|(prepared, text)| prepared.outcome(self.one(prepared, text, order))).collect();
        }
        let changes = items.iter().map(|(prepared, text)| BatchChange {
            zone: prepared.zone.to_string(),
            op: BatchOp::Import,
            if_match: None,
            edits: None,
            zone_file: Some(text.clone()),
            rrsets: None,
            account: None,
            kind: None,
            soa_edit: None,
        });
        let batch = Batch { reason: reason(order.reason), changes: changes.collect() };
        match self.0.send::<BatchDone>(Method::POST, &UrlPath::v1(&["batches"]), &batch, None) {
            Ok(done) => {
                let pairs = items.iter().zip(&done.changes);
                pairs.map(|((prepared, _), change)| prepared.outcome(self.with_account(change, order))).collect()
            }
            Err(failure) if order.atomic || failure.kind() != Kind::Failed => {
                let again = || Failure::new(failure.kind(), failure.message());
                items.iter().map(|(prepared, _)| prepared.outcome(Err(again()))).collect()
            }
            Err(_) => items.iter().map(|(prepared, text)| prepared.outcome(self.one(prepared, text, order))).collect(),
        }
    }

    fn one(&self, prepared: &Prepared, text: &str, order: &Order<'_>) -> Result<Done, Failure> {
        let name = prepared.zone.to_string();
        if let (Some(account), None) = (order.account, order.if_version) {
            let exists = match self.0.get::<Zone>(&UrlPath::v1(&["zones", &name])) {
                Ok(_) => true,
                Err(failure) if failure.kind() == Kind::NotFound => false,
                Err(failure) => return Err(failure),
            };
            if !exists {
                let wanted = NewZone {
                    name,
                    account: Some(account.to_owned()),
                    zone_file: Some(text.to_owned()),
                    reason: reason(order.reason),
                    ..NewZone::default()
                };
                let zone: Zone = self.0.send(Method::POST, &UrlPath::v1(&["zones"]), &wanted, None)?;
                return Ok(Done { version: zone.version, serial: Some(zone.serial), changed: true });
            }
        }
        let path = UrlPath::v1(&["zones", &name, "file"]).with_some("reason", reason(order.reason));
        let change: Change = self.0.json(Method::PUT, &path, Body::ZoneFile(text), order.if_version)?;
        self.with_account(&change, order)
    }

    /// Sets the account of a zone that was there before.
    fn with_account(&self, change: &Change, order: &Order<'_>) -> Result<Done, Failure> {
        let Some(account) = order.account else {
            return Ok(Done { version: change.revision, serial: change.serial, changed: change.changed });
        };
        let patch =
            ZonePatch { account: Some(account.to_owned()), reason: reason(order.reason), ..ZonePatch::default() };
        let path = UrlPath::v1(&["zones", &change.zone]);
        let zone: Zone = self.0.send(Method::PATCH, &path, &patch, None)?;
        let changed = change.changed || zone.version != change.revision;
        Ok(Done { version: zone.version, serial: Some(zone.serial), changed })
    }
}
