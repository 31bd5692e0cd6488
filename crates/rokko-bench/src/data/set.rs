//! What servers are loaded with.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rokko_wire::Rtype;

use super::queries::{NOERROR, NXDOMAIN, query};
use super::random::Random;
use super::{registry, zones};

/// A set of zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// So many zones of six records.
    Small(usize),
    /// One zone with so many names.
    Big(usize),
    /// One zone with so many delegations.
    Registry(usize),
}

/// A zone and the file that holds it.
#[derive(Clone, Debug)]
pub(crate) struct ZoneFile {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
}

impl Set {
    /// Zones, names or delegations.
    pub(crate) fn count(&self) -> usize {
        match *self {
            Set::Small(count) | Set::Big(count) | Set::Registry(count) => count,
        }
    }

    /// In words.
    pub(crate) fn title(&self) -> String {
        match self {
            Set::Small(count) => format!("{} zones of six records", grouped(*count)),
            Set::Big(count) => format!("one zone of {} names", grouped(*count)),
            Set::Registry(count) => format!("one zone of {} delegations", grouped(*count)),
        }
    }

    /// A word for files and folders.
    pub(crate) fn slug(&self) -> String {
        match self {
            Set::Small(count) => format!("small-{count}"),
            Set::Big(count) => format!("big-{count}"),
            Set::Registry(count) => format!("registry-{count}"),
        }
    }

    /// The zones' files below `folder`, written if they are not there, and what is to be imported to have them all.
    pub(crate) fn files(&self, folder: &Path) -> Result<(Vec<ZoneFile>, PathBuf)> {
        let (name, text): (&str, fn(usize) -> String) = match *self {
            Set::Small(count) => {
                let root = zones::write_small_zones(folder, count)?;
                let one =
                    |index| ZoneFile { name: zones::small_zone(index), file: zones::small_zone_file(&root, index) };
                return Ok(((0..count).map(one).collect(), root.clone()));
            }
            Set::Big(_) => ("big.example", zones::big_zone_text),
            Set::Registry(_) => (registry::APEX, registry::text),
        };
        let file = folder.join(format!("{}.zone", self.slug()));
        zones::write_once(&file, || text(self.count()))?;
        Ok((vec![ZoneFile { name: name.to_owned(), file: file.clone() }], file))
    }

    /// The apex that the `index`th zone or name is in.
    pub(crate) fn apex(&self, index: usize) -> String {
        match self {
            Set::Small(_) => zones::small_zone(index),
            Set::Big(_) => "big.example".to_owned(),
            Set::Registry(_) => registry::APEX.to_owned(),
        }
    }

    /// An owner name with an A record that may be changed.
    pub(crate) fn host(&self, index: usize) -> String {
        match self {
            Set::Small(_) => format!("www.{}", zones::small_zone(index)),
            Set::Big(_) => zones::big_zone_host(index),
            Set::Registry(_) => format!("a.nic.{}", registry::APEX),
        }
    }

    /// A query that has an answer as soon as the server has the set.
    pub(crate) fn ready(&self) -> Result<Vec<u8>> {
        query(&self.host(self.count() - 1), Rtype::A, false)
    }

    /// One question about the `index`th zone or name, and the rcode of its answer.
    pub(super) fn question(&self, index: usize, random: &mut Random) -> (String, Rtype, u8) {
        let kind = random.below(10);
        match self {
            Set::Small(_) => small_question(index, kind, random),
            Set::Big(_) => {
                let host = zones::big_zone_host(index);
                match kind {
                    0..7 => (host, Rtype::A, NOERROR),
                    7 => (host, Rtype::TXT, NOERROR),
                    8 => (host, Rtype::AAAA, NOERROR),
                    _ => (format!("no-{host}"), Rtype::A, NXDOMAIN),
                }
            }
            Set::Registry(_) => {
                let domain = registry::domain(index);
                match kind {
                    0..4 => (format!("www.{domain}"), Rtype::A, NOERROR),
                    4..6 => (domain, Rtype::AAAA, NOERROR),
                    6..8 => (domain, Rtype::NS, NOERROR),
                    8 => (domain, Rtype::DS, NOERROR),
                    _ => (format!("no-{domain}"), Rtype::A, NXDOMAIN),
                }
            }
        }
    }
}

fn small_question(index: usize, kind: usize, random: &mut Random) -> (String, Rtype, u8) {
    let apex = zones::small_zone(index);
    match kind {
        0..4 => (format!("www.{apex}"), Rtype::A, NOERROR),
        4..7 => (apex, Rtype::A, NOERROR),
        7 => (apex, Rtype::MX, NOERROR),
        8 => (format!("www.{apex}"), Rtype::AAAA, NOERROR),
        _ => (format!("no{}.{apex}", random.below(1000)), Rtype::A, NXDOMAIN),
    }
}

/// A number with commas between groups of three digits.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([7, 999, 1000, 1_234_567].map(grouped), ["7", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn questions_are_about_what_is_in_the_zone() {
        let mut random = Random(4);
        for set in [Set::Small(50), Set::Big(50), Set::Registry(50)] {
            let folder = tempfile::tempdir().unwrap();
            let (files, _) = set.files(folder.path()).unwrap();
            let text: String = files.iter().map(|zone| std::fs::read_to_string(&zone.file).unwrap()).collect();
            for _ in 0..200 {
                let index = random.below(50);
                let (name, _, rcode) = set.question(index, &mut random);
                let first = name.split('.').next().unwrap();
                assert!(name.ends_with(&set.apex(index)), "{name}");
                if rcode == NXDOMAIN {
                    assert!(!text.contains(&format!("\n{first} ")), "{name} exists");
                }
            }
        }
    }
}
