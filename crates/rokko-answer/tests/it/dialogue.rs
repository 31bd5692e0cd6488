//! Runs the scripts in `tests/dialogues`: zones, then queries and the responses that they must get.
//!
//! ```text
//! # a comment
//! set version 1.0             a setting
//! zone example. file.zone     a zone from tests/zones; without a file name its text follows, up to the line "end"
//! ? NAME TYPE [CLASS] [+do] [+edns=SIZE] [+tcp] …     a query, see exchange.rs
//! NOERROR aa                  the response's rcode and flags
//! no question                 the question is not repeated
//! opt 1232 do nsid=6131       the OPT record, if it is not just the server's size and the query's DO
//! an RECORD                   a record of the answer section; ns: authority, ar: additional
//! ```
//!
//! The order of records within a section does not matter. A signature is given as `OWNER TTL IN RRSIG COVERED-TYPE`.

use std::sync::Arc;

use std::path::Path;

use rokko_answer::{Answerer, AnyPolicy, CookieMode, CookieSecrets, Service, Settings};
use rokko_zone::{Catalog, CatalogReader, Zone};

use crate::exchange::{Query, ask, hex};
use crate::zonefile::{normalised, zone, zone_from_file};

/// The fewest exchanges that the scripts must hold, so that a runner that reads none does not pass.
const EXCHANGES_MIN: usize = 150;

#[test]
fn dialogues() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut exchanges = 0;
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut script = Script { name, exchanges: 0, failures: Vec::new() };
        script.run(&text);
        exchanges += script.exchanges;
        failures.extend(script.failures);
    }
    assert!(failures.is_empty(), "{} of {exchanges} failed:\n\n{}", failures.len(), failures.join("\n\n"));
    assert!(exchanges >= EXCHANGES_MIN, "only {exchanges} exchanges were found");
}

struct Script {
    name: String,
    exchanges: usize,
    failures: Vec<String>,
}

impl Script {
    fn run(&mut self, text: &str) {
        let secret = hex("e5e973e5a6b2a43f48e7dc849e37bfcf").try_into().unwrap();
        let secrets = CookieSecrets { current: secret, previous: None };
        let mut settings = Settings::default();
        let mut catalog = CatalogReader::new(Arc::new(Catalog::new(1)));
        let mut lines = text.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "" | "#" => {}
                "set" => set(&mut settings, rest),
                "zone" => {
                    let mut inline = String::new();
                    if !rest.contains(' ') {
                        for (_, line) in lines.by_ref().take_while(|(_, line)| *line != "end") {
                            inline += line;
                            inline.push('\n');
                        }
                    }
                    let zone = read_zone(rest, &inline);
                    catalog.catalog().publish([(zone.apex(), Some(zone))]);
                    catalog.refresh();
                }
                "?" => {
                    let mut expected = Vec::new();
                    while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
                        expected.push(line.to_owned());
                    }
                    let query = Query::parse(rest);
                    let mut answerer = Answerer::new(settings.clone(), secrets);
                    let actual = ask(&mut answerer, &catalog, &query);
                    self.compare(number + 1, line, &expect(&query, &settings, expected), &actual);
                }
                other => panic!("{}:{}: unknown line {other}", self.name, number + 1),
            }
        }
    }

    fn compare(&mut self, number: usize, query: &str, expected: &[String], actual: &[String]) {
        self.exchanges += 1;
        if expected == actual {
            return;
        }
        let missing = expected.iter().filter(|line| !actual.contains(line)).map(|line| format!("  missing  {line}"));
        let surplus = actual.iter().filter(|line| !expected.contains(line)).map(|line| format!("  surplus  {line}"));
        let difference: Vec<String> = missing.chain(surplus).collect();
        let difference = if difference.is_empty() { format!("  {actual:#?}") } else { difference.join("\n") };
        self.failures.push(format!("{}:{number}: {query}\n{difference}", self.name));
    }
}

fn set(settings: &mut Settings, line: &str) {
    let (word, value) = line.split_once(' ').unwrap();
    match word {
        "version" => settings.version = Some(value.to_owned()),
        "identity" => settings.identity = Some(value.to_owned()),
        "nsid" => settings.nsid = value.as_bytes().to_vec(),
        "minimal" => settings.minimal = value.parse().unwrap(),
        "cname_chain_max" => settings.cname_chain_max = value.parse().unwrap(),
        "extended_errors" => settings.extended_errors = value.parse().unwrap(),
        "udp_payload_max" => settings.udp_payload_max = value.parse().unwrap(),
        "cookies" => settings.cookies = if value == "off" { CookieMode::Off } else { CookieMode::Respond },
        "service" => {
            settings.service = match value {
                "incomplete" => Service::Incomplete,
                "suspended" => Service::Suspended,
                _ => Service::Full,
            }
        }
        "any" => {
            settings.any = match value {
                "one" => AnyPolicy::OneRrset,
                "hinfo" => AnyPolicy::Hinfo,
                _ => AnyPolicy::FullOverTcp,
            }
        }
        other => panic!("unknown setting {other}"),
    }
}

fn read_zone(line: &str, inline: &str) -> Zone {
    match line.split_once(' ') {
        Some((apex, file)) => zone_from_file(file, apex),
        None => zone(inline, line),
    }
}

/// The expected lines in the order and form of the actual ones.
fn expect(query: &Query, settings: &Settings, lines: Vec<String>) -> Vec<String> {
    let (mut records, mut head): (Vec<String>, Vec<String>) =
        lines.into_iter().partition(|line| ["an ", "ns ", "ar "].iter().any(|prefix| line.starts_with(prefix)));
    let is_answered = head.first().is_some_and(|first| first != "DROP");
    if query.edns && is_answered && !head.iter().any(|line| line.starts_with("opt") || line == "no opt") {
        let dnssec_ok = if query.dnssec_ok { " do" } else { "" };
        head.push(format!("opt {}{dnssec_ok}", settings.udp_payload_max));
    }
    head.retain(|line| line != "no opt");
    for line in &mut records {
        *line = format!("{} {}", &line[..2], normalised(&line[3..]));
    }
    records.sort_by_key(|line| (["an", "ns", "ar"].iter().position(|prefix| line.starts_with(prefix)), line.clone()));
    head.extend(records);
    head
}
