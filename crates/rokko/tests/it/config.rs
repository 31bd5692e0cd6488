//! The configuration, and what is made from the definition of the command line.

use crate::harness::{folder, path, run};

#[test]
fn the_page_is_what_the_program_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let made = run(&["config", "reference", "--markdown"]).ok();
    let kept = std::fs::read_to_string(page).unwrap_or_default();
    if kept != made {
        std::fs::write(page, &made).unwrap();
        panic!("docs/configuration.md was out of date and has been written anew: look at the change and keep it");
    }
}

#[test]
fn the_reference_is_a_file_that_passes() {
    let files = folder(&[("rokko.toml", &run(&["config", "reference"]).ok())]);
    let file = path(&files, "rokko.toml").display().to_string();
    assert_eq!(run(&["config", "check", &file]).ok(), format!("{file}: ok\n"));
    assert_eq!(run(&["config", "show", &file]).ok(), run(&["config", "show"]).ok());
}

#[test]
fn a_bad_file_is_refused_with_its_places() {
    let files = folder(&[("rokko.toml", "[dns]\nudp_payload_max = 100\nlisten = ['127.0.0.1:99999']\n")]);
    let file = path(&files, "rokko.toml").display().to_string();
    let said = run(&["config", "check", &file]).fails(2);
    assert!(said.starts_with(&format!("error: {file}:3:")), "{said}");
    run(&["up", "--config", &file]).fails(2);
    std::fs::write(path(&files, "rokko.toml"), "[dns]\nudp_payload_max = 100\n").unwrap();
    let said = run(&["config", "check", &file]).fails(2);
    assert_eq!(said, format!("error: {file}:2:19: dns.udp_payload_max: found 100, expected 512 to 4096\n"));
}

#[test]
fn completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).ok();
        assert!(script.contains("rollback"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    run(&["man", &dir.path().display().to_string()]).ok();
    let page = std::fs::read_to_string(dir.path().join("rokko-zone-import.1")).unwrap();
    assert!(page.contains("dry"), "{page}");
}

#[test]
fn the_wrong_way_to_call_it_is_told_apart() {
    run(&["zone", "import"]).fails(2);
    run(&["nonsense"]).fails(2);
    assert!(run(&["--help"]).ok().contains("Exit codes:"));
}
