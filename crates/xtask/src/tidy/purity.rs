//! Pure crates ban clock, entropy, files, sockets and threads by a `clippy.toml` of their own.
//!
//! Clippy reads one file only, so theirs must begin with what the root's says.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Report;

/// The crates that work on arguments alone.
const PURE: &[&str] = &["rokko-wire", "rokko-zone", "rokko-answer", "rokko-dnssec", "rokko-feed", "rokko-model"];
/// What they all have as `clippy.toml`.
const PURE_CONFIG: &str = "clippy-pure.toml";

pub(super) fn check(root: &Path, report: &mut Report) -> Result<()> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()));
    let pure = read(&root.join(PURE_CONFIG))?;
    if !pure.contains(read(&root.join("clippy.toml"))?.trim_end()) {
        report.error(format!("{PURE_CONFIG} does not repeat what clippy.toml says"));
    }
    for name in PURE {
        let path = root.join("crates").join(name).join("clippy.toml");
        if fs::read_to_string(&path).ok().as_ref() != Some(&pure) {
            report.error(format!("crates/{name}/clippy.toml is not a link to {PURE_CONFIG}"));
        }
    }
    Ok(())
}
