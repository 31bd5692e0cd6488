//! Changes and queries without a pause while wires are slow and lose packets, a `PoP` is cut off, processes are killed at any
//! moment and a copy is damaged. Nothing acknowledged is lost, no answer goes back, and in the end all is proved to be alike.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::link::Quality;
use super::netns::{Netns, Star};
use super::nodes::{API, Answered, Pop, control, tail, zone, zone_files};
use crate::harness::{KEY, Node};

/// Round trips between the control node and its `PoPs`.
const ROUND_TRIPS_MS: [u64; 8] = [0, 10, 40, 80, 120, 150, 200, 300];
const LOST_PER_MILLE: u32 = 10;
const WRITERS: usize = 4;
const ZONES: usize = 40;
/// Changes of each zone.
const CHANGES: u32 = 25;
/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two queries to the same `PoP`.
const QUERY_EVERY: Duration = Duration::from_millis(5);
/// Between two changes of the same writer.
const CHANGE_EVERY: Duration = Duration::from_millis(20);

/// What is done once so many changes were acknowledged.
enum Event {
    Cut(usize),
    Mend(usize),
    /// kill -9 and a start.
    KillPop(usize),
    /// The same, and the copy is damaged before the start.
    DamagePop(usize),
    KillControl,
}

const EVENTS: [(u32, Event); 9] = [
    (60, Event::Cut(4)),
    (137, Event::KillControl),
    (250, Event::KillPop(4)),
    (301, Event::DamagePop(6)),
    (444, Event::KillControl),
    (520, Event::KillPop(1)),
    (600, Event::DamagePop(2)),
    (700, Event::Mend(4)),
    (783, Event::KillControl),
];

/// How often each zone was changed.
struct Truth {
    tried: Vec<AtomicU32>,
    acknowledged: Vec<AtomicU32>,
    sum: AtomicU32,
    over: AtomicBool,
}

#[test]
fn nothing_acknowledged_is_lost_and_all_answer_throughout() {
    let quality = |(index, round_trip): (usize, &u64)| Quality {
        delay: Duration::from_micros(round_trip * 500),
        lost_per_mille: LOST_PER_MILLE,
        seed: index as u64,
    };
    let star = Star::new(&ROUND_TRIPS_MS.iter().enumerate().map(quality).collect::<Vec<_>>());
    let data = tempfile::tempdir().unwrap();
    let node = Mutex::new(Some(control(&star.hub, data.path())));
    let files = zone_files(ZONES);
    cli(&star.hub, &node, &["zone", "import", &files.path().display().to_string()]);
    let pops: Vec<Pop> = star.leaves.iter().enumerate().map(|(index, leaf)| Pop::new(leaf, index)).collect();
    std::thread::scope(|scope| {
        for pop in &pops {
            let token = cli(&star.hub, &node, &["fleet", "token", "--name", &pop.name, "--output", "human"]);
            scope.spawn(move || pop.start(Some(token.trim())));
        }
    });
    until_in_sync(&star.hub, &node, &pops);

    let numbers = || (0..ZONES).map(|_| AtomicU32::new(0)).collect();
    let truth =
        Truth { tried: numbers(), acknowledged: numbers(), sum: AtomicU32::new(0), over: AtomicBool::new(false) };
    std::thread::scope(|scope| {
        let asking: Vec<_> = pops.iter().map(|pop| scope.spawn(|| ask(pop, &truth))).collect();
        let _end = AtEnd(&truth.over);
        let writing: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (hub, truth) = (&star.hub, &truth);
                scope.spawn(move || hub.enter(|| write(writer, truth)))
            })
            .collect();
        for (after, event) in EVENTS {
            until(|| truth.sum.load(Ordering::SeqCst) >= after, || "changes come to a halt".to_owned());
            happen(&event, &star, &pops, &node, data.path());
        }
        for thread in writing {
            thread.join().unwrap();
        }
        until_in_sync(&star.hub, &node, &pops);
        truth.over.store(true, Ordering::SeqCst);
        for (pop, thread) in pops.iter().zip(asking) {
            let answered = thread.join().unwrap();
            assert!(answered > 100, "{} gave {answered} answers", pop.name);
        }
    });
    prove(&star.hub, &node, &pops, &truth);
}

/// Ends what goes on also where a test fails.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn happen(event: &Event, star: &Star, pops: &[Pop], node: &Mutex<Option<Node>>, data: &std::path::Path) {
    match *event {
        Event::Cut(index) => star.links[index].cut(),
        Event::Mend(index) => {
            let name = &pops[index].name;
            let is_missed = || {
                let fleet = status(&star.hub, node);
                let pop = fleet["pops"].as_array().unwrap().iter().find(|pop| pop["name"] == **name).unwrap().clone();
                // A control node that was started meanwhile has not heard of it at all.
                ["unreachable", "expected"].contains(&pop["state"].as_str().unwrap()) && pop["lag"].as_u64() > Some(0)
            };
            until(is_missed, || format!("{name} is cut off and nobody noticed: {:#}", status(&star.hub, node)));
            star.links[index].mend();
        }
        Event::KillPop(index) => {
            pops[index].kill();
            pops[index].start(None);
        }
        Event::DamagePop(index) => {
            pops[index].kill();
            pops[index].damage();
            pops[index].start(None);
            let is_seen = || ["is damaged", "more damages"].iter().any(|text| pops[index].log().contains(text));
            until(is_seen, || format!("no damage was seen: {}", tail(&pops[index].log())));
        }
        Event::KillControl => {
            let mut node = node.lock().unwrap();
            let killed = node.take().unwrap();
            killed.signal("KILL");
            assert_eq!(killed.wait().0, None, "the control node was killed and did not end by itself");
            *node = Some(control(&star.hub, data));
        }
    }
}

/// Changes the zones of one writer in turn; a change is tried until it is acknowledged.
fn write(writer: usize, truth: &Truth) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
    for number in 1..=CHANGES {
        for index in (writer..ZONES).step_by(WRITERS) {
            truth.tried[index].store(number, Ordering::SeqCst);
            let [.., high, low] = number.to_be_bytes();
            let records = json!([{"content": Ipv4Addr::new(10, 0, high, low).to_string(), "disabled": false}]);
            let rrset = json!({"name": format!("www.{}.", zone(index)), "type": "A", "ttl": 300, "changetype": "REPLACE",
                "records": records});
            let url = format!("http://{API}/api/v1/servers/localhost/zones/{}.", zone(index));
            let body = json!({"rrsets": [rrset]});
            until(
                || {
                    if truth.over.load(Ordering::SeqCst) {
                        return true;
                    }
                    match agent.patch(&url).header("X-API-Key", KEY).send_json(&body) {
                        Ok(response) => {
                            assert_eq!(response.status(), 204, "{url}");
                            true
                        }
                        // The control node is not there just now.
                        Err(_) => false,
                    }
                },
                || format!("no change of {}", zone(index)),
            );
            truth.acknowledged[index].store(number, Ordering::SeqCst);
            truth.sum.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(CHANGE_EVERY);
        }
    }
}

/// Asks a `PoP` for all zones in turn and returns how many answers it gave. Each has a number that was written, and none is
/// older than one before it, unless the `PoP`'s copy was damaged meanwhile.
fn ask(pop: &Pop, truth: &Truth) -> usize {
    let client = pop.client();
    let (mut answered, mut floor, mut before) = (0, [0; ZONES], 0);
    for step in 0_usize.. {
        let (life, index) = (pop.life.load(Ordering::SeqCst), step % ZONES);
        if truth.over.load(Ordering::SeqCst) {
            break;
        }
        std::thread::sleep(QUERY_EVERY);
        if life % 2 == 0 {
            continue;
        }
        let is_damaged = life > pop.damaged_from.load(Ordering::SeqCst);
        if is_damaged && before != life {
            floor = [0; ZONES];
        }
        before = life;
        let is_alive = || pop.life.load(Ordering::SeqCst) == life;
        let answer = client.ask(&format!("www.{}", zone(index)), u16::try_from(step % 65_536).unwrap(), is_alive);
        match answer {
            Answered::Number(number) => {
                assert!(number >= floor[index], "{} went back to {number} from {}", pop.name, floor[index]);
                assert!(number <= truth.tried[index].load(Ordering::SeqCst), "{} made up {number}", pop.name);
                floor[index] = number;
                answered += 1;
            }
            Answered::Rcode(2) if is_damaged => {}
            _ if !is_alive() => {}
            _ => panic!("{}: {answer:?} for {}: {}", pop.name, zone(index), tail(&pop.log())),
        }
    }
    answered
}

/// Each `PoP` has every change, and the digest of all zones; they read all that they serve from to say so.
fn prove(hub: &Netns, node: &Mutex<Option<Node>>, pops: &[Pop], truth: &Truth) {
    let revision = status(hub, node)["revision"].as_u64().unwrap();
    cli(hub, node, &["change", "wait", &revision.to_string(), "--timeout", "60s"]);
    let verified = cli(hub, node, &["fleet", "verify", "--timeout", "60s", "--output", "json"]);
    let fleet: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(fleet["pops"].as_array().unwrap().len(), pops.len());
    for pop in fleet["pops"].as_array().unwrap() {
        assert_eq!((&pop["verified"]["good"], &pop["verified"]["digest"]), (&true.into(), &fleet["digest"]), "{pop}");
        assert_eq!(pop["revision"], revision, "{pop}");
    }
    for pop in pops {
        let client = pop.client();
        for (index, acknowledged) in truth.acknowledged.iter().enumerate() {
            assert_eq!(acknowledged.load(Ordering::SeqCst), CHANGES);
            let answer = client.ask(&format!("www.{}", zone(index)), u16::try_from(index).unwrap(), || true);
            assert_eq!(answer, Answered::Number(CHANGES), "{} has lost changes of {}", pop.name, zone(index));
        }
        assert!(!pop.log().contains("panicked"), "{}", pop.log());
    }
}

/// Waits until all `PoPs` have all changes, with the control node's digest.
fn until_in_sync(hub: &Netns, node: &Mutex<Option<Node>>, pops: &[Pop]) {
    let is_in_sync = || {
        let fleet = status(hub, node);
        let all = fleet["pops"].as_array().unwrap();
        all.len() == pops.len() && all.iter().all(|pop| pop["state"] == "insync" && pop["digest_good"] == true)
    };
    until(is_in_sync, || {
        let logs: Vec<_> = pops.iter().map(|pop| format!("{}:\n{}", pop.name, tail(&pop.log()))).collect();
        format!("not in sync: {:#}\n{}", status(hub, node), logs.join("\n"))
    });
}

fn status(hub: &Netns, node: &Mutex<Option<Node>>) -> Value {
    let node = node.lock().unwrap();
    // It fails as long as a PoP's data differ.
    let ran = hub.enter(|| node.as_ref().unwrap().run(&["fleet", "status", "--output", "json"]));
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"))
}

/// Runs a command that has to succeed, on the control node.
fn cli(hub: &Netns, node: &Mutex<Option<Node>>, arguments: &[&str]) -> String {
    let node = node.lock().unwrap();
    hub.enter(|| node.as_ref().unwrap().run(arguments)).ok()
}

/// Waits until something is so.
fn until(is_so: impl Fn() -> bool, why_not: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", why_not());
        std::thread::sleep(Duration::from_millis(50));
    }
}
