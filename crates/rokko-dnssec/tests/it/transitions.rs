//! From unsigned to signed and back, between NSEC and NSEC3, from key to key: valid after each step.

use rokko_dnssec::verify::{self, Terms};
use rokko_dnssec::{Conformed, NSEC3PARAM_RDATA, NoSigner, OptOut, Plan, PublicKey, Sign, Walk, Wanted};
use rokko_wire::{Name, Rtype};
use rokko_zone::zone::to_rrset;
use rokko_zone::{Delta, Edit, Revision, Rrset, Ttl, Zone};

use crate::judges::{HARD, judge};
use crate::random::{Random, unsigned};
use crate::signer::{Keys, apply, change, conform_whole, name, now, parse, sign_from_scratch, text};

fn apex() -> Name {
    name("example.")
}

fn nsec3param() -> Rrset {
    let rdatas = vec![Box::from(NSEC3PARAM_RDATA)];
    Rrset { owner: apex(), rtype: Rtype::NSEC3PARAM, ttl: Ttl::from_wire(0), rdatas }
}

fn delete(rtype: Rtype) -> Edit {
    Edit::Delete { owner: apex(), rtype }
}

/// A zone on its way.
struct Way {
    zone: Zone,
    random: Random,
    signatures: usize,
    added: usize,
}

impl Way {
    fn new(zone: Zone, seed: u64) -> Self {
        Self { zone, random: Random::new(seed), signatures: 0, added: 0 }
    }

    fn check(&self, delta: &Delta, conformed: &Conformed) {
        let terms = Terms { now: now(), hashed: &conformed.hashed, ..Terms::default() };
        assert_eq!(verify::touched(&self.zone, delta, &terms), [], "{}", text(&self.zone));
        assert_eq!(verify::whole(&self.zone, &terms), [], "{}", text(&self.zone));
    }

    fn edit(&mut self, edits: &[Edit], plan: &Plan, sign: &dyn Sign) {
        let (after, delta, conformed) = change(&self.zone, edits, plan, sign);
        self.zone = after;
        self.check(&delta, &conformed);
    }

    /// Walks over all of the zone in steps of `portion` names, with changes by users between them.
    fn walk(&mut self, portion: usize, plan: &Plan, sign: &dyn Sign) {
        let mut walk = Walk::new(&self.zone, plan);
        while !walk.is_done() {
            let conformed = walk.step(&self.zone, portion, plan, sign).unwrap();
            self.signatures += conformed.signatures;
            self.zone = apply(&self.zone, &conformed.delta);
            // A zone that is being signed first has no keys to be judged by yet.
            if self.zone.rrset(&apex(), Rtype::DNSKEY).is_some() {
                self.check(&conformed.delta, &conformed);
            }
            if self.random.below(3) == 0 {
                self.user(plan, sign);
            }
        }
    }

    fn user(&mut self, plan: &Plan, sign: &dyn Sign) {
        let txt = |owner: Name, octet: u8| {
            let rdatas = vec![Box::from([1, octet])];
            Edit::Replace(Rrset { owner, rtype: Rtype::TXT, ttl: Ttl::from_wire(300), rdatas })
        };
        let data = unsigned(&self.zone);
        // Other programs refuse CNAME beside other data.
        let names = data.rrsets().map(|(owner, rrset)| (owner, rrset.rtype()));
        let names: Vec<(Name, Rtype)> = names.filter(|(_, rtype)| *rtype != Rtype::CNAME).collect();
        let edit = match self.random.below(3) {
            0 => {
                self.added += 1;
                txt(name(&format!("new-{}.y.example.", self.added)), b'x')
            }
            1 => txt(names[self.random.below(names.len())].0.clone(), b'0' + u8::try_from(self.added % 64).unwrap()),
            _ => match names[self.random.below(names.len())].clone() {
                (owner, Rtype::SOA | Rtype::NS | Rtype::A | Rtype::AAAA) => txt(owner, b'n'),
                (owner, rtype) => Edit::Delete { owner, rtype },
            },
        };
        let delta = self.zone.resolve(&[edit]).unwrap();
        let draft = apply(&self.zone, &delta);
        let conformed = rokko_dnssec::conform_touched(&draft, &delta, plan, sign).unwrap();
        self.zone = apply(&draft, &conformed.delta);
        if self.zone.rrset(&apex(), Rtype::DNSKEY).is_some() {
            self.check(&delta.then(conformed.delta.clone()), &conformed);
        }
    }

    fn is_as_from_scratch(&self, keys: &Keys, plan: &Plan) {
        assert_eq!(text(&self.zone), text(&sign_from_scratch(&unsigned(&self.zone), keys, plan)));
    }
}

#[test]
fn unsigned_to_nsec_to_nsec3_to_opt_out_and_all_the_way_back() {
    let keys = Keys::csk();
    let plan = |nsec, nsec3| keys.plan(&apex(), Wanted { nsec, nsec3 });
    for seed in 1..=3 {
        let mut way = Way::new(parse(HARD), seed);
        let portion = [1, 7, 100][usize::try_from(seed - 1).unwrap()];
        // Signed first, in portions; the keys are published when all of it is.
        way.walk(portion, &plan(true, None), &keys);
        way.edit(&[Edit::Replace(keys.dnskey(&apex()))], &plan(true, None), &keys);
        way.is_as_from_scratch(&keys, &plan(true, None));
        judge(&way.zone, true);

        way.walk(portion, &plan(true, Some(OptOut::No)), &keys);
        way.edit(&[Edit::Replace(nsec3param())], &plan(true, Some(OptOut::No)), &keys);
        way.walk(portion, &plan(false, Some(OptOut::No)), &keys);
        way.is_as_from_scratch(&keys, &plan(false, Some(OptOut::No)));
        judge(&way.zone, true);

        way.walk(portion, &plan(false, Some(OptOut::Yes)), &keys);
        way.is_as_from_scratch(&keys, &plan(false, Some(OptOut::Yes)));
        judge(&way.zone, true);
        way.walk(portion, &plan(false, Some(OptOut::Leaving)), &keys);
        way.walk(portion, &plan(false, Some(OptOut::No)), &keys);
        way.is_as_from_scratch(&keys, &plan(false, Some(OptOut::No)));
        judge(&way.zone, true);

        way.walk(portion, &plan(true, Some(OptOut::No)), &keys);
        way.edit(&[delete(Rtype::NSEC3PARAM)], &plan(true, Some(OptOut::No)), &keys);
        way.walk(portion, &plan(true, None), &keys);
        way.is_as_from_scratch(&keys, &plan(true, None));
        judge(&way.zone, true);

        // Without DS records nobody validates; then all goes.
        let none = Plan { signers: Vec::new(), ..plan(false, None) };
        let gone = way.zone.resolve(&[delete(Rtype::DNSKEY)]).unwrap();
        way.zone = apply(&way.zone, &gone);
        way.walk(portion, &none, &NoSigner);
        assert_eq!(text(&way.zone), text(&unsigned(&way.zone)));
    }
}

#[test]
fn a_chain_built_by_a_walk_is_signed_once() {
    let keys = Keys::csk();
    let plan = |nsec, nsec3| keys.plan(&apex(), Wanted { nsec, nsec3 });
    let many: Vec<String> = (0..300).map(|index| format!("n{index}.e{} TXT x", index % 7)).collect();
    let zone = sign_from_scratch(&parse(&format!("{HARD}{}\n", many.join("\n"))), &keys, &plan(true, None));
    let mut walk = Walk::new(&zone, &plan(true, Some(OptOut::No)));
    let (mut zone, mut signatures, mut steps) = (zone, 0, 0);
    while !walk.is_done() {
        let conformed = walk.step(&zone, 50, &plan(true, Some(OptOut::No)), &keys).unwrap();
        signatures += conformed.signatures;
        steps += usize::from(conformed.signatures > 0);
        zone = apply(&zone, &conformed.delta);
    }
    let names = zone.view().nsec3_nodes_from(&[]).count();
    // The last record of each step points back to the first until the next step.
    assert!(signatures <= names + steps, "{signatures} signatures for {names} names in {steps} steps");
}

#[test]
fn keys_come_and_go() {
    let sep = PublicKey::ZONE | PublicKey::SEP;
    let all = Keys::new(&[(1, sep), (2, PublicKey::ZONE), (3, PublicKey::ZONE)]);
    let both = |indices: &[usize]| {
        let mut plan = all.plan(&apex(), Wanted::NSEC);
        let signs = plan.signers.iter_mut().enumerate();
        signs.for_each(|(index, signer)| signer.signs_zone &= indices.contains(&index));
        plan
    };
    let mut way = Way::new(sign_from_scratch(&parse(HARD), &all, &both(&[1])), 9);
    way.check(&Delta::default(), &Conformed::default());
    for indices in [&[2][..], &[1, 2], &[1]] {
        let plan = both(indices);
        way.walk(5, &plan, &all);
        way.is_as_from_scratch(&all, &plan);
    }
    judge(&way.zone, false);
}

#[test]
fn signatures_are_renewed_when_they_are_due_and_not_before() {
    let keys = Keys::csk();
    for denial in crate::judges::kinds() {
        let plan = keys.plan(&apex(), denial);
        let zone = sign_from_scratch(&parse(HARD), &keys, &plan);
        let later = |days: u32| {
            let mut plan = plan.clone();
            plan.timing.now += days * 86_400;
            plan
        };
        let (_, signatures) = conform_whole(&zone, 7, &plan, &keys);
        assert_eq!(signatures, 0);
        // Valid for 12 to 14 days, renewed in the last 5.
        assert_eq!(conform_whole(&zone, 7, &later(6), &keys).1, 0);
        let (renewed, signatures) = conform_whole(&zone, 7, &later(10), &keys);
        let all: usize = zone.rrsets().filter(|(_, rrset)| rrset.rtype() == Rtype::RRSIG).map(|(_, r)| r.len()).sum();
        assert_eq!(signatures, all);
        let terms = Terms { now: later(20).timing.now, ..Terms::default() };
        assert_eq!(verify::whole(&renewed, &terms), []);
        // A clock that has gone back finds signatures of the future, and makes others.
        assert_eq!(conform_whole(&renewed, 7, &later(1), &keys).1, all);
    }
}

#[test]
fn a_new_negative_ttl_is_right_where_it_is_touched_and_after_a_walk_everywhere() {
    let keys = Keys::csk();
    for denial in crate::judges::kinds() {
        let plan = keys.plan(&apex(), denial);
        let zone = sign_from_scratch(&parse(HARD), &keys, &plan);
        let mut soa = to_rrset(apex(), zone.rrset(&apex(), Rtype::SOA).unwrap());
        let at = soa.rdatas[0].len() - 4;
        soa.rdatas[0][at..].copy_from_slice(&77_u32.to_be_bytes());
        let (zone, _, conformed) = change(&zone, &[Edit::Replace(soa)], &plan, &keys);
        assert!(conformed.needs_walk);
        let (zone, _) = conform_whole(&zone, 5, &plan, &keys);
        assert_eq!(text(&zone), text(&sign_from_scratch(&unsigned(&zone), &keys, &plan)));
        assert_eq!(Zone::build(&apex(), Revision(1), []).unwrap().records(), 0);
    }
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let keys = Keys::csk();
    // Each of them is small, but for all their signatures there is no room.
    let many: Vec<String> = (1000..1700).map(|number| format!("@ TYPE{number} \\# 1 00")).collect();
    let many =
        format!("$ORIGIN example.\n$TTL 300\n@ SOA ns.test. h 1 2 3 4 300\n@ NS ns.test.\n{}\n", many.join("\n"));
    let start = rokko_dnssec::Cursor::start();
    let plan = keys.plan(&apex(), Wanted::NSEC);
    let refused = rokko_dnssec::conform_range(&parse(&many), &start, 10, &plan, &keys);
    assert_eq!(refused, Err(rokko_dnssec::ConformError::TooManySignatures(apex())));

    let long = [63, 63, 63, 29].map(|len| "x".repeat(len)).join(".") + ".";
    let zone = parse(&format!("$ORIGIN {long}\n@ 300 SOA ns.test. h.test. 1 2 3 4 300\n@ 300 NS ns.test.\n"));
    let refused = rokko_dnssec::conform_range(&zone, &start, 10, &keys.plan(&name(&long), Wanted::NSEC3), &keys);
    assert_eq!(refused, Err(rokko_dnssec::ConformError::ApexTooLong(name(&long))));
    let long = &long[1..];
    let zone = parse(&format!("$ORIGIN {long}\n@ 300 SOA ns.test. h.test. 1 2 3 4 300\n@ 300 NS ns.test.\n"));
    let plan = keys.plan(&name(long), Wanted::NSEC3);
    assert!(rokko_dnssec::conform_range(&zone, &start, 10, &plan, &keys).is_ok());
}

#[test]
fn a_name_that_is_a_hash_is_refused() {
    let keys = Keys::csk();
    let plan = keys.plan(&apex(), Wanted::NSEC3);
    let zone = sign_from_scratch(&parse(HARD), &keys, &plan);
    let hashed = zone.view().nsec3_last().map(|node| zone.view().name_of(node)).unwrap();
    let rdatas = vec![Box::from([192, 0, 2, 1])];
    let edit = Edit::Replace(Rrset { owner: hashed.clone(), rtype: Rtype::A, ttl: Ttl::from_wire(60), rdatas });
    let delta = zone.resolve(&[edit]).unwrap();
    let refused = rokko_dnssec::conform_touched(&apply(&zone, &delta), &delta, &plan, &keys);
    assert_eq!(refused, Err(rokko_dnssec::ConformError::NameTaken(hashed)));
}
