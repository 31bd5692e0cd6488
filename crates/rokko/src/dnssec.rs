//! `rokko dnssec`: how a zone is signed, why, and what comes next.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use rokko_api::v1::dnssec_dto::{
    DnssecAction, DnssecRequest, DnssecVerified, KeyRole, RecordState, ZoneDnssec, ZoneKey,
};
use ureq::http::Method;

use crate::args::ApiArgs;
use crate::change::reason;
use crate::client::{Body, Client, UrlPath};
use crate::failure::Failure;
use crate::output::{Output, Table};
use crate::record::zone_name;

#[derive(Debug, Subcommand)]
pub(crate) enum DnssecCommand {
    /// Show a zone's keys, each with what caches know of it.
    Status(ZoneArgs),
    /// Say in plain words what state each key is in, what it waits for, and when it moves.
    Explain(ZoneArgs),
    /// Print the DS records that the parent is to have.
    Ds(ZoneArgs),
    /// Sign a zone, or put it under another policy.
    Sign {
        #[command(flatten)]
        zone: ZoneArgs,
        /// The policy in the node's configuration; `default`, or the one that the zone has.
        #[arg(long, value_name = "NAME")]
        policy: Option<String>,
        #[command(flatten)]
        why: ReasonArgs,
    },
    /// Make a zone unsigned, safely: the DS goes first, the signatures last.
    Unsign {
        #[command(flatten)]
        zone: ZoneArgs,
        #[command(flatten)]
        why: ReasonArgs,
    },
    /// Replace a zone's keys.
    Roll {
        #[command(flatten)]
        zone: ZoneArgs,
        /// Only the keys of this role.
        #[arg(long, value_enum)]
        role: Option<RoleArg>,
        /// Wait for no safety margins, and take the key in waiting if there is one.
        #[arg(long)]
        emergency: bool,
        #[command(flatten)]
        why: ReasonArgs,
    },
    /// Go back to the key before, in a rollover that has not ended.
    Cancel {
        #[command(flatten)]
        zone: ZoneArgs,
        /// Only the keys of this role.
        #[arg(long, value_enum)]
        role: Option<RoleArg>,
        #[command(flatten)]
        why: ReasonArgs,
    },
    /// Publish a key of another signer of the zone (RFC 8901).
    AddKey(KeyArgs),
    /// No longer publish a key of another signer.
    RemoveKey(KeyArgs),
    /// Begin all waiting anew from what is seen from now on: after the node's clock was wrong.
    ForgetTimes {
        #[command(flatten)]
        zone: ZoneArgs,
        #[command(flatten)]
        why: ReasonArgs,
    },
    /// Verify all signatures of a zone and its denial of existence as a validator would.
    Verify(ZoneArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ZoneArgs {
    /// The zone.
    zone: String,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReasonArgs {
    /// Why, for the zone's history.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(flatten)]
    zone: ZoneArgs,
    /// The DNSKEY record's data in presentation format, such as `257 3 13 …`.
    #[arg(value_name = "DNSKEY")]
    key: String,
    #[command(flatten)]
    why: ReasonArgs,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleArg {
    /// It signs everything.
    Csk,
    /// It signs the keys.
    Ksk,
    /// It signs the zone's data.
    Zsk,
}

impl From<RoleArg> for KeyRole {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Csk => Self::Csk,
            RoleArg::Ksk => Self::Ksk,
            RoleArg::Zsk => Self::Zsk,
        }
    }
}

pub(crate) fn run(command: DnssecCommand, output: &mut Output) -> Result<ExitCode, Failure> {
    use DnssecCommand::{AddKey, Cancel, Ds, Explain, ForgetTimes, RemoveKey, Roll, Sign, Status, Unsign, Verify};
    match command {
        Status(args) => show(&get(&args)?, status_text, output),
        Explain(args) => show(&get(&args)?, explain_text, output),
        Ds(args) => show(&get(&args)?, ds_text, output),
        Verify(args) => verify(&args, output),
        Sign { zone, policy, why } => {
            let asked = DnssecRequest { policy, ..request(DnssecAction::Sign, &why) };
            change(&zone, &asked, output)
        }
        Unsign { zone, why } => change(&zone, &request(DnssecAction::Unsign, &why), output),
        Roll { zone, role, emergency, why } => {
            let role = role.map(KeyRole::from);
            change(&zone, &DnssecRequest { role, emergency, ..request(DnssecAction::Roll, &why) }, output)
        }
        Cancel { zone, role, why } => {
            let role = role.map(KeyRole::from);
            change(&zone, &DnssecRequest { role, ..request(DnssecAction::Cancel, &why) }, output)
        }
        AddKey(KeyArgs { zone, key, why }) => {
            change(&zone, &DnssecRequest { key: Some(key), ..request(DnssecAction::AddKey, &why) }, output)
        }
        RemoveKey(KeyArgs { zone, key, why }) => {
            change(&zone, &DnssecRequest { key: Some(key), ..request(DnssecAction::RemoveKey, &why) }, output)
        }
        ForgetTimes { zone, why } => change(&zone, &request(DnssecAction::ForgetTimes, &why), output),
    }
}

fn request(action: DnssecAction, why: &ReasonArgs) -> DnssecRequest {
    DnssecRequest { action, policy: None, role: None, emergency: false, key: None, reason: reason(&why.reason) }
}

fn path(args: &ZoneArgs) -> Result<UrlPath, Failure> {
    Ok(UrlPath::v1(&["zones", &zone_name(&args.zone)?.to_string(), "dnssec"]))
}

fn get(args: &ZoneArgs) -> Result<ZoneDnssec, Failure> {
    Client::new(&args.api)?.get(&path(args)?)
}

fn change(args: &ZoneArgs, asked: &DnssecRequest, output: &mut Output) -> Result<ExitCode, Failure> {
    let zone: ZoneDnssec = Client::new(&args.api)?.send(Method::POST, &path(args)?, asked, None)?;
    show(&zone, explain_text, output)
}

fn verify(args: &ZoneArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let path = UrlPath::v1(&["zones", &zone_name(&args.zone)?.to_string(), "dnssec", "verify"]);
    let verified: DnssecVerified = Client::new(&args.api)?.json(Method::POST, &path, Body::Empty, None)?;
    output.value(&verified, |verified| match &verified.problem {
        None => format!("{}: a validator accepts all of it.", verified.zone),
        Some(problem) => format!("{}: a validator would refuse {problem}", verified.zone),
    })?;
    Ok(if verified.good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(zone: &ZoneDnssec, text: fn(&ZoneDnssec) -> String, output: &mut Output) -> Result<ExitCode, Failure> {
    output.value(zone, text)?;
    Ok(ExitCode::SUCCESS)
}

fn ds_text(zone: &ZoneDnssec) -> String {
    if zone.ds.is_empty() {
        return format!("; {} needs no DS at its parent yet: {}", zone.zone, zone.summary);
    }
    zone.ds.iter().map(|ds| format!("{} IN DS {ds}", zone.zone)).collect::<Vec<_>>().join("\n")
}

fn status_text(zone: &ZoneDnssec) -> String {
    let mut text = zone.summary.clone();
    if zone.keys.is_empty() {
        return text;
    }
    let mut table = Table::new(&["KEY", "ROLE", "ALGORITHM", "GOAL", "DNSKEY", "SIGNS KEYS", "SIGNS ZONE", "DS"]);
    let word = |state: Option<RecordState>| {
        match state {
            None => "-",
            Some(RecordState::Hidden) => "hidden",
            Some(RecordState::Rumoured) => "rumoured",
            Some(RecordState::Omnipresent) => "omnipresent",
            Some(RecordState::Unretentive) => "unretentive",
        }
        .to_owned()
    };
    for key in &zone.keys {
        table.row([
            key.tag.to_string(),
            role_word(key).to_owned(),
            key.algorithm.clone(),
            key.goal.clone(),
            word(Some(key.dnskey)),
            word(key.key_signature),
            word(key.zone_signatures),
            word(key.ds),
        ]);
    }
    // Writing to a string does not fail.
    let _ = write!(text, "\n\n{table}");
    if let Some(expires) = &zone.expires_first {
        let _ = write!(text, "\nThe first signature expires at {expires}.");
    }
    text
}

fn explain_text(zone: &ZoneDnssec) -> String {
    let mut text = zone.summary.clone();
    for key in &zone.keys {
        let _ = write!(text, "\n\n{} {} ({})", role_word(key).to_uppercase(), key.tag, key.algorithm);
        for line in &key.text {
            let _ = write!(text, "\n  {line}");
        }
    }
    if !zone.complete {
        let _ = write!(text, "\n\nIts contents are being signed in the background.");
    }
    if !zone.waits.is_empty() {
        let _ = write!(text, "\n\nIt waits:");
    }
    for wait in &zone.waits {
        let _ = write!(text, "\n  - {wait}");
    }
    if let Some(at) = &zone.next_at {
        let _ = write!(text, "\n\nNothing changes by itself before {at}.");
    }
    text
}

fn role_word(key: &ZoneKey) -> &'static str {
    match key.role {
        KeyRole::Csk => "csk",
        KeyRole::Ksk => "ksk",
        KeyRole::Zsk => "zsk",
    }
}
