//! `rokko config`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::raw::Raw;
use super::{load, reference};
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration file.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print the whole configuration that a file comes to, defaults included.
    Show {
        /// The file; without it the defaults.
        file: Option<PathBuf>,
    },
    /// Print all settings with their defaults and what they mean, as a file to start from.
    Reference {
        /// Print it as a page in Markdown.
        #[arg(long)]
        markdown: bool,
    },
}

pub(crate) fn run(command: ConfigCommand, output: &mut Output) -> Result<ExitCode, Failure> {
    match command {
        ConfigCommand::Check { file } => {
            load(Some(&file))?;
            let result = serde_json::json!({"file": file.display().to_string(), "ok": true});
            output.value(&result, |_| format!("{}: ok", file.display()))?;
        }
        ConfigCommand::Show { file } => {
            load(file.as_deref())?;
            let text = match &file {
                Some(file) => std::fs::read_to_string(file)
                    .map_err(|error| Failure::io(format_args!("read {}", file.display()), &error))?,
                None => String::new(),
            };
            let raw: Raw = toml::from_str(&text).map_err(|error| Failure::usage(error.message()))?;
            if output.is_json() {
                output.json(&raw)?;
            } else {
                output.raw(toml_of(&raw)?.as_bytes())?;
            }
        }
        ConfigCommand::Reference { markdown: true } => output.raw(reference::markdown()?.as_bytes())?,
        ConfigCommand::Reference { markdown: false } if output.is_json() => output.json(&reference::schema())?,
        ConfigCommand::Reference { markdown: false } => output.raw(reference::annotated()?.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A configuration as TOML, the keys in the order of their definition.
pub(super) fn toml_of(raw: &Raw) -> Result<String, Failure> {
    toml::to_string(raw).map_err(|error| Failure::failed(format!("cannot write the configuration: {error}")))
}
