//! Why a command did not work, in words and as an exit code that scripts can trust.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use crate::args::Format;

/// What sort of failure it is. Each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The reader of standard output went away; nothing is wrong with the command.
    Closed,
    /// The thing was tried, and failed or was refused.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// The API cannot be reached.
    Unreachable,
    /// The zone has changed since the version that `--if-version` names.
    Stale,
    /// The zone, RRset, revision or key does not exist.
    NotFound,
    /// The API key is missing, unknown, or may not do this.
    NotAllowed,
}

/// The exit codes, for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed or refused
  2  the command line or the configuration is wrong
  3  the API cannot be reached
  4  the zone has changed since the version given with --if-version
  5  the zone, RRset, revision or key does not exist
  6  the API key is missing, unknown, or may not do this";

/// Why a command did not work.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The thing was tried, and failed or was refused.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// The command line or the configuration is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// An error of the operating system.
    pub(crate) fn io(doing: impl Display, error: &io::Error) -> Self {
        Self::failed(format!("cannot {doing}: {error}"))
    }

    /// An error of standard output.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Kind::Closed, ""),
            _ => Self::io("write to standard output", error),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.kind == Kind::Closed
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self.kind {
            Kind::Closed => 0,
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Unreachable => 3,
            Kind::Stale => 4,
            Kind::NotFound => 5,
            Kind::NotAllowed => 6,
        }
    }

    /// What standard error gets.
    pub(crate) fn report(&self, format: Format) -> String {
        match format {
            Format::Human => format!("error: {}", self.message),
            Format::Json => {
                serde_json::json!({"error": {"exit_code": self.code(), "message": self.message}}).to_string()
            }
        }
    }
}
