//! What can be typed: the top of the command line and the options that many commands share.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::{backup, change, config, dnssec, failure, fleet, key, keys, pop, record, up, zone};

/// Host DNS zones: a server, its control plane and its command line in one.
#[derive(Debug, Parser)]
#[command(name = "rokko", version, arg_required_else_help = true, after_help = failure::EXIT_CODES)]
pub(crate) struct Cli {
    /// How results are written to standard output.
    #[arg(long, global = true, value_enum, default_value_t = Format::Human, value_name = "FORMAT")]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences.
    Human,
    /// JSON, with the field names of the HTTP API.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a node: store, DNS server and HTTP API in one process.
    Up(up::UpArgs),
    /// Start a point of presence: DNS from a copy of all zones that the fleet's feed keeps up to date.
    Pop(pop::PopArgs),
    /// Import, export, check, list and change whole zones.
    Zone {
        #[command(subcommand)]
        command: zone::ZoneCommand,
    },
    /// List and change the records of a zone.
    Record {
        #[command(subcommand)]
        command: record::RecordCommand,
    },
    /// See what became of a change.
    Change {
        #[command(subcommand)]
        command: change::ChangeCommand,
    },
    /// See and manage the points of presence.
    Fleet {
        #[command(subcommand)]
        command: fleet::FleetCommand,
    },
    /// See how zones are signed, sign them, replace their keys.
    Dnssec {
        #[command(subcommand)]
        command: dnssec::DnssecCommand,
    },
    /// Make, list and revoke API keys.
    Key {
        #[command(subcommand)]
        command: key::KeyCommand,
    },
    /// Move, list and back up the keys that zones are signed with. API keys: `rokko key`.
    Keys {
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// Write a consistent copy of the store while the node goes on.
    Backup(backup::BackupArgs),
    /// Check, show and document the configuration.
    Config {
        #[command(subcommand)]
        command: config::command::ConfigCommand,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the manual pages into a folder.
    Man {
        /// The folder; it is made if it does not exist.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// Which node a client command talks to, and as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct ApiArgs {
    /// The address of the node's API.
    #[arg(long, value_name = "URL", env = "ROKKO_API", default_value = DEFAULT_API, help_heading = "API")]
    pub(crate) api: String,
    /// A file with the API key, in place of the variable `ROKKO_API_KEY`.
    ///
    /// With neither, `./rokko-data/admin.key` is read if it is there.
    #[arg(long, value_name = "FILE", help_heading = "API")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Trust only the certificates in this PEM file.
    #[arg(long, value_name = "FILE", env = "ROKKO_API_CA", help_heading = "API")]
    pub(crate) api_ca: Option<PathBuf>,
    /// Trust only the certificate with this SHA-256 fingerprint, whatever its name.
    ///
    /// A node prints the fingerprint of its own certificate when it starts.
    #[arg(long, value_name = "SHA256", env = "ROKKO_API_FINGERPRINT", conflicts_with = "api_ca", help_heading = "API")]
    pub(crate) api_fingerprint: Option<String>,
}

/// Where a node's API listens if nothing else is said.
pub(crate) const DEFAULT_API: &str = "http://127.0.0.1:8053";

/// What accompanies a change of one zone.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ChangeArgs {
    /// Why, for the zone's history.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Change the zone only if this is still its version.
    #[arg(long, value_name = "N")]
    pub(crate) if_version: Option<u64>,
}
