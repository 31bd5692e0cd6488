//! One world, the three servers that host it, and many queries.

use std::fmt::Write;
use std::thread;

use tempfile::TempDir;

use super::compare::Case;
use super::exchange;
use super::explain::{self, Tally};
use super::generator::{Signing, World};
use super::message::{Response, Section};
use super::names::Name;
use super::peers::{Kind, Peer};
use super::queries::{Queries, Query};
use super::random::Random;
use super::signing;
use super::subject::{Setup, Subject};

/// The most queries whose differences one failure shows.
const SHOWN_MAX: usize = 12;
/// Rokko's limit for responses over UDP, as it is by default.
const UDP_PAYLOAD_MAX: u16 = 1232;
const ZONES: usize = 24;

pub(super) struct Round {
    seed: u64,
    random: Random,
    world: World,
    setup: Setup,
    /// Names that exist for NSEC3 alone.
    hashed: Vec<Name>,
    folder: TempDir,
    subject: Subject,
    peers: Vec<Peer>,
}

/// The responses of all servers to all queries, Rokko's first.
type Answers = Vec<Vec<Option<Vec<u8>>>>;

impl Round {
    /// Makes the zones of a seed and starts the servers.
    pub(super) fn start(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let world = World::random(&mut random, ZONES);
        let setup = Setup { minimal: random.chance(50), full_any: random.chance(50) };
        let folder = tempfile::Builder::new().prefix("rokko-differential-").tempdir().unwrap();
        let mut zones = Vec::new();
        let mut hashed = Vec::new();
        for (index, zone) in world.zones.iter().enumerate() {
            let file = format!("{index}.zone");
            let path = folder.path().join(&file);
            let work = folder.path().join(format!("{index}.keys"));
            std::fs::create_dir(&work).unwrap();
            signing::write(zone, &mut random, &path, &work);
            if matches!(zone.signing, Signing::Nsec3 { .. }) {
                hashed.extend(signing::nsec3_owners(&path));
            }
            zones.push((zone.apex.clone(), format!("../{file}")));
        }
        let start_peer = |kind: Kind| {
            let own = folder.path().join(format!("{kind:?}"));
            std::fs::create_dir(&own).unwrap();
            Peer::start(kind, &own, &zones)
        };
        let peers = vec![start_peer(Kind::Knot), start_peer(Kind::Nsd)];
        let own = folder.path().join("Rokko");
        std::fs::create_dir(&own).unwrap();
        let subject = Subject::start(setup, &own, &zones);
        Self { seed, random, world, setup, hashed, folder, subject, peers }
    }

    /// Asks and compares; returns how many comparisons there were. Panics if a difference is left unexplained.
    pub(super) fn run(mut self, count: usize, tally: &mut Tally) -> usize {
        let source = Queries::new(&self.world, self.hashed.clone());
        let queries: Vec<Query> = (0..count).map(|_| source.random(&mut self.random)).collect();
        let (tcp, udp): (Vec<Query>, Vec<Query>) = queries.into_iter().partition(|query| query.tcp);
        let mut verdict = Verdict::default();
        let udp_answers = self.ask(&udp, exchange::udp);
        let again = self.compare(&udp, &udp_answers, tally, &mut verdict);
        // What did not fit somewhere is asked again as it would be by any client.
        let first = tcp.len();
        let retried: Vec<Query> = again.iter().map(|&index| Query { tcp: true, ..udp[index].clone() }).collect();
        let tcp = [tcp, retried].concat();
        let tcp_answers = self.ask(&tcp, exchange::tcp);
        self.compare(&tcp, &tcp_answers, tally, &mut verdict);
        for (at, &index) in again.iter().enumerate() {
            let answers = (&udp_answers[0][index], &tcp_answers[0][first + at]);
            if let (Some(short), Some(full)) = answers {
                verdict.check_truncation(&udp[index], short, full);
            }
        }
        if verdict.failures > 0 {
            self.fail(&verdict);
        }
        verdict.compared
    }

    fn ask(&self, queries: &[Query], exchange: fn(std::net::SocketAddr, &[&[u8]]) -> Vec<Option<Vec<u8>>>) -> Answers {
        let wires: Vec<&[u8]> = queries.iter().map(|query| &query.wire[..]).collect();
        let wires = &wires;
        let servers = std::iter::once(self.subject.addr()).chain(self.peers.iter().map(|peer| peer.addr));
        thread::scope(|scope| {
            let asking: Vec<_> = servers.map(|server| scope.spawn(move || exchange(server, wires))).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// Compares all responses; returns the indexes of the queries with a truncated response.
    fn compare(&self, queries: &[Query], answers: &Answers, tally: &mut Tally, verdict: &mut Verdict) -> Vec<usize> {
        let mut truncated = Vec::new();
        for (index, query) in queries.iter().enumerate() {
            let parse = |server: &Vec<Option<Vec<u8>>>| match &server[index] {
                Some(octets) => Response::parse(octets),
                None => Err("no response".to_owned()),
            };
            let rokko = match parse(&answers[0]) {
                Ok(rokko) => rokko,
                Err(problem) => {
                    verdict.fail(query, "Rokko", &[problem]);
                    continue;
                }
            };
            verdict.check_alone(query, &rokko);
            let mut is_truncated = rokko.is_truncated();
            for (peer, answers) in self.peers.iter().zip(&answers[1..]) {
                verdict.compared += 1;
                let response = match parse_peer(answers, index) {
                    Ok(response) => response,
                    Err(problem) => {
                        verdict.fail(query, &format!("{:?}", peer.kind), &[problem]);
                        continue;
                    }
                };
                is_truncated |= response.is_truncated();
                let case = Case {
                    world: &self.world,
                    setup: self.setup,
                    query,
                    kind: peer.kind,
                    rokko: &rokko,
                    peer: &response,
                };
                let left = explain::unexplained(&case, tally);
                if !left.is_empty() {
                    let lines: Vec<String> = left.iter().map(ToString::to_string).collect();
                    verdict.fail(query, &format!("{:?}", peer.kind), &lines);
                    verdict.show(&rokko, &response);
                }
            }
            if is_truncated {
                truncated.push(index);
            }
        }
        truncated
    }

    fn fail(self, verdict: &Verdict) -> ! {
        let folder = self.folder.keep();
        for zone in &self.world.zones {
            eprintln!("{} {:?}", zone.apex, zone.signing);
        }
        panic!(
            "ROKKO_SEED={} ROKKO_ROUNDS=1, {:?}: {} of {} comparisons differ; the zone files are in {}\n{}",
            self.seed,
            self.setup,
            verdict.failures,
            verdict.compared,
            folder.display(),
            verdict.report
        );
    }
}

fn parse_peer(answers: &[Option<Vec<u8>>], index: usize) -> Result<Response, String> {
    Response::parse(answers[index].as_ref().ok_or("no response")?)
}

/// What came of a round.
#[derive(Default)]
struct Verdict {
    compared: usize,
    failures: usize,
    report: String,
}

impl Verdict {
    fn fail(&mut self, query: &Query, server: &str, lines: &[String]) {
        self.failures += 1;
        if self.failures <= SHOWN_MAX {
            let _ = writeln!(self.report, "\n{server}: {query}");
            for line in lines {
                let _ = writeln!(self.report, "    {line}");
            }
        }
    }

    fn show(&mut self, rokko: &Response, peer: &Response) {
        if self.failures > SHOWN_MAX {
            return;
        }
        for (server, response) in [("Rokko", rokko), ("peer", peer)] {
            let _ = writeln!(self.report, "  {server}: rcode {} flags {:04x} {:?}", response.rcode, response.flags, response.opt);
            for section in [Section::Answer, Section::Authority, Section::Additional] {
                for record in response.section(section) {
                    let _ = writeln!(self.report, "      {section:?} {record}");
                }
            }
        }
    }

    /// What must hold for each response of Rokko's, whatever the others say.
    fn check_alone(&mut self, query: &Query, rokko: &Response) {
        let limit = if query.tcp { 65_535 } else { query.udp_limit(UDP_PAYLOAD_MAX) };
        if rokko.len > limit {
            self.fail(query, "Rokko", &[format!("{} octets, more than {limit}", rokko.len)]);
        }
        if rokko.question != query.question() {
            self.fail(query, "Rokko", &["the question is not repeated as it was".to_owned()]);
        }
    }

    /// Holds Rokko's response over UDP against its own over TCP: TC is set if and only if something that is needed
    /// does not fit.
    fn check_truncation(&mut self, query: &Query, short: &[u8], full: &[u8]) {
        let (Ok(short), Ok(full)) = (Response::parse(short), Response::parse(full)) else { return };
        let limit = query.udp_limit(UDP_PAYLOAD_MAX);
        let needed = needed_len(&full);
        if short.is_truncated() != (needed > limit) {
            let line = format!("TC is {}, {needed} octets are needed, {limit} allowed", short.is_truncated());
            self.fail(query, "Rokko", &[line]);
        }
        for section in [Section::Answer, Section::Authority] {
            if !short.is_truncated() && short.section(section) != full.section(section) {
                self.fail(query, "Rokko", &[format!("UDP and TCP differ in {section:?}")]);
            }
        }
    }
}

/// The octets of a response without the additional records that may be left out (RFC 2181 §9): all but in-domain
/// glue of a referral (RFC 9471 §3).
fn needed_len(full: &Response) -> usize {
    let is_referral = !full.is_authoritative() && full.section(Section::Answer).is_empty();
    let cut = full.section(Section::Authority).iter().find(|record| record.rtype == super::queries::NS);
    let in_domain = |name: &Name| is_referral && cut.is_some_and(|cut| name.is_in(&cut.owner));
    let last = full.additional_ends.iter().filter(|(owner, _)| in_domain(owner)).map(|(_, end)| *end).max();
    last.unwrap_or(full.additional_start) + full.opt_len
}
