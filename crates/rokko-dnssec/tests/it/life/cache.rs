//! What resolvers may hold, and what a validating one makes of it.

use std::collections::{BTreeMap, BTreeSet};

/// Keys by the number that the simulation gave them when they were made.
pub(super) type Keys = BTreeSet<u64>;

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DnskeyRrset {
    pub(super) keys: Keys,
    pub(super) signers: Keys,
}

/// Contents of one kind that servers gave out, with the moment until which caches may hold each.
#[derive(Debug)]
pub(super) struct Held<T>(BTreeMap<T, u64>);

impl<T: Clone + Ord> Held<T> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// A server gives this out at a moment. True if no cache had it.
    pub(super) fn serve(&mut self, content: &T, now: u64, ttl_s: u64) -> bool {
        if let Some(until) = self.0.get_mut(content) {
            let was_gone = *until < now;
            *until = (*until).max(now + ttl_s);
            return was_gone;
        }
        self.0.insert(content.clone(), now + ttl_s);
        true
    }

    pub(super) fn at(&self, now: u64) -> impl Iterator<Item = &T> + Clone {
        self.0.iter().filter(move |&(_, &until)| until >= now).map(|(content, _)| content)
    }

    pub(super) fn expire(&mut self, now: u64) {
        self.0.retain(|_, until| *until >= now);
    }
}

/// How much a validator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validator {
    /// A valid path for each algorithm (RFC 4035 §2.2).
    EachAlgorithm,
    /// A valid path for each algorithm of the DS RRset, as some do.
    DsAlgorithms,
}

impl Validator {
    /// Whether data with these signatures is bogus to one who holds this DS and DNSKEY RRset.
    pub(super) fn finds_bogus(
        self,
        algorithm: impl Fn(u64) -> u8,
        ds: &Keys,
        dnskey: &DnskeyRrset,
        signed: &Keys,
    ) -> bool {
        if ds.is_empty() {
            return false;
        }
        let entries: Keys =
            ds.iter().copied().filter(|key| dnskey.keys.contains(key) && dnskey.signers.contains(key)).collect();
        let signers: Keys = signed.iter().copied().filter(|key| dnskey.keys.contains(key)).collect();
        let all = |keys: &Keys| keys.iter().map(|&key| algorithm(key)).collect::<BTreeSet<_>>();
        let of_data = match self {
            Self::DsAlgorithms => all(ds),
            Self::EachAlgorithm => all(&dnskey.keys),
        };
        all(ds) != all(&entries) || !of_data.is_subset(&all(&signers))
    }
}
