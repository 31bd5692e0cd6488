//! One piece of work: names are looked at one by one, what is missing is signed together, and a delta comes out.

use std::collections::BTreeMap;
use std::ops::Range;

use rokko_wire::name::NAME_LEN_MAX;
use rokko_wire::{Name, Rtype};
use rokko_zone::edit::RRSET_OCTETS_MAX;
use rokko_zone::file::signature_ttl;
use rokko_zone::zone::negative_ttl;
use rokko_zone::{Contents, Delta, NodeRef, RrsetDelta, RrsetRef, Ttl, Zone};

use super::{ConformError, Conformed};
use crate::hash::HASH_KEY_LEN;
use crate::plan::{Plan, Sign, ToSign};
use crate::record::{Rrsig, nsec, signed_labels};
use crate::topology::{Place, Topology, is_real, is_signed, types};

/// A zone of at most so many RRsets has its signatures expire at one time, so that they are renewed together.
const SMALL_ZONE_RRSETS_MAX: u64 = 1_000;

pub(super) struct Job<'z> {
    pub(super) topology: Topology<'z>,
    pub(super) plan: &'z Plan,
    /// The TTL of NSEC and NSEC3 records (RFC 9077).
    pub(super) negative_ttl: Ttl,
    /// Whether all names have the same jitter.
    is_small: bool,
    to_sign: Vec<ToSign>,
    nodes: Vec<NodeChange>,
    expires_first: Option<u32>,
    /// The names whose NSEC3 records change by more than the next name.
    pub(super) hashed: Vec<Name>,
}

/// How one name changes.
struct NodeChange {
    owner: Name,
    /// The changes of NSEC and NSEC3.
    denial: Vec<RrsetDelta>,
    /// The signatures that there were.
    before: Option<Contents>,
    /// Those of them that stay.
    kept: Vec<Box<[u8]>>,
    /// Which of the inputs are for this name.
    to_sign: Range<usize>,
    /// The TTLs of the RRsets that are signed.
    ttls: Vec<(Rtype, Ttl)>,
}

/// What is to be at a name.
#[derive(Default)]
pub(super) struct Target<'a> {
    /// Its NSEC or NSEC3 RRset.
    pub(super) denial: Option<(Rtype, Contents)>,
    /// RRsets whose signatures are of no use any more.
    pub(super) changed: &'a [Rtype],
}

impl<'z> Job<'z> {
    pub(super) fn new(zone: &'z Zone, plan: &'z Plan) -> Result<Self, ConformError> {
        let view = zone.view();
        let has_hashes = plan.denial.nsec3.is_some();
        if has_hashes && plan.apex.as_bytes().len() + HASH_KEY_LEN > NAME_LEN_MAX {
            return Err(ConformError::ApexTooLong(plan.apex.clone()));
        }
        let soa = view.apex_node().and_then(|apex| apex.rrset(Rtype::SOA));
        let negative_ttl = match soa {
            Some(soa) => negative_ttl(soa),
            // What is unsigned can be without.
            None if plan.signers.is_empty() => Ttl::from_wire(0),
            None => return Err(ConformError::NoSoa(plan.apex.clone())),
        };
        Ok(Self {
            topology: Topology::of(view),
            plan,
            negative_ttl,
            is_small: zone.rrsets_count() <= SMALL_ZONE_RRSETS_MAX,
            to_sign: Vec::new(),
            nodes: Vec::new(),
            expires_first: None,
            hashed: Vec::new(),
        })
    }

    /// Whether the node is to be in the chain of NSEC.
    pub(super) fn in_chain(&self, node: NodeRef<'_>) -> bool {
        is_real(node) && self.topology.place(node) != Place::Occluded
    }

    /// Looks at names with data; those that are gone are passed over. With each come the types that changed.
    pub(super) fn names(&mut self, names: &BTreeMap<Box<[u8]>, Vec<Rtype>>) -> Result<(), ConformError> {
        for (key, changed) in names {
            if let Some(node) = self.topology.zone.node(key) {
                self.name(node, changed)?;
            }
        }
        Ok(())
    }

    /// Looks at one name with data.
    pub(super) fn name(&mut self, node: NodeRef<'z>, changed: &[Rtype]) -> Result<(), ConformError> {
        if self.plan.denial.nsec3.is_some() && node.has(Rtype::NSEC3) {
            return Err(ConformError::NameTaken(self.topology.zone.name_of(node)));
        }
        let place = self.topology.place(node);
        let wants_nsec = self.plan.denial.nsec && place != Place::Occluded && is_real(node);
        let denial = wants_nsec.then(|| {
            let mut here: Vec<Rtype> = types(node, place).chain([Rtype::RRSIG, Rtype::NSEC]).collect();
            here.sort_unstable();
            let mut name = [0; 255];
            let next = match self.topology.next(node) {
                Some(next) => self.topology.name(next.key(), &mut name),
                None => self.plan.apex.as_bytes(),
            };
            (Rtype::NSEC, Contents { ttl: self.negative_ttl, rdatas: vec![nsec(next, &here)] })
        });
        self.node(node.key(), Some(node), place, &Target { denial, changed })
    }

    /// Plans what changes at one name, of either tree, so that it has the denial record that `target` says and the
    /// signatures that it needs.
    pub(super) fn node(
        &mut self,
        key: &[u8],
        node: Option<NodeRef<'_>>,
        place: Place,
        target: &Target<'_>,
    ) -> Result<(), ConformError> {
        let mut wire = [0; 255];
        let owner = self.topology.name(key, &mut wire);
        let mut signatures = Signatures::of(node, owner);
        let start = self.to_sign.len();
        let mut ttls = Vec::new();
        let stands = |rtype| node.and_then(|node| node.rrset(rtype));
        let mut denial_changed = false;
        for rtype in [Rtype::NSEC, Rtype::NSEC3] {
            let wanted = target.denial.as_ref().filter(|(wanted, _)| *wanted == rtype).map(|(_, contents)| contents);
            denial_changed |= !is_same(stands(rtype), wanted);
        }
        if let Some(node) = node {
            let data = node.rrsets().filter(|rrset| !rrset.rtype().is_signing_product());
            for rrset in data.filter(|rrset| is_signed(rrset.rtype(), place)) {
                let set = Set { rtype: rrset.rtype(), ttl: rrset.ttl(), rdatas: rrset.rdatas() };
                let is_changed = target.changed.contains(&rrset.rtype());
                self.rrset(&mut signatures, &set, is_changed);
                ttls.push((rrset.rtype(), rrset.ttl()));
            }
        }
        if let Some((rtype, contents)) = &target.denial {
            let rdatas = contents.rdatas.iter().map(|rdata| &**rdata);
            let is_changed = denial_changed || target.changed.contains(rtype);
            self.rrset(&mut signatures, &Set { rtype: *rtype, ttl: contents.ttl, rdatas }, is_changed);
            ttls.push((*rtype, contents.ttl));
        }
        let to_sign = start..self.to_sign.len();
        let ttl = ttl_of(signatures.kept.iter().min().copied(), &ttls);
        let is_settled = to_sign.is_empty() && signatures.all_kept() && signatures.ttl == ttl;
        if is_settled && !denial_changed {
            return Ok(());
        }
        let owner = Name::from_wire(owner).map_err(|_| ConformError::OutOfZone(self.plan.apex.clone()))?.0;
        let kept = signatures.kept.iter().map(|&rdata| rdata.into()).collect();
        let denial = denial_changes(&owner, node, target);
        let before = stands(Rtype::RRSIG).map(Contents::of);
        self.nodes.push(NodeChange { owner, denial, before, kept, to_sign, ttls });
        Ok(())
    }

    /// Keeps the signatures of one RRset that are good, and asks for those that are missing.
    fn rrset<'r>(
        &mut self,
        signatures: &mut Signatures<'_>,
        set: &Set<impl Iterator<Item = &'r [u8]> + Clone>,
        is_changed: bool,
    ) {
        let timing = &self.plan.timing;
        for (index, signer) in self.plan.signers.iter().enumerate().filter(|(_, signer)| signer.signs(set.rtype)) {
            let fits = |rrsig: &Rrsig<'_>| {
                rrsig.covered == set.rtype
                    && rrsig.tag == signer.tag
                    && rrsig.algorithm == signer.algorithm.number()
                    && rrsig.labels == signatures.labels
                    && rrsig.original_ttl == set.ttl.as_secs()
                    && rrsig.signer == self.plan.apex.as_bytes()
                    && timing.remaining_s(rrsig.inception) <= 0
                    && i64::from(timing.remaining_s(rrsig.expiration)) > i64::from(timing.refresh_before_s)
            };
            let standing = signatures.all.iter().filter(|(_, rrsig)| !is_changed && fits(rrsig));
            let expiration =
                if let Some((rdata, rrsig)) = standing.max_by_key(|(_, rrsig)| timing.remaining_s(rrsig.expiration)) {
                    signatures.kept.push(rdata);
                    rrsig.expiration
                } else {
                    let spread = spread(self.plan.apex.as_bytes(), signatures.owner, self.is_small);
                    let rrsig = Rrsig {
                        covered: set.rtype,
                        algorithm: signer.algorithm.number(),
                        labels: signatures.labels,
                        original_ttl: set.ttl.as_secs(),
                        expiration: timing.expiration(spread),
                        inception: timing.inception(),
                        tag: signer.tag,
                        signer: self.plan.apex.as_bytes(),
                        signature: &[],
                    };
                    let octets = rrsig.message(signatures.owner, set.rdatas.clone());
                    self.to_sign.push(ToSign { signer: index, octets });
                    rrsig.expiration
                };
            let first = self.expires_first.get_or_insert(expiration);
            if timing.remaining_s(expiration) < timing.remaining_s(*first) {
                *first = expiration;
            }
        }
    }

    /// Has all signed that is to be signed, and puts the changes together.
    pub(super) fn finish(mut self, sign: &dyn Sign) -> Result<Conformed, ConformError> {
        let made = if self.to_sign.is_empty() { Vec::new() } else { sign.sign(&self.to_sign)? };
        let (found, expected) = (made.len(), self.to_sign.len());
        if found != expected {
            return Err(ConformError::Count { found, expected });
        }
        let header_len = HEADER_LEN_MIN + self.plan.apex.as_bytes().len();
        let mut changes = Vec::with_capacity(2 * self.nodes.len());
        for node in std::mem::take(&mut self.nodes) {
            let mut rdatas = node.kept;
            for index in node.to_sign {
                rdatas.push([&self.to_sign[index].octets[..header_len], &*made[index]].concat().into());
            }
            rdatas.sort_unstable();
            let ttl = ttl_of(rdatas.first().map(|rdata| &**rdata), &node.ttls);
            let after = ttl.map(|ttl| Contents { ttl, rdatas });
            changes.extend(node.denial);
            if after.as_ref().is_some_and(|after| after.octets() > RRSET_OCTETS_MAX) {
                return Err(ConformError::TooManySignatures(node.owner));
            }
            if node.before != after {
                changes.push(RrsetDelta { owner: node.owner, rtype: Rtype::RRSIG, before: node.before, after });
            }
        }
        // Names with data and hashed names come each in their order.
        changes.sort_by(|a, b| (&a.owner, a.rtype).cmp(&(&b.owner, b.rtype)));
        let signatures = made.len();
        let Self { expires_first, hashed, .. } = self;
        Ok(Conformed { delta: Delta { changes }, needs_walk: false, hashed, signatures, expires_first })
    }
}

/// Octets of an RRSIG record's data before the signer's name.
const HEADER_LEN_MIN: usize = 18;

/// An RRset to be signed.
struct Set<I> {
    rtype: Rtype,
    ttl: Ttl,
    rdatas: I,
}

/// The signatures at a name.
struct Signatures<'a> {
    owner: &'a [u8],
    labels: u8,
    all: Vec<(&'a [u8], Rrsig<'a>)>,
    /// How many there are, malformed ones too.
    count: usize,
    ttl: Option<Ttl>,
    kept: Vec<&'a [u8]>,
}

impl<'a> Signatures<'a> {
    fn of(node: Option<NodeRef<'a>>, owner: &'a [u8]) -> Self {
        let rrset = node.and_then(|node| node.rrset(Rtype::RRSIG));
        let rdatas = || rrset.into_iter().flat_map(RrsetRef::rdatas);
        Self {
            owner,
            labels: signed_labels(owner),
            all: rdatas().filter_map(|rdata| Some((rdata, Rrsig::parse(rdata)?))).collect(),
            count: rdatas().count(),
            ttl: rrset.map(RrsetRef::ttl),
            kept: Vec::new(),
        }
    }

    fn all_kept(&self) -> bool {
        self.kept.len() == self.count
    }
}

/// The TTL of an RRSIG RRset whose first data are `first`: that of the RRset which these cover.
fn ttl_of(first: Option<&[u8]>, ttls: &[(Rtype, Ttl)]) -> Option<Ttl> {
    let ttl_here = |rtype| ttls.iter().find(|(other, _)| *other == rtype).map(|(_, ttl)| *ttl);
    signature_ttl(first?, ttl_here)
}

fn is_same(rrset: Option<RrsetRef<'_>>, contents: Option<&Contents>) -> bool {
    match (rrset, contents) {
        (None, None) => true,
        (Some(rrset), Some(contents)) => {
            rrset.ttl() == contents.ttl && rrset.rdatas().eq(contents.rdatas.iter().map(|rdata| &**rdata))
        }
        _ => false,
    }
}

/// The changes of NSEC and NSEC3 at a name.
fn denial_changes(owner: &Name, node: Option<NodeRef<'_>>, target: &Target<'_>) -> Vec<RrsetDelta> {
    let change = |rtype| {
        let before = node.and_then(|node| node.rrset(rtype)).map(Contents::of);
        let wanted = target.denial.as_ref().filter(|(wanted, _)| *wanted == rtype);
        let after = wanted.map(|(_, contents)| contents.clone());
        (before != after).then(|| RrsetDelta { owner: owner.clone(), rtype, before, after })
    };
    [Rtype::NSEC, Rtype::NSEC3].into_iter().filter_map(change).collect()
}

/// A number, evenly distributed over zones, and in large ones over names.
fn spread(apex: &[u8], owner: &[u8], is_small: bool) -> u32 {
    let octets = apex.iter().chain(if is_small { &[] } else { owner });
    // FNV-1a, with its halves mixed: evenness is all that is asked for.
    let sum =
        octets.fold(0xcbf2_9ce4_8422_2325_u64, |sum, &octet| (sum ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3));
    let mixed = (sum ^ sum >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed >> 32).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Timing;

    #[test]
    fn expirations_are_spread_evenly_over_names_and_zones() {
        let day = 86_400;
        let timing = Timing {
            now: 4_294_000_000,
            inception_before_s: 3600,
            validity_s: 14 * day,
            jitter_s: 2 * day,
            refresh_before_s: 5 * day,
        };
        let names: Vec<Name> = (0..2_000).map(|index| format!("n{index}.example.").parse().unwrap()).collect();
        for is_small in [false, true] {
            let mut buckets = [0; 10];
            for name in &names {
                let (apex, owner) = if is_small { (name.as_bytes(), &[][..]) } else { (&b"\0"[..], name.as_bytes()) };
                let expiration = timing.expiration(spread(apex, owner, is_small));
                // The time is beyond 2^32 and compared as a serial number.
                let remaining = u32::try_from(timing.remaining_s(expiration)).unwrap();
                assert!(remaining > 12 * day && remaining <= 14 * day);
                buckets[usize::try_from((remaining - 12 * day - 1) * 10 / (2 * day)).unwrap()] += 1;
            }
            assert!(buckets.iter().all(|count| (150..250).contains(count)), "{buckets:?}");
        }
        assert_eq!(spread(b"\0", b"\x01a\0", true), spread(b"\0", b"\x01b\0", true));
        // Jitter never brings an expiration so near that the signature would have to be renewed at once.
        let wide = Timing { jitter_s: u32::MAX, ..timing };
        assert!(wide.remaining_s(wide.expiration(u32::MAX)) > i32::try_from(5 * day).unwrap());
    }
}
