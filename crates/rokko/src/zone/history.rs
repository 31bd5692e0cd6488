//! `rokko zone history`.

use std::process::ExitCode;

use clap::Args;
use rokko_api::v1::dto::{ChangeKind, Entry, EntryDetail, HistoryPage, RrsetContents};

use crate::args::ApiArgs;
use crate::client::{Client, UrlPath};
use crate::failure::Failure;
use crate::output::{self, Output, Table};
use crate::record::zone_name;

/// The most revisions that one request fetches; the API's limit.
const PAGE: usize = 1000;

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The zone; a deleted one too.
    zone: String,
    /// Show what this revision changed, record by record.
    #[arg(value_name = "REV")]
    revision: Option<u64>,
    /// List so many revisions at most.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Only revisions below this one.
    #[arg(long, value_name = "REV")]
    before: Option<u64>,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) fn run(args: &HistoryArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let client = Client::new(&args.api)?;
    let zone = zone_name(&args.zone)?.to_string();
    match args.revision {
        Some(revision) => {
            let path = UrlPath::v1(&["zones", &zone, "history", &revision.to_string()]);
            let detail: EntryDetail = client.get(&path)?;
            output.value(&detail, describe)?;
        }
        None => list(&client, &zone, args, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(client: &Client, zone: &str, args: &HistoryArgs, output: &mut Output) -> Result<(), Failure> {
    let mut left = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let (mut entries, mut before) = (Vec::<Entry>::new(), args.before);
    while left > 0 {
        let path = UrlPath::v1(&["zones", zone, "history"]).with("limit", left.min(PAGE));
        let page: HistoryPage = client.get(&path.with_some("before", before))?;
        left = left.saturating_sub(page.entries.len());
        entries.extend(page.entries);
        before = page.next_before;
        if before.is_none() {
            break;
        }
    }
    if output.is_json() {
        return output.json(&entries);
    }
    let mut table = Table::new(&["REVISION", "AT", "CHANGE", "SERIAL", "RRSETS", "WHO", "WHY"]);
    for entry in entries {
        table.row([
            entry.revision.to_string(),
            entry.at,
            word(entry.kind).to_owned(),
            entry.serial.map_or_else(|| "-".to_owned(), |serial| serial.to_string()),
            entry.rrsets_changed.to_string(),
            entry.actor,
            entry.reason,
        ]);
    }
    output.line(table)?;
    if let Some(before) = before {
        output.flush()?;
        output::note(format_args!("There are older ones: add --before {before}."));
    }
    Ok(())
}

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Create => "create",
        ChangeKind::Edit => "edit",
        ChangeKind::Import => "import",
        ChangeKind::Meta => "meta",
        ChangeKind::Rollback => "rollback",
        ChangeKind::Delete => "delete",
        ChangeKind::Sign => "sign",
    }
}

/// Who, when and why, then the records that went with `-` and those that came with `+`.
fn describe(detail: &EntryDetail) -> String {
    let EntryDetail { entry, changes } = detail;
    let from = if entry.address.is_empty() { String::new() } else { format!(" from {}", entry.address) };
    let mut lines = vec![format!(
        "Revision {} of {}: {} by {}{from} at {}",
        entry.revision,
        entry.zone,
        word(entry.kind),
        entry.actor,
        entry.at
    )];
    if !entry.reason.is_empty() {
        lines.push(format!("  {}", entry.reason));
    }
    for change in changes {
        let subject = |contents: &RrsetContents| format!("{} {} {}", change.name, contents.ttl, change.rtype);
        let only_in = |side: &Option<RrsetContents>, other: &Option<RrsetContents>, sign: char| {
            let Some(contents) = side else { return Vec::new() };
            let stays = |record: &String| {
                other.as_ref().is_some_and(|other| contents.ttl == other.ttl && other.records.contains(record))
            };
            let records = contents.records.iter().filter(|record| !stays(record));
            records.map(|record| format!("{sign} {} {record}", subject(contents))).collect()
        };
        lines.extend(only_in(&change.before, &change.after, '-'));
        lines.extend(only_in(&change.after, &change.before, '+'));
    }
    lines.join("\n")
}
