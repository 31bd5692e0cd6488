//! Whole zones in portions.

use std::collections::BTreeSet;

use rokko_wire::Rtype;
use rokko_zone::{NodeRef, Zone};

use super::affected::push_empty_above;
use super::chain::bitmap;
use super::job::Job;
use super::{ConformError, Conformed};
use crate::hash::{Hash, hash};
use crate::plan::{OptOut, Plan, Sign};
use crate::topology::{Topology, is_real, prefixes};

/// A place in a zone from where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The names with data, from this key on.
    Names(Box<[u8]>),
    /// The NSEC3 records, from this key on.
    Hashes(Box<[u8]>),
}

impl Cursor {
    /// The first name of a zone.
    pub fn start() -> Self {
        Self::Names([].into())
    }
}

/// Loads the names from `cursor` on into a job; returns where to go on.
pub(super) fn load_range(job: &mut Job<'_>, cursor: &Cursor, names_max: usize) -> Result<Option<Cursor>, ConformError> {
    let zone = job.topology.zone;
    match cursor {
        Cursor::Names(key) => {
            let mut nodes = zone.nodes_from(key);
            let mut hashed: BTreeSet<Box<[u8]>> = BTreeSet::new();
            for node in nodes.by_ref().take(names_max) {
                job.name(node, &[])?;
                if job.plan.denial.nsec3.is_some() {
                    hashed.insert(node.key().into());
                    push_empty_above(job, node.key(), &mut hashed);
                }
            }
            job.hashes(hashed.iter().map(|key| &**key))?;
            let next = nodes.next().map(|node| Cursor::Names(node.key().into()));
            Ok(next.or_else(|| zone.nsec3_last().map(|_| Cursor::Hashes([].into()))))
        }
        Cursor::Hashes(key) => {
            let mut nodes = zone.nsec3_nodes_from(key);
            let portion: Vec<NodeRef<'_>> = nodes.by_ref().take(names_max).collect();
            job.standing_hashes(&portion)?;
            Ok(nodes.next().map(|node| Cursor::Hashes(node.key().into())))
        }
    }
}

/// A way over all names of a zone that makes them conform, in steps, while the zone goes on changing.
///
/// If a chain of NSEC3 is wanted that is not announced yet by NSEC3PARAM at the apex, it is built first, in the order of
/// the hashes, so that each record is signed once; for this, the walk holds all hashes and keys of the zone's names, some
/// 40 octets per name. Then all names follow and then all NSEC3 records, as with [`super::conform_range`].
///
/// A walk that was cut off can be begun anew: what it has done already is found to conform.
#[derive(Clone, Debug)]
pub struct Walk {
    order: Order,
    at: usize,
    cursor: Option<Cursor>,
    /// Where the last step began.
    before: (usize, Option<Cursor>),
}

/// Names by rising hashes: where the keys end in `keys`.
#[derive(Clone, Debug, Default)]
struct Order {
    hashes: Vec<(Hash, u32)>,
    ends: Vec<u32>,
    keys: Vec<u8>,
}

impl Walk {
    /// A walk over `zone` as it is to become by `plan`. If a chain of NSEC3 is to be built this takes about a second
    /// for a million names.
    pub fn new(zone: &Zone, plan: &Plan) -> Self {
        let announced = zone.rrset(&plan.apex, Rtype::NSEC3PARAM).is_some();
        let order = plan.denial.nsec3.filter(|_| !announced);
        let order = order.map(|opt_out| Order::of(zone, opt_out)).unwrap_or_default();
        Self { order, at: 0, cursor: Some(Cursor::start()), before: (0, Some(Cursor::start())) }
    }

    /// Makes up to `names_max` more names conform. `zone` is the one of the moment, with what the steps before and
    /// others have changed.
    pub fn step(
        &mut self,
        zone: &Zone,
        names_max: usize,
        plan: &Plan,
        sign: &dyn Sign,
    ) -> Result<Conformed, ConformError> {
        self.before = (self.at, self.cursor.clone());
        if self.at < self.order.hashes.len() {
            let end = self.order.hashes.len().min(self.at + names_max);
            let mut job = Job::new(zone, plan)?;
            job.hashes(self.order.hashes[self.at..end].iter().map(|&(_, index)| self.order.key(index)))?;
            let conformed = job.finish(sign)?;
            self.at = end;
            return Ok(conformed);
        }
        let Some(cursor) = &self.cursor else { return Ok(Conformed::default()) };
        let (conformed, next) = super::conform_range(zone, cursor, names_max, plan, sign)?;
        self.cursor = next;
        Ok(conformed)
    }

    /// Goes back to where the last step began, since what it came to could not be used.
    pub fn step_back(&mut self) {
        (self.at, self.cursor) = self.before.clone();
    }

    /// Whether all is done.
    pub fn is_done(&self) -> bool {
        self.cursor.is_none()
    }
}

impl Order {
    fn of(zone: &Zone, opt_out: OptOut) -> Self {
        let topology = Topology::of(zone.view());
        let (mut order, mut name) = (Self::default(), [0; 255]);
        let mut last: &[u8] = &[];
        for node in zone.view().nodes_from(&[]).filter(|node| is_real(*node)) {
            // The names above it that the name before did not lie below, and itself.
            let key = node.key();
            let shared = key.iter().zip(last).take_while(|(a, b)| a == b).count();
            for len in prefixes(key).filter(|&len| len > shared).chain([key.len()]) {
                if bitmap(topology, &key[..len], opt_out).is_some() {
                    order.push(hash(topology.name(&key[..len], &mut name), &[], 0), &key[..len]);
                }
            }
            last = key;
        }
        order.hashes.sort_unstable();
        order
    }

    fn push(&mut self, hash: Hash, key: &[u8]) {
        let index = |len: usize| u32::try_from(len).expect("a zone's keys have fewer than 2^32 octets");
        self.hashes.push((hash, index(self.ends.len())));
        self.keys.extend_from_slice(key);
        self.ends.push(index(self.keys.len()));
    }

    fn key(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[start as usize..self.ends[index] as usize]
    }
}
