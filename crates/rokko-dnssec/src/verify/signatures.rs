//! The signatures of one name.

use rokko_wire::Rtype;
use rokko_zone::file::Severity;
use rokko_zone::{NodeRef, RrsetRef};

use super::Judge;
use crate::algorithm::{Algorithm, PublicKey};
use crate::record::{Rrsig, signed_labels};
use crate::topology::{Place, is_signed};

/// What one signature is worth.
enum Worth {
    /// It is good; whether DS records lead to its key.
    Good { is_trusted: bool },
    /// It is of a key that is not in the DNSKEY RRset, so that nobody looks at it: one that comes or goes.
    Foreign,
    /// It is of an algorithm that is not known here.
    Unknown,
    /// Its time is over or has not come.
    Untimely,
    /// It is wrong; that has been said already.
    Bad,
}

impl Judge<'_> {
    /// Judges all signatures of a node: each RRset must have them, and where `verifies` says so they are verified.
    pub(super) fn node(&mut self, node: NodeRef<'_>, verifies: &dyn Fn(Rtype) -> bool) {
        let place = self.place(node);
        let mut wire = [0; 255];
        let owner = self.topology.name(node.key(), &mut wire);
        let rdatas = node.rrset(Rtype::RRSIG).into_iter().flat_map(RrsetRef::rdatas);
        let signatures: Vec<Rrsig<'_>> = rdatas.filter_map(Rrsig::parse).collect();
        self.strays(node, place, &signatures);
        for rrset in node.rrsets().filter(|rrset| is_signed(rrset.rtype(), place)) {
            self.rrset(node.key(), owner, rrset, &signatures, verifies(rrset.rtype()));
        }
    }

    /// Signatures that cover nothing, or what the zone does not vouch for.
    fn strays(&mut self, node: NodeRef<'_>, place: Place, signatures: &[Rrsig<'_>]) {
        for covered in signatures.iter().map(|rrsig| rrsig.covered) {
            if !node.has(covered) {
                let message = format!("a signature covers {covered}, which is not there: remove it");
                self.error("rrsig-orphan", node.key(), Some(Rtype::RRSIG), message);
            } else if !is_signed(covered, place) {
                let message = format!("a signature covers {covered} at or below a zone cut: remove it");
                self.error("rrsig-on-glue", node.key(), Some(Rtype::RRSIG), message);
            }
        }
    }

    fn rrset(&mut self, key: &[u8], owner: &[u8], rrset: RrsetRef<'_>, signatures: &[Rrsig<'_>], verifies: bool) {
        let rtype = rrset.rtype();
        let (mut good, mut is_trusted, mut untimely) = (Vec::new(), false, Vec::new());
        for rrsig in signatures.iter().filter(|rrsig| rrsig.covered == rtype) {
            match self.signature(key, owner, rrset, rrsig, verifies) {
                Worth::Good { is_trusted: by_trusted } => {
                    good.push(rrsig.algorithm);
                    is_trusted |= by_trusted;
                }
                Worth::Unknown => good.push(rrsig.algorithm),
                Worth::Untimely => untimely.push(*rrsig),
                Worth::Foreign | Worth::Bad => {}
            }
        }
        for rrsig in untimely {
            let served = good.contains(&rrsig.algorithm);
            self.untimely(key, &rrsig, if served { Severity::Warning } else { Severity::Error });
        }
        let missing: Vec<u8> =
            self.keys.algorithms.iter().copied().filter(|algorithm| !good.contains(algorithm)).collect();
        for algorithm in missing {
            let algorithm = Algorithm::from_number(algorithm).map_or_else(|| algorithm.to_string(), |a| a.to_string());
            let message = format!("the {rtype} RRset has no valid signature of algorithm {algorithm}: sign it");
            self.error("rrsig-missing", key, Some(rtype), message);
        }
        if rtype == Rtype::DNSKEY && self.keys.has_ds && !is_trusted {
            let message = "no DS record at the parent leads to a key that signs the DNSKEY RRset: validators take the zone for bogus";
            self.error("ds-without-key", key, Some(rtype), message.to_owned());
        }
    }

    fn signature(&mut self, key: &[u8], owner: &[u8], rrset: RrsetRef<'_>, rrsig: &Rrsig<'_>, verifies: bool) -> Worth {
        let rtype = rrset.rtype();
        if !rrsig.signer.eq_ignore_ascii_case(self.apex.as_bytes()) {
            let message = format!("the signature of {rtype} by key {} states another signer than the zone", rrsig.tag);
            self.error("rrsig-wrong", key, Some(rtype), message);
            return Worth::Bad;
        }
        if self.keys.of_signature(rrsig).next().is_none() {
            return Worth::Foreign;
        }
        if rrsig.labels != signed_labels(owner) || rrsig.original_ttl != rrset.ttl().as_secs() {
            let (tag, labels, ttl) = (rrsig.tag, signed_labels(owner), rrset.ttl());
            let message = format!(
                "the signature of {rtype} by key {tag} states {} labels and TTL {}, expected {labels} and {ttl}",
                rrsig.labels, rrsig.original_ttl
            );
            self.error("rrsig-wrong", key, Some(rtype), message);
            return Worth::Bad;
        }
        if !self.is_timely(rrsig) {
            return Worth::Untimely;
        }
        if !self.keys.is_known(rrsig.algorithm) {
            return Worth::Unknown;
        }
        let message = if verifies { rrsig.message(owner, rrset.rdatas()) } else { Vec::new() };
        let signs = |public: &PublicKey| !verifies || public.verify(&message, rrsig.signature);
        let mut candidates = self.keys.of_signature(rrsig);
        let signer = candidates.find(|candidate| candidate.public.as_ref().is_some_and(signs));
        if let Some(is_trusted) = signer.map(|signer| signer.is_trusted) {
            return Worth::Good { is_trusted };
        }
        drop(candidates);
        let message = format!("the signature of {rtype} by key {} is wrong: sign it anew", rrsig.tag);
        self.error("rrsig-bogus", key, Some(rtype), message);
        Worth::Bad
    }

    fn is_timely(&self, rrsig: &Rrsig<'_>) -> bool {
        let until = |time: u32| time.wrapping_sub(self.now).cast_signed();
        until(rrsig.inception) <= 0 && until(rrsig.expiration) >= 0
    }

    fn untimely(&mut self, key: &[u8], rrsig: &Rrsig<'_>, severity: Severity) {
        let (rtype, tag) = (rrsig.covered, rrsig.tag);
        let since = self.now.wrapping_sub(rrsig.expiration).cast_signed();
        let (code, message) = if since > 0 {
            ("rrsig-expired", format!("the signature of {rtype} by key {tag} expired {since} s ago: sign it anew"))
        } else {
            let ahead = rrsig.inception.wrapping_sub(self.now).cast_signed();
            (
                "rrsig-early",
                format!("the signature of {rtype} by key {tag} is valid only in {ahead} s: is the clock right?"),
            )
        };
        self.push(severity, code, key, Some(rtype), message);
    }
}
