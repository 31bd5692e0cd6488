//! Making, changing, rolling back and deleting a zone.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use rokko_api::v1::dto::{Change, Kind, NewZone, Restore, SoaEdit, Zone, ZonePatch};
use ureq::http::Method;

use super::list::describe;
use crate::args::{ApiArgs, ChangeArgs};
use crate::change::{reason, report};
use crate::client::{Body, Client, UrlPath};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::record::zone_name;

/// A zone's metadata.
#[derive(Debug, Args)]
pub(crate) struct MetaArgs {
    /// The customer whom the zone belongs to.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// How the zone gets its contents.
    #[arg(long, value_enum)]
    kind: Option<KindArg>,
    /// What happens to the SOA serial when a change does not set it.
    #[arg(long, value_enum)]
    soa_edit: Option<SoaEditArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KindArg {
    /// From this control plane.
    Native,
    /// From this control plane, which also is primary for other servers.
    Master,
    /// From a primary elsewhere.
    Slave,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Native => Kind::Native,
            KindArg::Master => Kind::Master,
            KindArg::Slave => Kind::Slave,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SoaEditArg {
    /// YYYYMMDD01 of today (UTC), or one more than before if that is not ahead.
    Default,
    /// One more than before.
    Increase,
    /// The Unix time, or one more than before if that is not ahead.
    Epoch,
    /// It stays.
    Off,
}

impl From<SoaEditArg> for SoaEdit {
    fn from(soa_edit: SoaEditArg) -> Self {
        match soa_edit {
            SoaEditArg::Default => SoaEdit::Default,
            SoaEditArg::Increase => SoaEdit::Increase,
            SoaEditArg::Epoch => SoaEdit::Epoch,
            SoaEditArg::Off => SoaEdit::Off,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The zone's name.
    zone: String,
    /// A name server for the zone's NS records; repeatable. Without it the node's configured ones are used.
    #[arg(long = "nameserver", value_name = "NAME")]
    nameservers: Vec<String>,
    #[command(flatten)]
    meta: MetaArgs,
    /// Do not sign the zone, whatever the node's configuration says.
    #[arg(long, conflicts_with = "dnssec_policy")]
    unsigned: bool,
    /// Sign the zone by this policy of the node's configuration.
    #[arg(long, value_name = "NAME")]
    dnssec_policy: Option<String>,
    /// Why, for the zone's history.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The zone.
    zone: String,
    #[command(flatten)]
    meta: MetaArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The zone.
    zone: String,
    /// The revision after which the zone was as it is to be again; `rokko zone history` lists them.
    #[arg(long, value_name = "REV")]
    to: u64,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The zone.
    zone: String,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) fn create(args: CreateArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let name = zone_name(&args.zone)?;
    let nameservers = args.nameservers.iter().map(|text| zone_name(text).map(|name| name.to_string()));
    let nameservers: Vec<String> = nameservers.collect::<Result<_, _>>()?;
    let wanted = NewZone {
        name: name.to_string(),
        kind: args.meta.kind.map(Kind::from),
        account: args.meta.account,
        soa_edit: args.meta.soa_edit.map(SoaEdit::from),
        nameservers: (!nameservers.is_empty()).then_some(nameservers),
        dnssec: args.unsigned.then_some(false),
        dnssec_policy: args.dnssec_policy,
        reason: reason(&args.reason),
        ..NewZone::default()
    };
    let zone: Zone = Client::new(&args.api)?.send(Method::POST, &UrlPath::v1(&["zones"]), &wanted, None)?;
    output.value(&zone, |zone| format!("{} created: version {}, serial {}.", zone.name, zone.version, zone.serial))?;
    if !output.is_json() && output::is_watched() {
        output.flush()?;
        output::note(format_args!("Next: rokko record set {name} www A 192.0.2.1"));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn set(args: SetArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let MetaArgs { account, kind, soa_edit } = args.meta;
    if account.is_none() && kind.is_none() && soa_edit.is_none() {
        return Err(Failure::usage("nothing to set: give --account, --kind or --soa-edit"));
    }
    let patch = ZonePatch {
        kind: kind.map(Kind::from),
        account,
        soa_edit: soa_edit.map(SoaEdit::from),
        reason: reason(&args.change.reason),
    };
    let path = UrlPath::v1(&["zones", &zone_name(&args.zone)?.to_string()]);
    let zone: Zone = Client::new(&args.api)?.send(Method::PATCH, &path, &patch, args.change.if_version)?;
    output.value(&zone, describe)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn rollback(args: &RollbackArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let path = UrlPath::v1(&["zones", &zone_name(&args.zone)?.to_string(), "restore"]);
    let wanted = Restore { to: args.to, reason: reason(&args.change.reason) };
    let done: Change = Client::new(&args.api)?.send(Method::POST, &path, &wanted, args.change.if_version)?;
    report(&done, &format!("rolled back to revision {}", args.to), output)
}

pub(crate) fn delete(args: &DeleteArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let path = UrlPath::v1(&["zones", &zone_name(&args.zone)?.to_string()]);
    let path = path.with_some("reason", reason(&args.change.reason));
    let done: Change = Client::new(&args.api)?.json(Method::DELETE, &path, Body::Empty, args.change.if_version)?;
    report(&done, "deleted", output)
}
