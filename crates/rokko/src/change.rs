//! `rokko change`: what became of a revision. Also how all commands report what they changed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Subcommand;
use rokko_api::v1::dto::{Change, ChangeStatus, State};
use rokko_api::v1::fleet_dto::{PopChange, Progress};

use crate::args::ApiArgs;
use crate::client::{Client, UrlPath};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::time::parse_duration;

/// The longest that one request waits; the API's limit.
const WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub(crate) enum ChangeCommand {
    /// Show how far a revision has come.
    Show {
        /// The revision.
        #[arg(value_name = "REV")]
        revision: u64,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Wait until the answers of all PoPs show a revision.
    Wait {
        /// The revision.
        #[arg(value_name = "REV")]
        revision: u64,
        /// Give up after so long.
        #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
        timeout: Duration,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(crate) fn run(command: ChangeCommand, output: &mut Output) -> Result<ExitCode, Failure> {
    match command {
        ChangeCommand::Show { revision, api } => show(&status(&Client::new(&api)?, revision, Duration::ZERO)?, output),
        ChangeCommand::Wait { revision, timeout, api } => {
            let client = Client::new(&api)?;
            let deadline = Instant::now() + timeout;
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                let status = status(&client, revision, left.min(WAIT_MAX))?;
                if status.state == State::Insync {
                    return show(&status, output);
                }
                if left.is_zero() {
                    let seconds = timeout.as_secs();
                    return Err(Failure::failed(format!(
                        "revision {revision} was not everywhere within {seconds} s{}",
                        waiting_for(&status.pops)
                    )));
                }
            }
        }
    }
}

fn status(client: &Client, revision: u64, wait: Duration) -> Result<ChangeStatus, Failure> {
    let path = UrlPath::v1(&["changes", &revision.to_string()]);
    client.get(&if wait.is_zero() { path } else { path.with("wait_ms", wait.as_millis()) })
}

fn show(status: &ChangeStatus, output: &mut Output) -> Result<ExitCode, Failure> {
    output.value(status, |status| {
        let state = match (status.state, &status.applied_at) {
            (State::Committed, _) => "not yet answered".to_owned(),
            (_, Some(at)) => format!("answered here since {at}"),
            (_, None) => "answered here".to_owned(),
        };
        let everywhere = match status.state {
            State::Insync if !status.pops.is_empty() => ", in sync",
            _ => "",
        };
        let ChangeStatus { revision, zone, committed_at, pops, .. } = status;
        let mut text = format!("Revision {revision} of {zone}: durable since {committed_at}, {state}{everywhere}.");
        for pop in pops {
            text.extend(["\n  ", &pop_line(pop)]);
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What one PoP has, as a line.
fn pop_line(pop: &PopChange) -> String {
    let state = match (pop.state, &pop.applied_at, &pop.unreachable_since) {
        (Progress::Applied, Some(at), _) => format!("applied at {at}"),
        (Progress::Applied, None, _) => "applied".to_owned(),
        (Progress::Pending, ..) => "pending".to_owned(),
        (Progress::Diverged, ..) => "diverged".to_owned(),
        (Progress::Unreachable, _, Some(since)) => format!("unreachable since {since}"),
        (Progress::Unreachable, _, None) => "unreachable".to_owned(),
    };
    format!("{}: {state}{}", pop.name, if pop.drained { " (drained)" } else { "" })
}

/// Which PoPs a change waits for.
fn waiting_for(pops: &[PopChange]) -> String {
    let waits = |pop: &&PopChange| !pop.drained && matches!(pop.state, Progress::Pending | Progress::Diverged);
    let lines: Vec<String> = pops.iter().filter(waits).map(pop_line).collect();
    if lines.is_empty() { String::new() } else { format!(": {}", lines.join("; ")) }
}

/// Reports what a command changed. `done` is a participle: `imported`, `deleted`.
pub(crate) fn report(change: &Change, done: &str, output: &mut Output) -> Result<ExitCode, Failure> {
    if output.is_json() {
        output.json(change)?;
        return Ok(ExitCode::SUCCESS);
    }
    for warning in &change.warnings {
        let rtype = warning.rtype.as_ref().map_or_else(String::new, |rtype| format!(" {rtype}"));
        output::note(format_args!("warning: {}{rtype}: {}", warning.name, warning.message));
    }
    let Change { zone, revision, .. } = change;
    match (change.changed, change.serial) {
        (false, _) => output.line(format_args!("{zone} was so already; nothing changed (version {revision}).")),
        (true, Some(serial)) => output.line(format_args!("{zone} {done}: version {revision}, serial {serial}.")),
        (true, None) => output.line(format_args!("{zone} {done} by revision {revision}.")),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// An absent reason is no reason.
pub(crate) fn reason(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
