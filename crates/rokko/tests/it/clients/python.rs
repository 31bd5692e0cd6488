//! Python programs, in a virtual environment with just the versions that are asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::program;
use crate::harness::Ran;

/// What has to be installed, exactly.
const REQUIREMENTS: &str = include_str!("../../../../xtask/python-clients.txt");
/// Says in a virtual environment what was installed in it.
const MARKER: &str = "installed.txt";

/// A program of the virtual environment.
pub(crate) fn command(program: &str, home: &Path) -> Command {
    program::command(environment().join("bin").join(program), home)
}

/// Runs a command made by [`command`] to its end.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Ran {
    program::finish(command)
}

/// The folder that `ROKKO_VENV` names, else the one that `cargo xtask test` makes beside the build; made if need be.
fn environment() -> &'static Path {
    static ENVIRONMENT: OnceLock<PathBuf> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        if let Some(given) = std::env::var_os("ROKKO_VENV") {
            return given.into();
        }
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = temporary.parent().expect("the folder is in the target folder").join("test-venv");
        if fs::read_to_string(folder.join(MARKER)).is_ok_and(|installed| installed == REQUIREMENTS) {
            return folder;
        }
        make(&folder, temporary);
        folder
    })
}

fn make(folder: &Path, temporary: &Path) {
    let mut python = Command::new("python3");
    let made = python.args(["-m", "venv", "--clear"]).arg(folder).output();
    let made = Ran::of(made.expect("python3 of the package python3 is installed"));
    assert_eq!(made.code, Some(0), "no virtual environment; install the package python3-venv: {made:#?}");
    let requirements = temporary.join("python-clients.txt");
    fs::create_dir_all(temporary).unwrap();
    fs::write(&requirements, REQUIREMENTS).unwrap();
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&requirements);
    let installed = Ran::of(pip.output().unwrap());
    assert_eq!(installed.code, Some(0), "the Python clients could not be installed: {installed:#?}");
    fs::write(folder.join(MARKER), REQUIREMENTS).unwrap();
}
