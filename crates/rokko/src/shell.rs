//! Completion scripts and manual pages, both made from the definition of the command line.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::{self, Output};

pub(crate) fn completions(shell: Shell, output: &mut Output) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rokko", &mut script);
    output.raw(&script)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man_pages(directory: &Path, output: &mut Output) -> Result<ExitCode, Failure> {
    let writing = |error| Failure::io(format_args!("write manual pages to {}", directory.display()), &error);
    std::fs::create_dir_all(directory).map_err(writing)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(writing)?;
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(writing)? {
        pages.push(entry.map_err(writing)?.file_name().to_string_lossy().into_owned());
    }
    pages.sort();
    if output.is_json() {
        output.json(&pages)?;
    } else {
        output.line(format_args!(
            "Wrote {} to {}. Read one with: man {}",
            output::count(pages.len() as u64, "manual page"),
            directory.display(),
            directory.join("rokko.1").display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
