//! One world, the three servers that host it, and many queries.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::thread;

use tempfile::TempDir;

use super::compare::{Case, Difference};
use super::exchange;
use super::explain::{self, Tally};
use super::generator::{Signing, World};
use super::message::{Response, Section};
use super::names::Name;
use super::peers::{Kind, Peer};
use super::queries::{ANY, Queries, Query};
use super::random::Random;
use super::signing;
use super::subject::{Setup, Subject};

/// The most kinds of differences that one failure shows.
const SHOWN_MAX: usize = 12;
/// The most records of a section that are shown.
const RECORDS_SHOWN_MAX: usize = 12;
/// Rokko's limit for responses over UDP, as it is by default.
pub(super) const UDP_PAYLOAD_MAX: u16 = 1232;
const ZONES: usize = 24;

pub(super) struct Round {
    seed: u64,
    random: Random,
    world: World,
    setup: Setup,
    folder: TempDir,
    subject: Subject,
    peers: Vec<Peer>,
}

/// The responses of all servers to all queries, Rokko's first.
type Answers = Vec<Vec<Option<Vec<u8>>>>;

/// Asks one server, over UDP or TCP; a query without a response has none.
type Exchange = fn(std::net::SocketAddr, &[&[u8]]) -> Vec<Option<Vec<u8>>>;

impl Round {
    /// Makes the zones of a seed and starts the servers.
    pub(super) fn start(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut world = World::random(&mut random, ZONES);
        let setup = Setup { minimal: random.chance(50), full_any: random.chance(50) };
        // Kept if anything fails; deleted at the end.
        let folder = tempfile::Builder::new().prefix("rokko-differential-").disable_cleanup(true).tempdir().unwrap();
        let zone_folder = folder.path().join("zones");
        std::fs::create_dir(&zone_folder).unwrap();
        let mut zones = Vec::new();
        let mut hashed = Vec::new();
        for (index, zone) in world.zones.iter().enumerate() {
            let file = format!("{index}.zone");
            let path = zone_folder.join(&file);
            let work = folder.path().join(format!("{index}.keys"));
            std::fs::create_dir(&work).unwrap();
            signing::write(zone, &mut random, &path, &work);
            if matches!(zone.signing, Signing::Nsec3 { .. }) {
                hashed.extend(signing::nsec3_owners(&path));
            }
            zones.push((zone.apex.clone(), format!("../zones/{file}")));
        }
        world.add_hashed(hashed);
        let start_peer = |kind: Kind| {
            let own = folder.path().join(format!("{kind:?}"));
            std::fs::create_dir(&own).unwrap();
            Peer::start(kind, setup, &own, &zones)
        };
        let peers = vec![start_peer(Kind::Knot), start_peer(Kind::Nsd)];
        let own = folder.path().join("Rokko");
        std::fs::create_dir(&own).unwrap();
        let subject = Subject::start(setup, &own, &zone_folder);
        Self { seed, random, world, setup, folder, subject, peers }
    }

    /// Asks and compares; returns how many comparisons there were. Panics if a difference is left unexplained.
    pub(super) fn run(mut self, count: usize, tally: &mut Tally) -> usize {
        let source = Queries::new(&self.world);
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
            // TCP may get more RRsets then.
            let is_fuller = self.setup.full_any && udp[index].qtype == ANY;
            if let ((Some(short), Some(full)), false) = (answers, is_fuller) {
                verdict.check_truncation(&udp[index], short, full);
            }
        }
        if verdict.failures > 0 {
            self.fail(&verdict);
        }
        self.subject.stop();
        self.folder.disable_cleanup(false);
        verdict.compared
    }

    fn ask(&self, queries: &[Query], exchange: Exchange) -> Answers {
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
                    verdict.fail(query, "Rokko", &problem);
                    continue;
                }
            };
            verdict.check_alone(query, &rokko);
            let mut is_truncated = rokko.is_truncated();
            for (peer, answers) in self.peers.iter().zip(&answers[1..]) {
                verdict.compared += 1;
                let response = match parse_peer(answers, index) {
                    Ok(response) => response,
                    Err(problem) if explain::is_broken(peer.kind, &problem) => {
                        *tally.entry((explain::BROKEN, peer.kind)).or_default() += 1;
                        continue;
                    }
                    Err(problem) => {
                        verdict.fail(query, &format!("{:?}", peer.kind), &problem);
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
                    verdict.differ(&case, &left);
                }
            }
            if is_truncated {
                truncated.push(index);
            }
        }
        truncated
    }

    fn fail(self, verdict: &Verdict) -> ! {
        for (index, zone) in self.world.zones.iter().enumerate() {
            eprintln!("{index}.zone: {} {:?}", zone.apex, zone.signing);
        }
        panic!(
            "ROKKO_SEED={} ROKKO_ROUNDS=1, {:?}: {} of {} comparisons differ; the zone files are in {}\n{}",
            self.seed,
            self.setup,
            verdict.failures,
            verdict.compared,
            self.folder.path().display(),
            verdict.report()
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
    /// The first failure of each kind, and how many there were.
    kinds: BTreeMap<String, (String, usize)>,
}

impl Verdict {
    fn fail(&mut self, query: &Query, server: &str, problem: &str) {
        self.note(format!("{server}: {problem}"), || format!("{query}"));
    }

    fn differ(&mut self, case: &Case<'_>, differences: &[Difference]) {
        let mut kinds: Vec<String> = differences.iter().map(Difference::kind).collect();
        kinds.sort();
        kinds.dedup();
        self.note(format!("{:?}: {}", case.kind, kinds.join(", ")), || {
            let mut text = format!("{}\n", case.query);
            for difference in differences {
                let _ = writeln!(text, "    {difference}");
            }
            let (rokko, peer) = (case.rokko, case.peer);
            let _ = writeln!(
                text,
                "  rcode and flags: {} {:04x}, the peer's {} {:04x}",
                rokko.rcode, rokko.flags, peer.rcode, peer.flags
            );
            for section in [Section::Answer, Section::Authority, Section::Additional] {
                for record in peer.section(section).iter().take(RECORDS_SHOWN_MAX) {
                    let _ = writeln!(text, "    the peer's {section:?}: {record}");
                }
            }
            text
        });
    }

    fn note(&mut self, kind: String, example: impl FnOnce() -> String) {
        self.failures += 1;
        self.kinds.entry(kind).or_insert_with(|| (example(), 0)).1 += 1;
    }

    fn report(&self) -> String {
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, (_, count))| std::cmp::Reverse(*count));
        kinds.iter().take(SHOWN_MAX).fold(String::new(), |mut text, (kind, (example, count))| {
            let _ = writeln!(text, "\n{count} times {kind}\n  {example}");
            text
        })
    }

    /// What must hold for each response of Rokko's, whatever the others say.
    fn check_alone(&mut self, query: &Query, rokko: &Response) {
        let limit = if query.tcp { 65_535 } else { query.udp_limit(UDP_PAYLOAD_MAX) };
        if rokko.len > limit {
            self.fail(query, "Rokko", &format!("{} octets, more than {limit}", rokko.len));
        }
        if let Some(record) = &rokko.repeated {
            self.fail(query, "Rokko", &format!("twice in one section: {record}"));
        }
        if rokko.question != query.question() {
            self.fail(query, "Rokko", "the question is not repeated as it was");
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
            self.fail(query, "Rokko", &line);
        }
        for section in [Section::Answer, Section::Authority] {
            if !short.is_truncated() && short.section(section) != full.section(section) {
                self.fail(query, "Rokko", &format!("UDP and TCP differ in {section:?}"));
            }
        }
    }
}

/// The octets of a response without the additional records that may be left out (RFC 2181 §9): all but in-domain
/// glue of a referral (RFC 9471 §3).
fn needed_len(full: &Response) -> usize {
    let in_domain = |name: &Name| full.referral().is_some_and(|cut| name.is_in(cut));
    let last = full.additional_ends.iter().filter(|(owner, _)| in_domain(owner)).map(|(_, end)| *end).max();
    last.unwrap_or(full.additional_start) + full.opt_len
}
