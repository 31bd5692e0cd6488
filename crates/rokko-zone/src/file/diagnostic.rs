//! What reading and checking a zone file has to say, and where.

use std::fmt;
use std::sync::Arc;

use rokko_wire::{Name, Rtype};

/// A place in a zone file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file as the caller, or `$INCLUDE`, named it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in octets, from 1; 0 stands for the whole line.
    pub column: u32,
}

/// How much weight a diagnostic or a finding has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The zone is refused.
    Error,
    /// The zone is taken, but a person should look at it.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One error or warning. Its text form is that of a compiler: `file:line:column: error: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Where; `None` if it concerns the zone as a whole.
    pub position: Option<Position>,
    /// The owner name of the record concerned, as far as it was known.
    pub owner: Option<Name>,
    /// The type of the record concerned, as far as it was known.
    pub rtype: Option<Rtype>,
    /// What kind of problem this is, in short and stable words such as `unknown-type`.
    pub code: &'static str,
    /// What was found and what was expected, or a sentence with the next step.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Position { file, line, column }) = &self.position {
            write!(f, "{file}:{line}:")?;
            if *column > 0 {
                write!(f, "{column}:")?;
            }
            f.write_str(" ")?;
        }
        write!(f, "{}: {}", self.severity, self.message)
    }
}

/// Collects diagnostics up to a limit for each severity, and counts the rest.
#[derive(Debug)]
pub(crate) struct Collector {
    each_max: usize,
    kept: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Collector {
    pub(crate) fn new(each_max: usize) -> Self {
        Self { each_max, kept: Vec::new(), errors: 0, warnings: 0 }
    }

    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether there is no room for a further diagnostic of `severity`; it is then counted here, and need not be worded.
    pub(crate) fn is_over(&mut self, severity: Severity) -> bool {
        let count = self.count(severity);
        let full = *count >= self.each_max;
        if full {
            *self.count(severity) += 1;
        }
        full
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if !self.is_over(diagnostic.severity) {
            *self.count(diagnostic.severity) += 1;
            self.kept.push(diagnostic);
        }
    }

    fn count(&mut self, severity: Severity) -> &mut usize {
        match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        }
    }

    /// The diagnostics kept, and after them how many were left out.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        for (severity, count, word) in
            [(Severity::Error, self.errors, "error"), (Severity::Warning, self.warnings, "warning")]
        {
            let more = count.saturating_sub(self.each_max);
            if more > 0 {
                let plural = if more == 1 { "" } else { "s" };
                self.kept.push(Diagnostic {
                    severity,
                    position: None,
                    owner: None,
                    rtype: None,
                    code: "more",
                    message: format!("{more} more {word}{plural} not shown"),
                });
            }
        }
        self.kept
    }
}
