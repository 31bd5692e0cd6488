//! Why responses may differ: what the RFCs leave open and servers decide each in their own way, and what the peers
//! are known to do wrong.

use std::collections::BTreeMap;

use super::compare::{Case, Difference};
use super::generator::ZoneSpec;
use super::message::{Record, Response, Section};
use super::names::Name;
use super::peers::Kind;
use super::queries::{ANY, AXFR, CNAME, DNAME, DS, HTTPS, IXFR, META_TYPES, MX, NS, NSEC, NSEC3, RRSIG, SRV, SVCB};
use super::round::UDP_PAYLOAD_MAX;

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
    Explanation { name: "no proof where a wildcard answers for an asterisk", explains: asterisk_below_wildcard },
    Explanation { name: "no proof of an empty source of synthesis", explains: empty_wildcard },
    Explanation { name: "glue left out for want of room", explains: no_room },
    Explanation { name: "glue left out by the peer for want of room", explains: no_room_for_peer },
    Explanation { name: "an NSEC that is answer and proof sent once", explains: same_nsec },
    Explanation { name: "addresses from wildcards", explains: wildcard_address },
    Explanation { name: "no addresses below a cut or for SVCB", explains: no_address },
    Explanation { name: "addresses of the first hosts only", explains: many_targets },
    Explanation { name: "no more links of a chain behind a DNAME", explains: behind_dname },
    Explanation { name: "proofs for DS", explains: ds_proof },
    Explanation { name: "proofs behind a DNAME", explains: dname_proof },
    Explanation { name: "another NSEC where labels sort before *", explains: before_asterisk },
    Explanation { name: "NSEC or RRSIG at an alias", explains: signing_type_alias },
    Explanation { name: "more than YXDOMAIN", explains: too_long },
    Explanation { name: "no alias followed into another zone", explains: cross_zone_alias },
    Explanation { name: "errors without the question", explains: no_question },
    Explanation { name: "transfers refused by another rcode", explains: transfer },
    Explanation { name: "meta types refused by another rcode", explains: meta_type },
    Explanation { name: "class ANY", explains: class_any },
    Explanation { name: "the rcode of a chain cut off", explains: truncated_rcode },
    Explanation { name: "TC set where Rokko's octets fit, or the reverse", explains: truncation },
];

/// The name under which [`is_broken`] is counted.
pub(super) const BROKEN: &str = "a name that points to itself";

/// Whether a response that cannot be parsed is a known fault of the peer's: Knot 3.2.6 at times compresses a name of
/// the additional section by a pointer that leads back to it.
pub(super) fn is_broken(kind: Kind, problem: &str) -> bool {
    kind == Kind::Knot && problem.contains("compression pointers")
}

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
    matches!(record.about(), 1 | 28)
}

/// Rokko gives one RRset of the name to a query for ANY (RFC 8482 §4.1); the peers are set to give all.
fn any_minimal(case: &Case<'_>, difference: &Difference) -> bool {
    let is_full = case.setup.full_any && case.query.tcp;
    let has_answer = !case.rokko.section(Section::Answer).is_empty();
    let answer = case.peer.section(Section::Answer);
    let is_one = answer.first().is_some_and(|first| {
        let is_same = |record: &Record| record.about() == first.about();
        answer.iter().all(is_same) || answer.iter().all(|record| record.rtype == RRSIG)
    });
    match difference {
        Difference::Missing(Section::Answer, _) => case.query.qtype == ANY && !is_full && has_answer,
        // The peers do so too at times, and may choose another RRset.
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

/// Addresses beside an answer are a courtesy (RFC 1034 §4.3.2 step 6); Rokko is set to leave them out. Knot also
/// adds the records of SVCB targets (RFC 9460 §4.1) and NSEC3 records of names without addresses.
fn additional_minimal(case: &Case<'_>, difference: &Difference) -> bool {
    match difference {
        Difference::Missing(Section::Additional, record) => {
            let is_wanted = is_address(record) && !case.setup.minimal && case.query.qtype != ANY;
            !is_wanted && (is_address(record) || case.kind == Kind::Knot) && !is_referral(case)
        }
        _ => false,
    }
}

fn is_referral(case: &Case<'_>) -> bool {
    case.rokko.referral().is_some()
}

/// NSD adds the zone's NS records and their addresses to positive answers, which nothing asks for and nothing forbids.
fn authority_ns(case: &Case<'_>, difference: &Difference) -> bool {
    let is_answer = case.kind == Kind::Nsd && !case.setup.minimal && !case.peer.section(Section::Answer).is_empty();
    match difference {
        Difference::Missing(Section::Authority, record) => is_answer && record.about() == NS,
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
            let Some((zone, encloser)) = encloser(case, name) else { return false };
            let is_foreign = |name: &Name| case.world.has_anywhere(name) && !zone.has(name);
            name.ancestors().any(|above| is_foreign(&above))
                || encloser.child(b"*").is_some_and(|source| is_foreign(&source))
        })
}

/// NSD fails to find the closest provable encloser of names whose ancestors exist for opted-out delegations alone
/// (RFC 5155 §7.2.1), and to prove those themselves (§7.2.4); Knot then leaves out the SOA record and AA as well.
fn opted_out(case: &Case<'_>, difference: &Difference) -> bool {
    let is_left_out = match case.kind {
        Kind::Nsd => is_proof(difference),
        Kind::Knot => {
            let is_bare = !case.peer.is_authoritative() && case.peer.section(Section::Authority).is_empty();
            is_bare && matches!(difference, Difference::Authoritative | Difference::Extra(Section::Authority, _))
        }
    };
    is_left_out
        && names_on_the_way(case).iter().any(|name| {
            let Some((zone, encloser)) = encloser(case, name) else { return false };
            zone.is_opted_out(&encloser)
        })
}

/// The zone that answers for a name and the closest encloser there; the name itself if it exists.
fn encloser<'w>(case: &Case<'w>, name: &Name) -> Option<(&'w ZoneSpec, Name)> {
    let zone = case.zone_for(name)?;
    let encloser = name.ancestors().find(|above| zone.has(above))?;
    Some((zone, encloser))
}

/// Whether the difference is an NSEC or NSEC3 record or a signature of one.
fn is_proof(difference: &Difference) -> bool {
    match difference {
        Difference::Missing(Section::Authority, record) | Difference::Extra(Section::Authority, record) => {
            is_proof_record(record)
        }
        _ => false,
    }
}

fn is_proof_record(record: &Record) -> bool {
    matches!(record.about(), NSEC | NSEC3)
}

/// Where the source of synthesis is an empty non-terminal, Knot proves that the name does not exist, but not what RFC
/// 4035 §3.1.3.4 and RFC 5155 §7.2.5 want of the wildcard.
fn empty_wildcard(case: &Case<'_>, difference: &Difference) -> bool {
    let is_extra = matches!(difference, Difference::Extra(..)) && is_proof(difference);
    is_extra
        && case.kind == Kind::Knot
        && names_on_the_way(case).iter().any(|name| {
            let Some((zone, encloser)) = encloser(case, name) else { return false };
            let source = encloser.child(b"*").filter(|source| zone.has(source));
            encloser != *name && source.is_some_and(|source| !zone.nodes.contains_key(&source))
        })
}

/// Glue that is not in-domain may be left out of a referral without TC (RFC 9471 §3.2), and so may be addresses beside
/// an answer. Rokko writes an address RRset with its signatures or not at all; Knot drops signatures first.
fn no_room(case: &Case<'_>, difference: &Difference) -> bool {
    let Difference::Missing(Section::Additional, record) = difference else { return false };
    let is_optional = case.rokko.referral().is_none_or(|cut| !record.owner.is_in(cut));
    let is_same = |other: &&Record| other.owner == record.owner && other.about() == record.about();
    let rrset = case.peer.section(Section::Additional).iter().filter(is_same);
    // As large as it can be, with a signature even if the peer has dropped that.
    let len: usize = rrset.map(|record| record.owner.wire_len() + 10 + record.rdata.len()).sum();
    let signature_len = if case.query.dnssec_ok() { 10 + 18 + 64 + 2 * record.owner.wire_len() } else { 0 };
    let room = case.query.udp_limit(UDP_PAYLOAD_MAX).saturating_sub(case.rokko.len);
    is_optional && is_address(record) && !case.query.tcp && room < len + signature_len
}

/// NSD looks for DS in ways of its own: at a wildcard it leaves the closest encloser unproved (RFC 5155 §7.2.5), and at
/// the apex of a hosted zone that the parent does not delegate it sends the proof for another name.
fn ds_proof(case: &Case<'_>, difference: &Difference) -> bool {
    let is_odd = |name: &Name| {
        let Some((zone, encloser)) = encloser(case, name) else { return false };
        let is_cut = zone.nodes.get(name).is_some_and(|node| node.contains_key("NS"));
        let is_apex = case.world.zone_of(name).is_some_and(|hosted| hosted.apex == *name);
        is_apex && !is_cut || encloser != *name && encloser.child(b"*").is_some_and(|source| zone.has(&source))
    };
    let is_asked = case.kind == Kind::Nsd && case.query.qtype == DS;
    is_asked && is_proof(difference) && names_on_the_way(case).iter().any(is_odd)
}

/// NSD sends wrong proofs for what a DNAME leads to: those of names that merely resemble it.
fn dname_proof(case: &Case<'_>, difference: &Difference) -> bool {
    case.kind == Kind::Nsd && case.rokko.has(Section::Answer, DNAME) && is_proof(difference)
}

/// NSD sends the NSEC record before the closest encloser beside or in place of the one that covers the wildcard, if a
/// label sorts before the asterisk.
fn before_asterisk(case: &Case<'_>, difference: &Difference) -> bool {
    is_proof(difference)
        && case.kind == Kind::Nsd
        && names_on_the_way(case)
            .iter()
            .any(|name| encloser(case, name).is_some_and(|(zone, encloser)| zone.has_child_before(&encloser, b"*")))
}

/// NSD leaves even in-domain glue out if it does not fit, without setting TC (against RFC 9471 §3.1), and Knot other
/// addresses and signatures, and all that come after the first RRset that does not fit.
fn no_room_for_peer(case: &Case<'_>, difference: &Difference) -> bool {
    let Difference::Extra(Section::Additional, record) = difference else { return false };
    let is_same = |other: &&Record| other.owner == record.owner && other.about() == record.about();
    let rrset = case.rokko.section(Section::Additional).iter().filter(is_same);
    let len = case.peer.len + rrset.map(|record| record.owner.wire_len() + 10 + record.rdata.len()).sum::<usize>();
    // Knot reckons with more than a compressed record takes in the end.
    let margin = if case.kind == Kind::Knot { 40 } else { 0 };
    let is_too_long = len + margin > case.query.udp_limit(UDP_PAYLOAD_MAX);
    let is_left_out = match (case.kind, case.rokko.referral()) {
        (Kind::Knot, Some(cut)) if record.owner.is_in(cut) => record.rtype == RRSIG && is_too_long,
        (Kind::Knot, _) => is_too_long || has_large_rrset(case),
        (Kind::Nsd, _) => is_too_long,
    };
    is_left_out && is_address(record) && !case.query.tcp
}

/// Whether a host that Rokko's response names has addresses that did not fit into it.
fn has_large_rrset(case: &Case<'_>) -> bool {
    let names = case.rokko.section(Section::Answer).iter().chain(case.rokko.section(Section::Authority));
    let mut hosts = names.filter_map(|record| Name::from_wire(record.rdata.get(host_at(record.rtype)?..)?));
    hosts.any(|host| {
        let node = case.world.zone_of(&host).and_then(|zone| zone.nodes.get(&host));
        let lacks = |number: u16| {
            let is_there = |record: &Record| record.owner == host && record.rtype == number;
            !case.rokko.section(Section::Additional).iter().any(is_there)
        };
        node.is_some_and(|node| node.contains_key("A") && lacks(1) || node.contains_key("AAAA") && lacks(28))
    })
}

/// Where the data of a record names a host.
fn host_at(rtype: u16) -> Option<usize> {
    match rtype {
        NS => Some(0),
        MX | SVCB | HTTPS => Some(2),
        SRV => Some(6),
        _ => None,
    }
}

/// The peers find addresses of hosts through wildcards, Knot even in occluded data and NSD below a cut; to Rokko, glue
/// is what the zone has at the very name.
fn wildcard_address(case: &Case<'_>, difference: &Difference) -> bool {
    let Difference::Missing(Section::Additional, record) = difference else { return false };
    let lacks = |zone: &ZoneSpec| record.owner.is_in(&zone.apex) && !zone.nodes.contains_key(&record.owner);
    // At times under the name of the wildcard.
    is_address(record) && (record.owner.is_wildcard() || case.world.zones.iter().any(lacks))
}

/// NSD looks for no addresses of the targets of SVCB and HTTPS, and beside an answer for none below a cut.
fn no_address(case: &Case<'_>, difference: &Difference) -> bool {
    let Difference::Extra(Section::Additional, record) = difference else { return false };
    let zone = case.zone_for(&case.query.qname);
    let is_below_cut = || zone.is_some_and(|zone| zone.highest_with(&record.owner, "NS").is_some());
    let is_looked_for = !matches!(case.query.qtype, SVCB | HTTPS) && !is_below_cut();
    case.kind == Kind::Nsd && is_address(record) && !is_referral(case) && !is_looked_for
}

/// Rokko looks up the addresses of so many hosts of one answer; the peers of all.
fn many_targets(case: &Case<'_>, difference: &Difference) -> bool {
    const TARGETS_MAX: usize = 32;
    let Difference::Missing(Section::Additional, record) = difference else { return false };
    let records = case.rokko.section(Section::Answer).iter().filter(|record| record.rtype == case.query.qtype);
    is_address(record) && records.count() > TARGETS_MAX
}

/// Knot takes each DNAME once; Rokko and NSD go on as long as the name changes (RFC 6672 §3.2 step 3c).
fn behind_dname(case: &Case<'_>, difference: &Difference) -> bool {
    let is_shorter = case.peer.has(Section::Answer, DNAME) && case.peer.chain.len() < case.rokko.chain.len();
    let is_consequence = matches!(difference, Difference::Extra(..) | Difference::Rcode);
    case.kind == Kind::Knot && is_consequence && is_shorter
}

/// Where the wildcard's own NSEC is the answer and the proof as well, Knot sends it only once, under the name asked for.
fn same_nsec(case: &Case<'_>, difference: &Difference) -> bool {
    let Difference::Extra(Section::Authority, record) = difference else { return false };
    let is_answer = |other: &Record| other.rtype == record.rtype && other.rdata == record.rdata;
    case.kind == Kind::Knot && is_proof(difference) && case.rokko.section(Section::Answer).iter().any(is_answer)
}

/// NSEC and RRSIG stand beside CNAME (RFC 4035 §2.5), so Rokko and Knot follow no alias for them; NSD does where there
/// are none, and follows no alias for NSEC3.
fn signing_type_alias(case: &Case<'_>, _: &Difference) -> bool {
    let is_followed = |response: &Response| response.has(Section::Answer, CNAME);
    let differs = is_followed(case.peer) != is_followed(case.rokko);
    case.kind == Kind::Nsd && differs && matches!(case.query.qtype, NSEC | RRSIG | NSEC3)
}

/// Where a DNAME makes the name too long, nothing more is to be said (RFC 6672 §2.2); Knot adds what it has at the
/// DNAME's target, and may replace YXDOMAIN by NXDOMAIN.
fn too_long(case: &Case<'_>, difference: &Difference) -> bool {
    const YXDOMAIN: u16 = 6;
    let is_beside = matches!(difference, Difference::Missing(..));
    let is_replaced = matches!(difference, Difference::Rcode);
    case.kind == Kind::Knot && case.rokko.rcode == YXDOMAIN && (is_beside || is_replaced)
}

/// NSD adds a proof that nothing but the wildcard matches even where the wildcard itself was asked for.
fn literal_wildcard(case: &Case<'_>, difference: &Difference) -> bool {
    let asked = &case.query.qname;
    let exists = || case.world.zone_of(asked).is_some_and(|zone| zone.has(asked));
    let is_missing = matches!(difference, Difference::Missing(..));
    case.kind == Kind::Nsd && is_missing && is_proof(difference) && asked.is_wildcard() && exists()
}

/// Where a wildcard answers for a name that starts with an asterisk itself but does not exist, Knot leaves out the proof
/// of that, as if the name were the wildcard (against RFC 4035 §3.1.3.3 and RFC 5155 §7.2.6).
fn asterisk_below_wildcard(case: &Case<'_>, difference: &Difference) -> bool {
    let is_extra = matches!(difference, Difference::Extra(..)) && is_proof(difference);
    let is_synthesised = |name: &Name| encloser(case, name).is_some_and(|(_, encloser)| encloser != *name);
    is_extra
        && case.kind == Kind::Knot
        && names_on_the_way(case).iter().any(|name| name.is_wildcard() && is_synthesised(name))
}

/// Knot looks for the target of an alias in the zone of the alias alone, and refers or stops there or takes occluded
/// data; Rokko and NSD go on in whichever hosted zone has it, as RFC 1034 §4.3.2 step 3a has it ("go back to step 1").
fn cross_zone_alias(case: &Case<'_>, difference: &Difference) -> bool {
    let zone_of = |name: &Name| case.zone_for(name).map(|zone| &zone.apex);
    let first = zone_of(&case.query.qname);
    let is_left = names_on_the_way(case).iter().any(|name| zone_of(name) != first);
    let is_consequence = match difference {
        Difference::Missing(Section::Answer, record) => zone_of(&record.owner) != first,
        Difference::Missing(..) | Difference::Extra(..) | Difference::Rcode => true,
        _ => false,
    };
    case.kind == Kind::Knot && is_left && is_consequence
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

/// A response to class ANY is never authoritative (RFC 1035 §6.2); Knot says it is, and NSD
/// leaves out the SOA record of a negative one.
fn class_any(case: &Case<'_>, difference: &Difference) -> bool {
    const CLASS_ANY: u16 = 255;
    let is_asked = case.query.qclass == CLASS_ANY;
    match case.kind {
        Kind::Knot => is_asked && matches!(difference, Difference::Authoritative),
        Kind::Nsd => is_asked && matches!(difference, Difference::Extra(Section::Authority, _)),
    }
}

/// How far a chain has been followed until there was no room left decides about the rcode of a truncated response, which
/// is not to be used anyway (RFC 2181 §9).
fn truncated_rcode(case: &Case<'_>, difference: &Difference) -> bool {
    let is_cut_off = case.rokko.is_truncated() && !case.rokko.chain.is_empty();
    is_cut_off && matches!(difference, Difference::Rcode)
}

/// Where it fits depends on compression and on what else a server adds. That Rokko's TC is right is held against its
/// own response over TCP, and that response against the peer's.
fn truncation(case: &Case<'_>, difference: &Difference) -> bool {
    !case.query.tcp && matches!(difference, Difference::Truncated)
}
