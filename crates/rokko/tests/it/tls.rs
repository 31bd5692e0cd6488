//! HTTPS beyond loopback.

use crate::harness::{KEY, Node, Ran, path, rokko};

#[test]
fn the_own_certificate_is_trusted_by_fingerprint_or_file() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start_with(data.path(), &["--api-listen", "0.0.0.0:0"], Some(KEY));
    let fingerprint = node.ready["api_fingerprint"].as_str().unwrap().to_owned();
    let port = node.api.rsplit(':').next().unwrap();
    let list = |host: &str, option: &str, value: &str| {
        let mut command = rokko();
        command.args(["zone", "list", "--api", &format!("https://{host}:{port}")]).env("ROKKO_API_KEY", KEY);
        if !option.is_empty() {
            command.args([option, value]);
        }
        Ran::of(command.output().unwrap())
    };
    list("127.0.0.1", "--api-fingerprint", &fingerprint).ok();
    let certificate = path(&data, "api.crt").display().to_string();
    list("localhost", "--api-ca", &certificate).ok();
    let other = fingerprint.chars().map(|c| if c == ':' { ':' } else { '0' }).collect::<String>();
    let refused = list("127.0.0.1", "--api-fingerprint", &other).fails(3);
    assert!(refused.contains("fingerprint"), "{refused}");
    let unknown = list("127.0.0.1", "", "").fails(3);
    assert!(unknown.contains("--api-fingerprint"), "{unknown}");
    node.stop();
}
