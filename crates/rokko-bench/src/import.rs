//! How long an import into a stopped node takes, durability included.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::data::{write_big_zone, write_small_zones};
use crate::report::Bench;

pub(crate) fn run(bench: &Bench, zones: usize, names: usize) -> Result<()> {
    bench.title("Import into a stopped node");
    let small = write_small_zones(&bench.folder, zones)?;
    let big = write_big_zone(&bench.folder, names)?;
    for (measure, input) in
        [(format!("{zones} zones of six records"), small), (format!("one zone of {names} names"), big)]
    {
        let mut seconds = Vec::new();
        for _ in 0..bench.rounds.min(3) {
            let data = bench.folder.join("rokko-import");
            seconds.push(import(bench, &data, &input)?);
        }
        bench.row(&measure, "Rokko", "s", &seconds);
    }
    Ok(())
}

/// Imports files into a new data folder; returns the seconds that it took.
pub(crate) fn import(bench: &Bench, data: &Path, input: &Path) -> Result<f64> {
    if data.exists() {
        fs::remove_dir_all(data)?;
    }
    let start = Instant::now();
    let mut command = Command::new(&bench.rokko);
    command.args(["zone", "import"]).arg(input).arg("--data-dir").arg(data);
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("the import failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(start.elapsed().as_secs_f64())
}

/// A data folder with the zones of `input` in it.
pub(crate) fn imported(bench: &Bench, input: &Path) -> Result<PathBuf> {
    let data = bench.folder.join("rokko-data");
    import(bench, &data, input)?;
    Ok(data)
}
