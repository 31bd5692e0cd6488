//! `rokko key`: API keys.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use rokko_api::v1::dto::{CreatedKey, Key, KeyList, NewKey};
use ureq::http::Method;

use crate::args::ApiArgs;
use crate::client::{Body, Client, UrlPath};
use crate::failure::Failure;
use crate::output::{self, Output, Table};
use crate::time::{parse_duration, rfc3339};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key. Its text is shown this once.
    Create(CreateArgs),
    /// List all keys, revoked and expired ones too.
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Make a key useless from now on.
    Revoke {
        /// The key's id, as `rokko key list` shows it.
        id: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What the key is for, as it stands in the history of the zones that it changes.
    name: String,
    /// The key may do everything.
    #[arg(long, conflicts_with_all = ["zones", "types", "read_only"])]
    administrator: bool,
    /// A zone that the key reaches, or `*.NAME` for all zones below a name; repeatable. Without it: all zones.
    #[arg(long = "zone", value_name = "ZONE")]
    zones: Vec<String>,
    /// A record type that the key may change; repeatable. Without it: all types.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// The key may only read.
    #[arg(long)]
    read_only: bool,
    /// The key stops working after so long, such as `90d`.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "expires_at")]
    expires_in: Option<Duration>,
    /// The key stops working at this time, in RFC 3339.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) fn run(command: KeyCommand, output: &mut Output) -> Result<ExitCode, Failure> {
    match command {
        KeyCommand::Create(args) => create(args, output),
        KeyCommand::List { api } => list(&api, output),
        KeyCommand::Revoke { id, api } => {
            let path = UrlPath::v1(&["keys", &id]);
            let key: Key = Client::new(&api)?.json(Method::DELETE, &path, Body::Empty, None)?;
            output.value(&key, |key| format!("The key {} ({}) is revoked.", key.id, key.name))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn create(args: CreateArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let expires_at = match args.expires_in {
        Some(duration) => Some(time_after(duration)?),
        None => args.expires_at,
    };
    let wanted = NewKey {
        name: args.name,
        administrator: args.administrator,
        zones: args.zones,
        types: args.types,
        read_only: args.read_only,
        expires_at,
    };
    let client = Client::new(&args.api)?;
    let created: CreatedKey = client.send(Method::POST, &UrlPath::v1(&["keys"]), &wanted, None)?;
    if output.is_json() {
        output.json(&created)?;
    } else {
        output::note("This is the key. It is shown this once, and only its hash is stored:");
        output.line(&created.key)?;
        output.flush()?;
        output::note(format_args!("To revoke it: rokko key revoke {}", created.info.id));
    }
    Ok(ExitCode::SUCCESS)
}

fn time_after(duration: Duration) -> Result<String, Failure> {
    let end = SystemTime::now().checked_add(duration);
    let since = end.and_then(|end| end.duration_since(SystemTime::UNIX_EPOCH).ok());
    let seconds = since.map(|since| since.as_secs()).filter(|&seconds| seconds < YEAR_10000_S);
    seconds.map(rfc3339).ok_or_else(|| Failure::usage("--expires-in is too long"))
}

/// The first second that RFC 3339 cannot write.
const YEAR_10000_S: u64 = 253_402_300_800;

fn list(api: &ApiArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let KeyList { keys } = Client::new(api)?.get(&UrlPath::v1(&["keys"]))?;
    if output.is_json() {
        output.json(&keys)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["ID", "NAME", "MAY", "ZONES", "EXPIRES", "STATE"]);
    for key in keys {
        let may = match (key.administrator, key.read_only) {
            (true, _) => "everything".to_owned(),
            (_, true) => "read".to_owned(),
            _ if key.types.is_empty() => "change all types".to_owned(),
            _ => format!("change {}", key.types.join(",")),
        };
        let zones = if key.zones.is_empty() { "all".to_owned() } else { key.zones.join(",") };
        let state = key.revoked_at.map_or_else(|| "live".to_owned(), |at| format!("revoked {at}"));
        table.row([key.id, key.name, may, zones, key.expires_at.unwrap_or_else(|| "never".to_owned()), state]);
    }
    output.line(table)?;
    Ok(ExitCode::SUCCESS)
}
