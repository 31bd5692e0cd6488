//! Where things are, and how other programs are run.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates.and_then(Path::parent).expect("this crate lies two folders below the root")
}

/// Where builds go.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // Set by the cargo that runs this program, and about this program only.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
}

/// The search path with the folders of system programs, which ordinary users on Debian lack, and `first` in front.
pub(crate) fn search_path(first: Option<&Path>) -> Result<OsString> {
    let given = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = first.map(Path::to_owned).into_iter().collect();
    folders.extend(std::env::split_paths(&given));
    for folder in ["/usr/local/sbin", "/usr/sbin", "/sbin"] {
        if !folders.iter().any(|known| known == Path::new(folder)) {
            folders.push(folder.into());
        }
    }
    std::env::join_paths(folders).context("a folder in PATH has a colon in its name")
}

/// Whether a program of this name is on the search path.
pub(crate) fn has_program(name: &str) -> Result<bool> {
    let path = search_path(None)?;
    Ok(std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

/// Runs a command with its output shown; an error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{} could not be started", program(command)))?;
    if status.success() { Ok(()) } else { bail!("{} ended with {status}", program(command)) }
}

/// Runs a command and gives its standard output; an error with its standard error if it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{} could not be started", program(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}\n{}", program(command), output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} wrote something that is no text", program(command)))
}

/// Runs a command, shows its standard output as it comes and hands each line to `each` too.
pub(crate) fn run_lines(command: &mut Command, mut each: impl FnMut(&str)) -> Result<ExitStatus> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("{} could not be started", program(command)))?;
    let stdout = child.stdout.take().context("standard output was asked for")?;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        each(&line);
    }
    Ok(child.wait()?)
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
