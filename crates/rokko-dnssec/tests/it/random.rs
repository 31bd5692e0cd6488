//! Thousands of random changes: what comes out by steps is what signing at once gives.

use rokko_dnssec::verify::{self, Terms};
use rokko_dnssec::{DigestType, OptOut, Wanted};
use rokko_wire::{Name, Rtype};
use rokko_zone::check::check_zone;
use rokko_zone::rdata::from_text;
use rokko_zone::zone::to_rrset;
use rokko_zone::{Edit, Revision, Rrset, Ttl, Zone};

use crate::judges::{HARD, judge};
use crate::signer::{Keys, apply, change, name, now, parse, sign_from_scratch, text};

/// Random numbers that are the same for the same seed (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % limit
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

fn owner(random: &mut Random) -> Name {
    let labels: [&[u8]; 8] = [b"a", b"b", b"c", b"*", b"\0", b"\x01\xff", b"ns", b"cut"];
    let depth = [0, 1, 1, 1, 2, 2, 3, 4][random.below(8)];
    (0..depth).fold(name("example."), |name, _| name.child(labels[random.below(8)]).unwrap())
}

fn rrset(random: &mut Random, owner: Name) -> Rrset {
    let data: [(Rtype, &[&str]); 9] = [
        (Rtype::A, &["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
        (Rtype::TXT, &["one", "two", "three"]),
        (Rtype::NS, &["ns.test.", "NS.Test.", "b.test."]),
        (Rtype::NS, &["a.test.", "b.test."]),
        (Rtype::DS, &["1 13 2 D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A"]),
        (Rtype::DNAME, &["Other.Test."]),
        (Rtype::MX, &["10 Mail.example.", "10 mail2.example."]),
        (Rtype::CAA, &["0 issue \"ca.test\""]),
        (Rtype(65_280), &["\\# 1 00", "\\# 2 0102"]),
    ];
    let (rtype, texts) = *random.pick(&data);
    let rtype = if rtype == Rtype::DS && owner == name("example.") { Rtype::TXT } else { rtype };
    let mut rdatas: Vec<Box<[u8]>> = Vec::new();
    for text in &texts[..=random.below(texts.len())] {
        rdatas.push(from_text(rtype, text, None).unwrap_or_else(|_| Box::from(*b"\x03txt")));
    }
    let ttl = Ttl::from_wire([60, 300, 3600][random.below(3)]);
    Rrset { owner, rtype, ttl, rdatas }
}

fn edit(random: &mut Random, unsigned: &Zone) -> Edit {
    if random.below(5) < 2 {
        // What is there goes, but for the SOA record.
        let all: Vec<(Name, Rtype)> = unsigned.rrsets().map(|(owner, rrset)| (owner, rrset.rtype())).collect();
        let (owner, rtype) = random.pick(&all).clone();
        if rtype != Rtype::SOA {
            return Edit::Delete { owner, rtype };
        }
    }
    let owner = owner(random);
    let rrset = rrset(random, owner);
    if random.below(3) == 0 { Edit::Extend(rrset) } else { Edit::Replace(rrset) }
}

/// The user's data of a zone.
pub(crate) fn unsigned(zone: &Zone) -> Zone {
    let made = |rtype: Rtype| rtype.is_signing_product() || matches!(rtype, Rtype::DNSKEY | Rtype::NSEC3PARAM);
    let data = zone.rrsets().filter(|(_, rrset)| !made(rrset.rtype()));
    Zone::build(&zone.apex(), Revision(1), data.map(|(owner, rrset)| to_rrset(owner, rrset))).unwrap()
}

/// Makes `steps` changes of one to four edits and holds the zone against one that is signed at once.
///
/// If it `is_tame`, the zone never has what other programs refuse to load.
fn steps(start: &str, steps: usize, seed: u64, denial: Wanted, is_tame: bool) {
    let keys = Keys::csk();
    let plan = keys.plan(&name("example."), denial);
    let ds = [keys.public(0).ds(&plan.apex, DigestType::Sha256)];
    let terms = Terms { now: now(), ds: &ds, ..Terms::default() };
    let mut random = Random::new(seed);
    let mut zone = sign_from_scratch(&parse(start), &keys, &plan);
    for step in 0..steps {
        let data = unsigned(&zone);
        let edits: Vec<Edit> = (0..=random.below(4)).map(|_| edit(&mut random, &data)).collect();
        if is_tame && !is_loadable(&apply(&data, &data.resolve(&edits).unwrap())) {
            continue;
        }
        let (after, delta, conformed) = change(&zone, &edits, &plan, &keys);
        assert!(!conformed.needs_walk);
        assert_eq!(verify::touched(&after, &delta, &terms), [], "seed {seed}, step {step}, {denial:?}, {edits:?}");
        if step % 10 == 9 {
            assert_eq!(verify::whole(&after, &terms), [], "seed {seed}, step {step}, {denial:?}, {edits:?}");
        }
        if is_tame && step % 100 == 99 {
            judge(&after, true);
        }
        let expected = sign_from_scratch(&unsigned(&after), &keys, &plan);
        assert_eq!(text(&after), text(&expected), "seed {seed}, step {step}, {denial:?}, {edits:?}");
        zone = after;
    }
}

fn is_loadable(zone: &Zone) -> bool {
    check_zone(&zone.apex(), zone).iter().all(|finding| matches!(finding.code, "occluded" | "target-without-address"))
}

const SMALL: &str = "$ORIGIN example.\n$TTL 300\n@ SOA ns h 1 2 3 4 300\n@ NS ns.test.\n";

/// Random changes of one kind of denial must lead to what signing at once gives.
fn all_steps(seed: u64, denial: Wanted) {
    steps(SMALL, 300, seed, denial, false);
    steps(SMALL, 600, seed + 1, denial, true);
    steps(HARD, 100, seed + 2, denial, false);
}

#[test]
fn nsec() {
    all_steps(1, Wanted::NSEC);
}

#[test]
fn nsec3() {
    all_steps(4, Wanted::NSEC3);
}

#[test]
fn nsec3_with_opt_out() {
    all_steps(7, Wanted { nsec: false, nsec3: Some(OptOut::Yes) });
}

#[test]
fn nsec3_on_the_way_out_of_opt_out() {
    all_steps(10, Wanted { nsec: false, nsec3: Some(OptOut::Leaving) });
}

#[test]
fn both_chains() {
    steps(SMALL, 300, 13, Wanted { nsec: true, nsec3: Some(OptOut::No) }, false);
}
