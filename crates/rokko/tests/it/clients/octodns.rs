//! octoDNS with octodns-powerdns: plan, apply, and the next plan is empty.

use std::fs;
use std::path::Path;

use super::program::{DIG, at};
use super::python;
use crate::harness::{Node, folder, path};

const OCTO: &str = include_str!("data/octodns/octo.example.yaml");
const REVERSE: &str = include_str!("data/octodns/2.0.192.in-addr.arpa.yaml");
const LATE: &str = include_str!("data/octodns/late.example.yaml");
const EMPTY_PLAN: &str = "No changes were planned";

/// What `dig +short` says of the zone files, sorted.
const ANSWERS: &[(&str, &str, &[&str])] = &[
    ("octo.example", "A", &["192.0.2.1", "192.0.2.2"]),
    ("octo.example", "AAAA", &["2001:db8::1"]),
    ("octo.example", "NS", &["ns1.octo.example.", "ns2.octo.example."]),
    ("octo.example", "MX", &["10 mail.octo.example.", "20 mail2.octo.example."]),
    (
        "octo.example",
        "TXT",
        &[r#""back\\slash""#, r#""say \"hello\" to all""#, r#""v=spf1 include:_spf.octo.example -all""#],
    ),
    ("octo.example", "CAA", &[r#"0 issue "ca.example""#, r#"128 iodef "mailto:security@octo.example""#]),
    ("x.y.wild.octo.example", "A", &["192.0.2.77"]),
    ("www.octo.example", "CNAME", &["octo.example."]),
    ("_sip._tcp.octo.example", "SRV", &["0 0 0 .", "10 60 5060 mail.octo.example."]),
    (
        "_443._tcp.www2.octo.example",
        "TLSA",
        &["3 1 1 0D6FCE3320315023FF499A3F3DE1362C88F8380311AC8C036890AE13 E7CD2EA5"],
    ),
    ("host.octo.example", "SSHFP", &["4 2 123456789ABCDEF67890123456789ABCDEF67890123456789ABCDEF1 23456789"]),
    ("host.octo.example", "LOC", &["52 22 23.000 N 4 53 32.123 E -2.50m 1m 10000m 10m"]),
    (
        "enum.octo.example",
        "NAPTR",
        &[
            r#"10 100 "S" "SIP+D2U" "" _sip._udp.octo.example."#,
            r#"100 10 "U" "E2U+sip" "!^.*$!sip:info@octo.example!" ."#,
        ],
    ),
    ("sub.octo.example", "DS", &["12345 13 2 49FD46E6C4B45C55D4AC49FD46E6C4B45C55D4AC49FD46E6C4B45C55 D4AC4242"]),
    ("svc.octo.example", "HTTPS", &[r#"1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1"#]),
    ("svc.octo.example", "SVCB", &["0 www.octo.example."]),
    ("_web._tcp.octo.example", "URI", &[r#"10 1 "https://octo.example/path""#]),
    ("1.2.0.192.in-addr.arpa", "PTR", &["octo.example.", "www.octo.example."]),
];

#[test]
fn plan_apply_and_plan_again() {
    let (data, work) = (tempfile::tempdir().unwrap(), folder(&[]));
    let node = Node::start(data.path());
    // One zone is there with other contents, the other is made by octoDNS.
    node.run(&["zone", "create", "2.0.192.in-addr.arpa", "--nameserver", "ns1.octo.example"]).ok();
    node.run(&["record", "set", "2.0.192.in-addr.arpa", "1", "PTR", "octo.example."]).ok();
    node.run(&["record", "set", "2.0.192.in-addr.arpa", "200", "PTR", "old.example."]).ok();
    let zones = path(&work, "zones");
    fs::create_dir(&zones).unwrap();
    fs::write(zones.join("octo.example.yaml"), OCTO).unwrap();
    fs::write(zones.join("2.0.192.in-addr.arpa.yaml"), REVERSE).unwrap();
    write_config(&node, work.path());

    let planned = sync(work.path(), &[]);
    assert!(planned.contains("Summary: Creates=23, Updates=0, Deletes=0, Existing=0"), "{planned}");
    assert!(planned.contains("Summary: Creates=1, Updates=1, Deletes=1, Existing=3"), "{planned}");
    assert_eq!(short(&node, "octo.example", "SOA"), [""; 0], "a plan changes nothing");
    sync(work.path(), &["--doit"]);
    for (name, rtype, expected) in ANSWERS {
        assert_eq!(short(&node, name, rtype), *expected, "{name} {rtype}");
    }
    let referral = dig(&node, &["sub.octo.example", "NS", "+norecurse"]);
    assert!(referral.contains("sub.octo.example.\t3600\tIN\tNS\tns.other.example."), "{referral}");
    let strings = short(&node, "sel._domainkey.octo.example", "TXT").join("\n");
    assert_eq!(strings.replace("\" \"", ""), format!("\"{}\"", dkim()), "long strings are cut, and nothing is lost");
    assert_eq!(ttl(&node, "octo.example", "A"), "60");
    assert!(sync(work.path(), &[]).contains(EMPTY_PLAN));

    change(&node, work.path(), &zones);
    delete(&node, work.path(), &zones);

    // Another zone comes, and the two others are left alone.
    let serial = short(&node, "octo.example", "SOA");
    fs::write(zones.join("late.example.yaml"), LATE).unwrap();
    let applied = sync(work.path(), &["--doit"]);
    assert!(applied.contains("Create Zone<late.example.>") && !applied.contains("octo.example (Power"), "{applied}");
    assert_eq!(short(&node, "www.late.example", "A"), ["198.51.100.1", "198.51.100.2"]);
    assert_eq!(short(&node, "late.example", "MX"), ["0 ."]);
    assert_eq!(short(&node, "octo.example", "SOA"), serial);
    assert!(sync(work.path(), &[]).contains(EMPTY_PLAN));
    dump(work.path());
    node.stop();
}

/// Values, TTLs and types change, among them a CNAME that becomes an A record in one request.
fn change(node: &Node, work: &Path, zones: &Path) {
    let changed = OCTO
        .replace("ttl: 60\n", "ttl: 90\n")
        .replace("values: [192.0.2.1, 192.0.2.2]", "values: [192.0.2.2, 192.0.2.3]")
        .replace("www: {type: CNAME, ttl: 300, value: octo.example.}", "www: {type: A, ttl: 300, value: 192.0.2.80}")
        .replace("back\\\\slash", "no more");
    fs::write(zones.join("octo.example.yaml"), &changed).unwrap();
    let serial = serial(node);
    let applied = sync(work, &["--doit"]);
    assert!(applied.contains("Summary: Creates=1, Updates=2, Deletes=1, Existing=23"), "{applied}");
    assert_eq!(short(node, "octo.example", "A"), ["192.0.2.2", "192.0.2.3"]);
    assert_eq!(ttl(node, "octo.example", "A"), "90");
    assert_eq!(short(node, "www.octo.example", "A"), ["192.0.2.80"]);
    assert_eq!(short(node, "www.octo.example", "CNAME"), [""; 0]);
    assert_eq!(short(node, "octo.example", "TXT")[0], "\"no more\"");
    assert!(self::serial(node) > serial);
    assert!(sync(work, &[]).contains(EMPTY_PLAN));
}

fn delete(node: &Node, work: &Path, zones: &Path) {
    let file = zones.join("octo.example.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("mail2:") && !line.starts_with("www:")).collect();
    fs::write(&file, kept.join("\n")).unwrap();
    let applied = sync(work, &["--doit"]);
    assert!(applied.contains("Summary: Creates=0, Updates=0, Deletes=2, Existing=23"), "{applied}");
    for name in ["mail2.octo.example", "www.octo.example"] {
        assert!(dig(node, &[name, "A"]).contains("status: NXDOMAIN"), "{name}");
    }
    assert!(sync(work, &[]).contains(EMPTY_PLAN));
}

/// What octoDNS reads back is what it would write.
fn dump(work: &Path) {
    let mut command = python::command("octodns-dump", work);
    command.args(["--config-file", "config.yaml", "--output-dir", "dumped", "octo.example.", "rokko"]);
    python::finish(&mut command).ok();
    fs::copy(work.join("dumped/octo.example.yaml"), work.join("zones/octo.example.yaml")).unwrap();
    assert!(sync(work, &[]).contains(EMPTY_PLAN));
}

fn write_config(node: &Node, work: &Path) {
    let port = node.api.rsplit(':').next().unwrap();
    let key = crate::harness::KEY;
    let text = format!(
        "providers:
  files: {{class: octodns.provider.yaml.YamlProvider, directory: ./zones, default_ttl: 3600, enforce_order: false}}
  rokko: {{class: octodns_powerdns.PowerDnsProvider, host: 127.0.0.1, port: {port}, api_key: {key}}}
zones:
  '*': {{sources: [files], targets: [rokko]}}
"
    );
    fs::write(work.join("config.yaml"), text).unwrap();
}

fn sync(work: &Path, options: &[&str]) -> String {
    let mut command = python::command("octodns-sync", work);
    let ran = python::finish(command.args(["--config-file", "config.yaml"]).args(options));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    ran.out + &ran.err
}

fn dkim() -> String {
    let line = OCTO.lines().find(|line| line.contains("v=DKIM1")).unwrap();
    line.trim().trim_start_matches("value: '").trim_end_matches('\'').replace("\\;", ";")
}

fn dig(node: &Node, arguments: &[&str]) -> String {
    let server = at(node.dns);
    let server = server.iter().map(String::as_str);
    let arguments: Vec<&str> = server.chain(arguments.iter().copied()).collect();
    DIG.run(Path::new("/"), &arguments).ok()
}

fn short(node: &Node, name: &str, rtype: &str) -> Vec<String> {
    let mut lines: Vec<String> = dig(node, &[name, rtype, "+short"]).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn ttl(node: &Node, name: &str, rtype: &str) -> String {
    let out = dig(node, &[name, rtype, "+noall", "+answer"]);
    out.split_whitespace().nth(1).unwrap().to_owned()
}

fn serial(node: &Node) -> u32 {
    let soa = short(node, "octo.example", "SOA").remove(0);
    soa.split(' ').nth(2).unwrap().parse().unwrap()
}
