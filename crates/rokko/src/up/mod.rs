//! `rokko up`: one node in one process.
//!
//! ```text
//! store ──► control ──► mirror ──► answers ──► network       HTTP API ──► control
//! ```
//!
//! A stop goes the other way: the API finishes its requests, the network its queries, control what is queued.

mod admin;
mod api;
mod banner;
mod demo;
pub(crate) mod dns;
pub(crate) mod fleet;
pub(crate) mod keep;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod node;
pub(crate) mod notify;
mod parents;
mod secrets;
pub(crate) mod signals;
pub(crate) mod signing;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::config::{self, Config, LogFormat};
use crate::failure::Failure;
use crate::output::Output;
use node::Node;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct UpArgs {
    /// The folder with the store, the administrator's key and the backups [default: ./rokko-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where DNS is served, over UDP and TCP; repeatable [default: `127.0.0.1:5300` and `[::1]:5300`].
    #[arg(long, value_name = "ADDR:PORT")]
    dns_listen: Vec<SocketAddr>,
    /// Take UDP queries from these network interfaces past the kernel's network stack (AF_XDP). Needs root or capabilities.
    #[arg(long, value_name = "IFACE", value_delimiter = ',')]
    xdp: Vec<String>,
    /// Where PoPs are served; repeatable [default: nowhere].
    #[arg(long, value_name = "ADDR:PORT")]
    fleet_listen: Vec<SocketAddr>,
    /// Where the API is served; repeatable. Plain HTTP on loopback, HTTPS elsewhere [default: 127.0.0.1:8053].
    #[arg(long, value_name = "ADDR:PORT")]
    api_listen: Vec<SocketAddr>,
    /// The configuration file; `rokko config reference` describes it. Flags come before it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Make a sample zone if there is no zone yet.
    #[arg(long)]
    demo: bool,
    /// How the log is written to standard error.
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

const AFTER_HELP: &str = "\
Port 0 takes a free port. To serve port 53 without being root, give the program the capability:
  setcap cap_net_bind_service=+ep $(command -v rokko)
or, in a systemd unit: AmbientCapabilities=CAP_NET_BIND_SERVICE
For --xdp add CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, and LimitMEMLOCK=infinity.

The first start takes the administrator's key from ROKKO_API_KEY if that is set, else makes one. It is printed once and
kept in DIR/admin.key.

When everything listens, one line goes to standard output: `ready dns=ADDR:PORT,... api=URL,...`, or with --output json
an object. SIGTERM and SIGINT stop the node when it has finished what it has; SIGHUP reads the configuration file and the
certificates again.";

pub(crate) fn run(args: &UpArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let config = configuration(args)?;
    let log = log::start(&config.log_level, config.log_format)?;
    // A signal that comes during the start is kept until the node is up.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("rokko-api")
        .build()
        .map_err(|error| Failure::io("start the threads of the API", &error))?;
    let signals = runtime.block_on(async { signals::Signals::new() })?;
    let (node, started) = Node::start(config, args.demo, &runtime)?;
    if let Err(failure) = banner::print(&started, output) {
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

/// The configuration file with the flags over it.
fn configuration(args: &UpArgs) -> Result<Config, Failure> {
    let mut config = config::load(args.config.as_deref())?;
    if let Some(data_dir) = &args.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    if !args.dns_listen.is_empty() {
        config.net.listen.clone_from(&args.dns_listen);
        config.dns_listen_is_default = false;
    }
    if !args.xdp.is_empty() {
        config.net.xdp.interfaces.clone_from(&args.xdp);
    }
    if !args.fleet_listen.is_empty() {
        config.fleet_listen.clone_from(&args.fleet_listen);
    }
    if !args.api_listen.is_empty() {
        config.api_listen.clone_from(&args.api_listen);
    }
    if let Some(format) = args.log_format {
        config.log_format = format;
    }
    Ok(config)
}

/// An error and all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The time in Unix seconds.
pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
