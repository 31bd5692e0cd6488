//! Validation: a zone, or what a change touches of it, judged as a validator would judge it.
//!
//! It works for zones that are signed here and for those that come signed, with any salt and number of iterations. The
//! chain that is judged is the one that answers: NSEC3 if there is an NSEC3PARAM record at the apex, else NSEC. Records of
//! the other chain, which is being built or taken away, need valid signatures only.
//!
//! | code | severity | meaning |
//! |---|---|---|
//! | `dnskey-missing` | error | the parent has DS records and the zone no DNSKEY RRset |
//! | `ds-without-key` | error | no DS record at the parent leads to a key that signs the DNSKEY RRset |
//! | `algorithm-unknown` | warning | keys of an algorithm that cannot be verified here |
//! | `rrsig-missing` | error | an RRset has no valid signature, or none of one of the algorithms of the DNSKEY RRset |
//! | `rrsig-bogus` | error | a signature is not its key's for this RRset |
//! | `rrsig-expired`, `rrsig-early` | error if no other serves, else warning | a signature is valid no longer, or not yet |
//! | `rrsig-wrong` | error | a signature states another signer, other labels or another TTL |
//! | `rrsig-on-glue` | error | a signature at or below a zone cut on what the parent doesn't sign |
//! | `rrsig-orphan` | error | a signature over an RRset that is not there |
//! | `nsec-missing`, `nsec3-missing` | error | a name has no denial record |
//! | `nsec-extra`, `nsec3-extra` | error | a denial record for a name that has none |
//! | `nsec-wrong`, `nsec3-wrong` | error | a denial record with another next name or other types, or several in one place |
//! | `nsec-ttl` | warning | the TTL is not the smaller of the SOA record's TTL and MINIMUM (RFC 9077) |

mod denial;
mod keys;
mod signatures;

use std::collections::BTreeSet;

use rokko_wire::{KeyBuf, Name, Rtype};
use rokko_zone::check::{FINDINGS_MAX, Finding};
use rokko_zone::file::Severity;
use rokko_zone::zone::negative_ttl;
use rokko_zone::{Delta, NodeRef, RrsetDelta, Ttl, Zone};

use crate::conform::{Cursor, NAMES_BELOW_MAX};
use crate::record::Rrsig;
use crate::topology::{Place, Topology, is_real, prefixes};
use denial::Chain;
use keys::ZoneKeys;

/// What a zone is held against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// The present, in seconds since 1970.
    pub now: u32,
    /// The data of the DS records that the parent has; empty if none are known.
    pub ds: &'a [Box<[u8]>],
    /// For [`touched`]: names whose NSEC3 records change although they themselves and what is below them don't, as
    /// [`crate::Conformed::hashed`] has them.
    pub hashed: &'a [Name],
}

/// How far the judgement of a whole zone has come.
#[derive(Clone, Debug)]
pub struct Progress {
    cursor: Cursor,
    /// The last name that was looked at.
    last: Box<[u8]>,
    /// How many NSEC3 records belong to names, and how many there are.
    matched: u64,
    found: u64,
}

impl Progress {
    /// The start of a zone.
    pub fn start() -> Self {
        Self { cursor: Cursor::start(), last: [].into(), matched: 0, found: 0 }
    }
}

/// Judges what a change touches; `zone` is the zone with it, signatures and denial included, and `delta` the whole change.
///
/// All RRsets at the names in `delta` must have signatures, and those must be right whose RRset or which themselves
/// changed. The denial records of these names, of those above them and of their neighbours must be right. If NS or DNAME comes or
/// goes, all names below are judged. If the DNSKEY RRset changes, then so is the whole apex; whether signatures elsewhere
/// are of a key that has gone only [`whole`] finds.
pub fn touched(zone: &Zone, delta: &Delta, terms: &Terms<'_>) -> Vec<Finding> {
    let mut judge = Judge::new(zone, terms);
    judge.zone_as_a_whole(terms);
    if !judge.is_signed() {
        return judge.findings;
    }
    let mut denied: BTreeSet<Box<[u8]>> = BTreeSet::new();
    for changes in delta.changes.chunk_by(|a, b| a.owner == b.owner) {
        let Some(key) = KeyBuf::below(&changes[0].owner, &judge.apex) else { continue };
        let key = key.as_bytes();
        judge.changed_name(key, changes);
        denied.extend(prefixes(key).chain([key.len()]).map(|len| Box::from(&key[..len])));
        let moves = |change: &RrsetDelta| {
            let occludes = change.rtype == Rtype::DNAME || change.rtype == Rtype::NS && !key.is_empty();
            occludes && change.before.is_some() != change.after.is_some()
        };
        if changes.iter().any(moves) {
            let below = judge.topology.zone.nodes_from(key).take_while(|node| node.key().starts_with(key));
            for node in below.take(NAMES_BELOW_MAX) {
                judge.node(node, &|_| true);
                denied.extend(prefixes(node.key()).chain([node.key().len()]).map(|len| Box::from(&node.key()[..len])));
            }
        }
    }
    let hashed = terms.hashed.iter().filter_map(|name| KeyBuf::below(name, &judge.apex));
    denied.extend(hashed.map(|key| Box::from(key.as_bytes())));
    for key in &denied {
        judge.denial_around(key);
    }
    judge.changed_hashes(delta, &denied);
    judge.findings
}

/// Judges the next `names_max` names and NSEC3 records; returns where to go on, or `None` at the end.
///
/// All steps must be on the same version of the zone. The last one takes longer if there are NSEC3 records too many.
pub fn range(zone: &Zone, from: &Progress, names_max: usize, terms: &Terms<'_>) -> (Vec<Finding>, Option<Progress>) {
    let mut judge = Judge::new(zone, terms);
    if from.cursor == Cursor::start() {
        judge.zone_as_a_whole(terms);
    }
    if !judge.is_signed() {
        return (judge.findings, None);
    }
    let mut progress = from.clone();
    let view = judge.topology.zone;
    match &from.cursor {
        Cursor::Names(key) => {
            let mut nodes = view.nodes_from(key);
            for node in nodes.by_ref().take(names_max) {
                judge.node(node, &|_| true);
                judge.denial_of_node(node, &mut progress);
            }
            progress.cursor = match nodes.next() {
                Some(node) => Cursor::Names(node.key().into()),
                None => Cursor::Hashes([].into()),
            };
        }
        Cursor::Hashes(key) => {
            let mut nodes = view.nsec3_nodes_from(key);
            for node in nodes.by_ref().take(names_max) {
                judge.node(node, &|_| true);
                progress.found += u64::from(judge.hashed_link(node));
            }
            let Some(node) = nodes.next() else {
                if progress.found != progress.matched {
                    judge.extra_hashes();
                }
                return (judge.findings, None);
            };
            progress.cursor = Cursor::Hashes(node.key().into());
        }
    }
    (judge.findings, Some(progress))
}

/// Judges a whole zone. At most [`FINDINGS_MAX`] findings are returned.
pub fn whole(zone: &Zone, terms: &Terms<'_>) -> Vec<Finding> {
    /// Names in one step.
    const STEP: usize = 10_000;
    let (mut findings, mut progress) = (Vec::new(), Some(Progress::start()));
    while let Some(from) = progress.filter(|_| findings.len() < FINDINGS_MAX) {
        let (more, next) = range(zone, &from, STEP, terms);
        findings.extend(more);
        progress = next;
    }
    findings.truncate(FINDINGS_MAX);
    findings
}

/// A zone that is judged, and what was found.
struct Judge<'z> {
    topology: Topology<'z>,
    apex: Name,
    now: u32,
    keys: ZoneKeys,
    chain: Chain<'z>,
    negative_ttl: Option<Ttl>,
    findings: Vec<Finding>,
}

impl<'z> Judge<'z> {
    fn new(zone: &'z Zone, terms: &Terms<'_>) -> Self {
        let topology = Topology::of(zone.view());
        let apex_node = topology.zone.apex_node();
        let negative_ttl = apex_node.and_then(|node| node.rrset(Rtype::SOA)).map(negative_ttl);
        let keys = ZoneKeys::of(topology.zone, terms.ds);
        let (chain, apex, findings) = (Chain::of(topology.zone), zone.apex(), Vec::new());
        Self { topology, apex, now: terms.now, keys, chain, negative_ttl, findings }
    }

    fn zone_as_a_whole(&mut self, terms: &Terms<'_>) {
        if self.keys.is_empty() {
            if !terms.ds.is_empty() {
                let message = "the parent has DS records for this zone, which has no DNSKEY RRset: publish the keys, or have \
                               the DS records removed first";
                self.error("dnskey-missing", &[], Some(Rtype::DNSKEY), message.to_owned());
            }
            return;
        }
        for number in self.keys.unknown_algorithms() {
            let message =
                format!("keys of algorithm {number} can't be verified here: their signatures were not looked at");
            self.push(Severity::Warning, "algorithm-unknown", &[], Some(Rtype::DNSKEY), message);
        }
    }

    /// Whether there are keys, so that there is something to judge.
    fn is_signed(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Judges the signatures at a name that changed, wherever its node is.
    fn changed_name(&mut self, key: &[u8], changes: &[RrsetDelta]) {
        let mut changed: Vec<Rtype> = changes.iter().map(|change| change.rtype).collect();
        for change in changes.iter().filter(|change| change.rtype == Rtype::RRSIG) {
            let rdatas =
                |contents: &Option<rokko_zone::Contents>| contents.iter().flat_map(|c| c.rdatas.clone()).collect();
            let (before, after): (BTreeSet<Box<[u8]>>, BTreeSet<_>) = (rdatas(&change.before), rdatas(&change.after));
            let covered = before.symmetric_difference(&after).filter_map(|rdata| Some(Rrsig::parse(rdata)?.covered));
            changed.extend(covered);
        }
        let all = changed.contains(&Rtype::DNSKEY);
        for node in [self.topology.zone.node(key), self.chain.any_node(key)].into_iter().flatten() {
            self.node(node, &|rtype| all || changed.contains(&rtype));
        }
    }

    /// The place of a node of either tree.
    fn place(&self, node: NodeRef<'_>) -> Place {
        let is_hashed = node.has(Rtype::NSEC3) && !is_real(node);
        if is_hashed { Place::Inside } else { self.topology.place(node) }
    }

    fn error(&mut self, code: &'static str, key: &[u8], rtype: Option<Rtype>, message: String) {
        self.push(Severity::Error, code, key, rtype, message);
    }

    fn push(&mut self, severity: Severity, code: &'static str, key: &[u8], rtype: Option<Rtype>, message: String) {
        if self.findings.len() < FINDINGS_MAX {
            let owner = rokko_wire::key::name_of_key(key, &self.apex).unwrap_or_else(|| self.apex.clone());
            self.findings.push(Finding { severity, code, owner, rtype, message });
        }
    }
}
