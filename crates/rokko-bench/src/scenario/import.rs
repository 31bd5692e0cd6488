//! How long an import takes, durability included.

use anyhow::Result;

use crate::data::Set;
use crate::peers::{rokko_filled, rokko_import};
use crate::report::Bench;

pub(crate) fn run(bench: &Bench, zones: usize, names: usize) -> Result<()> {
    bench.title("Import");
    let sets = [(Set::Small(zones), ", a file each"), (Set::Big(names), ""), (Set::Registry(names), "")];
    for (set, note) in sets {
        let (_, input) = set.files(&bench.folder)?;
        let data = bench.folder.join("rokko-import");
        let mut seconds = Vec::new();
        for _ in 0..bench.rounds.min(3) {
            seconds.push(rokko_import(bench, &data, &input)?);
        }
        bench.row(&format!("{}{note}, into a stopped node, s", set.title()), "Rokko", &seconds);
        std::fs::remove_dir_all(data)?;
    }
    let set = Set::Small(zones);
    let data = bench.folder.join(format!("rokko-{}", set.slug()));
    if data.exists() {
        std::fs::remove_dir_all(data)?;
    }
    let (_, seconds) = rokko_filled(bench, set)?;
    bench.row(&format!("{}, over the API of a running node, s", set.title()), "Rokko", &[seconds]);
    bench.flush();
    Ok(())
}
