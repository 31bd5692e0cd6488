//! Between the documents of `/v1` and the values of the control plane.

use rokko_control::Committed;
use rokko_model as model;
use rokko_store::{LogEntry, ZoneRecord};
use rokko_wire::Name;
use rokko_zone as zone;
use rokko_zone::file::{self, Diagnostic, Severity};

use super::dto;
use crate::problem::Problem;
use crate::rrset::Parser;
use crate::timestamp;

/// How many errors of one zone file are reported one by one.
const FILE_ERRORS_MAX: usize = 100;
/// How many records the `$GENERATE` directives of one zone file may make over the API.
const FILE_GENERATE_MAX: u64 = 1_000_000;
/// The longest account name in octets.
const ACCOUNT_LEN_MAX: usize = 255;

impl From<dto::Kind> for model::ZoneKind {
    fn from(kind: dto::Kind) -> Self {
        match kind {
            dto::Kind::Native => Self::Native,
            dto::Kind::Master => Self::Master,
            dto::Kind::Slave => Self::Slave,
        }
    }
}

impl From<model::ZoneKind> for dto::Kind {
    fn from(kind: model::ZoneKind) -> Self {
        match kind {
            model::ZoneKind::Native => Self::Native,
            model::ZoneKind::Master => Self::Master,
            model::ZoneKind::Slave => Self::Slave,
        }
    }
}

impl From<dto::SoaEdit> for model::SoaEdit {
    fn from(edit: dto::SoaEdit) -> Self {
        match edit {
            dto::SoaEdit::Default => Self::Default,
            dto::SoaEdit::Increase => Self::Increase,
            dto::SoaEdit::Epoch => Self::Epoch,
            dto::SoaEdit::Off => Self::Off,
        }
    }
}

impl From<model::SoaEdit> for dto::SoaEdit {
    fn from(edit: model::SoaEdit) -> Self {
        match edit {
            model::SoaEdit::Default => Self::Default,
            model::SoaEdit::Increase => Self::Increase,
            model::SoaEdit::Epoch => Self::Epoch,
            model::SoaEdit::Off => Self::Off,
        }
    }
}

impl From<model::ChangeKind> for dto::ChangeKind {
    fn from(kind: model::ChangeKind) -> Self {
        match kind {
            model::ChangeKind::Create => Self::Create,
            model::ChangeKind::Edit => Self::Edit,
            model::ChangeKind::Import => Self::Import,
            model::ChangeKind::Meta => Self::Meta,
            model::ChangeKind::Rollback => Self::Rollback,
            model::ChangeKind::Delete => Self::Delete,
            model::ChangeKind::Sign => Self::Sign,
        }
    }
}

impl From<&ZoneRecord> for dto::Zone {
    fn from(record: &ZoneRecord) -> Self {
        Self {
            name: record.name.to_string(),
            version: record.revision.0,
            serial: record.serial.0,
            records: record.records,
            changed_at: timestamp::to_text(record.changed_at),
            kind: record.meta.kind.into(),
            account: record.meta.account.clone(),
            soa_edit: record.meta.soa_edit.into(),
        }
    }
}

impl From<&LogEntry> for dto::Entry {
    fn from(entry: &LogEntry) -> Self {
        Self {
            revision: entry.revision.0,
            zone: entry.zone.to_string(),
            at: timestamp::to_text(entry.at),
            actor: entry.actor.name.clone(),
            address: entry.actor.address.clone(),
            reason: entry.reason.clone(),
            kind: entry.kind.into(),
            serial: entry.serial.map(|serial| serial.0),
            rrsets_changed: entry.rrsets_changed,
            previous_version: entry.before.map(|revision| revision.0),
        }
    }
}

impl From<&zone::check::Finding> for dto::Finding {
    fn from(finding: &zone::check::Finding) -> Self {
        Self {
            name: finding.owner.to_string(),
            rtype: finding.rtype.map(|rtype| rtype.to_string()),
            code: finding.code.to_owned(),
            message: finding.message.clone(),
        }
    }
}

/// What came of a change. The control plane calls back when answers show it, so its state is always the last one.
pub(super) fn change_of(done: &Committed, mut warnings: Vec<dto::Finding>) -> dto::Change {
    for finding in &done.warnings {
        let finding = dto::Finding::from(finding);
        let same = |known: &dto::Finding| {
            (&known.name, &known.rtype, &known.code) == (&finding.name, &finding.rtype, &finding.code)
        };
        if !warnings.iter().any(same) {
            warnings.push(finding);
        }
    }
    dto::Change {
        zone: done.zone.to_string(),
        revision: done.revision.0,
        serial: done.serial.map(|serial| serial.0),
        changed: done.changed,
        state: dto::State::Applied,
        warnings,
    }
}

/// Edits of one zone; what is wrong goes to the parser.
pub(super) fn edits_of(edits: &[dto::Edit], parser: &mut Parser<'_>) -> Vec<zone::Edit> {
    edits.iter().filter_map(|edit| edit_of(edit, parser)).collect()
}

fn edit_of(edit: &dto::Edit, parser: &mut Parser<'_>) -> Option<zone::Edit> {
    let (owner, rtype) = parser.target(&edit.name, &edit.rtype)?;
    let records = || edit.records.iter().flatten().map(String::as_str);
    let mut rrset = |op: &str| {
        let Some(seconds) = edit.ttl else {
            let message = format!("the operation {op} needs a ttl in seconds");
            parser.report(&edit.name, Some(&edit.rtype), None, "no-ttl", message);
            return None;
        };
        parser.rrset(&edit.name, &edit.rtype, seconds, records())
    };
    match edit.op {
        dto::EditOp::Replace => rrset("replace").map(zone::Edit::Replace),
        dto::EditOp::Add => rrset("add").map(zone::Edit::Extend),
        dto::EditOp::Delete => Some(zone::Edit::Delete { owner, rtype }),
        dto::EditOp::Remove => {
            let rdatas = parser.rdatas(&owner, rtype, records())?;
            Some(zone::Edit::Prune { owner, rtype, rdatas })
        }
    }
}

/// RRsets of one zone; what is wrong goes to the parser.
pub(super) fn rrsets_of(rrsets: &[dto::Rrset], parser: &mut Parser<'_>) -> Vec<zone::Rrset> {
    let parse = |rrset: &dto::Rrset| {
        parser.rrset(&rrset.name, &rrset.rtype, rrset.ttl, rrset.records.iter().map(String::as_str))
    };
    rrsets.iter().filter_map(parse).collect()
}

/// A zone file's RRsets and warnings, or its errors with their lines.
///
/// `may_lack_apex`: SOA and NS records at the apex will be added if there are none.
pub(super) fn file_of(
    apex: &Name,
    text: &[u8],
    may_lack_apex: bool,
) -> Result<(Vec<zone::Rrset>, Vec<dto::Finding>), Vec<dto::ProblemItem>> {
    let options = file::Options {
        file: "zone_file",
        origin: Some(apex.clone()),
        errors_max: FILE_ERRORS_MAX,
        generate_max: FILE_GENERATE_MAX,
        ..file::Options::default()
    };
    let mut loaded = file::load(text, options);
    if may_lack_apex {
        loaded.diagnostics.retain(|diagnostic| !matches!(diagnostic.code, "no-soa" | "no-ns"));
    }
    if loaded.has_errors() {
        let errors = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        return Err(errors.map(|diagnostic| item_of(apex, diagnostic)).collect());
    }
    Ok((loaded.rrsets, loaded.diagnostics.iter().map(|diagnostic| finding_of(apex, diagnostic)).collect()))
}

fn item_of(apex: &Name, diagnostic: &Diagnostic) -> dto::ProblemItem {
    let place = diagnostic.position.as_ref();
    dto::ProblemItem {
        zone: apex.to_string(),
        name: diagnostic.owner.as_ref().map(Name::to_string).unwrap_or_default(),
        rtype: diagnostic.rtype.map(|rtype| rtype.to_string()),
        record: None,
        line: place.map(|place| place.line),
        column: place.map(|place| place.column).filter(|column| *column > 0),
        code: diagnostic.code.to_owned(),
        message: diagnostic.message.clone(),
    }
}

fn finding_of(apex: &Name, diagnostic: &Diagnostic) -> dto::Finding {
    let line = diagnostic.position.as_ref().map_or_else(String::new, |place| format!("line {}: ", place.line));
    dto::Finding {
        name: diagnostic.owner.as_ref().unwrap_or(apex).to_string(),
        rtype: diagnostic.rtype.map(|rtype| rtype.to_string()),
        code: diagnostic.code.to_owned(),
        message: format!("{line}{}", diagnostic.message),
    }
}

/// Metadata of a new zone.
pub(super) fn meta_of(
    kind: Option<dto::Kind>,
    account: Option<String>,
    soa_edit: Option<dto::SoaEdit>,
) -> Result<model::ZoneMeta, Problem> {
    let mut meta = model::ZoneMeta::default();
    set_meta(&mut meta, kind, account, soa_edit)?;
    Ok(meta)
}

/// Changes what is given.
pub(super) fn set_meta(
    meta: &mut model::ZoneMeta,
    kind: Option<dto::Kind>,
    account: Option<String>,
    soa_edit: Option<dto::SoaEdit>,
) -> Result<(), Problem> {
    if let Some(kind) = kind {
        meta.kind = kind.into();
    }
    if let Some(account) = account {
        if account.len() > ACCOUNT_LEN_MAX {
            let detail = format!("the account has {} octets, more than {ACCOUNT_LEN_MAX}", account.len());
            return Err(Problem::unprocessable("long-account", detail));
        }
        meta.account = account;
    }
    if let Some(soa_edit) = soa_edit {
        meta.soa_edit = soa_edit.into();
    }
    Ok(())
}
