//! Signs zones by BIND's `dnssec-signzone`. Keys come from the seed, and Ed25519 signatures from the key and the data
//! alone, so the signed zones of a seed are always the same.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use data_encoding::BASE64;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::generator::{Signing, ZoneSpec};
use super::names::Name;
use super::random::Random;

const ED25519: u8 = 15;
/// A key that is key-signing and zone-signing key in one.
const KEY_FLAGS: u16 = 257;

/// Writes the zone file, signed if the zone is to be, to `path`; `work` takes the files on the way there.
pub(super) fn write(zone: &ZoneSpec, random: &mut Random, path: &Path, work: &Path) {
    let mut text = zone.text();
    if zone.signing == Signing::Unsigned {
        std::fs::write(path, text).expect("the zone file is written");
        return;
    }
    let key = Key::new(random);
    writeln!(text, "{}\t3600\tIN\tDNSKEY\t{}", zone.apex, key.dnskey()).expect("writing to a string does not fail");
    let unsigned = work.join("unsigned");
    std::fs::write(&unsigned, text).expect("the unsigned zone is written");
    let stem = key.write(&zone.apex, work);
    let mut command = Command::new("dnssec-signzone");
    // Without a check of the result: it would want keys of two kinds.
    command.args(["-P", "-z", "-q", "-O", "full", "-s", "20200101000000", "-e", "20380101000000"]);
    if let Signing::Nsec3 { salt, iterations, opt_out } = &zone.signing {
        command.args(["-3", salt, "-H", &iterations.to_string()]);
        if *opt_out {
            command.arg("-A");
        }
    }
    command.current_dir(work).arg("-o").arg(zone.apex.to_string()).arg("-f").arg(path).arg(&unsigned).arg(stem);
    let output = command.output().expect("dnssec-signzone of the package bind9-utils is installed");
    assert!(output.status.success(), "signing {}: {}", zone.apex, String::from_utf8_lossy(&output.stderr));
}

/// The names of the NSEC3 records in a signed zone file.
pub(super) fn nsec3_owners(path: &Path) -> Vec<Name> {
    let text = std::fs::read_to_string(path).expect("the zone file is there");
    let lines = text.lines().map(|line| line.split_whitespace().take(4).collect::<Vec<_>>());
    lines.filter(|words| words.get(3) == Some(&"NSEC3")).map(|words| Name::plain(words[0])).collect()
}

struct Key {
    seed: Vec<u8>,
    public: Vec<u8>,
}

impl Key {
    fn new(random: &mut Random) -> Self {
        let seed = random.octets(32);
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 octets are an Ed25519 seed");
        Self { public: pair.public_key().as_ref().to_vec(), seed }
    }

    fn dnskey(&self) -> String {
        format!("{KEY_FLAGS} 3 {ED25519} {}", BASE64.encode(&self.public))
    }

    /// The key tag (RFC 4034, appendix B).
    fn tag(&self) -> u32 {
        let [high, low] = KEY_FLAGS.to_be_bytes();
        let rdata = [&[high, low, 3, ED25519], &self.public[..]].concat();
        let words = rdata.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low)));
        let sum: u32 = words.sum();
        (sum + (sum >> 16)) & 0xffff
    }

    /// Writes the key in BIND's two files and returns what their names have in common.
    fn write(&self, apex: &Name, folder: &Path) -> String {
        let stem = format!("K{apex}+{ED25519:03}+{:05}", self.tag());
        let private = format!(
            "Private-key-format: v1.3\nAlgorithm: {ED25519} (ED25519)\nPrivateKey: {}\n",
            BASE64.encode(&self.seed)
        );
        let public = format!("{apex} IN DNSKEY {}\n", self.dnskey());
        std::fs::write(folder.join(format!("{stem}.private")), private).expect("the private key is written");
        std::fs::write(folder.join(format!("{stem}.key")), public).expect("the public key is written");
        stem
    }
}
