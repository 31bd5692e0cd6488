//! Semantic checks: whether records that are each valid make a zone.
//!
//! Where `named-checkzone` (9.18), `kzonecheck` (3.2) and `nsd-checkzone` (4.6) disagree, the majority decides between
//! error and warning. The codes, with what each of the three does (E error, W warning or ignored, - silence):
//!
//! | code | here | BIND | Knot | NSD | meaning |
//! |---|---|---|---|---|---|
//! | `no-soa` | error | E | E | E | the apex has no SOA record |
//! | `soa-multiple` | error | E | - | E | more than one SOA record |
//! | `soa-not-at-apex` | error | E | - | E | a SOA record below the apex |
//! | `no-ns` | error | E | E | - | the apex has no NS record |
//! | `ns-without-address` | error at the apex, else warning | E/W | E | - | a name server in the zone has no address there |
//! | `ns-is-cname` | error at the apex, else warning | E/W | E | - | a name server's name is a CNAME |
//! | `missing-glue` | warning | W | E | - | a name server below its own zone cut has no address (RFC 9471) |
//! | `cname-and-other-data` | error | E | E | E | CNAME beside other types but RRSIG, NSEC and KEY (RFC 2181 §10.1; Knot and NSD refuse KEY too) |
//! | `cname-multiple`, `dname-multiple` | error | E | E | E | several of them at one name |
//! | `below-dname` | error | - | E | E | a name below a DNAME (RFC 6672 §2.4) |
//! | `dname-and-ns` | warning | - | E | - | DNAME beside NS below the apex (RFC 6672 §2.3) |
//! | `out-of-zone` | error; a zone file's are left out with a warning | W | W | E | a name that is not in the zone |
//! | `meta-type` | error | E | - | E | a type that is never zone data |
//! | `rrset-too-large` | error | - | - | - | record data that no DNS message could carry |
//! | `ns-at-wildcard` | warning | E | - | - | NS at a wildcard (RFC 4592 §4.2) |
//! | `ds-at-apex` | warning | E | - | - | DS at the apex, where it belongs to the parent |
//! | `ds-without-ns` | warning | - | - | - | DS where there is no delegation |
//! | `occluded` | warning | - | - | - | data at or below a zone cut that is never answered |
//! | `target-is-cname` | warning | W | - | - | MX or SRV names a CNAME (RFC 2181 §10.3) |
//! | `target-without-address` | warning | W | - | - | MX or SRV names a host of this zone that has no address |
//! | `apex-twice` | warning | - | - | - | a name ends with the apex twice: most often a trailing dot is missing |
//! | `rrsig-without-set` | warning | - | - | - | a signature over an RRset that isn't there |
//! | `nsec3-iterations` | error above 500, else warning above 0 | W | - | - | RFC 9276 §3.1; more than 500 cost every server too much |
//!
//! Reading a zone file ([`crate::file::load`]) adds warnings with codes of its own: `duplicate-record`, `ttl-differs`,
//! `rrsig-ttl-differs`.

mod node;
mod source;

use rokko_wire::{Name, Rtype};

use crate::file::Severity;
use node::{Above, Checker, Node};
pub use source::{Each, EachOwned, SortedRrsets, Source};

/// How many errors, and how many warnings, a check reports one by one.
pub const FINDINGS_MAX: usize = 1_000;

/// Something about a zone that a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the zone is refused for it.
    pub severity: Severity,
    /// What it is, as in the table above.
    pub code: &'static str,
    /// The owner name of the record concerned.
    pub owner: Name,
    /// The type of the record concerned.
    pub rtype: Option<Rtype>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Finding {
    /// Whether records are merely missing that a later change can add, so that a zone which is built step by step may
    /// pass through this state.
    pub fn is_incomplete(&self) -> bool {
        is_incomplete(self.code)
    }
}

/// Whether findings with `code` say that something is missing, rather than that something contradicts.
pub(crate) fn is_incomplete(code: &str) -> bool {
    matches!(
        code,
        "no-soa"
            | "no-ns"
            | "ns-without-address"
            | "missing-glue"
            | "target-without-address"
            | "rrsig-without-set"
            | "ds-without-ns"
    )
}

/// Checks a whole zone; the findings come in canonical order of names, those about the zone as a whole last.
///
/// At most [`FINDINGS_MAX`] errors and as many warnings are returned.
pub fn check_zone(apex: &Name, source: &dyn Source) -> Vec<Finding> {
    let mut checker = Checker::new(apex, source);
    let mut node = Node::new(apex.clone());
    let (mut cut, mut dname) = (None::<Name>, None::<Name>);
    let mut step = |checker: &mut Checker<'_>, node: &Node| {
        if node.is_empty() {
            return;
        }
        let is_above = |name: &Name| node.owner.is_in(name);
        cut = cut.take().filter(is_above);
        dname = dname.take().filter(is_above);
        checker.node(node, &Above { cut: cut.as_ref(), dname: dname.as_ref() });
        if cut.is_none() && node.owner != *apex && node.has(Rtype::NS) {
            cut = Some(node.owner.clone());
        }
        if dname.is_none() && node.has(Rtype::DNAME) {
            dname = Some(node.owner.clone());
        }
    };
    source.all(&mut |owner, rtype, _, rdatas| {
        if node.owner != *owner {
            step(&mut checker, &node);
            node.restart(owner.clone());
        }
        node.add(rtype, rdatas);
    });
    step(&mut checker, &node);
    checker.apex_presence();
    checker.findings
}

/// Checks what a change to the RRsets at the names `touched` could have made wrong; `source` is the zone after it.
///
/// If the zone had no error before the change, this reports an error exactly if [`check_zone`] does. Warnings are
/// reported for the touched names only. The cost is that of a few look-ups for each touched name and each of the apex's
/// name servers, whatever the size of the zone.
pub fn check_touched<'a>(
    apex: &Name,
    source: &dyn Source,
    touched: impl IntoIterator<Item = &'a Name>,
) -> Vec<Finding> {
    let mut checker = Checker::new(apex, source);
    let mut apex_touched = false;
    for owner in touched {
        apex_touched |= owner == apex;
        let node = checker.load(owner);
        if node.is_empty() {
            continue;
        }
        let (mut cut, mut dname) = (None, None);
        let mut above = owner.parent().filter(|_| owner.is_in(apex) && owner != apex);
        while let Some(name) = above {
            let kinds = checker.kinds(&name);
            above = name.parent().filter(|_| name != *apex);
            if kinds.ns && name != *apex {
                cut = Some(name.clone());
            }
            if kinds.dname {
                dname = Some(name);
            }
        }
        checker.node(&node, &Above { cut: cut.as_ref(), dname: dname.as_ref() });
        if node.has(Rtype::DNAME) && source.any_below(owner) {
            checker.dname_above(owner);
        }
    }
    if !apex_touched {
        let node = checker.load(apex);
        let mut apex_checker = Checker::new(apex, source);
        apex_checker.node(&node, &Above::default());
        let errors = apex_checker.findings.into_iter().filter(|finding| finding.severity == Severity::Error);
        checker.findings.extend(errors);
    }
    checker.apex_presence();
    checker.findings
}
