//! Programs that verify a whole zone.

use std::path::Path;

use crate::clients::program::{DNSSEC_VERIFY, KZONECHECK, LDNS_VERIFY_ZONE, Program};
use crate::harness::Node;

/// What is wrong with a zone as the node exports it, in the words of each program that says so.
pub(super) fn faults(node: &Node, folder: &Path, apex: &str) -> Vec<String> {
    let text = node.run(&["zone", "export", apex]).ok();
    faults_of(folder, apex, &text)
}

/// The same of a zone file.
pub(super) fn faults_of(folder: &Path, apex: &str, text: &str) -> Vec<String> {
    let file = folder.join("judged.zone");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    // -z: one key signs all.
    let judges: [(Program, Vec<&str>); 3] = [
        (DNSSEC_VERIFY, vec!["-z", "-o", apex, file]),
        (LDNS_VERIFY_ZONE, vec![file]),
        (KZONECHECK, vec!["--dnssec", "on", "--origin", apex, file]),
    ];
    let judged = judges.iter().map(|(program, arguments)| (program.name(), program.run(folder, arguments)));
    let refused = judged.filter(|(_, ran)| ran.code != Some(0));
    refused.map(|(name, ran)| format!("{name}: {}{}", ran.out, ran.err)).collect()
}
