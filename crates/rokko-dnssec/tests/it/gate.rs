//! The gate finds what is wrong, wherever it is.

use std::collections::BTreeSet;

use rokko_dnssec::verify::{Terms, touched, whole};
use rokko_dnssec::{DigestType, Wanted};
use rokko_wire::{Name, Rtype};
use rokko_zone::check::Finding;
use rokko_zone::file::Severity;
use rokko_zone::rdata::from_text;
use rokko_zone::zone::to_rrset;
use rokko_zone::{Edit, Rrset, Ttl, Zone};

use crate::judges::{HARD, kinds};
use crate::signer::{Keys, apply, name, now, parse, sign_from_scratch};

fn terms() -> Terms<'static> {
    Terms { now: now(), ..Terms::default() }
}

fn errors(findings: &[Finding]) -> BTreeSet<&'static str> {
    findings.iter().filter(|finding| finding.severity == Severity::Error).map(|finding| finding.code).collect()
}

/// What the gate and the judgement of the whole zone say about edits that nobody signed.
fn unsigned_edits(zone: &Zone, edits: &[Edit]) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let delta = zone.resolve(edits).unwrap();
    let after = apply(zone, &delta);
    let ds = [Keys::csk().public(0).ds(&name("example."), DigestType::Sha256)];
    let terms = Terms { ds: &ds, ..terms() };
    let (touched, whole) = (touched(&after, &delta, &terms), whole(&after, &terms));
    (errors(&touched), errors(&whole))
}

fn signed(denial: Wanted) -> Zone {
    let keys = Keys::csk();
    sign_from_scratch(&parse(HARD), &keys, &keys.plan(&name("example."), denial))
}

fn rrset(zone: &Zone, owner: &str, rtype: Rtype) -> Rrset {
    to_rrset(name(owner), zone.rrset(&name(owner), rtype).unwrap())
}

/// What no signature vouches for: glue, the names of servers at a cut, and what is below a DNAME.
fn is_unsigned(owner: &Name, rtype: Rtype) -> bool {
    let cuts = ["insecure", "secure", "a.co", "b.co", "c.co"].map(|cut| name(&format!("{cut}.example.")));
    cuts.iter().any(|cut| owner.is_in(cut) && (owner != cut || rtype == Rtype::NS))
}

#[test]
fn every_rrset_that_is_damaged_or_gone_is_found() {
    for denial in kinds() {
        let zone = signed(denial);
        assert_eq!((touched(&zone, &zone.resolve(&[]).unwrap(), &terms()), whole(&zone, &terms())), (vec![], vec![]));
        let all: Vec<Rrset> = zone.rrsets().map(|(owner, rrset)| to_rrset(owner, rrset)).collect();
        for (index, rrset) in all.iter().enumerate().filter(|(_, rrset)| !is_unsigned(&rrset.owner, rrset.rtype)) {
            let gone = Edit::Delete { owner: rrset.owner.clone(), rtype: rrset.rtype };
            let mut damaged = rrset.clone();
            let at = index % damaged.rdatas.len();
            let octet = index % damaged.rdatas[at].len().max(1);
            match damaged.rdatas[at].get_mut(octet) {
                Some(octet) => *octet ^= 1,
                None => damaged.rdatas[at] = Box::from([1]),
            }
            let mut longer = rrset.clone();
            longer.ttl = Ttl::from_wire(rrset.ttl.as_secs() + 1);
            for edit in [gone, Edit::Replace(damaged), Edit::Replace(longer)] {
                if matches!(&edit, Edit::Replace(rrset) if rrset.rtype == Rtype::RRSIG && rrset.ttl != all[index].ttl) {
                    continue;
                }
                let (touched, whole) = unsigned_edits(&zone, std::slice::from_ref(&edit));
                assert!(!touched.is_empty(), "{denial:?}: the gate lets pass {edit:?}");
                assert!(touched.is_subset(&whole), "{denial:?} {edit:?}: {touched:?}, {whole:?}");
            }
        }
    }
}

#[test]
fn new_data_without_signatures_are_found() {
    let a = |owner: &str| {
        let rdatas = vec![Box::from([192, 0, 2, 1])];
        Edit::Replace(Rrset { owner: name(owner), rtype: Rtype::A, ttl: Ttl::from_wire(300), rdatas })
    };
    for (denial, code) in [(Wanted::NSEC, "nsec-missing"), (Wanted::NSEC3, "nsec3-missing")] {
        let zone = signed(denial);
        let (touched, _) = unsigned_edits(&zone, &[a("new.example.")]);
        assert!(touched.is_superset(&BTreeSet::from(["rrsig-missing", code])), "{touched:?}");
        // Glue needs nothing.
        assert_eq!(unsigned_edits(&zone, &[a("ns2.insecure.example.")]), (BTreeSet::new(), BTreeSet::new()));
        // A type more at a name that is there.
        let (touched, _) = unsigned_edits(&zone, &[a("x.y.z.example.")]);
        let code = code.replace("missing", "wrong");
        assert!(touched.is_superset(&BTreeSet::from(["rrsig-missing", &*code])), "{touched:?}");
    }
}

#[test]
fn expired_and_early_signatures_are_found() {
    let (zone, day) = (signed(Wanted::NSEC), 86_400);
    for (now, code) in [(now() + 15 * day, "rrsig-expired"), (now() - day, "rrsig-early")] {
        let findings = whole(&zone, &Terms { now, ..Terms::default() });
        assert!(errors(&findings).contains(code), "{findings:?}");
        let resolved = zone.resolve(&[Edit::Delete { owner: name("mail.example."), rtype: Rtype::A }]).unwrap();
        let findings = touched(&zone, &resolved, &Terms { now, ..Terms::default() });
        assert!(errors(&findings).contains(code), "{findings:?}");
    }
}

#[test]
fn a_signature_on_glue_is_found() {
    // The same glue in a zone in which it isn't glue has a signature.
    let keys = Keys::csk();
    let plan = keys.plan(&name("example."), Wanted::NSEC);
    let uncut: String =
        HARD.lines().filter(|line| !line.starts_with("insecure")).flat_map(|line| [line, "\n"]).collect();
    let other = sign_from_scratch(&parse(&uncut), &keys, &plan);
    let zone = signed(Wanted::NSEC);
    let mut rrsig = rrset(&other, "ns.insecure.example.", Rtype::RRSIG);
    rrsig.rdatas.retain(|rdata| rdata[..2] == [0, 1]);
    let found = unsigned_edits(&zone, &[Edit::Replace(rrsig)]);
    assert_eq!(found, (BTreeSet::from(["rrsig-on-glue"]), BTreeSet::from(["rrsig-on-glue"])));
    let nsec = rrset(&other, "ns.insecure.example.", Rtype::NSEC);
    let found = unsigned_edits(&zone, &[Edit::Replace(nsec)]);
    assert_eq!(found, (BTreeSet::from(["nsec-extra"]), BTreeSet::from(["nsec-extra"])));
}

#[test]
fn denial_that_is_signed_but_wrong_is_found() {
    let keys = Keys::csk();
    for (denial, rtype, code) in
        [(Wanted::NSEC, Rtype::NSEC, "nsec-wrong"), (Wanted::NSEC3, Rtype::NSEC3, "nsec3-wrong")]
    {
        let plan = keys.plan(&name("example."), denial);
        let zone = signed(denial);
        // A zone with other names and types has denial records that are signed and don't fit here.
        let others = [format!("{HARD}new TXT x\n"), HARD.replace("www A 192.0.2.3", "www TXT x")];
        for other in others.map(|text| sign_from_scratch(&parse(&text), &keys, &plan)) {
            let differs = |rrset: &Rrset| {
                let here = zone.rrset(&rrset.owner, rtype).map(|here| to_rrset(rrset.owner.clone(), here));
                rrset.rtype == rtype && here.is_some_and(|here| here != *rrset)
            };
            let mut found = 0;
            for wrong in other.rrsets().map(|(owner, rrset)| to_rrset(owner, rrset)).filter(differs) {
                let owner = wrong.owner.to_string();
                let is_of = |rdata: &[u8]| rdata[..2] == rtype.0.to_be_bytes();
                let mut rrsig = rrset(&zone, &owner, Rtype::RRSIG);
                rrsig.rdatas.retain(|rdata| !is_of(rdata));
                rrsig.rdatas.extend(rrset(&other, &owner, Rtype::RRSIG).rdatas.into_iter().filter(|r| is_of(r)));
                let codes = unsigned_edits(&zone, &[Edit::Replace(wrong), Edit::Replace(rrsig)]);
                assert_eq!(codes, (BTreeSet::from([code]), BTreeSet::from([code])));
                found += 1;
            }
            assert!(found > 0);
        }
    }
}

#[test]
fn ds_records_at_the_parent_must_lead_to_a_key_that_signs() {
    let zone = signed(Wanted::NSEC);
    let (right, wrong) = (Keys::csk().public(0), Keys::new(&[(9, 257)]).public(0));
    let ds = |key: &rokko_dnssec::PublicKey| key.ds(&name("example."), DigestType::Sha256);
    let codes = |ds: &[Box<[u8]>]| errors(&whole(&zone, &Terms { now: now(), ds, ..Terms::default() }));
    assert_eq!(codes(&[ds(&right)]), BTreeSet::new());
    assert_eq!(codes(&[ds(&wrong), ds(&right)]), BTreeSet::new());
    assert_eq!(codes(&[ds(&wrong)]), BTreeSet::from(["ds-without-key"]));
    let unsigned = parse(HARD);
    assert_eq!(whole(&unsigned, &terms()), []);
    assert_eq!(
        errors(&whole(&unsigned, &Terms { now: now(), ds: &[ds(&right)], ..Terms::default() })),
        BTreeSet::from(["dnskey-missing"])
    );
}

#[test]
fn each_algorithm_of_the_keys_must_sign() {
    let zone = signed(Wanted::NSEC);
    let key = "256 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==";
    let rdatas = vec![from_text(Rtype::DNSKEY, key, None).unwrap()];
    let more = Rrset { owner: name("example."), rtype: Rtype::DNSKEY, ttl: Ttl::from_wire(3600), rdatas };
    let (_, whole) = unsigned_edits(&zone, &[Edit::Extend(more)]);
    assert!(whole.contains("rrsig-missing"), "{whole:?}");
}
