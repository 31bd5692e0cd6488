//! The fields of a zone beside its records: what clients write, and how it is kept.

use rokko_control::dnssec::DEFAULT_POLICY;
use rokko_control::{Control, ControlError, Identity};
use rokko_model::{Expect, Request, Signing, ZoneKind, ZoneMeta};
use rokko_wire::Name;
use serde::Deserialize;

use super::failure::Failure;
use super::records::RrsetIn;
use super::soa_edit;
use super::turns::Turns;
use crate::task::{read, submit_one};

/// The metadata kind that holds `soa_edit`.
pub(super) const SOA_EDIT: &str = "SOA-EDIT";
/// The metadata kind that holds `api_rectify`.
pub(super) const API_RECTIFY: &str = "API-RECTIFY";
/// Where `masters` are kept; no metadata kind of PowerDNS is in lower case.
pub(super) const MASTERS: &str = "masters";
/// The most primaries that a zone names.
const MASTERS_MAX: usize = 100;
/// How often a change of metadata is repeated when the zone changes meanwhile.
const TRIES_MAX: usize = 64;

/// A zone as clients write it. Fields that are read-only in PowerDNS are ignored like unknown ones.
#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a zone as an object")]
pub(super) struct ZoneIn {
    pub(super) name: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) nameservers: Option<Vec<String>>,
    pub(super) rrsets: Option<Vec<RrsetIn>>,
    /// A zone file.
    pub(super) zone: Option<String>,
    account: Option<String>,
    api_rectify: Option<bool>,
    catalog: Option<String>,
    dnssec: Option<bool>,
    master_tsig_key_ids: Option<Vec<String>>,
    masters: Option<Vec<String>>,
    nsec3param: Option<String>,
    presigned: Option<bool>,
    slave_tsig_key_ids: Option<Vec<String>>,
    soa_edit: Option<String>,
    soa_edit_api: Option<String>,
}

impl ZoneIn {
    /// Whether a new zone is to be signed.
    pub(super) fn signing(&self) -> Signing {
        match self.dnssec {
            None => Signing::Default,
            Some(false) => Signing::Off,
            Some(true) => Signing::Policy(DEFAULT_POLICY.to_owned()),
        }
    }

    /// Whether a zone that is there is to be signed or unsigned.
    pub(super) fn dnssec(&self) -> Option<bool> {
        self.dnssec
    }

    /// Takes over what is given into `meta`; refuses what this server can't do.
    pub(super) fn apply(&self, meta: &mut ZoneMeta) -> Result<(), Failure> {
        self.refuse_what_is_missing()?;
        if let Some(kind) = &self.kind {
            meta.kind = kind_of(kind, meta.kind)?;
        }
        if let Some(account) = &self.account {
            meta.account.clone_from(account);
        }
        if let Some(rectify) = self.api_rectify {
            set_extra(meta, API_RECTIFY, rectify.then(|| vec!["1".to_owned()]));
        }
        if let Some(masters) = &self.masters {
            if masters.len() > MASTERS_MAX {
                return Err(Failure::unprocessable(format!("a zone has at most {MASTERS_MAX} masters")));
            }
            set_extra(meta, MASTERS, (!masters.is_empty()).then(|| masters.clone()));
        }
        soa_edit::set(meta, self.soa_edit_api.as_deref(), self.soa_edit.as_deref())
    }

    fn refuse_what_is_missing(&self) -> Result<(), Failure> {
        let has_text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let has_items = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let missing = if has_text(&self.nsec3param) || self.presigned == Some(true) {
            super::cryptokeys::BY_POLICY
        } else if has_items(&self.master_tsig_key_ids) || has_items(&self.slave_tsig_key_ids) {
            super::tsigkeys::NO_TSIG
        } else if has_text(&self.catalog) {
            "catalog zones are not available here: leave 'catalog' out"
        } else {
            return Ok(());
        };
        Err(Failure::unprocessable(missing))
    }
}

/// The kind of a client's text in any case. The kind that the zone has already is always taken.
fn kind_of(text: &str, current: ZoneKind) -> Result<ZoneKind, Failure> {
    let kind = match text.to_ascii_lowercase().as_str() {
        "native" => ZoneKind::Native,
        "master" | "primary" => ZoneKind::Master,
        "slave" | "secondary" if current == ZoneKind::Slave => ZoneKind::Slave,
        "slave" | "secondary" => {
            let message = format!("kind '{text}' is not available: {}", super::transfer::NO_TRANSFERS_IN);
            return Err(Failure::unprocessable(message));
        }
        _ => return Err(Failure::unprocessable(format!("kind '{text}' is unknown: use Native or Master"))),
    };
    Ok(kind)
}

/// How PowerDNS writes a kind.
pub(super) fn kind_text(kind: ZoneKind) -> &'static str {
    match kind {
        ZoneKind::Native => "Native",
        ZoneKind::Master => "Master",
        ZoneKind::Slave => "Slave",
    }
}

/// Sets or removes one kind of free metadata.
pub(super) fn set_extra(meta: &mut ZoneMeta, kind: &str, values: Option<Vec<String>>) {
    match values {
        Some(values) => drop(meta.extra.insert(kind.to_owned(), values)),
        None => drop(meta.extra.remove(kind)),
    }
}

/// Changes a zone's metadata and loses nobody else's change of it.
pub(super) async fn update<T>(
    control: &Control,
    turns: &Turns,
    who: &Identity,
    zone: Name,
    mut change: impl FnMut(&mut ZoneMeta) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let _turn = turns.of(&zone).await;
    let mut tries_left = TRIES_MAX;
    loop {
        let view = {
            let (who, zone) = (who.clone(), zone.clone());
            read(control, move |control| control.zone(&who, &zone)).await?
        };
        let mut meta = view.record.meta;
        let value = change(&mut meta)?;
        let expect = Expect::Version(view.record.revision);
        let request = Request::SetMeta { zone: zone.clone(), expect, meta };
        tries_left -= 1;
        match submit_one(control, who, "", request).await {
            Ok(_) => return Ok(value),
            Err(ControlError::Stale { .. }) if tries_left > 0 => {}
            Err(error) => return Err(error.into()),
        }
    }
}
