//! The chain of NSEC3 records (RFC 5155 §7.1).
//!
//! What the tree of hashed names holds is a closed chain at all times, also while it is built: a record that comes
//! points to the next one there is, and the one before is made to point to it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use rokko_wire::Rtype;
use rokko_wire::key::name_of_key;
use rokko_zone::{Contents, Match, NodeRef, ZoneRef};

use super::ConformError;
use super::job::{Job, Target};
use crate::hash::{Hash, hash, hash_of_key, key_of};
use crate::plan::OptOut;
use crate::record::{NSEC3_OPT_OUT, NSEC3_SHA1, Nsec3, append_bitmap};
use crate::topology::{Place, Topology, is_real, types};

/// The chain in the zone, and what is to change in it: a bitmap for a record that is to be there, `None` for one that is to go.
struct Chain<'z> {
    zone: ZoneRef<'z>,
    changes: BTreeMap<Hash, Option<Vec<u8>>>,
}

impl<'z> Job<'z> {
    /// Looks at the hashes of names, with data or without, by their keys.
    pub(super) fn hashes<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) -> Result<(), ConformError> {
        let Some(opt_out) = self.plan.denial.nsec3 else { return Ok(()) };
        let mut chain = Chain { zone: self.topology.zone, changes: BTreeMap::new() };
        let (mut touched, mut name) = (BTreeSet::new(), [0; 255]);
        for key in keys {
            let hash = hash(self.topology.name(key, &mut name), &[], 0);
            let bitmap = bitmap(self.topology, key, opt_out);
            let standing = chain.record(&hash);
            let is_same = match (&standing, &bitmap) {
                (None, None) => true,
                (Some(record), Some(bitmap)) => record.bitmap == bitmap && record.flags == flags(opt_out),
                _ => false,
            };
            if is_same {
                continue;
            }
            if standing.is_some() != bitmap.is_some() {
                touched.insert(hash);
            }
            chain.changes.insert(hash, bitmap);
            self.hashed.extend(name_of_key(key, &self.plan.apex));
        }
        let mut records: BTreeSet<Hash> = chain.changes.keys().copied().collect();
        records.extend(touched.iter().filter_map(|hash| chain.previous(hash)));
        for hash in &records {
            self.hashed_name(&chain, hash, opt_out)?;
        }
        Ok(())
    }

    /// Looks at the records of the chain with these keys as they stand: their links, their signatures. Those that belong to no chain that
    /// is wanted go.
    pub(super) fn standing_hashes(&mut self, nodes: &[NodeRef<'z>]) -> Result<(), ConformError> {
        let chain = Chain { zone: self.topology.zone, changes: BTreeMap::new() };
        for node in nodes {
            let hash = hash_of_key(node.key()).filter(|hash| chain.record(hash).is_some());
            match (hash, self.plan.denial.nsec3) {
                (Some(hash), Some(opt_out)) => self.hashed_name(&chain, &hash, opt_out)?,
                _ => self.node(node.key(), Some(*node), Place::Inside, &Target::default())?,
            }
        }
        Ok(())
    }

    fn hashed_name(&mut self, chain: &Chain<'z>, hash: &Hash, opt_out: OptOut) -> Result<(), ConformError> {
        let key = key_of(hash);
        let node = chain.node(hash);
        let standing = chain.record(hash);
        let bitmap = match chain.changes.get(hash) {
            Some(change) => change.as_deref(),
            None => standing.map(|record| record.bitmap),
        };
        let denial = bitmap.map(|bitmap| {
            let next = chain.next(hash);
            let record =
                Nsec3 { algorithm: NSEC3_SHA1, flags: flags(opt_out), iterations: 0, salt: &[], next: &next, bitmap };
            (Rtype::NSEC3, Contents { ttl: self.negative_ttl, rdatas: vec![record.to_rdata()] })
        });
        if denial.is_some() && self.topology.zone.node(&key).is_some_and(is_real) {
            let name = name_of_key(&key, &self.plan.apex).unwrap_or_else(|| self.plan.apex.clone());
            return Err(ConformError::NameTaken(name));
        }
        self.node(&key, node, Place::Inside, &Target { denial, changed: &[] })
    }
}

fn flags(opt_out: OptOut) -> u8 {
    if opt_out.has_flag() { NSEC3_OPT_OUT } else { 0 }
}

/// The bitmap of the NSEC3 record that the name with `key` is to have; `None` if it is to have none.
///
/// An empty non-terminal has a record even if there is nothing but insecure delegations below it, which RFC 5155 §7.1
/// leaves open: to know that there is nothing else would mean to look at all of them.
pub(super) fn bitmap(topology: Topology<'_>, key: &[u8], opt_out: OptOut) -> Option<Vec<u8>> {
    let node = topology.zone.node(key).filter(|node| is_real(*node));
    let mut bitmap = Vec::new();
    let Some(node) = node else {
        return (topology.occluder(key).is_none() && topology.exists(key)).then_some(bitmap);
    };
    let place = topology.place(node);
    let is_insecure = place == Place::Cut && !node.has(Rtype::DS);
    if place == Place::Occluded || is_insecure && opt_out.leaves_out_insecure() {
        return None;
    }
    let signed = (!is_insecure).then_some(Rtype::RRSIG);
    let mut here: Vec<Rtype> = types(node, place).chain(signed).collect();
    here.sort_unstable();
    append_bitmap(&here, &mut bitmap);
    Some(bitmap)
}

impl<'z> Chain<'z> {
    /// The node of the tree with this hash, whatever it holds.
    fn node(&self, hash: &Hash) -> Option<NodeRef<'z>> {
        match self.zone.nsec3_search(&key_of(hash)) {
            Match::Exact(node) => Some(node),
            Match::Gap { .. } => None,
        }
    }

    /// The record of the chain that stands there.
    fn record(&self, hash: &Hash) -> Option<Nsec3<'z>> {
        record_of(self.node(hash)?)
    }

    /// The hash that follows, in the chain as it is to be; that of the record itself if it is the only one.
    fn next(&self, hash: &Hash) -> Hash {
        let after = |from: &[u8]| {
            let nodes = self.zone.nsec3_nodes_from(from);
            nodes.filter_map(|node| self.stays(node)).find(|other| from.is_empty() || other != hash)
        };
        let change = |range| self.changes.range::<Hash, _>(range).find(|(_, to)| to.is_some()).map(|(hash, _)| *hash);
        let smaller = |a: Option<Hash>, b: Option<Hash>| a.into_iter().chain(b).min();
        smaller(after(&key_of(hash)), change((Excluded(hash), Unbounded)))
            .or_else(|| smaller(after(&[]), change((Unbounded, Unbounded))))
            .unwrap_or(*hash)
    }

    /// The hash before this one, which need not be in the chain, in the chain as it is to be.
    fn previous(&self, hash: &Hash) -> Option<Hash> {
        let before = |node: Option<NodeRef<'z>>| {
            let mut nodes = std::iter::successors(node, |node| before_node(self.zone, node.key()));
            nodes.find_map(|node| self.stays(node))
        };
        let change =
            |range| self.changes.range::<Hash, _>(range).rev().find(|(_, to)| to.is_some()).map(|(hash, _)| *hash);
        before(before_node(self.zone, &key_of(hash)))
            .max(change((Unbounded, Excluded(hash))))
            .or_else(|| before(self.zone.nsec3_last()).max(change((Unbounded, Unbounded))))
    }

    /// The hash of a node of the tree that is part of the chain and stays it.
    fn stays(&self, node: NodeRef<'_>) -> Option<Hash> {
        let hash = hash_of_key(node.key()).filter(|_| record_of(node).is_some())?;
        (self.changes.get(&hash) != Some(&None)).then_some(hash)
    }
}

/// The record of our chain at a node.
fn record_of(node: NodeRef<'_>) -> Option<Nsec3<'_>> {
    let mut rdatas = node.rrset(Rtype::NSEC3)?.rdatas();
    let record = Nsec3::parse(rdatas.next()?).filter(Nsec3::is_ours);
    record.filter(|_| rdatas.next().is_none())
}

/// The node of the tree of hashed names before the one with `key`.
fn before_node<'z>(zone: ZoneRef<'z>, key: &[u8]) -> Option<NodeRef<'z>> {
    // Without its last zero octet the key is smaller than itself and greater than all smaller keys.
    match zone.nsec3_search(key.split_last()?.1) {
        Match::Exact(_) => None,
        Match::Gap { before, .. } => before,
    }
}
