//! `rokko pop`: a point of presence. It answers from its own copy, and the feed keeps that up to date.
//!
//! ```text
//! control node or relay ──► feed ──► mirror ──► answers ──► network
//! ```

mod feed;
mod node;
mod state;
mod status;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::{self, Config, LogFormat};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::up::{log, notify, signals};
use node::PopNode;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct PopArgs {
    /// Join the fleet with this token, which `rokko fleet token` has made; needed once.
    #[arg(long, value_name = "TOKEN", env = "ROKKO_JOIN", hide_env_values = true)]
    join: Option<String>,
    /// The folder with the copy of all zones, the key and the certificate [default: ./rokko-pop].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the feed comes from, if not from where the token says; repeatable, tried in order.
    #[arg(long, value_name = "HOST:PORT")]
    from: Vec<String>,
    /// Where DNS is served, over UDP and TCP; repeatable [default: `127.0.0.1:5300` and `[::1]:5300`].
    #[arg(long, value_name = "ADDR:PORT")]
    dns_listen: Vec<SocketAddr>,
    /// Take UDP queries from these network interfaces past the kernel's network stack (AF_XDP).
    #[arg(long, value_name = "IFACE", value_delimiter = ',')]
    xdp: Vec<String>,
    /// Where `/metrics` and `/healthz` are served; repeatable [default: 127.0.0.1:8055].
    #[arg(long, value_name = "ADDR:PORT")]
    status_listen: Vec<SocketAddr>,
    /// Serve the feed to other PoPs here; the token must have been made for a relay.
    #[arg(long, value_name = "ADDR:PORT")]
    relay_listen: Vec<SocketAddr>,
    /// The configuration file; `rokko config reference` describes it. Flags come before it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the log is written to standard error.
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

const AFTER_HELP: &str = "\
The PoP answers as soon as it has data, from its own copy, whether or not the control plane can be reached. When everything
listens, one line goes to standard output: `ready dns=ADDR:PORT,... status=ADDR:PORT,...`. SIGTERM and SIGINT stop it when it has
finished what it has.";

pub(crate) fn run(args: &PopArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let config = configuration(args)?;
    let log = log::start(&config.log_level, config.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .thread_name("rokko-feed")
        .build()
        .map_err(|error| Failure::io("start the threads of the feed", &error))?;
    let signals = runtime.block_on(async { signals::Signals::new() })?;
    let (node, started) = PopNode::start(config, args.join.as_deref(), &runtime)?;
    if let Err(failure) = announce(&started, output) {
        // The node serves whether or not somebody reads this.
        tracing::warn!("standard output is closed or full, the node goes on: {}", failure.message());
    }
    notify::notify("READY=1");
    let node = signals::serve(signals, node, &runtime, &log, || configuration(args));
    notify::notify("STOPPING=1");
    node.stop(&runtime);
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// A PoP that has just started.
pub(crate) struct Started {
    name: String,
    zones: usize,
    revision: u64,
    took_ms: u128,
    dns: Vec<SocketAddr>,
    status: Vec<SocketAddr>,
    relay: Vec<SocketAddr>,
}

fn announce(started: &Started, output: &mut Output) -> Result<(), Failure> {
    let list = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (dns, status, relay) = (list(&started.dns), list(&started.status), list(&started.relay));
    let pid = std::process::id();
    if output.is_json() {
        let document = serde_json::json!({
            "ready": true, "name": started.name, "dns": dns, "status": status, "relay": relay,
            "zones": started.zones, "revision": started.revision, "pid": pid,
        });
        output.line(document)?;
        return output.flush();
    }
    let Started { name, zones, revision, took_ms, .. } = started;
    output::note(format_args!(
        "\nRokko {} is up as the PoP {name}: revision {revision}, {} (loaded in {took_ms} ms).\n",
        env!("CARGO_PKG_VERSION"),
        output::count(*zones as u64, "zone"),
    ));
    let relay = if relay.is_empty() { String::new() } else { format!(" relay={}", relay.join(",")) };
    output.line(format_args!("ready dns={} status={}{relay} pid={pid}", dns.join(","), status.join(",")))?;
    output.flush()
}

/// The configuration file with the flags over it.
fn configuration(args: &PopArgs) -> Result<Config, Failure> {
    let mut config = config::load(args.config.as_deref())?;
    if let Some(data_dir) = &args.data_dir {
        config.pop.data_dir.clone_from(data_dir);
    }
    if !args.dns_listen.is_empty() {
        config.net.listen.clone_from(&args.dns_listen);
        config.dns_listen_is_default = false;
    }
    let lists =
        [(&args.status_listen, &mut config.pop.status_listen), (&args.relay_listen, &mut config.pop.relay_listen)];
    for (given, used) in lists {
        if !given.is_empty() {
            used.clone_from(given);
        }
    }
    if !args.from.is_empty() {
        config.pop.from.clone_from(&args.from);
    }
    if !args.xdp.is_empty() {
        config.net.xdp.interfaces.clone_from(&args.xdp);
    }
    if let Some(format) = args.log_format {
        config.log_format = format;
    }
    Ok(config)
}
