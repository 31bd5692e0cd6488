//! The `rokko` command: argument parsing and wiring. No rules in here.
//!
//! ```text
//! args      what can be typed
//! up        one node: store, control, catalog, answers, network and HTTP in one process
//! client    HTTP to a running node;  zone, record, change, key, backup: the commands over it
//! keys      signing keys, on the data folder
//! config    the configuration file: reading, checking, reference
//! output    all that goes to standard output;  failure: why a command did not work, and its exit code
//! ```

mod args;
mod backup;
mod change;
mod client;
mod config;
mod dnssec;
mod failure;
mod fleet;
mod key;
mod keys;
mod output;
mod pop;
mod record;
mod shell;
mod time;
mod up;
mod zone;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::new(cli.output);
    let result = run(cli.command, &mut output).and_then(|code| output.flush().map(|()| code));
    match result {
        Ok(code) => code,
        Err(failure) => {
            if !failure.is_quiet() {
                // Nothing is left to be done if standard error is closed too.
                let _ = writeln!(std::io::stderr(), "{}", failure.report(cli.output));
            }
            failure.exit_code()
        }
    }
}

fn run(command: Command, output: &mut Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(args) => up::run(&args, output),
        Command::Pop(args) => pop::run(&args, output),
        Command::Zone { command } => zone::run(command, output),
        Command::Record { command } => record::run(command, output),
        Command::Change { command } => change::run(command, output),
        Command::Fleet { command } => fleet::run(command, output),
        Command::Dnssec { command } => dnssec::run(command, output),
        Command::Key { command } => key::run(command, output),
        Command::Keys { command } => keys::run(command, output),
        Command::Backup(args) => backup::run(&args, output),
        Command::Config { command } => config::command::run(command, output),
        Command::Completions { shell } => shell::completions(shell, output),
        Command::Man { directory } => shell::man_pages(&directory, output),
    }
}
