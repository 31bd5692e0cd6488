//! A zone signed by BIND's tools, with a signed and an unsigned zone below it.

use std::path::{Path, PathBuf};

use super::program::{DNSSEC_KEYGEN, DNSSEC_SIGNZONE};
use crate::harness::Node;

pub(super) const APEX: &str = "signed.example";

const PARENT: &str = "\
$ORIGIN signed.example.
$TTL 3600
@ SOA ns1 hostmaster 1 7200 900 1209600 300
@ NS ns1
@ MX 10 mail
ns1 A 192.0.2.53
mail A 192.0.2.25
www A 192.0.2.1
www A 192.0.2.2
alias CNAME www
chain CNAME www.secure
*.wild A 192.0.2.77
a.deep.name TXT \"below an empty non-terminal\"
old DNAME new
host.new A 192.0.2.88
plain NS ns1.plain
ns1.plain A 192.0.2.53
secure NS ns1.secure
ns1.secure A 192.0.2.53
";

const SECURE: &str = "\
$ORIGIN secure.signed.example.
$TTL 3600
@ SOA ns1 hostmaster 1 7200 900 1209600 300
@ NS ns1
ns1 A 192.0.2.53
www A 192.0.2.11
";

const PLAIN: &str = "\
$ORIGIN plain.signed.example.
$TTL 3600
@ SOA ns1 hostmaster 1 7200 900 1209600 300
@ NS ns1
ns1 A 192.0.2.53
www A 192.0.2.12
";

/// How the parent proves that something is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    Nsec,
    Nsec3,
    Nsec3OptOut,
}

/// Signs the zones in a folder, imports all of them, and returns the parent's key-signing key as `FLAGS 3 ALG KEY`.
pub(super) fn host(node: &Node, folder: &Path, denial: Denial) -> String {
    let secure = sign(folder, "secure.signed.example", SECURE, &[]);
    let options: &[&str] = match denial {
        Denial::Nsec => &[],
        Denial::Nsec3 => &["-3", "5ca1ab1e", "-H", "0"],
        Denial::Nsec3OptOut => &["-3", "-", "-H", "0", "-A"],
    };
    // -g takes the DS records from the files that signing the child left.
    let parent = sign(folder, APEX, PARENT, &[options, &["-g"]].concat());
    let plain = folder.join("plain");
    std::fs::write(&plain, PLAIN).unwrap();
    let files = [&secure.file, &parent.file, &plain].map(|file| file.display().to_string());
    node.run(&["zone", "import", &files[0], &files[1], &files[2]]).ok();
    parent.key
}

struct Signed {
    file: PathBuf,
    key: String,
}

fn sign(folder: &Path, apex: &str, text: &str, options: &[&str]) -> Signed {
    let mut key = String::new();
    for flags in [&["-f", "KSK"][..], &[]] {
        let stem = DNSSEC_KEYGEN.run(folder, &[&["-q", "-a", "ECDSAP256SHA256"], flags, &[apex]].concat()).ok();
        let file = std::fs::read_to_string(folder.join(format!("{}.key", stem.trim()))).unwrap();
        if let Some((_, dnskey)) = file.split_once("IN DNSKEY 257 ") {
            key = format!("257 {}", dnskey.trim());
        }
    }
    let (file, unsigned) = (folder.join(format!("{apex}.signed")), folder.join(apex));
    std::fs::write(&unsigned, text).unwrap();
    let (file_name, unsigned_name) = (file.display().to_string(), unsigned.display().to_string());
    let common = ["-q", "-S", "-o", apex, "-f", &file_name];
    DNSSEC_SIGNZONE.run(folder, &[&common[..], options, &[&unsigned_name]].concat()).ok();
    Signed { file, key }
}
