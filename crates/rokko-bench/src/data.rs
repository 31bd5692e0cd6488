//! Zones and queries made up from a seed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rokko_wire::{Name, Rtype};

/// A small pseudo-random generator (`SplitMix64`); the same seed gives the same data.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }
}

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
pub(crate) fn write_small_zones(folder: &Path, count: usize) -> Result<PathBuf> {
    let zones = folder.join(format!("zones-{count}"));
    let complete = zones.with_extension("complete");
    if complete.exists() {
        return Ok(zones);
    }
    for index in 0..count {
        let sub = zones.join(format!("{:04}", index / 1000));
        if index % 1000 == 0 {
            fs::create_dir_all(&sub)?;
        }
        fs::write(sub.join(format!("{}.zone", small_zone(index))), small_zone_text(index))?;
    }
    fs::write(complete, "")?;
    Ok(zones)
}

/// The file of a small zone as [`write_small_zones`] lays it out.
pub(crate) fn small_zone_file(zones: &Path, index: usize) -> PathBuf {
    zones.join(format!("{:04}", index / 1000)).join(format!("{}.zone", small_zone(index)))
}

/// Writes the one large zone: an address for each name, and a TXT record for every third. Done once.
pub(crate) fn write_big_zone(folder: &Path, names: usize) -> Result<PathBuf> {
    let file = folder.join(format!("big-{names}.zone"));
    if file.exists() {
        return Ok(file);
    }
    let mut text = String::from(
        "$ORIGIN big.example.\n$TTL 3600\n@ IN SOA ns1 hostmaster 1 10800 3600 604800 300\n@ IN NS ns1\nns1 IN A 192.0.2.1\n",
    );
    for index in 0..names {
        writeln!(text, "host-{index:07} IN A 192.0.2.{}", index % 256)?;
        if index % 3 == 0 {
            writeln!(text, "host-{index:07} IN TXT \"host number {index}\"")?;
        }
    }
    let partial = file.with_extension("partial");
    fs::write(&partial, text)?;
    fs::rename(partial, &file)?;
    Ok(file)
}

/// A query message with EDNS, without its id.
pub(crate) fn query(name: &str, rtype: Rtype) -> Result<Vec<u8>> {
    let name: Name = name.parse()?;
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend_from_slice(name.as_bytes());
    message.extend_from_slice(&rtype.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    // OPT with a payload size of 1232.
    message.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    Ok(message)
}

/// Queries over the small zones: uniform over zones; addresses, MX, negative answers.
pub(crate) fn small_zone_queries(zones: usize, count: usize) -> Result<Vec<Vec<u8>>> {
    let mut random = Random(1);
    let one = |random: &mut Random| {
        let apex = small_zone(random.below(zones));
        match random.below(10) {
            0..4 => query(&format!("www.{apex}"), Rtype::A),
            4..7 => query(&apex, Rtype::A),
            7 => query(&apex, Rtype::MX),
            8 => query(&format!("www.{apex}"), Rtype::AAAA),
            _ => query(&format!("no{}.{apex}", random.below(1000)), Rtype::A),
        }
    };
    (0..count).map(|_| one(&mut random)).collect()
}

/// Queries over the large zone.
pub(crate) fn big_zone_queries(names: usize, count: usize) -> Result<Vec<Vec<u8>>> {
    let mut random = Random(2);
    let one = |random: &mut Random| {
        let host = format!("host-{:07}.big.example", random.below(names));
        match random.below(10) {
            0..7 => query(&host, Rtype::A),
            7 => query(&host, Rtype::TXT),
            8 => query(&host, Rtype::AAAA),
            _ => query(&format!("no-{host}"), Rtype::A),
        }
    };
    (0..count).map(|_| one(&mut random)).collect()
}
