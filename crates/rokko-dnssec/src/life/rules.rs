//! When a zone is valid: for each DS RRset, DNSKEY RRset and signature that caches may hold, in any combination.
//!
//! A change is allowed if what it publishes is valid together with everything that caches may hold. All of how keys are
//! rolled follows from this one rule.

use super::policy::{AlgorithmChange, DnssecPolicy};
use super::set::{KEYS_MAX, KeySet};
use super::state::{KeyRrset, State};

/// The rule, for the keys of one zone.
pub(super) struct Rules {
    algorithms: [u8; KEYS_MAX],
    each_algorithm: bool,
}

impl Rules {
    pub(super) fn new(state: &State, policy: &DnssecPolicy) -> Self {
        let mut algorithms = [0; KEYS_MAX];
        for key in &state.keys {
            if let Some(algorithm) = algorithms.get_mut(usize::from(key.slot)) {
                *algorithm = key.public.algorithm.number();
            }
        }
        Self { algorithms, each_algorithm: policy.algorithm_change == AlgorithmChange::Conservative }
    }

    /// The keys of `set` that have the algorithm of this slot's key.
    pub(super) fn same_algorithm(&self, set: KeySet, slot: u8) -> KeySet {
        set.slots().filter(|&other| self.algorithm(other) == self.algorithm(slot)).collect()
    }

    fn algorithm(&self, slot: u8) -> u8 {
        self.algorithms.get(usize::from(slot)).copied().unwrap_or(0)
    }

    /// Whether each algorithm of `named` has a key in `good`.
    fn covered(&self, named: KeySet, good: KeySet) -> bool {
        named.slots().all(|slot| !self.same_algorithm(good, slot).is_empty())
    }

    /// Whether a validator that holds these three finds the zone's data valid, or insecure (RFC 4035 §2.2, §5).
    ///
    /// It asks for a path by each algorithm of the DS RRset, and for data signed by each algorithm of the DNSKEY RRset, or else of
    /// the DS RRset. One that takes any path (RFC 6840 §5.11) finds valid what this one does. A DS RRset that means no key of the
    /// zone makes it bogus whatever is published here, so it decides nothing.
    pub(super) fn valid(&self, ds: KeySet, dnskey: KeyRrset, signatures: KeySet) -> bool {
        if ds.is_empty() {
            return true;
        }
        let entries = ds.and(dnskey.keys).and(dnskey.signers);
        let signers = signatures.and(dnskey.keys);
        let named = if self.each_algorithm { dnskey.keys } else { ds };
        self.covered(ds, entries) && self.covered(named, signers)
    }

    /// Whether the parent may be asked for this DS RRset.
    pub(super) fn allows_ds(&self, state: &State, ds: KeySet) -> bool {
        let signatures = state.signatures.versions();
        state.dnskey.versions().all(|dnskey| signatures.clone().all(|signed| self.valid(ds, dnskey, signed)))
    }

    /// Whether this DNSKEY RRset may be published: no combination becomes worse than with the current one.
    pub(super) fn allows_dnskey(&self, state: &State, dnskey: KeyRrset) -> bool {
        let now = state.dnskey.current();
        let signatures = state.signatures.versions();
        state.ds_versions().all(|ds| {
            let holds = |signed| self.valid(ds.keys, dnskey, signed) || !self.valid(ds.keys, now, signed);
            signatures.clone().all(holds)
        })
    }

    /// Whether these keys may sign the data: no combination becomes worse than with those that sign it now.
    pub(super) fn allows_signatures(&self, state: &State, signers: KeySet) -> bool {
        let now = state.signatures.current();
        let dnskeys = state.dnskey.versions();
        state.ds_versions().all(|ds| {
            let holds = |dnskey| self.valid(ds.keys, dnskey, signers) || !self.valid(ds.keys, dnskey, now);
            dnskeys.clone().all(holds)
        })
    }
}
