//! The private key of a zone is nowhere but with the signer, and there only wrapped.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER, HEXUPPER};

use super::{create, key, start};
use crate::clients::pdns::Pdns;
use crate::harness::{Node, Ran, rokko};
use crate::pop::{Pop, in_sync, token};

const APEX: &str = "secret.example";
const ZONE: &str = "$ORIGIN secret.example.\n$TTL 300\n@ NS ns1.example.net.\nwww A 192.0.2.1\n";
/// How much of a process's memory is read at once.
const CHUNK: u64 = 1 << 20;

/// A number as it may be kept: as octets in either order, as base64, as hexadecimal digits.
struct Needles(Vec<Vec<u8>>);

impl Needles {
    fn of(octets: &[u8]) -> Self {
        let reversed: Vec<u8> = octets.iter().rev().copied().collect();
        let base64 = BASE64.encode(octets).trim_end_matches('=').as_bytes().to_vec();
        let digits = [HEXLOWER.encode(octets), HEXUPPER.encode(octets)].map(String::into_bytes);
        Self([octets.to_vec(), reversed, base64].into_iter().chain(digits).collect())
    }

    fn are_in(&self, hay: &[u8]) -> bool {
        self.0.iter().any(|needle| {
            // The first octet leaves few places to look at.
            let mut rest = hay;
            while let Some(at) = rest.iter().position(|octet| *octet == needle[0]) {
                if rest[at..].starts_with(needle) {
                    return true;
                }
                rest = &rest[at + 1..];
            }
            false
        })
    }

    /// Files of a folder and those below that have it.
    fn files(&self, folder: &Path) -> (usize, Vec<PathBuf>) {
        let (mut open, mut looked_at, mut found) = (vec![folder.to_owned()], 0, Vec::new());
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
            } else if path.is_file() {
                looked_at += 1;
                if self.are_in(&std::fs::read(&path).unwrap()) {
                    found.push(path);
                }
            }
        }
        (looked_at, found)
    }

    /// Lines of `/proc/PID/maps` whose memory has it.
    fn memory(&self, pid: u32) -> Vec<String> {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        maps.lines().filter(|line| self.are_in_range(&memory, line)).map(str::to_owned).collect()
    }

    fn are_in_range(&self, memory: &File, line: &str) -> bool {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with('r') {
            return false;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [mut at, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let overlap = self.0.iter().map(Vec::len).max().unwrap();
        let (mut kept, mut chunk) = (Vec::new(), vec![0; usize::try_from(CHUNK).unwrap()]);
        while at < to {
            let length = usize::try_from(CHUNK.min(to - at)).unwrap();
            // What is unmapped by now, or belongs to the kernel, cannot be read, and holds nothing.
            if memory.read_exact_at(&mut chunk[..length], at).is_err() {
                return false;
            }
            kept.extend_from_slice(&chunk[..length]);
            if self.are_in(&kept) {
                return true;
            }
            kept.drain(..kept.len().saturating_sub(overlap));
            at += length as u64;
        }
        false
    }
}

/// Takes the private number of the zone's key out of a node's store; in the folder `out` it stands in the clear.
fn private_number(data: &Path, out: &Path) -> Vec<u8> {
    let mut command = rokko();
    command.args(["keys", "export", "--zone", APEX, "--to"]).arg(out).arg("--data-dir").arg(data);
    Ran::of(command.output().unwrap()).ok();
    let mut files = out.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let private = files.find(|path| path.extension().is_some_and(|end| end == "private")).unwrap();
    let text = std::fs::read_to_string(private).unwrap();
    let base64 = text.lines().find_map(|line| line.strip_prefix("PrivateKey: ")).unwrap();
    BASE64.decode(base64.as_bytes()).unwrap()
}

fn address(node: &Node, number: u8) -> String {
    let done = node.run(&["record", "set", APEX, "www", "A", &format!("192.0.2.{number}"), "--output", "json"]).json();
    done["revision"].to_string()
}

#[test]
fn no_private_key_is_outside_the_signer() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [ours, theirs, out] = folders.each_ref().map(tempfile::TempDir::path);
    let node = start(ours, &["--fleet-listen", "127.0.0.1:0"]);
    let client = Pdns::new(&node);
    create(&client, APEX, "default", ZONE);
    let pop = Pop::start(theirs, &["--join", &token(&node, "fra-1", &[])]);
    for number in 2..6 {
        in_sync(&node, &address(&node, number));
    }
    assert_eq!(pop.addresses(&format!("www.{APEX}")), ["192.0.2.5"]);

    let data = ours.join("data");
    let private = Needles::of(&private_number(&data, out));
    assert_eq!(private.memory(pop.child.id()), Vec::<String>::new());
    let (files, found) = private.files(theirs);
    assert!(files > 0 && found.is_empty(), "{files} files: {found:?}");
    let (files, found) = private.files(&data);
    assert!(files > 0 && found.is_empty(), "{files} files: {found:?}");

    // The same search finds what is there.
    assert_eq!(private.files(out).1.len(), 1);
    let public = key(&client, APEX).split(' ').skip(3).collect::<String>();
    let public = Needles::of(&BASE64.decode(public.as_bytes()).unwrap());
    assert_ne!(public.memory(pop.child.id()), Vec::<String>::new());
    assert!(!public.files(theirs).1.is_empty());
    node.stop();
}
