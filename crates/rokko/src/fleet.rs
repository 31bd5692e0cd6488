//! `rokko fleet`: the points of presence, seen from the control node.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use rokko_api::v1::fleet_dto::{Fleet, NewToken, Pop, PopEdit, PopState, Token};
use ureq::http::Method;

use crate::args::ApiArgs;
use crate::client::{Body, Client, UrlPath};
use crate::failure::Failure;
use crate::output::{self, Output, Table};
use crate::time::parse_duration;

/// How often `--watch` looks.
const WATCH_STEP: Duration = Duration::from_secs(1);
/// How often `verify` looks for the outcome.
const VERIFY_STEP: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// Show every PoP: state, revision, lag, proof, load.
    Status {
        /// Show it anew each second until interrupted.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Make a token with which one PoP can join once.
    Token(TokenArgs),
    /// Have every PoP read each octet that it serves from, and compare with the control plane.
    Verify {
        /// Give up after so long.
        #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
        timeout: Duration,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Take a PoP out of service: it goes on answering, but says that it wants no queries, and nobody waits for it.
    Drain {
        /// The PoP's name.
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Bring a drained PoP back.
    Undrain {
        /// The PoP's name.
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Put a PoP out of the fleet for good: its certificate opens nothing any more.
    Revoke {
        /// The PoP's name.
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The PoP's name: up to 63 lower-case letters, digits and hyphens.
    #[arg(long)]
    name: String,
    /// The PoP may serve the feed to others.
    #[arg(long)]
    relay: bool,
    /// Where the PoP reaches this control node, if not where it listens.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// How long the token is good.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    good_for: Duration,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) fn run(command: FleetCommand, output: &mut Output) -> Result<ExitCode, Failure> {
    match command {
        FleetCommand::Status { watch, api } => status(&Client::new(&api)?, watch, output),
        FleetCommand::Token(args) => token(args, output),
        FleetCommand::Verify { timeout, api } => verify(&Client::new(&api)?, timeout, output),
        FleetCommand::Drain { name, api } => drain(&Client::new(&api)?, &name, true, output),
        FleetCommand::Undrain { name, api } => drain(&Client::new(&api)?, &name, false, output),
        FleetCommand::Revoke { name, api } => {
            let path = UrlPath::v1(&["fleet", "pops", &name]);
            let pop: Pop = Client::new(&api)?.json(Method::DELETE, &path, Body::Empty, None)?;
            output.value(&pop, |pop| format!("{} is out of the fleet.", pop.name))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn fleet(client: &Client) -> Result<Fleet, Failure> {
    client.get(&UrlPath::v1(&["fleet"]))
}

fn status(client: &Client, watch: bool, output: &mut Output) -> Result<ExitCode, Failure> {
    loop {
        let fleet = fleet(client)?;
        if watch && !output.is_json() {
            // Clears the screen and goes to its top (ECMA-48 ED and CUP).
            output.raw(b"\x1b[H\x1b[2J")?;
        }
        output.value(&fleet, text)?;
        output.flush()?;
        if !watch {
            let good = fleet.pops.iter().all(|pop| !matches!(pop.state, PopState::Diverged | PopState::Ahead));
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        std::thread::sleep(WATCH_STEP);
    }
}

fn text(fleet: &Fleet) -> String {
    let digest = fleet.digest.as_deref().map_or("unknown", |digest| &digest[..digest.len().min(16)]);
    let mut text = format!("Revision {}, in sync up to {}, digest {digest}.", fleet.revision, fleet.insync);
    if fleet.pops.is_empty() {
        text.push_str("\nThe fleet has no PoP. `rokko fleet token --name NAME` makes a token for one.");
        return text;
    }
    let headings =
        ["POP", "STATE", "REVISION", "LAG", "LAG MS", "AGE MS", "DIGEST", "ANSWERS/S", "VERSION", "CERTIFICATE UNTIL"];
    let mut table = Table::new(&headings);
    for pop in &fleet.pops {
        let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let digest = match pop.digest_good {
            Some(true) => "good",
            Some(false) => "DIFFERS",
            None => "-",
        };
        table.row([
            pop.name.clone(),
            state_text(pop),
            pop.revision.to_string(),
            pop.lag.to_string(),
            pop.lag_ms.to_string(),
            number(pop.age_ms),
            digest.to_owned(),
            rates_text(pop),
            pop.version.clone().unwrap_or_else(|| "-".to_owned()),
            pop.certificate_expires.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    text.extend(["\n\n", &table.to_string()]);
    for pop in fleet.pops.iter().filter(|pop| !pop.differing.is_empty()) {
        text.extend(["\n", &pop.name, " differs in: ", &pop.differing.join(" ")]);
    }
    text
}

fn state_text(pop: &Pop) -> String {
    let state = match pop.state {
        PopState::Insync => "in sync",
        PopState::Behind => "behind",
        PopState::Diverged => "DIVERGED",
        PopState::Ahead => "AHEAD",
        PopState::Unreachable => "unreachable",
        PopState::Expected => "expected",
        PopState::Revoked => "revoked",
    };
    let missing = match pop.zones_missing {
        0 => String::new(),
        zones => format!(", {zones} zones missing"),
    };
    let via = pop.via.as_ref().map_or_else(String::new, |relay| format!(" via {relay}"));
    format!("{state}{}{missing}{via}", if pop.drained { ", drained" } else { "" })
}

/// Such as `1200 (NOERROR 1150, NXDOMAIN 50)`.
fn rates_text(pop: &Pop) -> String {
    let all: u64 = pop.responses_per_second.values().sum();
    let parts: Vec<String> = pop
        .responses_per_second
        .iter()
        .filter(|(_, rate)| **rate > 0)
        .map(|(rcode, rate)| format!("{rcode} {rate}"))
        .collect();
    if parts.is_empty() { all.to_string() } else { format!("{all} ({})", parts.join(", ")) }
}

fn token(args: TokenArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let wanted = NewToken {
        name: args.name,
        relay: args.relay,
        good_for_s: Some(args.good_for.as_secs()),
        address: args.address,
    };
    let client = Client::new(&args.api)?;
    let made: Token = client.send(Method::POST, &UrlPath::v1(&["fleet", "tokens"]), &wanted, None)?;
    if output.is_json() {
        output.json(&made)?;
    } else {
        output::note(format_args!("On the new PoP, before {}: rokko pop --join TOKEN", made.expires_at));
        output.line(&made.token)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn drain(client: &Client, name: &str, drained: bool, output: &mut Output) -> Result<ExitCode, Failure> {
    let path = UrlPath::v1(&["fleet", "pops", name]);
    let pop: Pop = client.send(Method::PATCH, &path, &PopEdit { drained }, None)?;
    output.value(&pop, |pop| format!("{} is {}.", pop.name, if pop.drained { "drained" } else { "in service" }))?;
    Ok(ExitCode::SUCCESS)
}

/// Every PoP that can be asked has to verify after this command began.
fn verify(client: &Client, timeout: Duration, output: &mut Output) -> Result<ExitCode, Failure> {
    let path = UrlPath::v1(&["fleet", "verify"]);
    let asked: Fleet = client.json(Method::POST, &path, Body::Empty, None)?;
    let before = |name: &str| asked.pops.iter().find(|pop| pop.name == name).and_then(|pop| pop.verified.clone());
    let can_be_asked = |pop: &&Pop| matches!(pop.state, PopState::Insync | PopState::Behind | PopState::Diverged);
    let names: Vec<&str> = asked.pops.iter().filter(can_be_asked).map(|pop| pop.name.as_str()).collect();
    let deadline = Instant::now() + timeout;
    let fleet = loop {
        let now = fleet(client)?;
        let is_done = |name: &&str| {
            let pop = now.pops.iter().find(|pop| pop.name == **name);
            pop.is_none_or(|pop| pop.verified.is_some() && pop.verified != before(name))
        };
        if names.iter().all(is_done) {
            break now;
        }
        if Instant::now() >= deadline {
            let waiting: Vec<&str> = names.iter().filter(|name| !is_done(name)).copied().collect();
            return Err(Failure::failed(format!("no answer in time from {}", waiting.join(", "))));
        }
        std::thread::sleep(VERIFY_STEP);
    };
    let asked_of = |pop: &&Pop| names.contains(&pop.name.as_str());
    let good =
        fleet.pops.iter().filter(asked_of).all(|pop| pop.verified.as_ref().is_some_and(|verified| verified.good));
    output.value(&fleet, |fleet| {
        let mut table = Table::new(&["POP", "VERIFIED", "REVISION", "ZONES", "OCTETS", "DIGEST"]);
        for pop in &fleet.pops {
            let verified = pop.verified.as_ref().filter(|_| names.contains(&pop.name.as_str()));
            table.row(match verified {
                None => [pop.name.clone(), "not asked".to_owned(), "-".into(), "-".into(), "-".into(), "-".into()],
                Some(verified) => [
                    pop.name.clone(),
                    if verified.good { "good" } else { "DIFFERS" }.to_owned(),
                    verified.revision.to_string(),
                    verified.zones.to_string(),
                    verified.octets.to_string(),
                    verified.digest[..verified.digest.len().min(16)].to_owned(),
                ],
            });
        }
        table.to_string()
    })?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
