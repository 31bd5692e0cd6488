//! Proofs by NSEC3 (RFC 5155 §7.2).

use rokko_wire::Rtype;
use rokko_zone::{Match, NodeRef, RrsetRef, ZoneRef};
use sha1::{Digest, Sha1};

use super::{Proofs, Subject};

/// The hash algorithm SHA-1 (RFC 5155 §11), the only one there is.
const SHA1: u8 = 1;
/// The octets of a SHA-1 hash in base32hex, and the zero octet that ends a label in a key.
const KEY_LEN: usize = 33;
/// How many NSEC3 records of another chain are passed while looking for the one that covers a name.
const STEPS_MAX: usize = 32;

pub(super) fn name_error<'z>(proofs: &mut Proofs<'z>, subject: Subject<'_, 'z>) {
    let Some(chain) = Chain::of(subject.zone) else { return };
    let encloser = chain.encloser_proof(proofs, subject, subject.label_index(subject.encloser_len));
    chain.push_covering(proofs, &chain.wildcard_key(subject.name.suffix(encloser)));
}

pub(super) fn no_data<'z>(proofs: &mut Proofs<'z>, subject: Subject<'_, 'z>) {
    let Some(chain) = Chain::of(subject.zone) else { return };
    // Without NSEC3 of its own, the name lies in an opt-out span (§7.2.4).
    chain.match_or_encloser_proof(proofs, subject, 0);
}

pub(super) fn wildcard_answer<'z>(proofs: &mut Proofs<'z>, subject: Subject<'_, 'z>) {
    let Some(chain) = Chain::of(subject.zone) else { return };
    let encloser = subject.label_index(subject.encloser_len);
    if let Some(next_closer) = encloser.checked_sub(1) {
        chain.push_covering(proofs, &chain.key(subject.name.suffix(next_closer)));
    }
}

pub(super) fn wildcard_no_data<'z>(proofs: &mut Proofs<'z>, subject: Subject<'_, 'z>) {
    let Some(chain) = Chain::of(subject.zone) else { return };
    let encloser = chain.encloser_proof(proofs, subject, subject.label_index(subject.encloser_len));
    let key = chain.wildcard_key(subject.name.suffix(encloser));
    match chain.matching(&key) {
        Some(node) => proofs.push(subject.zone, Some(node), Rtype::NSEC3),
        // The wildcard exists only for insecure delegations below it.
        None => chain.push_covering(proofs, &key),
    }
}

pub(super) fn insecure_delegation<'z>(proofs: &mut Proofs<'z>, subject: Subject<'_, 'z>, cut_len: usize) {
    let Some(chain) = Chain::of(subject.zone) else { return };
    chain.match_or_encloser_proof(proofs, subject, subject.label_index(cut_len));
}

/// A zone's chain of NSEC3 records.
struct Chain<'z> {
    zone: ZoneRef<'z>,
    parameters: Parameters<'z>,
}

/// How names are hashed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Parameters<'z> {
    iterations: u16,
    salt: &'z [u8],
}

impl<'z> Parameters<'z> {
    /// Reads the start that NSEC3 and NSEC3PARAM rdata have in common.
    fn of(rdata: &'z [u8]) -> Option<Self> {
        let (&[algorithm, _, high, low, salt_len], rest) = rdata.split_first_chunk()?;
        let salt = rest.get(..usize::from(salt_len))?;
        (algorithm == SHA1).then_some(Self { iterations: u16::from_be_bytes([high, low]), salt })
    }
}

impl<'z> Chain<'z> {
    /// The zone's complete chain: one that NSEC3PARAM announces and that has a record for the apex.
    fn of(zone: ZoneRef<'z>) -> Option<Self> {
        let announced = zone.apex_node()?.rrset(Rtype::NSEC3PARAM)?;
        let mut chains = announced.rdatas().filter_map(Parameters::of).map(|parameters| Self { zone, parameters });
        if announced.len() == 1 {
            return chains.next();
        }
        chains.find(|chain| chain.matching(&chain.key(zone.apex_bytes())).is_some())
    }

    /// Proves that the name that starts at label `start`, an ancestor of the subject whose child there does not exist,
    /// or the closest of its ancestors that has an NSEC3, is the closest encloser: by its record, and by one that covers
    /// the next closer name (§7.2.1). Returns the label at which the encloser starts.
    fn encloser_proof(&self, proofs: &mut Proofs<'z>, subject: Subject<'_, 'z>, start: usize) -> usize {
        let next_closer = start.checked_sub(1).map(|index| self.key(subject.name.suffix(index)));
        self.provable_encloser(proofs, subject, start, next_closer)
    }

    /// The record of the name that starts at label `start`; if it lies in an opt-out span and has none, the proof of
    /// its closest provable encloser.
    fn match_or_encloser_proof(&self, proofs: &mut Proofs<'z>, subject: Subject<'_, 'z>, start: usize) {
        self.provable_encloser(proofs, subject, start, None);
    }

    fn provable_encloser(
        &self,
        proofs: &mut Proofs<'z>,
        subject: Subject<'_, 'z>,
        start: usize,
        next_closer: Option<[u8; KEY_LEN]>,
    ) -> usize {
        let apex = subject.label_index(0);
        let mut next_closer = next_closer;
        for index in start..=apex {
            let key = self.key(subject.name.suffix(index));
            if let Some(node) = self.matching(&key) {
                proofs.push(self.zone, Some(node), Rtype::NSEC3);
                if let Some(next_closer) = next_closer {
                    self.push_covering(proofs, &next_closer);
                }
                return index;
            }
            next_closer = Some(key);
        }
        apex
    }

    fn matching(&self, key: &[u8; KEY_LEN]) -> Option<NodeRef<'z>> {
        match self.zone.nsec3_search(key) {
            Match::Exact(node) if self.owns(node) => Some(node),
            _ => None,
        }
    }

    fn push_covering(&self, proofs: &mut Proofs<'z>, key: &[u8; KEY_LEN]) {
        let mut before = match self.zone.nsec3_search(key) {
            // A name that has a record of its own can't be covered: the zone contradicts itself.
            Match::Exact(node) if self.owns(node) => return,
            Match::Exact(_) => self.before(key),
            Match::Gap { before, .. } => before,
        };
        for _ in 0..STEPS_MAX {
            // The first name's predecessor is the last one.
            let Some(node) = before.or_else(|| self.zone.nsec3_last()) else { return };
            if self.owns(node) {
                return proofs.push(self.zone, Some(node), Rtype::NSEC3);
            }
            before = self.before(node.key());
        }
    }

    /// The NSEC3 node before the one with `key`, whatever chain it belongs to.
    fn before(&self, key: &[u8]) -> Option<NodeRef<'z>> {
        // Without its last zero octet the key is smaller than itself and greater than all smaller keys.
        match self.zone.nsec3_search(key.split_last()?.1) {
            Match::Exact(_) => None,
            Match::Gap { before, .. } => before,
        }
    }

    /// Whether the node's NSEC3 belongs to this chain.
    fn owns(&self, node: NodeRef<'z>) -> bool {
        let parameters = |rrset: RrsetRef<'z>| rrset.rdatas().filter_map(Parameters::of);
        node.rrset(Rtype::NSEC3).is_some_and(|rrset| parameters(rrset).any(|parameters| parameters == self.parameters))
    }

    /// The key of the NSEC3 owner for a lower-case name (RFC 5155 §5).
    fn key(&self, name: &[u8]) -> [u8; KEY_LEN] {
        self.hash(&[name])
    }

    /// The key of the NSEC3 owner for the wildcard below a lower-case name.
    fn wildcard_key(&self, encloser: &[u8]) -> [u8; KEY_LEN] {
        self.hash(&[b"\x01*", encloser])
    }

    fn hash(&self, name: &[&[u8]]) -> [u8; KEY_LEN] {
        let mut hasher = Sha1::new();
        for part in name {
            hasher.update(part);
        }
        hasher.update(self.parameters.salt);
        let mut digest = hasher.finalize_reset();
        for _ in 0..self.parameters.iterations {
            hasher.update(digest);
            hasher.update(self.parameters.salt);
            digest = hasher.finalize_reset();
        }
        base32hex(&digest.into())
    }
}

/// Lower-case base32hex (RFC 4648 §7) of a hash as the one label of a key.
fn base32hex(hash: &[u8; 20]) -> [u8; KEY_LEN] {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut key = [0; KEY_LEN];
    for (group, digits) in hash.chunks_exact(5).zip(key.chunks_exact_mut(8)) {
        let bits = group.iter().fold(0_u64, |bits, &octet| bits << 8 | u64::from(octet));
        for (index, digit) in digits.iter_mut().enumerate() {
            *digit = DIGITS[(bits >> (35 - 5 * index) & 31) as usize];
        }
    }
    key
}
