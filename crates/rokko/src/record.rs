//! `rokko record`: the records of a zone.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use rokko_api::v1::dto::{Change, Edit, EditOp, Edits, Rrset, RrsetPage};
use rokko_wire::{Name, Rtype};
use rokko_zone::rdata;
use ureq::http::Method;

use crate::args::{ApiArgs, ChangeArgs};
use crate::change::{reason, report};
use crate::client::{Client, UrlPath};
use crate::failure::{Failure, Kind};
use crate::output::{Output, Table};

/// The TTL of a new RRset in seconds if none is given.
const TTL_DEFAULT_S: u32 = 3600;
/// The most RRsets that one request fetches; the API's limit.
const PAGE: usize = 1000;

#[derive(Debug, Subcommand)]
pub(crate) enum RecordCommand {
    /// List the records of a zone.
    List {
        /// The zone.
        zone: String,
        /// Only those of this owner name, relative to the zone if it does not end with a dot; `@` is the apex.
        name: Option<String>,
        /// Only those of this type.
        #[arg(value_name = "TYPE")]
        rtype: Option<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Make an RRset exactly this.
    ///
    /// Example: rokko record set example.com www A 300 192.0.2.1 192.0.2.2
    Set(RrsetArgs),
    /// Add records to an RRset; those already there stay.
    ///
    /// Example: rokko record add example.com @ MX '10 mail.example.com.'
    Add(RrsetArgs),
    /// Delete an RRset, or only some of its records.
    Delete {
        #[command(flatten)]
        target: TargetArgs,
        /// The records to delete, each quoted as one word; without any: the whole RRset.
        data: Vec<String>,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// The zone.
    zone: String,
    /// The owner name, relative to the zone if it does not end with a dot; `@` is the apex.
    name: String,
    /// The record type.
    #[arg(value_name = "TYPE")]
    rtype: String,
}

#[derive(Debug, Args)]
pub(crate) struct RrsetArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The TTL in seconds, if more follows, then the data of each record quoted as one word.
    ///
    /// Without TTL, an RRset that is there keeps its own, and a new one gets 3600.
    #[arg(required = true, value_name = "[TTL] DATA", allow_hyphen_values = false)]
    data: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) fn run(command: RecordCommand, output: &mut Output) -> Result<ExitCode, Failure> {
    match command {
        RecordCommand::List { zone, name, rtype, api } => list(&zone, name.as_deref(), rtype.as_deref(), &api, output),
        RecordCommand::Set(args) => write(EditOp::Replace, args, output),
        RecordCommand::Add(args) => write(EditOp::Add, args, output),
        RecordCommand::Delete { target, data, change, api } => {
            let op = if data.is_empty() { EditOp::Delete } else { EditOp::Remove };
            let (zone, rtype) = (zone_name(&target.zone)?, record_type(&target.rtype)?);
            check_data(&zone, rtype, &data, &data)?;
            let records = (!data.is_empty()).then_some(data);
            let edit = Edit { op, name: target.name, rtype: rtype.to_string(), ttl: None, records };
            submit(&Client::new(&api)?, &zone, edit, &change, output)
        }
    }
}

fn list(
    zone: &str,
    name: Option<&str>,
    rtype: Option<&str>,
    api: &ApiArgs,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let zone = zone_name(zone)?;
    let rtype = rtype.map(record_type).transpose()?;
    let rrsets = fetch(&Client::new(api)?, &zone, name, rtype)?;
    if output.is_json() {
        output.json(&rrsets)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["NAME", "TTL", "TYPE", "DATA"]);
    for rrset in rrsets {
        for record in rrset.records {
            table.row([rrset.name.clone(), rrset.ttl.to_string(), rrset.rtype.clone(), record]);
        }
    }
    if table.is_empty() { output.line("No such records.") } else { output.line(table) }?;
    Ok(ExitCode::SUCCESS)
}

fn fetch(client: &Client, zone: &Name, name: Option<&str>, rtype: Option<Rtype>) -> Result<Vec<Rrset>, Failure> {
    let (mut rrsets, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let path = UrlPath::v1(&["zones", &zone.to_string(), "rrsets"]).with("limit", PAGE);
        let path = path.with_some("name", name).with_some("type", rtype).with_some("cursor", cursor);
        let page: RrsetPage = client.get(&path)?;
        rrsets.extend(page.rrsets);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(rrsets);
        }
    }
}

fn write(op: EditOp, args: RrsetArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let RrsetArgs { target, data, change, api } = args;
    let (zone, rtype) = (zone_name(&target.zone)?, record_type(&target.rtype)?);
    let (ttl, records) = split_ttl(&data);
    check_data(&zone, rtype, records, &data)?;
    let client = Client::new(&api)?;
    let ttl = match ttl {
        Some(ttl) => ttl,
        None => match fetch(&client, &zone, Some(&target.name), Some(rtype)) {
            Ok(rrsets) => rrsets.first().map_or(TTL_DEFAULT_S, |rrset| rrset.ttl),
            Err(failure) if failure.kind() == Kind::NotFound => TTL_DEFAULT_S,
            Err(failure) => return Err(failure),
        },
    };
    let edit =
        Edit { op, name: target.name, rtype: rtype.to_string(), ttl: Some(ttl), records: Some(records.to_vec()) };
    submit(&client, &zone, edit, &change, output)
}

fn submit(
    client: &Client,
    zone: &Name,
    edit: Edit,
    change: &ChangeArgs,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let path = UrlPath::v1(&["zones", &zone.to_string(), "changes"]);
    let edits = Edits { reason: reason(&change.reason), edits: vec![edit] };
    let done: Change = client.send(Method::POST, &path, &edits, change.if_version)?;
    report(&done, "changed", output)
}

/// Takes a TTL off the front, if there is more behind it.
fn split_ttl(data: &[String]) -> (Option<u32>, &[String]) {
    match data {
        [first, rest @ ..] if !rest.is_empty() => match first.parse() {
            Ok(ttl) => (Some(ttl), rest),
            Err(_) => (None, data),
        },
        _ => (None, data),
    }
}

/// Reads each record's data, so that a mistake is told before anything is sent.
///
/// `words` are all that stood behind the type.
fn check_data(zone: &Name, rtype: Rtype, records: &[String], words: &[String]) -> Result<(), Failure> {
    for record in records {
        if let Err(error) = rdata::from_text(rtype, record, Some(zone)) {
            let mut message = format!("`{record}` is not the data of a {rtype} record: {error}");
            let joined = words.join(" ");
            if words.len() > 1 && rdata::from_text(rtype, &joined, Some(zone)).is_ok() {
                message = format!("{message}\n  Quote the data of each record as one word: '{joined}'");
            }
            return Err(Failure::usage(message));
        }
    }
    Ok(())
}

/// A zone's name from the command line; always absolute.
pub(crate) fn zone_name(text: &str) -> Result<Name, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("`{text}` is not the name of a zone: {error}")))
}

fn record_type(text: &str) -> Result<Rtype, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("`{text}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_ttl_stands_before_data() {
        let split = |data: &[&str]| {
            let data = words(data);
            let (ttl, rest) = split_ttl(&data);
            (ttl, rest.len())
        };
        assert_eq!(split(&["300", "192.0.2.1"]), (Some(300), 1));
        assert_eq!(split(&["192.0.2.1", "192.0.2.2"]), (None, 2));
        assert_eq!(split(&["300"]), (None, 1));
    }

    #[test]
    fn unquoted_data_is_explained() {
        let zone = zone_name("example.com").unwrap();
        for (rtype, data) in [(Rtype::SRV, words(&["0", "5", "443", "www"])), (Rtype::MX, words(&["10", "mail"]))] {
            let (_, records) = split_ttl(&data);
            let error = check_data(&zone, rtype, records, &data).unwrap_err();
            assert!(error.message().contains(&format!("'{}'", data.join(" "))), "{}", error.message());
        }
        check_data(&zone, Rtype::MX, &words(&["10 mail"]), &[]).unwrap();
    }
}
