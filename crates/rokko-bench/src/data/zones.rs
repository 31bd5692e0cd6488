//! Many small zones, and one large one.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// The name of the `index`th small zone.
pub(crate) fn small_zone(index: usize) -> String {
    format!("customer-{index:07}.example")
}

/// A zone of six records.
pub(crate) fn small_zone_text(index: usize) -> String {
    let apex = small_zone(index);
    format!(
        "$ORIGIN {apex}.\n$TTL 3600\n\
         @ IN SOA ns1.hosting.test. hostmaster.hosting.test. 1 10800 3600 604800 300\n\
         @ IN NS ns1.hosting.test.\n@ IN NS ns2.hosting.test.\n\
         @ IN A 192.0.2.{}\nwww IN A 198.51.100.{}\n@ IN MX 10 mail.hosting.test.\n",
        index % 256,
        index / 256 % 256,
    )
}

/// Writes each small zone to a file of its own below `folder`, a thousand to a subfolder. Done once.
pub(super) fn write_small_zones(folder: &Path, count: usize) -> Result<PathBuf> {
    let zones = folder.join(format!("zones-{count}"));
    let complete = zones.with_extension("complete");
    if complete.exists() {
        return Ok(zones);
    }
    for index in 0..count {
        let file = small_zone_file(&zones, index);
        if index % 1000 == 0
            && let Some(sub) = file.parent()
        {
            fs::create_dir_all(sub)?;
        }
        fs::write(file, small_zone_text(index))?;
    }
    fs::write(complete, "")?;
    Ok(zones)
}

/// The file of a small zone as [`write_small_zones`] lays it out.
pub(super) fn small_zone_file(zones: &Path, index: usize) -> PathBuf {
    zones.join(format!("{:04}", index / 1000)).join(format!("{}.zone", small_zone(index)))
}

/// The name of a host in the large zone.
pub(super) fn big_zone_host(index: usize) -> String {
    format!("host-{index:07}.big.example")
}

/// The one large zone: an address for each name, and a TXT record for every third.
pub(super) fn big_zone_text(names: usize) -> String {
    let mut text = String::from(
        "$ORIGIN big.example.\n$TTL 3600\n@ IN SOA ns1 hostmaster 1 10800 3600 604800 300\n@ IN NS ns1\nns1 IN A 192.0.2.1\n",
    );
    for index in 0..names {
        // Writing to a string does not fail.
        let _ = writeln!(text, "host-{index:07} IN A 192.0.2.{}", index % 256);
        if index % 3 == 0 {
            let _ = writeln!(text, "host-{index:07} IN TXT \"host number {index}\"");
        }
    }
    text
}

/// Writes a zone to a file that is there whole or not at all. Done once.
pub(super) fn write_once(file: &Path, text: impl FnOnce() -> String) -> Result<()> {
    if !file.exists() {
        let partial = file.with_extension("partial");
        fs::write(&partial, text())?;
        fs::rename(partial, file)?;
    }
    Ok(())
}
