//! `rokko zone list` and `rokko zone show`.

use std::process::ExitCode;

use clap::Args;
use rokko_api::v1::dto::{Kind, SoaEdit, Zone, ZonePage};
use serde::Serialize;

use crate::args::ApiArgs;
use crate::client::{Client, UrlPath};
use crate::failure::Failure;
use crate::output::{self, Output, Table};
use crate::record::zone_name;

/// The most zones that one request fetches; the API's limit.
const PAGE: usize = 1000;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only zones of this account.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Only zones with this text in their name.
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
    /// Only this name and zones below it.
    #[arg(long, value_name = "NAME")]
    below: Option<String>,
    /// List so many zones at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// List all zones.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on where an earlier list ended.
    #[arg(long, value_name = "TEXT")]
    cursor: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Serialize)]
struct Listing<'a> {
    zones: &'a [Zone],
    next_cursor: Option<&'a str>,
}

pub(crate) fn run(args: &ListArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let client = Client::new(&args.api)?;
    let mut left = if args.all { usize::MAX } else { usize::try_from(args.limit).unwrap_or(usize::MAX) };
    let (mut zones, mut cursor) = (Vec::new(), args.cursor.clone());
    while left > 0 {
        let path = UrlPath::v1(&["zones"]).with("limit", left.min(PAGE)).with_some("account", args.account.as_ref());
        let path = path.with_some("contains", args.contains.as_ref()).with_some("below", args.below.as_ref());
        let page: ZonePage = client.get(&path.with_some("cursor", cursor))?;
        left = left.saturating_sub(page.zones.len());
        zones.extend(page.zones);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if output.is_json() {
        output.json(&Listing { zones: &zones, next_cursor: cursor.as_deref() })?;
        return Ok(ExitCode::SUCCESS);
    }
    if zones.is_empty() {
        output.line("No zones. Make one with: rokko zone create NAME, or: rokko zone import FILE")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["ZONE", "SERIAL", "VERSION", "RECORDS", "CHANGED", "ACCOUNT"]);
    for zone in zones {
        let numbers = [zone.serial.to_string(), zone.version.to_string(), zone.records.to_string()];
        table.row([zone.name].into_iter().chain(numbers).chain([zone.changed_at, zone.account]));
    }
    output.line(table)?;
    if let Some(cursor) = cursor {
        output.flush()?;
        output::note(format_args!("There are more: add --cursor '{cursor}', or list them with --all."));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn show(zone: &str, api: &ApiArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let name = zone_name(zone)?;
    let zone: Zone = Client::new(api)?.get(&UrlPath::v1(&["zones", &name.to_string()]))?;
    output.value(&zone, describe)?;
    Ok(ExitCode::SUCCESS)
}

/// A zone's fields, one per line.
pub(crate) fn describe(zone: &Zone) -> String {
    let account = if zone.account.is_empty() { "none" } else { &zone.account };
    [
        format!("Zone      {}", zone.name),
        format!("Version   {}", zone.version),
        format!("Serial    {}", zone.serial),
        format!("Records   {}", zone.records),
        format!("Changed   {}", zone.changed_at),
        format!("Kind      {}", kind_word(zone.kind)),
        format!("Account   {account}"),
        format!("SOA edit  {}", soa_edit_word(zone.soa_edit)),
    ]
    .join("\n")
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Native => "native",
        Kind::Master => "master",
        Kind::Slave => "slave",
    }
}

fn soa_edit_word(soa_edit: SoaEdit) -> &'static str {
    match soa_edit {
        SoaEdit::Default => "default",
        SoaEdit::Increase => "increase",
        SoaEdit::Epoch => "epoch",
        SoaEdit::Off => "off",
    }
}
