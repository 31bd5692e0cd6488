//! `kdig` and `dig`, with the EDNS options that operators use.

use std::path::Path;

use tempfile::TempDir;

use super::program::{DIG, KDIG, Program, at};
use crate::harness::{KEY, Node, folder, path};

const CONFIG: &str = "[dns]\nnsid = \"pop-1\"\nversion = \"a name server\"\nidentity = \"pop-1.example\"\n";
const LARGE_ADDRESSES: usize = 100;

struct Setup {
    node: Node,
    work: TempDir,
    _data: TempDir,
}

impl Setup {
    fn new() -> Self {
        let mut zone = "$ORIGIN ask.example.\n@ 300 SOA ns1 h 4711 7200 900 1209600 60\n@ 300 NS ns1\n".to_owned();
        zone += "ns1 300 A 192.0.2.53\nwww 300 A 192.0.2.1\nwww 300 AAAA 2001:db8::1\n";
        let large = (0..LARGE_ADDRESSES).map(|number| format!("large 300 A 198.51.100.{number}\n"));
        zone += &large.collect::<Vec<_>>().concat();
        let (data, work) = (tempfile::tempdir().unwrap(), folder(&[("zone", &zone), ("rokko.toml", CONFIG)]));
        let config = path(&work, "rokko.toml").display().to_string();
        let node = Node::start_with(data.path(), &["--config", &config], Some(KEY));
        node.run(&["zone", "import", &path(&work, "zone").display().to_string()]).ok();
        Self { node, work, _data: data }
    }

    /// Standard output of a question that has to be answered.
    #[track_caller]
    fn ask(&self, program: &Program, question: &str) -> String {
        let words = question.split(' ').map(str::to_owned);
        let arguments: Vec<String> = at(self.node.dns).into_iter().chain(words).collect();
        program.run(Path::new(self.work.path()), &arguments).ok()
    }
}

#[track_caller]
fn assert_has(out: &str, lines: &[&str]) {
    for line in lines {
        assert!(out.contains(line), "no {line:?} in {out}");
    }
}

fn records(out: &str) -> usize {
    out.lines().filter(|line| !line.is_empty() && !line.starts_with(';')).count()
}

#[test]
fn kdig_is_answered() {
    let setup = Setup::new();
    let kdig = |question: &str| setup.ask(&KDIG, question);
    let full = "www.ask.example A +tcp +dnssec +nsid +cookie +ednsopt=19 +bufsize=1400";
    for question in [full, &full.replace(" +tcp", "")] {
        let out = kdig(question);
        assert_has(&out, &["status: NOERROR", "Flags: qr aa rd;", "ANSWER: 1;", "flags: do; UDP size: 1232 B"]);
        // "pop-1"; the zone of two labels, and its serial (RFC 9660).
        assert_has(&out, &["706F702D31", "Option (19): 020000001267", "www.ask.example.    \t300\tIN\tA\t192.0.2.1"]);
        let cookie = out.lines().find_map(|line| line.strip_prefix(";; COOKIE: ")).expect("a cookie comes back");
        assert_eq!(cookie.len(), 48, "8 octets of the client and 16 of the server");
        assert!(out.contains(if question.contains("+tcp") { "(TCP)" } else { "(UDP)" }), "{out}");
    }
    assert_has(&kdig("www.ask.example AAAA"), &["ANSWER: 1;", "2001:db8::1"]);
    let missing = kdig("nope.ask.example A +dnssec +ednsopt=19");
    assert_has(&missing, &["status: NXDOMAIN", "Flags: qr aa rd;", "IN\tSOA\tns1.ask.example.", "(19): 020000001267"]);
    let elsewhere = kdig("www.elsewhere.example A +nsid");
    assert_has(&elsewhere, &["status: REFUSED", "EDE: 20 (Not Authoritative)", "706F702D31"]);
    assert_has(&kdig("www.ask.example A +edns=1"), &["ext-rcode: BADVERS"]);
    assert_has(&kdig("www.ask.example A +opt +noedns"), &["status: NOERROR", "ADDITIONAL: 0"]);
    setup.node.stop();
}

#[test]
fn kdig_is_told_to_come_by_tcp() {
    let setup = Setup::new();
    let cut = setup.ask(&KDIG, "large.ask.example A +ignore +bufsize=4096");
    assert_has(&cut, &["Flags: qr aa tc rd;", "ANSWER: 0;"]);
    let whole = setup.ask(&KDIG, "large.ask.example A");
    assert_has(&whole, &["(TCP)", &format!("ANSWER: {LARGE_ADDRESSES};")]);
    assert_eq!(records(&whole), LARGE_ADDRESSES);
    // Several questions over one connection.
    let many =
        setup.ask(&KDIG, "+tcp +keepopen +noall +answer www.ask.example A www.ask.example AAAA ns1.ask.example A");
    assert_eq!(records(&many), 3, "{many}");
    setup.node.stop();
}

#[test]
fn dig_is_answered() {
    let setup = Setup::new();
    let dig = |question: &str| setup.ask(&DIG, question);
    let out = dig("www.ask.example A +tcp +nsid +norecurse +dnssec");
    assert_has(
        &out,
        &["status: NOERROR", ";; flags: qr aa;", "(\"pop-1\")", "; EDNS: version: 0, flags: do; udp: 1232"],
    );
    assert_has(&out, &["(good)", "www.ask.example.\t300\tIN\tA\t192.0.2.1", "(TCP)"]);
    assert_has(&dig("Www.aSk.example AAAA"), &[";Www.aSk.example.\t\tIN\tAAAA", "2001:db8::1"]);
    let cut = dig("large.ask.example A +bufsize=512 +ignore");
    assert_has(&cut, &["flags: qr aa tc rd;", "ANSWER: 0,"]);
    let whole = dig("large.ask.example A +bufsize=512");
    assert_has(&whole, &[";; Truncated, retrying in TCP mode.", &format!("ANSWER: {LARGE_ADDRESSES},")]);
    assert_eq!(dig("CH TXT version.bind +short"), "\"a name server\"\n");
    assert_eq!(dig("CH TXT id.server +short"), "\"pop-1.example\"\n");
    assert_eq!(dig("CH TXT hostname.bind +short"), "\"pop-1.example\"\n");
    assert_has(&dig("www.ask.example ANY +notcp"), &["status: NOERROR", "ANSWER: 1,"]);
    assert_has(&dig("www.elsewhere.example A"), &["status: REFUSED", "; EDE: 20 (Not Authoritative)"]);
    assert_has(&dig("www.ask.example A +opcode=status"), &["status: NOTIMP"]);
    assert_has(&dig("www.ask.example TYPE65280"), &["status: NOERROR", "ANSWER: 0,", "AUTHORITY: 1,"]);
    assert_has(&dig("ask.example AXFR"), &["; Transfer failed."]);
    setup.node.stop();
}
