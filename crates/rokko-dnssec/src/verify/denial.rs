//! The chain of denial that answers.

use std::collections::{BTreeSet, HashSet};

use data_encoding::BASE32HEX_NOPAD;
use rokko_wire::{KeyBuf, Name, Rtype};
use rokko_zone::file::Severity;
use rokko_zone::{Contents, Delta, Denial, Match, NodeRef, RrsetRef, ZoneRef};

use super::{Judge, Progress};
use crate::hash::{Hash, hash, hash_of_key, key_of};
use crate::record::{NSEC3_OPT_OUT, NSEC3_SHA1, Nsec3, append_bitmap, nsec_parts, types_of};
use crate::topology::{Place, is_real, prefixes, types};

/// The chain that answers.
pub(super) struct Chain<'z> {
    zone: ZoneRef<'z>,
    denial: Denial,
    salt: &'z [u8],
    iterations: u16,
}

impl<'z> Chain<'z> {
    pub(super) fn of(zone: ZoneRef<'z>) -> Self {
        let announced = zone.apex_node().and_then(|apex| apex.rrset(Rtype::NSEC3PARAM));
        let parameters = |rdata: &'z [u8]| {
            let (&[algorithm, _, high, low, salt_len], rest) = rdata.split_first_chunk()?;
            let salt = rest.get(..usize::from(salt_len))?;
            let iterations = u16::from_be_bytes([high, low]);
            (algorithm == NSEC3_SHA1).then_some(Self { zone, denial: Denial::Nsec3, salt, iterations })
        };
        let mut chains: Vec<Self> = announced.into_iter().flat_map(RrsetRef::rdatas).filter_map(parameters).collect();
        let complete = |chain: &Self| chain.record(&chain.hash(zone.apex_bytes())).is_some();
        // As the answers do it: of several the one that has a record for the apex.
        match chains.iter().position(complete) {
            Some(index) => chains.swap_remove(index),
            None => chains.pop().unwrap_or(Self { zone, denial: Denial::Nsec, salt: &[], iterations: 0 }),
        }
    }

    fn hash(&self, name: &[u8]) -> Hash {
        hash(name, self.salt, self.iterations)
    }

    /// A node of the tree of hashed names, of whatever chain.
    pub(super) fn any_node(&self, key: &[u8]) -> Option<NodeRef<'z>> {
        match self.zone.nsec3_search(key) {
            Match::Exact(node) => Some(node),
            Match::Gap { .. } => None,
        }
    }

    fn record(&self, hash: &Hash) -> Option<Nsec3<'z>> {
        self.record_of(self.any_node(&key_of(hash))?)
    }

    fn record_of<'n>(&self, node: NodeRef<'n>) -> Option<Nsec3<'n>> {
        let mut records = node.rrset(Rtype::NSEC3)?.rdatas().filter_map(Nsec3::parse);
        records.find(|record| self.is_ours(record))
    }

    fn is_ours(&self, record: &Nsec3<'_>) -> bool {
        record.algorithm == NSEC3_SHA1 && record.salt == self.salt && record.iterations == self.iterations
    }

    /// The record of this chain before a hash, around its end if need be.
    fn previous(&self, hash: &Hash) -> Option<NodeRef<'z>> {
        let before = |key: &[u8]| match self.zone.nsec3_search(key.split_last()?.1) {
            Match::Exact(_) => None,
            Match::Gap { before, .. } => before,
        };
        let back = |from| std::iter::successors(from, |node: &NodeRef<'z>| before(node.key()));
        let ours = |node: &NodeRef<'z>| self.record_of(*node).is_some();
        back(before(&key_of(hash))).find(ours).or_else(|| back(self.zone.nsec3_last()).find(ours))
    }

    /// The hash of the record of this chain that follows a node, around the end if need be.
    fn next(&self, node: NodeRef<'_>) -> Option<Hash> {
        let ours = |node: NodeRef<'z>| hash_of_key(node.key()).filter(|_| self.record_of(node).is_some());
        let mut after = self.zone.nsec3_nodes_from(node.key()).skip_while(|other| other.key() == node.key());
        after.find_map(ours).or_else(|| self.zone.nsec3_nodes_from(&[]).find_map(ours))
    }
}

/// What kind of NSEC3 record a name is to have.
enum Expected {
    /// One with these types.
    Record(Vec<Rtype>),
    /// One with these types, or none where a record with the opt-out flag covers it.
    OptOut(Vec<Rtype>),
    /// None.
    Nothing,
}

impl<'z> Judge<'z> {
    /// Judges the denial of a name that changed or lies above one that did, and that of its neighbour.
    pub(super) fn denial_around(&mut self, key: &[u8]) {
        let node = self.topology.zone.node(key);
        if self.chain.denial == Denial::Nsec3 {
            if let Some(hash) = self.hash_of(key) {
                self.hashed_name(key, &hash);
                for node in [self.chain.any_node(&key_of(&hash)), self.chain.previous(&hash)].into_iter().flatten() {
                    self.hashed_link(node);
                }
            }
            // The key may be that of a record itself.
            if let Some(node) = self.chain.any_node(key) {
                self.hashed_link(node);
            }
            return;
        }
        for node in [node, self.topology.previous(key)].into_iter().flatten() {
            self.nsec(node);
        }
    }

    /// Of NSEC3 records whose names were not judged only the next name may have changed.
    pub(super) fn changed_hashes(&mut self, delta: &Delta, judged: &BTreeSet<Box<[u8]>>) {
        if self.chain.denial != Denial::Nsec3 {
            return;
        }
        let hashes: HashSet<Hash> = judged.iter().filter_map(|key| self.hash_of(key)).collect();
        for change in delta.changes.iter().filter(|change| change.rtype == Rtype::NSEC3) {
            let Some(key) = KeyBuf::below(&change.owner, &self.apex) else { continue };
            let key = key.as_bytes();
            if hash_of_key(key).is_some_and(|hash| hashes.contains(&hash)) {
                continue;
            }
            if let Some(node) = self.chain.any_node(key) {
                self.hashed_link(node);
            }
            let bitmap = |contents: &Option<Contents>| {
                let mut records = contents.iter().flat_map(|contents| &contents.rdatas).filter_map(|r| Nsec3::parse(r));
                let ours = records.find(|record| self.chain.is_ours(record));
                ours.map(|record| record.bitmap.to_vec())
            };
            if bitmap(&change.before) != bitmap(&change.after) {
                let message =
                    "the NSEC3 record comes, goes or gets other types, and its name is not touched: sign the zone anew";
                self.error("nsec3-wrong", key, Some(Rtype::NSEC3), message.to_owned());
            }
        }
    }

    /// Judges the denial of a node of the names with data, as one of all: what stands above it and was not seen yet, too.
    pub(super) fn denial_of_node(&mut self, node: NodeRef<'z>, progress: &mut Progress) {
        if self.chain.denial != Denial::Nsec3 {
            return self.nsec(node);
        }
        if !is_real(node) {
            return;
        }
        for len in new_names(node.key(), &progress.last) {
            if let Some(hash) = self.hash_of(&node.key()[..len]) {
                progress.matched += u64::from(self.hashed_name(&node.key()[..len], &hash));
            }
        }
        progress.last = node.key().into();
    }

    fn nsec(&mut self, node: NodeRef<'z>) {
        let key = node.key();
        let place = self.topology.place(node);
        let rrset = node.rrset(Rtype::NSEC);
        let wanted = place != Place::Occluded && is_real(node);
        let Some(rrset) = rrset.filter(|_| wanted) else {
            if wanted {
                self.error(
                    "nsec-missing",
                    key,
                    Some(Rtype::NSEC),
                    "the name has no NSEC record: sign the zone".to_owned(),
                );
            } else if rrset.is_some() {
                let message =
                    "there is an NSEC record below a zone cut, or at a name without data: remove it".to_owned();
                self.error("nsec-extra", key, Some(Rtype::NSEC), message);
            }
            return;
        };
        self.check_ttl(key, rrset);
        let mut here: Vec<Rtype> = types(node, place).chain([Rtype::RRSIG, Rtype::NSEC]).collect();
        here.sort_unstable();
        let mut wire = [0; 255];
        let next = match self.topology.next(node) {
            Some(next) => self.topology.name(next.key(), &mut wire),
            None => self.apex.as_bytes(),
        };
        let parts = rrset.rdatas().next().filter(|_| rrset.len() == 1).and_then(nsec_parts);
        let Some((found_next, found_types)) = parts else {
            return self.error("nsec-wrong", key, Some(Rtype::NSEC), "expected one NSEC record".to_owned());
        };
        if !found_next.eq_ignore_ascii_case(next) {
            let shown =
                |wire: &[u8]| Name::from_wire(wire).map_or_else(|_| "?".to_owned(), |(name, _)| name.to_string());
            let message = format!("the NSEC record leads to {}, expected {}", shown(found_next), shown(next));
            self.error("nsec-wrong", key, Some(Rtype::NSEC), message);
        }
        self.check_bitmap("nsec-wrong", key, Rtype::NSEC, found_types, &here);
    }

    fn check_ttl(&mut self, key: &[u8], rrset: RrsetRef<'_>) {
        let Some(expected) = self.negative_ttl.filter(|expected| rrset.ttl() != *expected) else { return };
        let message = format!("found TTL {}, expected {expected}, that of negative answers (RFC 9077)", rrset.ttl());
        self.push(Severity::Warning, "nsec-ttl", key, Some(rrset.rtype()), message);
    }

    fn check_bitmap(&mut self, code: &'static str, key: &[u8], rtype: Rtype, found: &[u8], expected: &[Rtype]) {
        let mut bitmap = Vec::new();
        append_bitmap(expected, &mut bitmap);
        if found != bitmap {
            let shown = |types: &[Rtype]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let (found, expected) = (shown(&types_of(found)), shown(expected));
            self.error(
                code,
                key,
                Some(rtype),
                format!("the {rtype} record has the types ({found}), expected ({expected})"),
            );
        }
    }

    fn hash_of(&self, key: &[u8]) -> Option<Hash> {
        let mut wire = [0; 255];
        let name = self.topology.name(key, &mut wire);
        (!name.is_empty()).then(|| self.chain.hash(name))
    }

    /// Judges whether a name has the NSEC3 record that it is to have; returns whether it has one.
    fn hashed_name(&mut self, key: &[u8], hash: &Hash) -> bool {
        let expected = self.expected(key);
        let record = self.chain.record(hash);
        let shown = || BASE32HEX_NOPAD.encode(hash);
        match (expected, record) {
            (Expected::Nothing, None) => {}
            (Expected::Nothing, Some(_)) => {
                let message = format!("there is an NSEC3 record for this name, {}, expected none: remove it", shown());
                self.error("nsec3-extra", key, Some(Rtype::NSEC3), message);
            }
            (Expected::Record(types) | Expected::OptOut(types), Some(record)) => {
                self.hashed_bitmap(key, record.bitmap, types);
            }
            (Expected::OptOut(_), None) if self.is_opted_out(hash) => {}
            (Expected::Record(_) | Expected::OptOut(_), None) => {
                let message = format!("the name has no NSEC3 record, which would be {}: sign the zone", shown());
                self.error("nsec3-missing", key, Some(Rtype::NSEC3), message);
            }
        }
        record.is_some()
    }

    fn hashed_bitmap(&mut self, key: &[u8], found: &[u8], expected: Vec<Rtype>) {
        let mut expected = expected;
        let (mut bitmap, mut with_nsec) = (Vec::new(), expected.clone());
        append_bitmap(&expected, &mut bitmap);
        if found != bitmap && self.topology.zone.node(key).is_some_and(|node| node.has(Rtype::NSEC)) {
            // The other chain's record may be shown or not.
            with_nsec.extend([Rtype::RRSIG, Rtype::NSEC]);
            with_nsec.sort_unstable();
            with_nsec.dedup();
            if types_of(found).contains(&Rtype::NSEC) {
                expected = with_nsec;
            }
        }
        self.check_bitmap("nsec3-wrong", key, Rtype::NSEC3, found, &expected);
    }

    fn expected(&self, key: &[u8]) -> Expected {
        let topology = self.topology;
        if topology.occluder(key).is_some() {
            return Expected::Nothing;
        }
        let Some(node) = topology.zone.node(key).filter(|node| is_real(*node)) else {
            return match topology.exists(key) {
                true if self.is_insecure_below(key) => Expected::OptOut(Vec::new()),
                true => Expected::Record(Vec::new()),
                false => Expected::Nothing,
            };
        };
        let place = topology.place(node);
        if place == Place::Cut && !node.has(Rtype::DS) {
            return Expected::OptOut(types(node, place).collect());
        }
        let mut here: Vec<Rtype> = types(node, place).chain([Rtype::RRSIG]).collect();
        here.sort_unstable();
        Expected::Record(here)
    }

    /// Whether there is nothing but insecure delegations below an empty non-terminal, which has no record of its own.
    fn is_insecure_below(&self, key: &[u8]) -> bool {
        let has_record = self.hash_of(key).is_some_and(|hash| self.chain.record(&hash).is_some());
        let mut below = self.topology.zone.nodes_from(key).take_while(|node| node.key().starts_with(key));
        !has_record
            && below.all(|node| match self.topology.place(node) {
                Place::Occluded => true,
                Place::Cut => !node.has(Rtype::DS),
                Place::Inside => !is_real(node),
            })
    }

    fn is_opted_out(&self, hash: &Hash) -> bool {
        let previous = self.chain.previous(hash).and_then(|node| self.chain.record_of(node));
        previous.is_some_and(|record| record.flags & NSEC3_OPT_OUT != 0)
    }

    /// Judges a hashed name's record by itself: its next one, its flags. Returns whether it belongs to the chain.
    pub(super) fn hashed_link(&mut self, node: NodeRef<'z>) -> bool {
        if self.chain.denial != Denial::Nsec3 {
            return false;
        }
        let Some(record) = self.chain.record_of(node) else { return false };
        let key = node.key();
        if let Some(rrset) = node.rrset(Rtype::NSEC3) {
            self.check_ttl(key, rrset);
        }
        if record.flags & !NSEC3_OPT_OUT != 0 {
            let message = format!("the NSEC3 record has flags {}, expected 0 or 1", record.flags);
            self.error("nsec3-wrong", key, Some(Rtype::NSEC3), message);
        }
        let next = self.chain.next(node);
        if next.is_none_or(|next| next != record.next) {
            let shown = |hash: &[u8]| BASE32HEX_NOPAD.encode(hash);
            let expected = next.map_or_else(|| "itself".to_owned(), |next| shown(&next));
            let message = format!("the NSEC3 record leads to {}, expected {expected}", shown(record.next));
            self.error("nsec3-wrong", key, Some(Rtype::NSEC3), message);
        }
        true
    }

    /// Names the NSEC3 records that belong to no name. Takes all hashes into memory.
    pub(super) fn extra_hashes(&mut self) {
        let (mut expected, mut last): (HashSet<Hash>, Box<[u8]>) = (HashSet::new(), [].into());
        for node in self.topology.zone.nodes_from(&[]).filter(|node| is_real(*node)) {
            for len in new_names(node.key(), &last) {
                expected.extend(self.hash_of(&node.key()[..len]));
            }
            last = node.key().into();
        }
        for node in self.topology.zone.nsec3_nodes_from(&[]) {
            let is_extra = hash_of_key(node.key()).is_none_or(|hash| !expected.contains(&hash));
            if is_extra && self.chain.record_of(node).is_some() {
                let message = "the NSEC3 record belongs to no name of the zone: remove it".to_owned();
                self.error("nsec3-extra", node.key(), Some(Rtype::NSEC3), message);
            }
        }
    }
}

/// The lengths of the keys of a name and of those above it that `last`, the name before it, did not lie below.
fn new_names<'k>(key: &'k [u8], last: &[u8]) -> impl Iterator<Item = usize> + use<'k> {
    let shared = key.iter().zip(last).take_while(|(a, b)| a == b).count();
    prefixes(key).filter(move |&len| len > shared).chain([key.len()])
}
