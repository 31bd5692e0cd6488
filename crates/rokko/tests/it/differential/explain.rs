//! Why responses may differ: what the RFCs leave open and servers decide each in their own way, and what the peers
//! are known to do wrong.

use std::collections::BTreeMap;

use super::compare::{Case, Difference};
use super::message::{Record, Section};
use super::names::Name;
use super::peers::Kind;
use super::queries::{ANY, AXFR, CNAME, IXFR, META_TYPES, NS, NSEC, NSEC3, RRSIG};

/// A difference that is no fault of Rokko's.
pub(super) struct Explanation {
    pub(super) name: &'static str,
    pub(super) explains: fn(&Case<'_>, &Difference) -> bool,
}

/// How often which explanation was needed, by peer.
pub(super) type Tally = BTreeMap<(&'static str, Kind), usize>;

pub(super) const EXPLANATIONS: &[Explanation] = &[
    Explanation { name: "one RRset for ANY", explains: any_minimal },
    Explanation { name: "one signature for RRSIG", explains: rrsig_minimal },
    Explanation { name: "additional addresses left out", explains: additional_minimal },
    Explanation { name: "NS in the authority of an answer", explains: authority_ns },
    Explanation { name: "names of all zones in one tree", explains: one_tree },
    Explanation { name: "no proof at opted-out names", explains: opted_out },
    Explanation { name: "more proof than needed at a wildcard asked for by name", explains: literal_wildcard },
    Explanation { name: "no alias followed into another zone", explains: cross_zone_alias },
    Explanation { name: "errors without the question", explains: no_question },
    Explanation { name: "transfers refused by another rcode", explains: transfer },
    Explanation { name: "meta types refused by another rcode", explains: meta_type },
    Explanation { name: "class ANY", explains: class_any },
    Explanation { name: "TC set where Rokko's octets fit, or the reverse", explains: truncation },
];

/// Leaves the differences that nothing explains, and counts each explanation that was used once per case.
pub(super) fn unexplained(case: &Case<'_>, tally: &mut Tally) -> Vec<Difference> {
    let mut used = Vec::new();
    let mut left = case.differences();
    left.retain(|difference| {
        let found = EXPLANATIONS.iter().find(|explanation| (explanation.explains)(case, difference));
        used.extend(found.map(|explanation| explanation.name));
        found.is_none()
    });
    if left.is_empty() {
        used.sort_unstable();
        used.dedup();
        for name in used {
            *tally.entry((name, case.kind)).or_default() += 1;
        }
    }
    left
}

fn is_address(record: &Record) -> bool {
    let covered = record.rdata.first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets));
    matches!(record.rtype, 1 | 28) || record.rtype == RRSIG && matches!(covered, 1 | 28)
}

/// Rokko gives one RRset of the name to a query for ANY (RFC 8482 §4.1); the peers are set to give all.
fn any_minimal(case: &Case<'_>, difference: &Difference) -> bool {
    let is_full = case.setup.full_any && case.query.tcp;
    let has_answer = !case.rokko.section(Section::Answer).is_empty();
    let is_one = case.kind == Kind::Nsd && case.setup.minimal && !case.peer.section(Section::Answer).is_empty();
    match difference {
        Difference::Missing(Section::Answer, _) => case.query.qtype == ANY && !is_full && has_answer,
        // NSD does so too if set to be minimal, and may choose another RRset.
        Difference::Extra(Section::Answer, _) => case.query.qtype == ANY && is_one,
        _ => false,
    }
}

/// Knot gives one signature to a query for RRSIG, as RFC 8482 §7 allows; Rokko gives all.
fn rrsig_minimal(case: &Case<'_>, difference: &Difference) -> bool {
    let is_asked = case.kind == Kind::Knot && case.query.qtype == RRSIG;
    match difference {
        Difference::Extra(Section::Answer, record) => {
            is_asked && record.rtype == RRSIG && case.peer.has(Section::Answer, RRSIG)
        }
        _ => false,
    }
}

/// Addresses beside an answer are a courtesy (RFC 1034 §4.3.2 step 6); Rokko is set to leave them out.
fn additional_minimal(case: &Case<'_>, difference: &Difference) -> bool {
    match difference {
        Difference::Missing(Section::Additional, record) => {
            is_address(record) && (case.setup.minimal || case.query.qtype == ANY) && !is_referral(case)
        }
        _ => false,
    }
}

fn is_referral(case: &Case<'_>) -> bool {
    !case.rokko.is_authoritative() && case.rokko.section(Section::Answer).is_empty()
}

/// NSD adds the zone's NS records and their addresses to positive answers, which nothing asks for and nothing forbids.
fn authority_ns(case: &Case<'_>, difference: &Difference) -> bool {
    let is_answer = case.kind == Kind::Nsd && !case.setup.minimal && !case.peer.section(Section::Answer).is_empty();
    match difference {
        Difference::Missing(Section::Authority, record) => {
            let covered = record.rdata.first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets));
            is_answer && (record.rtype == NS || record.rtype == RRSIG && covered == NS)
        }
        Difference::Missing(Section::Additional, record) => is_answer && is_address(record),
        _ => false,
    }
}

/// The names that a response is about: the one asked for and what it leads to.
fn names_on_the_way(case: &Case<'_>) -> Vec<Name> {
    let answers = case.rokko.section(Section::Answer).iter().chain(case.peer.section(Section::Answer));
    let targets = answers.filter(|record| record.rtype == CNAME).filter_map(|record| Name::from_wire(&record.rdata));
    std::iter::once(case.query.qname.clone()).chain(targets).collect()
}

/// NSD keeps the names of all zones in one tree, so that a name which only the parent's occluded data or an NSEC3
/// record has exists for it in the child as well (against RFC 1034 §4.3.2 and RFC 5155 §7.2.8).
fn one_tree(case: &Case<'_>, _: &Difference) -> bool {
    case.kind == Kind::Nsd
        && names_on_the_way(case).iter().any(|name| {
            let Some(zone) = case.world.zone_of(name) else { return false };
            let encloser = name.ancestors().find(|above| zone.has(above));
            let others = name.ancestors().find(|above| case.world.has_anywhere(above));
            encloser.map(|name| name.label_count()) < others.map(|name| name.label_count())
        })
}

/// NSD fails to find the closest provable encloser of names whose ancestors exist for opted-out delegations alone
/// (RFC 5155 §7.2.1), and to prove those themselves (§7.2.4).
fn opted_out(case: &Case<'_>, difference: &Difference) -> bool {
    is_proof(difference)
        && case.kind == Kind::Nsd
        && names_on_the_way(case).iter().any(|name| {
            let Some(zone) = case.world.zone_of(name) else { return false };
            let encloser = name.ancestors().find(|above| zone.has(above));
            encloser.is_some_and(|encloser| zone.is_opted_out(&encloser))
        })
}

/// Whether the difference is an NSEC or NSEC3 record or a signature of one.
fn is_proof(difference: &Difference) -> bool {
    let (Difference::Missing(Section::Authority, record) | Difference::Extra(Section::Authority, record)) = difference
    else {
        return false;
    };
    let covered = record.rdata.first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets));
    let proves = |rtype| matches!(rtype, NSEC | NSEC3);
    proves(record.rtype) || record.rtype == RRSIG && proves(covered)
}

/// NSD adds a proof that nothing but the wildcard matches even where the wildcard itself was asked for.
fn literal_wildcard(case: &Case<'_>, difference: &Difference) -> bool {
    let asked = &case.query.qname;
    let exists = || case.world.zone_of(asked).is_some_and(|zone| zone.has(asked));
    let is_missing = matches!(difference, Difference::Missing(..));
    case.kind == Kind::Nsd && is_missing && is_proof(difference) && asked.is_wildcard() && exists()
}

/// Knot looks for the target of an alias in the zone of the alias alone, and refers or stops there; Rokko and NSD go on
/// in whichever hosted zone has it, as RFC 1034 §4.3.2 step 3a has it ("go back to step 1").
fn cross_zone_alias(case: &Case<'_>, difference: &Difference) -> bool {
    let zone_of = |name: &Name| case.world.zone_of(name).map(|zone| &zone.apex);
    let first = zone_of(&case.query.qname);
    let is_left = names_on_the_way(case).iter().any(|name| zone_of(name) != first);
    let is_record = match difference {
        Difference::Extra(..) | Difference::Rcode => true,
        Difference::Missing(section, _) => *section != Section::Answer,
        _ => false,
    };
    case.kind == Kind::Knot && is_left && is_record
}

/// NSD leaves the question out of some refusals, against RFC 1035 §4.1.1.
fn no_question(case: &Case<'_>, difference: &Difference) -> bool {
    let is_bare = case.peer.question.is_empty() && case.peer.rcode != 0;
    case.kind == Kind::Nsd && is_bare && matches!(difference, Difference::Question)
}

/// No server gives a transfer here; RFC 5936 §2.2.1 leaves the rcode to each.
fn transfer(case: &Case<'_>, _: &Difference) -> bool {
    const REFUSED: u16 = 5;
    matches!(case.query.qtype, IXFR | AXFR) && case.rokko.rcode == REFUSED
}

/// What to say to a type that is no data type is nowhere written; RFC 8906 §3.1.3 wants an answer, whichever it is.
fn meta_type(case: &Case<'_>, difference: &Difference) -> bool {
    const REFUSALS: [u16; 3] = [1, 4, 5];
    let is_meta = META_TYPES.contains(&case.query.qtype);
    let is_refused = REFUSALS.contains(&case.peer.rcode) || REFUSALS.contains(&case.rokko.rcode);
    let is_about = !matches!(difference, Difference::Flags | Difference::Question);
    is_meta && is_refused && is_about
}

/// A response to class ANY is never authoritative (RFC 1035 §6.2); Knot says it is, and NSD refuses the class.
fn class_any(case: &Case<'_>, difference: &Difference) -> bool {
    const CLASS_ANY: u16 = 255;
    let is_asked = case.query.qclass == CLASS_ANY;
    match case.kind {
        Kind::Knot => is_asked && matches!(difference, Difference::Authoritative),
        Kind::Nsd => is_asked && case.peer.rcode == 5,
    }
}

/// Where it fits depends on compression and on what else a server adds. That Rokko's TC is right is held against its
/// own response over TCP, and that response against the peer's.
fn truncation(case: &Case<'_>, difference: &Difference) -> bool {
    !case.query.tcp && matches!(difference, Difference::Truncated)
}
