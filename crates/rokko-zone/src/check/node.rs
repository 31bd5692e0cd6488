//! The rules for one owner name.

use std::ops::Range;

use rokko_wire::{Name, Rtype};

use super::{FINDINGS_MAX, Finding, Source};
use crate::edit::RRSET_OCTETS_MAX;
use crate::file::Severity;

/// Above this many iterations an NSEC3 zone is refused.
const NSEC3_ITERATIONS_MAX: u16 = 500;
/// How many answers about targets are remembered; most zones name the same few hosts again and again.
const TARGETS_MAX: usize = 8;

/// What the rules need of one owner name: its types, and the data of the types that name hosts or parameters.
pub(super) struct Node {
    pub(super) owner: Name,
    /// Each type with how many records and how many octets of data it has, in rising order.
    types: Vec<(Rtype, usize, usize)>,
    /// Where in `octets` the data of which type stands.
    rdatas: Vec<(Rtype, Range<usize>)>,
    octets: Vec<u8>,
}

impl Node {
    pub(super) fn new(owner: Name) -> Self {
        Self { owner, types: Vec::new(), rdatas: Vec::new(), octets: Vec::new() }
    }

    pub(super) fn restart(&mut self, owner: Name) {
        self.owner = owner;
        self.types.clear();
        self.rdatas.clear();
        self.octets.clear();
    }

    pub(super) fn add(&mut self, rtype: Rtype, rdatas: &mut dyn Iterator<Item = &[u8]>) {
        let keep = match rtype {
            Rtype::NS | Rtype::MX | Rtype::SRV | Rtype::CNAME | Rtype::NSEC3PARAM => usize::MAX,
            Rtype::RRSIG => 2,
            _ => 0,
        };
        let (mut count, mut len) = (0, 0);
        for rdata in rdatas {
            // Each has its length before it in a message.
            (count, len) = (count + 1, len + rdata.len() + 2);
            if keep > 0 {
                let start = self.octets.len();
                self.octets.extend_from_slice(&rdata[..rdata.len().min(keep)]);
                self.rdatas.push((rtype, start..self.octets.len()));
            }
        }
        let at = self.types.partition_point(|&(other, ..)| other < rtype);
        self.types.insert(at, (rtype, count, len));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    pub(super) fn has(&self, rtype: Rtype) -> bool {
        self.count(rtype) > 0
    }

    fn count(&self, rtype: Rtype) -> usize {
        self.types.binary_search_by_key(&rtype, |&(other, ..)| other).map_or(0, |at| self.types[at].1)
    }

    fn rdatas(&self, rtype: Rtype) -> impl Iterator<Item = &[u8]> {
        self.rdatas.iter().filter(move |(other, _)| *other == rtype).map(|(_, range)| &self.octets[range.clone()])
    }

    /// The first type that `accept` lets pass.
    fn find(&self, accept: impl Fn(Rtype) -> bool) -> Option<Rtype> {
        self.types.iter().map(|&(rtype, ..)| rtype).find(|&rtype| accept(rtype))
    }
}

/// The names above a node that decide what its data mean.
#[derive(Default)]
pub(super) struct Above<'a> {
    /// The highest zone cut above the node.
    pub(super) cut: Option<&'a Name>,
    /// A DNAME above the node.
    pub(super) dname: Option<&'a Name>,
}

/// Which of the types that rules ask about a name has.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for a type of its own")]
pub(super) struct Kinds {
    any: bool,
    address: bool,
    cname: bool,
    pub(super) ns: bool,
    pub(super) dname: bool,
}

/// What a zone knows of a host that one of its records names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    OutOfZone,
    HasAddress,
    IsCname,
    /// No address here, but below a zone cut, so that others may know one.
    Delegated,
    Missing,
}

pub(super) struct Checker<'a> {
    apex: &'a Name,
    source: &'a dyn Source,
    pub(super) findings: Vec<Finding>,
    errors: usize,
    warnings: usize,
    targets: Vec<(Name, Target)>,
    next_target: usize,
}

impl<'a> Checker<'a> {
    pub(super) fn new(apex: &'a Name, source: &'a dyn Source) -> Self {
        Self { apex, source, findings: Vec::new(), errors: 0, warnings: 0, targets: Vec::new(), next_target: 0 }
    }

    pub(super) fn load(&self, owner: &Name) -> Node {
        let mut node = Node::new(owner.clone());
        self.source.at(owner, &mut |rtype, _, rdatas| node.add(rtype, rdatas));
        node
    }

    pub(super) fn kinds(&self, name: &Name) -> Kinds {
        let mut kinds = Kinds::default();
        self.source.at(name, &mut |rtype, _, _| {
            kinds.any = true;
            match rtype {
                Rtype::A | Rtype::AAAA => kinds.address = true,
                Rtype::CNAME => kinds.cname = true,
                Rtype::NS => kinds.ns = true,
                Rtype::DNAME => kinds.dname = true,
                _ => {}
            }
        });
        kinds
    }

    /// The rules about what every zone has.
    pub(super) fn apex_presence(&mut self) {
        let apex = self.load(self.apex);
        if !apex.has(Rtype::SOA) {
            let message = format!("the zone has no SOA record at its apex {}: add one", self.apex);
            self.error("no-soa", &apex, Some(Rtype::SOA), message);
        }
        if !apex.has(Rtype::NS) {
            let message = format!("the zone has no NS record at its apex {}: name at least one name server", self.apex);
            self.error("no-ns", &apex, Some(Rtype::NS), message);
        }
    }

    /// All rules about one name that has data.
    pub(super) fn node(&mut self, node: &Node, above: &Above<'_>) {
        if !node.owner.is_in(self.apex) {
            let message = format!("{} is not in the zone {}: remove it", node.owner, self.apex);
            self.error("out-of-zone", node, None, message);
            return;
        }
        self.sets(node);
        self.aliases(node, above);
        self.soa(node);
        self.delegation(node, above);
        self.name_servers(node, above);
        self.hosts(node, above);
        self.signing(node);
        self.apex_twice(node);
    }

    pub(super) fn dname_above(&mut self, owner: &Name) {
        let node = Node::new(owner.clone());
        let message = format!("there are names below the DNAME at {owner} (RFC 6672 §2.4): remove them or the DNAME");
        self.error("below-dname", &node, Some(Rtype::DNAME), message);
    }

    fn sets(&mut self, node: &Node) {
        for &(rtype, _, len) in &node.types {
            if rtype.is_meta() {
                let message = format!("{rtype} is a meta type and never zone data: remove it");
                self.error("meta-type", node, Some(rtype), message);
            }
            if len > RRSET_OCTETS_MAX {
                let message =
                    format!("the RRset has {len} octets of record data, expected at most {RRSET_OCTETS_MAX}: split it");
                self.error("rrset-too-large", node, Some(rtype), message);
            }
        }
    }

    fn aliases(&mut self, node: &Node, above: &Above<'_>) {
        if node.has(Rtype::CNAME) {
            let beside = |t| !matches!(t, Rtype::CNAME | Rtype::RRSIG | Rtype::NSEC | Rtype::KEY);
            if let Some(other) = node.find(beside) {
                let message = format!("{} has a CNAME and also {other} data: keep one of them", node.owner);
                self.error("cname-and-other-data", node, Some(Rtype::CNAME), message);
            }
        }
        for (rtype, code) in [(Rtype::CNAME, "cname-multiple"), (Rtype::DNAME, "dname-multiple")] {
            if node.count(rtype) > 1 {
                let message = format!("{} has {} {rtype} records: keep one", node.owner, node.count(rtype));
                self.error(code, node, Some(rtype), message);
            }
        }
        let nsec3_only = node.find(|t| !matches!(t, Rtype::NSEC3 | Rtype::RRSIG)).is_none();
        if let Some(dname) = above.dname.filter(|_| !nsec3_only) {
            let message = format!("{} lies below the DNAME at {dname} (RFC 6672 §2.4): remove one of them", node.owner);
            self.error("below-dname", node, node.find(|_| true), message);
        }
    }

    fn soa(&mut self, node: &Node) {
        let count = node.count(Rtype::SOA);
        if count > 0 && node.owner != *self.apex {
            let message = format!("found a SOA record at {}, expected it at the apex {} only", node.owner, self.apex);
            self.error("soa-not-at-apex", node, Some(Rtype::SOA), message);
        } else if count > 1 {
            self.error("soa-multiple", node, Some(Rtype::SOA), format!("found {count} SOA records: keep one"));
        }
    }

    fn delegation(&mut self, node: &Node, above: &Above<'_>) {
        let (at_apex, has_ns) = (node.owner == *self.apex, node.has(Rtype::NS));
        if node.has(Rtype::DS) && at_apex && !self.apex.is_root() {
            let message = "DS at the apex is never answered from here: give it to the parent zone".to_owned();
            self.warn("ds-at-apex", node, Some(Rtype::DS), message);
        } else if node.has(Rtype::DS) && !has_ns && above.cut.is_none() {
            let message = format!("{} has DS but no NS records: add the delegation or remove the DS", node.owner);
            self.warn("ds-without-ns", node, Some(Rtype::DS), message);
        }
        if has_ns && node.owner.is_wildcard() {
            let message = "NS at a wildcard has no defined meaning (RFC 4592 §4.2): delegate each name".to_owned();
            self.warn("ns-at-wildcard", node, Some(Rtype::NS), message);
        }
        if has_ns && !at_apex && node.has(Rtype::DNAME) {
            let message = "DNAME beside NS is never answered (RFC 6672 §2.3): keep one of them".to_owned();
            self.warn("dname-and-ns", node, Some(Rtype::DNAME), message);
        }
        let glue = |t| matches!(t, Rtype::A | Rtype::AAAA | Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3);
        let own = |t| glue(t) || matches!(t, Rtype::NS | Rtype::DS | Rtype::DNAME);
        let hidden = match above.cut {
            Some(_) => node.find(|t| !glue(t)),
            None if has_ns && !at_apex => node.find(|t| !own(t)),
            None => None,
        };
        if let Some(rtype) = hidden {
            let cut = above.cut.unwrap_or(&node.owner);
            let message =
                format!("{rtype} data here is never answered, since {cut} is delegated: move it to that zone");
            self.warn("occluded", node, Some(rtype), message);
        }
    }

    fn name_servers(&mut self, node: &Node, above: &Above<'_>) {
        if above.cut.is_some() {
            return;
        }
        let at_apex = node.owner == *self.apex;
        let severity = if at_apex { Severity::Error } else { Severity::Warning };
        for rdata in node.rdatas(Rtype::NS) {
            let Ok((host, _)) = Name::from_wire(rdata) else { continue };
            let (severity, code, message) = match self.target(&host) {
                Target::IsCname => {
                    let message = format!("the name server {host} is a CNAME (RFC 2181 §10.3): give it an address");
                    (severity, "ns-is-cname", message)
                }
                Target::Missing => {
                    let message = format!("the name server {host} is in this zone and has no address: add A or AAAA");
                    (severity, "ns-without-address", message)
                }
                Target::Delegated if at_apex || host.is_in(&node.owner) => {
                    let message = format!("the name server {host} has no glue here: add its A or AAAA");
                    (Severity::Warning, "missing-glue", message)
                }
                _ => continue,
            };
            self.push(severity, code, node, Some(Rtype::NS), message);
        }
    }

    fn hosts(&mut self, node: &Node, above: &Above<'_>) {
        if above.cut.is_some() {
            return;
        }
        for (rtype, offset) in [(Rtype::MX, 2), (Rtype::SRV, 6)] {
            for rdata in node.rdatas(rtype) {
                let Some(Ok((host, _))) = rdata.get(offset..).map(Name::from_wire) else { continue };
                match self.target(&host) {
                    Target::IsCname => {
                        let message =
                            format!("{rtype} names {host}, which is a CNAME (RFC 2181 §10.3): name its target");
                        self.warn("target-is-cname", node, Some(rtype), message);
                    }
                    Target::Missing => {
                        let message =
                            format!("{rtype} names {host}, which is in this zone and has no address: add A or AAAA");
                        self.warn("target-without-address", node, Some(rtype), message);
                    }
                    Target::OutOfZone | Target::HasAddress | Target::Delegated => {}
                }
            }
        }
    }

    fn signing(&mut self, node: &Node) {
        for rdata in node.rdatas(Rtype::RRSIG) {
            let Some(covered) = rdata.first_chunk::<2>().map(|octets| Rtype(u16::from_be_bytes(*octets))) else {
                continue;
            };
            if !node.has(covered) {
                let message = format!("the signature covers {covered}, which {} doesn't have: remove it", node.owner);
                self.warn("rrsig-without-set", node, Some(Rtype::RRSIG), message);
            }
        }
        for rdata in node.rdatas(Rtype::NSEC3PARAM) {
            let iterations = rdata.get(2..4).map_or(0, |octets| u16::from_be_bytes([octets[0], octets[1]]));
            let severity = match iterations {
                0 => continue,
                1..=NSEC3_ITERATIONS_MAX => Severity::Warning,
                _ => Severity::Error,
            };
            let message = format!("found {iterations} NSEC3 iterations, expected 0 (RFC 9276 §3.1): sign anew with 0");
            self.push(severity, "nsec3-iterations", node, Some(Rtype::NSEC3PARAM), message);
        }
    }

    fn apex_twice(&mut self, node: &Node) {
        if self.ends_with_apex_twice(node.owner.as_bytes()) {
            let message = format!("{} ends with the apex twice: is a dot missing at its end?", node.owner);
            self.warn("apex-twice", node, node.find(|_| true), message);
        }
        for (rtype, offset) in [(Rtype::NS, 0), (Rtype::CNAME, 0), (Rtype::MX, 2), (Rtype::SRV, 6)] {
            let host = |rdata: &[u8]| {
                let name = rdata.get(offset..).filter(|name| self.ends_with_apex_twice(name))?;
                Name::from_wire(name).ok().map(|(name, _)| name)
            };
            if let Some(name) = node.rdatas(rtype).find_map(host) {
                let message =
                    format!("{rtype} names {name}, which ends with the apex twice: is a dot missing at its end?");
                self.warn("apex-twice", node, Some(rtype), message);
            }
        }
    }

    fn ends_with_apex_twice(&self, wire: &[u8]) -> bool {
        let apex = self.apex.as_bytes();
        let (labels, len) = (&apex[..apex.len() - 1], wire.len());
        // Nearly all names end the test here; the rest is read label by label to be exact.
        if labels.is_empty() || len < 2 * labels.len() + 1 {
            return false;
        }
        let tail = &wire[len - 2 * labels.len() - 1..len - 1];
        let (first, second) = tail.split_at(labels.len());
        if !first.eq_ignore_ascii_case(labels) || !second.eq_ignore_ascii_case(labels) {
            return false;
        }
        let mut at = 0;
        while at < len - 2 * labels.len() - 1 {
            at += usize::from(wire[at]) + 1;
        }
        at == len - 2 * labels.len() - 1
    }

    fn target(&mut self, host: &Name) -> Target {
        if host.is_root() || !host.is_in(self.apex) {
            return Target::OutOfZone;
        }
        if let Some((_, target)) = self.targets.iter().find(|(name, _)| name == host) {
            return *target;
        }
        let target = self.find_target(host);
        if self.targets.len() < TARGETS_MAX {
            self.targets.push((host.clone(), target));
        } else {
            self.targets[self.next_target] = (host.clone(), target);
            self.next_target = (self.next_target + 1) % TARGETS_MAX;
        }
        target
    }

    fn find_target(&self, host: &Name) -> Target {
        let kinds = self.kinds(host);
        if kinds.address {
            return Target::HasAddress;
        }
        let (mut delegated, mut renamed) = (kinds.ns && host != self.apex, false);
        let mut exists = kinds.any || self.source.any_below(host);
        let mut wildcard = None;
        let mut above = host.parent().filter(|_| host != self.apex);
        while let Some(name) = above {
            let here = self.kinds(&name);
            delegated |= here.ns && name != *self.apex;
            renamed |= here.dname;
            if !exists && (here.any || name == *self.apex || self.source.any_below(&name)) {
                exists = true;
                wildcard = name.child(b"*").ok();
            }
            above = name.parent().filter(|_| name != *self.apex);
        }
        if delegated {
            return Target::Delegated;
        }
        if kinds.cname {
            return Target::IsCname;
        }
        let wild = wildcard.filter(|_| !renamed).map(|name| self.kinds(&name)).unwrap_or_default();
        match (wild.address, wild.cname) {
            (true, _) => Target::HasAddress,
            (_, true) => Target::IsCname,
            _ => Target::Missing,
        }
    }

    fn error(&mut self, code: &'static str, node: &Node, rtype: Option<Rtype>, message: String) {
        self.push(Severity::Error, code, node, rtype, message);
    }

    fn warn(&mut self, code: &'static str, node: &Node, rtype: Option<Rtype>, message: String) {
        self.push(Severity::Warning, code, node, rtype, message);
    }

    fn push(&mut self, severity: Severity, code: &'static str, node: &Node, rtype: Option<Rtype>, message: String) {
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= FINDINGS_MAX {
            self.findings.push(Finding { severity, code, owner: node.owner.clone(), rtype, message });
        }
    }
}
