//! Measures signing a large zone: all of it in steps, then one record at a time.
//!
//! `cargo run --release -p rokko-dnssec --example sign_large -- [NAMES] [nsec|nsec3] [sign|count|judge]`
//!
//! With `count` signatures are not made but only counted, which leaves what the rest costs. With `judge` the whole zone is
//! judged at the end, by one thread.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a measurement by hand, with clock and threads")]

use std::cell::Cell;
use std::time::{Duration, Instant};

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rokko_dnssec::verify::{Terms, touched, whole};
use rokko_dnssec::{
    Algorithm, NSEC3PARAM_RDATA, Plan, PublicKey, Sign, SignError, Signer, Timing, ToSign, Walk, Wanted,
    conform_touched,
};
use rokko_wire::{Name, Rtype};
use rokko_zone::{Edit, Revision, Rrset, Ttl, Zone};

const NOW: u32 = 1_800_000_000;
const DAY: u32 = 86_400;
/// Names in one step.
const STEP: usize = 2_000;

struct Key {
    pair: EcdsaKeyPair,
    signs: bool,
    busy: Cell<Duration>,
}

impl Key {
    fn new(signs: bool) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("a key");
        Self { pair, signs, busy: Cell::default() }
    }

    fn public(&self) -> PublicKey {
        let key = self.pair.public_key().as_ref()[1..].into();
        PublicKey { flags: PublicKey::ZONE | PublicKey::SEP, algorithm: Algorithm::EcdsaP256Sha256, key }
    }
}

fn sign_all(pair: &EcdsaKeyPair, inputs: &[ToSign]) -> Vec<Box<[u8]>> {
    let random = SystemRandom::new();
    inputs.iter().map(|input| pair.sign(&random, &input.octets).expect("a signature").as_ref().into()).collect()
}

impl Sign for Key {
    fn sign(&self, inputs: &[ToSign]) -> Result<Vec<Box<[u8]>>, SignError> {
        let start = Instant::now();
        let made = if !self.signs {
            vec![vec![0; 64].into(); inputs.len()]
        } else if inputs.len() < 16 {
            sign_all(&self.pair, inputs)
        } else {
            let (pair, (first, second)) = (&self.pair, inputs.split_at(inputs.len() / 2));
            std::thread::scope(|scope| {
                let other = scope.spawn(move || sign_all(pair, second));
                let mut made = sign_all(pair, first);
                made.extend(other.join().expect("a thread that signs"));
                made
            })
        };
        self.busy.set(self.busy.get() + start.elapsed());
        Ok(made)
    }
}

/// A zone like those of a host of many names: an address for each, and mail for some.
fn zone(apex: &Name, names: usize) -> Zone {
    let ttl = Ttl::from_wire(300);
    let text = |rtype, text: &str| rokko_zone::rdata::from_text(rtype, text, None).expect("record data");
    let at_apex = |rtype, data: &str| Rrset { owner: apex.clone(), rtype, ttl, rdatas: vec![text(rtype, data)] };
    let soa = at_apex(Rtype::SOA, "ns1.example. host.example. 1 7200 900 1209600 300");
    let ns = at_apex(Rtype::NS, "ns1.test.");
    let others = (0..names).flat_map(|index| {
        let owner = apex.child(format!("name-{}", index.wrapping_mul(7_919) % names).as_bytes()).expect("a label");
        let octets = u32::try_from(index).expect("fewer names").to_be_bytes();
        let a = Rrset { owner: owner.clone(), rtype: Rtype::A, ttl, rdatas: vec![Box::from(octets)] };
        let mx = (index % 5 < 2).then(|| Rrset {
            owner,
            rtype: Rtype::MX,
            ttl,
            rdatas: vec![text(Rtype::MX, "10 mx.test.")],
        });
        std::iter::once(a).chain(mx)
    });
    Zone::build(apex, Revision(1), [soa, ns].into_iter().chain(others)).expect("a zone")
}

fn apply(zone: &Zone, edits: &[Edit]) -> Zone {
    let delta = zone.resolve(edits).expect("edits in the zone");
    zone.apply(&delta, zone.revision().next()).expect("a delta that fits").0
}

/// Memory in use, `VmRSS`, or the most that there was, `VmHWM`.
fn memory_mb(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what)).and_then(|line| line.split_whitespace().nth(1));
    line.and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
    let names = argument(0).parse().unwrap_or(1_000_000);
    let denial = if argument(1) == "nsec3" { Wanted::NSEC3 } else { Wanted::NSEC };
    let key = Key::new(argument(2) != "count");
    let apex: Name = "example.".parse().expect("a name");
    let timing = Timing {
        now: NOW,
        inception_before_s: 3600,
        validity_s: 14 * DAY,
        jitter_s: 2 * DAY,
        refresh_before_s: 5 * DAY,
    };
    let signer =
        Signer { tag: key.public().tag(), algorithm: Algorithm::EcdsaP256Sha256, signs_keys: true, signs_zone: true };
    let plan = Plan { apex: apex.clone(), signers: vec![signer], denial, timing };
    let single = |rtype, rdata: Box<[u8]>| {
        Edit::Replace(Rrset { owner: apex.clone(), rtype, ttl: Ttl::from_wire(3600), rdatas: vec![rdata] })
    };

    let mut zone = apply(&zone(&apex, names), &[single(Rtype::DNSKEY, key.public().to_rdata())]);
    println!("{names} names, {} RRsets, {} MB", zone.rrsets_count(), memory_mb("VmRSS"));

    let start = Instant::now();
    let mut walk = Walk::new(&zone, &plan);
    println!("walk prepared in {:.2} s", start.elapsed().as_secs_f64());
    let (mut signatures, mut conforming, mut longest) = (0, Duration::ZERO, Duration::ZERO);
    while !walk.is_done() {
        let step = Instant::now();
        let conformed = walk.step(&zone, STEP, &plan, &key).expect("a zone that can be signed");
        conforming += step.elapsed();
        signatures += conformed.signatures;
        zone = zone.apply(&conformed.delta, zone.revision().next()).expect("a delta that fits").0;
        longest = longest.max(step.elapsed());
    }
    let (all, busy) = (start.elapsed(), key.busy.get());
    println!(
        "signed in {:.1} s: {signatures} signatures {:.1} s, the rest of conforming {:.1} s, pages {:.1} s; longest step {} ms; {} MB, at most {} MB",
        all.as_secs_f64(),
        busy.as_secs_f64(),
        (conforming.saturating_sub(busy)).as_secs_f64(),
        all.saturating_sub(conforming).as_secs_f64(),
        longest.as_millis(),
        memory_mb("VmRSS"),
        memory_mb("VmHWM")
    );
    if denial.nsec3.is_some() {
        let edit = single(Rtype::NSEC3PARAM, Box::from(NSEC3PARAM_RDATA));
        let delta = zone.resolve(&[edit]).expect("edits in the zone");
        let draft = zone.apply(&delta, zone.revision().next()).expect("a delta that fits").0;
        let conformed = conform_touched(&draft, &delta, &plan, &key).expect("a zone that can be signed");
        zone = draft.apply(&conformed.delta, draft.revision()).expect("a delta that fits").0;
    }

    let start = Instant::now();
    let mut walk = Walk::new(&zone, &plan);
    while !walk.is_done() {
        assert!(walk.step(&zone, STEP, &plan, &key).expect("a signed zone").delta.is_empty());
    }
    println!("a walk over the signed zone, where nothing is due, in {:.1} s", start.elapsed().as_secs_f64());

    if argument(2) == "judge" {
        let start = Instant::now();
        assert_eq!(whole(&zone, &Terms { now: NOW, ..Terms::default() }), []);
        println!("the whole zone judged in {:.1} s", start.elapsed().as_secs_f64());
    }
    one_by_one(&zone, &plan, &key, names);
}

fn one_by_one(zone: &Zone, plan: &Plan, key: &Key, names: usize) {
    const CHANGES: u32 = 2_000;
    let mut zone = zone.clone();
    for (what, is_new) in [("changed", false), ("added", true)] {
        let (mut conforming, mut applying, mut judging) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        key.busy.set(Duration::ZERO);
        for index in 0..CHANGES {
            let number = (index as usize).wrapping_mul(104_729) % names;
            let label = if is_new { format!("new-{number}") } else { format!("name-{number}") };
            let owner = plan.apex.child(label.as_bytes()).expect("a label");
            let rdatas = vec![Box::from([10, 1, 2, 3])];
            let edit = Edit::Replace(Rrset { owner, rtype: Rtype::A, ttl: Ttl::from_wire(300), rdatas });
            let delta = zone.resolve(&[edit]).expect("an edit in the zone");
            let draft = zone.apply(&delta, zone.revision()).expect("a delta that fits").0;
            let start = Instant::now();
            let conformed = conform_touched(&draft, &delta, plan, key).expect("a zone that can be signed");
            conforming += start.elapsed();
            let start = Instant::now();
            let delta = delta.then(conformed.delta);
            zone = zone.apply(&delta, zone.revision().next()).expect("a delta that fits").0;
            applying += start.elapsed();
            let start = Instant::now();
            let findings = touched(&zone, &delta, &Terms { now: NOW, ..Terms::default() });
            judging += start.elapsed();
            assert!(!key.signs || findings.is_empty(), "{findings:?}");
        }
        println!(
            "a record {what}: signatures {:.0} us, the rest of conforming {:.0} us, pages {:.0} us, gate {:.0} us",
            (key.busy.get() / CHANGES).as_secs_f64() * 1e6,
            (conforming.saturating_sub(key.busy.get()) / CHANGES).as_secs_f64() * 1e6,
            (applying / CHANGES).as_secs_f64() * 1e6,
            (judging / CHANGES).as_secs_f64() * 1e6
        );
    }
}
